"""The finished runs of a study, sweep or tuning in one SQLite file, by keys of everything that they depend on."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np

from ipa.studies import results
from ipa.studies.many.outcome import TIMELINE, Outcome, Wanted
from ipa.studies.scenario import ScenarioError

FINISHED = "finished.sqlite"
LAYOUT = 3

BUSY_S = 5.0
"""How long a change waits for a program that reads the file before it says so [s]."""

PATIENCE_S = 300.0
"""How long it waits in all [s]."""

_TABLES = {
    "runs": "key TEXT PRIMARY KEY, summary TEXT, timeline BLOB, latencies BLOB, seconds BLOB, checksum INTEGER",
    "failed": "key TEXT PRIMARY KEY, error TEXT",
    "plan": "text BLOB",
}


class Store:
    """The file. Changes are atomic, even if the program is killed."""

    def __init__(self, path: Path, say: Callable[[str], object] = lambda _: None) -> None:
        self._path = path
        self._say = say
        self._connection = sqlite3.connect(path, timeout=BUSY_S)
        self._connection.text_factory = partial(str, encoding="utf-8", errors="replace")  # reads damaged text too
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
        if layout not in (0, LAYOUT):
            raise ScenarioError(f"{path}: was written by another version of this program; give a new folder")
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables.issuperset(_TABLES):  # a complete file is not written to
            with self._connection:
                for name, columns in _TABLES.items():
                    self._connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
                self._connection.execute(f"PRAGMA user_version = {LAYOUT}")
        self._is_new = self.last() == (0, 0)

    def last(self) -> tuple[int, int]:
        """A mark of the present state, for `among`."""
        (runs,) = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM runs").fetchone()
        (failed,) = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM failed").fetchone()
        return runs, failed

    def among(self, keys: Sequence[str], mark: tuple[int, int]) -> dict[str, bool]:
        """The keys whose run has finished, or has failed since the mark -> whether it finished before the mark.

        Runs that are damaged on the disk are left out, with a message.
        """
        there = _marks(keys)
        runs, failed = mark
        since = self._connection.execute(
            f"SELECT key FROM failed WHERE key IN ({there}) AND rowid > {failed}", keys
        ).fetchall()
        columns = "rowid, key, summary, timeline, latencies, seconds, checksum"
        finished = self._connection.execute(f"SELECT {columns} FROM runs WHERE key IN ({there})", keys).fetchall()
        whole = {row[1]: row[0] <= runs for row in finished if _checksum(row[1:-1]) == row[-1]}
        if damaged := len(finished) - len(whole):
            were, are = ("were", "are") if damaged > 1 else ("was", "is")
            self._say(f"{self._path}: {damaged} of the runs kept there {were} damaged on the disk and {are} made again")
        return {**{key: False for (key,) in since}, **whole}

    def say_left_out(self, keys: Iterable[str], what: str) -> None:
        """Report the number of finished runs with other keys than these, which are not in `what`."""
        if self._is_new:
            return
        with self._connection:
            self._connection.execute("CREATE TEMP TABLE asked (key TEXT PRIMARY KEY)")
            self._connection.executemany("INSERT OR IGNORE INTO asked VALUES (?)", ((key,) for key in keys))
            others = "SELECT count(*) FROM runs WHERE key NOT IN (SELECT key FROM asked)"
            (count,) = self._connection.execute(others).fetchone()
            self._connection.execute("DROP TABLE asked")
        if count:
            runs = "more runs are" if count > 1 else "more run is"
            self._say(f"{count} {runs} in {self._path}, of other values or an earlier version, and not in {what}")

    def count(self, keys: Iterable[str]) -> int:
        """How many of these runs have finished."""
        rest, found = iter(keys), 0
        while some := list(islice(rest, 500)):
            finished = self._connection.execute(f"SELECT count(*) FROM runs WHERE key IN ({_marks(some)})", some)
            found += finished.fetchone()[0]
        return found

    def summaries(self, keys: Sequence[str]) -> dict[str, dict[str, Any] | str]:
        """The summary of each finished run, or the error of each failed one, by key."""
        there = _marks(keys)
        runs = self._rows(f"key IN ({there})", keys)
        failed = self._connection.execute(f"SELECT key, error FROM failed WHERE key IN ({there})", keys)
        return {**dict(failed), **{key: json.loads(text)[0] for key, text, *_ in runs}}

    def errors(self) -> dict[str, str]:
        """The errors of failed runs that have not finished since, by key."""
        return dict(self._connection.execute("SELECT key, error FROM failed"))

    def keep(self, ended: Iterable[tuple[str, Outcome | str]]) -> None:
        """Add runs, each with its outcome or its error: all of them or, if interrupted, none."""
        runs, failed, keys = [], [], []
        for key, outcome in ended:
            keys.append((key,))
            if isinstance(outcome, str):
                failed.append((key, outcome))
            else:
                runs.append(_packed(key, outcome))

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM failed WHERE key = ?", keys)
            connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?, ?, ?, ?)", runs)
            connection.executemany("INSERT INTO failed VALUES (?, ?)", failed)

        self._change(change)

    def outcome(self, key: str) -> Outcome:
        """The run of a key in the store. Raises ScenarioError if it is damaged."""
        ((_, summary, timeline, latencies, seconds),) = self._rows("key = ?", (key,))
        return _unpacked(summary, timeline, latencies, seconds)

    def keep_plan(self, plan: str) -> None:
        """Keep the plan of a study as text, in place of an earlier one."""
        packed = zlib.compress(plan.encode())

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM plan")
            connection.execute("INSERT INTO plan VALUES (?)", [packed])

        self._change(change)

    def plan(self) -> str | None:
        """The kept plan; None in a store of an earlier version."""
        kept = self._connection.execute("SELECT text FROM plan").fetchone()
        return zlib.decompress(kept[0]).decode() if kept else None

    def close(self) -> None:
        self._connection.close()

    def _rows(self, where: str, keys: Sequence[str]) -> Iterator[tuple[str, str, bytes, bytes, bytes]]:
        columns = "key, summary, timeline, latencies, seconds, checksum"
        for *row, checksum in self._connection.execute(f"SELECT {columns} FROM runs WHERE {where}", keys):
            if _checksum(row) != checksum:
                raise ScenarioError(f"{self._path}: a run was damaged on the disk; repeat the command that made it")
            key, summary, timeline, latencies, seconds = row
            yield key, summary, timeline, latencies, seconds

    def _change(self, change: Callable[[sqlite3.Connection], object]) -> None:
        """Make an atomic change, once no other program reads the file."""
        until_s, is_told = monotonic() + PATIENCE_S, False
        while True:
            try:
                with self._connection:
                    change(self._connection)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or monotonic() >= until_s:
                    raise
            if not is_told:
                self._say(f"{self._path} is being read by another program; waiting until it lets go of it")
                is_told = True


@contextmanager
def opened(path: Path, say: Callable[[str], object] = lambda _: None, *, alone: bool = False) -> Iterator[Store]:
    """The store in a file, created if need be; `say` gets messages about damage and waiting.

    `alone`: lock its folder, to make runs. Raises ScenarioError if another command holds the lock, and for a file that
    is not a store.
    """
    store = None
    try:
        with results.alone(path.parent) if alone else nullcontext():
            store = Store(path, say)
            yield store
    except sqlite3.Error as error:
        raise ScenarioError(f"{path}: {error}") from error
    finally:
        if store is not None:
            store.close()


def _marks(keys: Sequence[str]) -> str:
    return ",".join("?" * len(keys))


def _checksum(row: Sequence[Any]) -> int:
    """The checksum of a row of `runs`, including its key."""
    return zlib.crc32(b"\0".join(each.encode() if isinstance(each, str) else each for each in row))


def _packed(key: str, outcome: Outcome) -> tuple[str, str, bytes, bytes, bytes, int]:
    text = json.dumps([outcome.summary, outcome.configurations])
    timeline = zlib.compress(np.ascontiguousarray(outcome.timeline, dtype="<f8").tobytes(), 1)
    latencies, seconds = (
        zlib.compress(each.astype("<i8").tobytes(), 1) for each in (outcome.latencies, outcome.seconds)
    )
    row = (key, text, timeline, latencies, seconds)
    return *row, _checksum(row)


def _unpacked(text: str, timeline: bytes, latencies: bytes, seconds: bytes) -> Outcome:
    summary, configurations = json.loads(text)
    return Outcome(
        summary=summary,
        timeline=np.frombuffer(zlib.decompress(timeline), dtype="<f8").reshape(len(TIMELINE), -1),
        latencies=np.frombuffer(zlib.decompress(latencies), dtype="<i8"),
        seconds=np.frombuffer(zlib.decompress(seconds), dtype="<i8"),
        configurations=[Wanted(tuple(names), tuple(counts), *rest) for names, counts, *rest in configurations],
    )
