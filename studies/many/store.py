"""The finished runs of a folder in one SQLite file, by keys of everything that they depend on."""

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

from ipa.studies import results
from ipa.studies.many.outcome import FinishedRun
from ipa.studies.scenario import ScenarioError

FINISHED = "finished.sqlite"
LAYOUT = 4

BUSY_S = 5.0
"""How long a change waits for a program that reads the file before it says so [s]."""

PATIENCE_S = 300.0
"""How long it waits in all [s]."""

AT_ONCE = 500
"""How many keys are looked up in one query."""

_TABLES = {
    "runs": "key TEXT PRIMARY KEY, summary TEXT, checksum INTEGER",
    "files": "key TEXT, name TEXT, content BLOB, checksum INTEGER, PRIMARY KEY (key, name)",
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
        try:
            self._prepare()
        except BaseException:
            self._connection.close()
            raise
        self._is_new = self.last() == (0, 0)

    def _prepare(self) -> None:
        """Create what is missing. Raises ScenarioError for a file of another layout."""
        self._connection.execute("PRAGMA synchronous = NORMAL")
        (layout,) = self._connection.execute("PRAGMA user_version").fetchone()
        if layout not in (0, LAYOUT):
            raise ScenarioError(f"{self._path}: is of another version; give a new folder")
        tables = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables.issuperset(_TABLES):  # a complete file is not written to
            with self._connection:
                for name, columns in _TABLES.items():
                    self._connection.execute(f"CREATE TABLE IF NOT EXISTS {name} ({columns})")
                self._connection.execute(f"PRAGMA user_version = {LAYOUT}")

    def last(self) -> tuple[int, int]:
        """A mark of the present state, for `among`."""
        (runs,) = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM runs").fetchone()
        (failed,) = self._connection.execute("SELECT ifnull(max(rowid), 0) FROM failed").fetchone()
        return runs, failed

    def among(self, keys: Sequence[str], mark: tuple[int, int]) -> dict[str, bool]:
        """The keys whose run has finished, or has failed since the mark -> whether it finished before the mark.

        Runs that are damaged on the disk are left out, with a message.
        """
        marks = _marks(keys)
        runs, failed = mark
        since = self._connection.execute(
            f"SELECT key FROM failed WHERE key IN ({marks}) AND rowid > {failed}", keys
        ).fetchall()
        columns = "rowid, key, summary, checksum"
        finished = self._connection.execute(f"SELECT {columns} FROM runs WHERE key IN ({marks})", keys).fetchall()
        whole = {key: row <= runs for row, key, *rest, checksum in finished if _checksum((key, *rest)) == checksum}
        for *file, checksum in self._connection.execute(
            f"SELECT key, name, content, checksum FROM files WHERE key IN ({marks})", keys
        ):
            if _checksum(file) != checksum:
                whole.pop(file[0], None)
        if damaged := len(finished) - len(whole):
            were, are = ("were", "are") if damaged > 1 else ("was", "is")
            self._say(f"{self._path}: {damaged} of the runs kept there {were} damaged on the disk and {are} made again")
        return {**{key: False for (key,) in since}, **whole}

    def say_left_out(self, keys: Iterable[str], place: str) -> None:
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
            self._say(f"{count} {runs} in {self._path}, of other values or an earlier version, and not in {place}")

    def count(self, keys: Iterable[str]) -> int:
        """How many of these runs have finished."""
        ask = "SELECT count(*) FROM runs WHERE key IN"
        return sum(self._connection.execute(f"{ask} ({_marks(some)})", some).fetchone()[0] for some in _parts(keys))

    def summaries(self, keys: Sequence[str]) -> dict[str, dict[str, Any] | str]:
        """The summary of each finished run, or the error of each failed one, by key."""
        by_key: dict[str, dict[str, Any] | str] = {}
        for some in _parts(keys):
            where = f"key IN ({_marks(some)})"
            by_key |= dict(self._connection.execute(f"SELECT key, error FROM failed WHERE {where}", some))
            by_key |= {key: json.loads(text) for key, text in self._rows("key, summary", "runs", where, some)}
        return by_key

    def errors(self) -> dict[str, str]:
        """The errors of failed runs that have not finished since, by key."""
        return dict(self._connection.execute("SELECT key, error FROM failed"))

    def keep(self, ended: Iterable[tuple[str, FinishedRun | str]]) -> None:
        """Add runs, each with its outcome or its error: all of them or, if interrupted, none."""
        runs, files, failed, keys = [], [], [], []
        for key, outcome in ended:
            keys.append((key,))
            if isinstance(outcome, str):
                failed.append((key, outcome))
            else:
                runs.append(_checked(key, json.dumps(outcome.summary)))
                files += [_checked(key, name, content) for name, content in outcome.files.items()]

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM failed WHERE key = ?", keys)
            connection.executemany("DELETE FROM files WHERE key = ?", keys)
            connection.executemany("INSERT OR REPLACE INTO runs VALUES (?, ?, ?)", runs)
            connection.executemany("INSERT INTO files VALUES (?, ?, ?, ?)", files)
            connection.executemany("INSERT INTO failed VALUES (?, ?)", failed)

        self._change(change)

    def outcome(self, key: str) -> FinishedRun:
        """The run of a key in the store. Raises ScenarioError if it is damaged."""
        ((_, summary),) = self._rows("key, summary", "runs", "key = ?", (key,))
        files = self._rows("key, name, content", "files", "key = ?", (key,))
        return FinishedRun(json.loads(summary), {name: content for _, name, content in files})

    def file(self, key: str, name: str) -> bytes | None:
        """One file of a run in the store; None if it has none of this name. Raises ScenarioError if it is damaged."""
        rows = self._rows("key, name, content", "files", "key = ? AND name = ?", (key, name))
        return next((bytes(content) for _, _, content in rows), None)

    def forget_oldest(self, most_bytes: int) -> None:
        """Forget the oldest runs, until the others have at most that many bytes."""
        in_files = "SELECT ifnull(sum(length(content)), 0) FROM files WHERE files.key = runs.key"
        oldest: list[str] = []
        for key, size in self._connection.execute(
            f"SELECT key, length(summary) + ({in_files}) FROM runs ORDER BY rowid DESC"
        ).fetchall():
            most_bytes -= size
            if most_bytes < 0:
                oldest.append(key)
        self.forget(oldest)

    def forget(self, keys: Iterable[str]) -> None:
        """Forget these runs."""
        rows = [(key,) for key in keys]

        def change(connection: sqlite3.Connection) -> None:
            for table in ("runs", "files", "failed"):
                connection.executemany(f"DELETE FROM {table} WHERE key = ?", rows)

        if rows:
            self._change(change)

    def keep_plan(self, plan: str) -> None:
        """Keep the plan of a study as text, in place of an earlier one."""
        packed = zlib.compress(plan.encode())

        def change(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM plan")
            connection.execute("INSERT INTO plan VALUES (?)", [packed])

        self._change(change)

    def plan(self) -> str:
        """The kept plan."""
        (packed,) = self._connection.execute("SELECT text FROM plan").fetchone()
        return zlib.decompress(packed).decode()

    def close(self) -> None:
        self._connection.close()

    def _rows(self, columns: str, table: str, where: str, values: Sequence[str]) -> Iterator[list[Any]]:
        """The rows of a table, checked; `columns` are all of it but the checksum."""
        for *row, checksum in self._connection.execute(
            f"SELECT {columns}, checksum FROM {table} WHERE {where}", values
        ):
            if _checksum(row) != checksum:
                raise ScenarioError(f"{self._path}: a run was damaged on the disk; repeat the command that made it")
            yield row

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
            with _unless_begun(path):
                store = Store(path, say)
            yield store
    except sqlite3.Error as error:
        raise ScenarioError(f"{path}: {error}") from error
    finally:
        if store is not None:
            store.close()


@contextmanager
def _unless_begun(path: Path) -> Iterator[None]:
    """Remove a new file that could not be made whole, as on a full disk."""
    is_new = not path.exists()
    try:
        yield
    except BaseException:
        if is_new:
            path.unlink(missing_ok=True)
        raise


def read_file(path: Path, key: str, name: str) -> bytes | None:
    """One file of a run in the store at `path`, as `Store.file`. Raises as `opened`."""
    with opened(path) as store:
        return store.file(key, name)


def _parts(keys: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(keys)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _marks(keys: Sequence[str]) -> str:
    return ",".join("?" * len(keys))


def _checksum(row: Sequence[Any]) -> int:
    """The checksum of a row, including its key."""
    return zlib.crc32(b"\0".join(value.encode() if isinstance(value, str) else value for value in row))


def _checked(*row: str | bytes) -> tuple[Any, ...]:
    """A row with its checksum."""
    return *row, _checksum(row)
