"""The journal of a live controller: a file that is complete at every moment, with one writer."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from live.errors import LiveError
from policies import Applied, Entry, Journal, Memory, PolicyError, read_journal, to_line

_BEGINNING = b'{"observation":'
"""How the line of an entry begins."""


class FileJournal(Journal):
    """Entries in memory and in a file, on the disk (fsync) before anything is applied.

    An entry is written when it is decided, again with the backend's answer, and again should it come to nothing after
    all: of several lines of a step the latest counts. A file that is there is gone on with; a line that a kill cut
    short is cut off. Raises LiveError for a file that another controller writes, or that cannot be written; PolicyError
    for one that is no journal.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            self._file = path.open("a+b")
        except OSError as error:
            raise LiveError(f"{path}: cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._file.close()
            raise LiveError(f"{path}: another controller writes this journal") from None
        try:
            self._resume(path)
        except PolicyError:
            self._file.close()
            raise

    def _resume(self, path: Path) -> None:
        self._file.seek(0)
        whole, newline, torn = self._file.read().rpartition(b"\n")
        if torn and not torn.startswith(_BEGINNING[: len(torn)]):
            raise PolicyError(f"{path}: not a journal: its last line is not whole, and begins otherwise than an entry")
        self.entries = latest(whole.decode("utf-8", errors="replace"), str(path))
        self._file.truncate(len(whole) + len(newline))

    @property
    def memory(self) -> Memory | None:
        """What the policy handed back last; None: nothing has been decided."""
        return self.entries[-1].decision.memory if self.entries else None

    def decided(self, entry: Entry) -> None:
        """Keep a decision, on the disk when this returns."""
        super().decided(entry)
        self._write(entry)

    def answered(self, outcome: Applied) -> None:
        """Add the backend's answer to the latest decision."""
        super().answered(outcome)
        self._write(self.entries[-1])

    def failed(self, step: int, why: str) -> None:
        """Change the outcome of an earlier decision: its line is written again."""
        super().failed(step, why)
        for entry in self.entries:
            if entry.observation.step == step:
                self._write(entry)

    def close(self) -> None:
        """Let others write it."""
        self._file.close()

    def _write(self, entry: Entry) -> None:
        self._file.write(to_line(entry).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())


def latest(text: str, where: str) -> list[Entry]:
    """The entries of a journal's text, one a step: of several lines of a step the last. Raises as `read_journal`."""
    entries: dict[int, Entry] = {}
    for entry in read_journal(text.splitlines(), where):
        entries[entry.observation.step] = entry
    return list(entries.values())
