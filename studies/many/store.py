"""The finished runs of a study or a sweep in one file, kept as they come, each under a key of all it depends on."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from ipa.studies.errors import ScenarioError
from ipa.studies.many.outcome import TIMELINE, Outcome, Wanted

FINISHED = "finished.sqlite"
LAYOUT = 2

_TABLES = {
    "runs": "key TEXT PRIMARY KEY, summary TEXT, timeline BLOB, latencies BLOB, seconds BLOB",
    "failed": "key TEXT PRIMARY KEY, error TEXT",
    "plan": "text BLOB",
}


class Store:
    """The file; whatever is kept in it is kept whole, even if the program is killed right then."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path)
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
        if layout not in (0, LAYOUT):
            raise ScenarioError(f"{path}: was written by another version of this program; give a new folder")
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables.issuperset(_TABLES):  # what is whole is only read
            with self._connection:
                for name, columns in _TABLES.items():
                    self._connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
                self._connection.execute(f"PRAGMA user_version = {LAYOUT}")

    def last(self) -> tuple[int, int]:
        """A mark of what is there now, for `among`."""
        (runs,) = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM runs").fetchone()
        (failed,) = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM failed").fetchone()
        return runs, failed

    def among(self, keys: Sequence[str], mark: tuple[int, int]) -> dict[str, bool]:
        """Those of the keys whose run has finished, or has failed since the mark; whether it finished before that."""
        there = _marks(keys)
        runs, failed = mark
        since = self._connection.execute(
            f"SELECT key FROM failed WHERE key IN ({there}) AND rowid > {failed}", keys
        ).fetchall()
        finished = self._connection.execute(f"SELECT key, rowid <= {runs} FROM runs WHERE key IN ({there})", keys)
        return {**{key: False for (key,) in since}, **{key: bool(before) for key, before in finished}}

    def count(self, keys: Iterable[str]) -> int:
        """How many of the runs have finished."""
        rest, found = iter(keys), 0
        while some := list(islice(rest, 500)):
            finished = self._connection.execute(f"SELECT count(*) FROM runs WHERE key IN ({_marks(some)})", some)
            found += finished.fetchone()[0]
        return found

    def summaries(self, keys: Sequence[str]) -> dict[str, dict[str, Any] | str]:
        """The summary of each of these runs that has finished, or the error of one that has failed, by key."""
        there = _marks(keys)
        runs = self._connection.execute(f"SELECT key, summary FROM runs WHERE key IN ({there})", keys)
        failed = self._connection.execute(f"SELECT key, error FROM failed WHERE key IN ({there})", keys)
        return {**dict(failed), **{key: json.loads(text)[0] for key, text in runs}}

    def errors(self) -> dict[str, str]:
        """The errors of the runs that failed and have not finished since, by key."""
        return dict(self._connection.execute("SELECT key, error FROM failed"))

    def keep(self, ended: Iterable[tuple[str, Outcome | str]]) -> None:
        """Add runs, each with its outcome or with the error that ended it: all of them or, if interrupted, none."""
        runs, failed, keys = [], [], []
        for key, outcome in ended:
            keys.append((key,))
            if isinstance(outcome, str):
                failed.append((key, outcome))
            else:
                runs.append((key, *_packed(outcome)))
        with self._connection:
            self._connection.executemany("DELETE FROM failed WHERE key = ?", keys)
            self._connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?)", runs)
            self._connection.executemany("INSERT INTO failed VALUES (?, ?)", failed)

    def outcome(self, key: str) -> Outcome:
        """The run of that key, which must have been kept."""
        found = self._connection.execute("SELECT summary, timeline, latencies, seconds FROM runs WHERE key = ?", (key,))
        return _unpacked(*found.fetchone())

    def keep_plan(self, plan: str) -> None:
        """Keep the plan of the study as text, in place of an earlier one."""
        with self._connection:
            self._connection.execute("DELETE FROM plan")
            self._connection.execute("INSERT INTO plan VALUES (?)", [zlib.compress(plan.encode())])

    def plan(self) -> str | None:
        """The plan that was kept; None in a store of an earlier version."""
        kept = self._connection.execute("SELECT text FROM plan").fetchone()
        return zlib.decompress(kept[0]).decode() if kept else None

    def close(self) -> None:
        self._connection.close()


@contextmanager
def opened(path: Path) -> Iterator[Store]:
    """The store in a file, created if need be. Raises ScenarioError for a file that is not a store."""
    store = None
    try:
        store = Store(path)
        yield store
    except sqlite3.Error as error:
        raise ScenarioError(f"{path}: {error}") from error
    finally:
        if store is not None:
            store.close()


def _marks(keys: Sequence[str]) -> str:
    return ",".join("?" * len(keys))


def _packed(outcome: Outcome) -> tuple[str, bytes, bytes, bytes]:
    text = json.dumps([outcome.summary, outcome.configurations])
    timeline = zlib.compress(np.ascontiguousarray(outcome.timeline, dtype="<f8").tobytes(), 1)
    latencies, seconds = (
        zlib.compress(each.astype("<i8").tobytes(), 1) for each in (outcome.latencies, outcome.seconds)
    )
    return text, timeline, latencies, seconds


def _unpacked(text: str, timeline: bytes, latencies: bytes, seconds: bytes) -> Outcome:
    summary, configurations = json.loads(text)
    return Outcome(
        summary=summary,
        timeline=np.frombuffer(zlib.decompress(timeline), dtype="<f8").reshape(len(TIMELINE), -1),
        latencies=np.frombuffer(zlib.decompress(latencies), dtype="<i8"),
        seconds=np.frombuffer(zlib.decompress(seconds), dtype="<i8"),
        configurations=[Wanted(tuple(names), tuple(counts), *rest) for names, counts, *rest in configurations],
    )
