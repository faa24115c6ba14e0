"""The journal of a live controller: a file that is complete at every moment, with one writer.

A run without an end bounds its memory: it holds the latest entries, and the file offsets of the others. It bounds the
file too: once that has twice as many entries as are kept, a new file with the latest replaces it.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import BinaryIO

from ipa.live.errors import LiveError, RunError
from ipa.policies import Applied, Entry, Journal, PolicyError, from_line, to_line

log = logging.getLogger(__name__)

ASK_EVERY_S = 0.2
KEPT_IN_FILE = 10_000
"""The fewest steps in the file of a run without an end: more than a day at one every 10 s."""

_BEGINNING = b'{"observation":'
"""How the line of an entry begins."""


@contextmanager
def open_journal(
    path: Path | None, *, has_tables: bool = True, has_end: bool = True, within_s: float = 0.0
) -> Iterator[Journal]:
    """The journal of a run: in the file at `path`, or in memory alone. Raises as `FileJournal`.

    A run without tables keeps only its latest entry in memory; the file of a run without an end is bounded.
    """
    kept = None if has_tables else 1
    if path is None:
        yield Journal(kept)
        return
    with closing(FileJournal(path, kept, None if has_end else KEPT_IN_FILE, within_s)) as journal:
        yield journal


class FileJournal(Journal):
    """A journal in a file; entries are on disk (fsync) before anything is applied.

    An entry is written when it is decided, again with the backend's answer, and again if it is rolled back: the last
    line of a step counts. An existing file is continued; a truncated last line, and NULs at its end, are removed.

    `kept`: how many of the latest entries are in memory too; `kept_in_file`: the file has at most twice as many; None:
    all. Raises LiveError if the file cannot be opened, or another controller still writes it after `within_s`;
    PolicyError if it is not a journal. Each entry raises RunError if it cannot be written.
    """

    def __init__(
        self, path: Path, kept: int | None = None, kept_in_file: int | None = None, within_s: float = 0.0
    ) -> None:
        super().__init__(kept)
        self._path = path
        self._kept_in_file = kept_in_file
        self._most_in_file = 2 * (kept_in_file or 0)  # more after it could not be shortened
        self._places: dict[int, int] = {}  # step -> where its latest line begins
        self._lock = Lock()  # outcomes that come late come from another thread than steps
        self._file = _open(path, within_s)
        try:
            self._resume()
        except PolicyError:
            self._file.close()
            raise

    def _resume(self) -> None:
        self._file.seek(0)
        whole = 0
        for number, line in enumerate(self._file, start=1):
            if not line.endswith(b"\n"):
                line = line.rstrip(b"\0")  # which a file system may leave after a power cut
                if not line.startswith(_BEGINNING[: len(line)]):
                    raise PolicyError(f"{self._path}: not a journal: its last line is not the beginning of an entry")
                break
            if line.strip():
                entry = from_line(line.decode("utf-8", errors="replace"), f"{self._path}:{number}")
                self._places[entry.observation.step] = whole
            whole += len(line)
        self._file.truncate(whole)
        kept = len(self._places) if self._kept is None else self._kept
        self.entries = [self._entry(step) for step in _latest(self._places, kept)]

    def decided(self, entry: Entry) -> None:
        """Append a decision; it is on disk when this returns."""
        with self._lock:
            self._write(entry)
            super().decided(entry)

    def answered(self, outcome: Applied) -> None:
        with self._lock:
            super().answered(outcome)
            self._write(self.entries[-1])
            if self._kept_in_file is not None and len(self._places) > self._most_in_file:
                self._shorten(self._kept_in_file)

    def failed(self, step: int, why: str) -> None:
        """Change the outcome of an earlier decision by writing its line again."""
        with self._lock:
            if step not in self._places:
                return
            super().failed(step, why)
            entry = self._entry(step)
            if entry.outcome is not None and entry.outcome.accepted:
                self._write(replace(entry, outcome=Applied(False, why)))

    def close(self) -> None:
        """Close the file, so that others may write it."""
        with suppress(OSError):  # of what could not be written, a part is left, and that has been said
            self._file.close()

    def _write(self, entry: Entry) -> None:
        """Raises RunError if the file cannot be written any more."""
        try:
            place = self._file.seek(0, os.SEEK_END)
            self._file.write(to_line(entry).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise RunError(f"{self._path}: cannot be written: {error.strerror}") from None
        self._places[entry.observation.step] = place

    def _entry(self, step: int) -> Entry:
        return from_line(self._line(step).decode("utf-8", errors="replace"), str(self._path))

    def _line(self, step: int) -> bytes:
        self._file.seek(self._places[step])
        return self._file.readline()

    def _shorten(self, kept: int) -> None:
        """Keep only the latest entries in the file."""
        path, steps = Path(os.path.realpath(self._path)), _latest(self._places, kept)
        try:
            file = _replaced(path, map(self._line, steps))
        except OSError as error:  # another user's folder, a full disk: go on, and retry after as many entries
            log.warning("the journal is not shortened", extra={"problem": str(error)})
            self._most_in_file = len(self._places) + kept
            return
        self._file.close()
        self._file, self._places, self._most_in_file = file, {}, 2 * kept
        at = file.seek(0)
        for step in steps:
            self._places[step] = at
            at += len(file.readline())
        with suppress(OSError):  # not every volume can
            _sync_folder(path.parent)


def _open(path: Path, within_s: float) -> BinaryIO:
    """The file, locked. Raises LiveError if another controller still holds it after `within_s`."""
    until_s = time.monotonic() + within_s
    while (file := _locked(path)) is None:
        if time.monotonic() >= until_s:
            raise LiveError(f"{path}: another controller is writing this journal")
        time.sleep(ASK_EVERY_S)
    return file


def _locked(path: Path) -> BinaryIO | None:
    """The file, locked; None if another has locked it."""
    try:
        file = path.open("a+b")
    except OSError as error:
        raise LiveError(f"{path}: cannot be written: {error.strerror}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Its writer may have replaced it with a shorter one.
        if os.path.samestat(os.fstat(file.fileno()), path.stat()):
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except OSError as error:
        file.close()
        raise LiveError(f"{path}: cannot be locked: {error.strerror}") from None
    file.close()
    return None


def _replaced(path: Path, lines: Iterable[bytes]) -> BinaryIO:
    """Replace the file atomically by one with these lines; returns that, locked. Raises OSError, and leaves the old
    one."""
    beside = path.with_name(f"{path.name}.new")
    file = beside.open("w+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
        shutil.copymode(path, beside)
        beside.replace(path)
    except OSError:
        with suppress(OSError):  # on a full disk, the flush of closing fails too
            file.close()
        beside.unlink(missing_ok=True)
        raise
    return file


def _sync_folder(folder: Path) -> None:
    """Sync a folder, so that a replaced file in it is on disk."""
    at = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(at)
    finally:
        os.close(at)


def _latest(places: dict[int, int], count: int) -> list[int]:
    return list(places)[max(len(places) - count, 0) :]
