"""The lease of two gateways on one machine: a file, which the one that serves renews and the other watches.

The holder renews its right twice a second. It has lost it once another has taken the file over: because the holder's
process has ended, which the system tells at once, because it has released it, or because it has stood still for so long
that its right is over. Reading, deciding and writing are one step under the file's lock, which ends with its process.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ipa.live.serving.lease import Address, ServingLease, boot_s

LOOKED_AT_EVERY_S = 0.05
RENEWED_EVERY_S = 0.5
HOLDS_S = 3.0
"""How long a right lasts: both gateways read the same clock. While one stands still, nobody serves for so long; were it
shorter, a gateway on a busy machine would lose its right, and what is inside, although it works."""

log = logging.getLogger("live.lease")


@dataclass(frozen=True)
class Record:
    """Who holds the lease (empty: nobody), in which term, and until when at the latest, by `boot_s`; and the `fence`,
    the latest term that began without a release."""

    holder: str = ""
    term: int = 0
    until_s: float = 0.0
    fence: int = 0


class LeaseFile:
    """Keeps the lease of one gateway in a file that it shares with the other; `server` is where either is reached.

    `process` tells this process from the other (see `identity`).
    """

    def __init__(
        self,
        path: Path,
        lease: ServingLease,
        server: Address,
        process: str = "",
        clock: Callable[[], float] = boot_s,
    ) -> None:
        self._path = path
        self._lease = lease
        self._server = server
        self._process = process or identity(os.getpid())
        self._clock = clock
        self._renewed_s = 0.0

    async def keep(self) -> None:
        """Take the lease whenever it is free, and renew it, for ever."""
        while True:
            self.look()
            await asyncio.sleep(LOOKED_AT_EVERY_S)

    def look(self) -> None:
        """Renew the lease if it is ours, take it if it is free; else note who has it."""
        if self._lease.serves and self._clock() < self._renewed_s + RENEWED_EVERY_S:
            return
        try:
            with self._locked() as descriptor:
                self._look(descriptor)
        except BlockingIOError:
            return  # the other one is at it
        except OSError as error:
            log.error("the lease cannot be read or written", extra={"problem": f"{self._path}: {error}"})

    def _look(self, descriptor: int) -> None:
        record, now_s = self._read(descriptor), self._clock()
        is_ours = record.holder == self._process
        if not is_ours and now_s < record.until_s and is_running(record.holder):
            self._lease.follow(record.term, self._server)
        elif not self._lease.is_left:
            term = record.term if is_ours else record.term + 1
            fence = record.fence if is_ours or not record.holder else term
            _write(descriptor, Record(self._process, term, now_s + HOLDS_S, fence))
            self._renewed_s = now_s
            self._lease.grant(term, now_s + HOLDS_S, fence)

    def release(self) -> None:
        """Let the other gateway have it at once."""
        try:
            with self._locked(waits=True) as descriptor:
                record = self._read(descriptor)
                if record.holder == self._process:
                    _write(descriptor, replace(record, holder=""))
        except OSError as error:
            log.error("the lease cannot be released", extra={"problem": f"{self._path}: {error}"})

    @contextmanager
    def _locked(self, *, waits: bool = False) -> Iterator[int]:
        """The open file, which nobody else changes meanwhile. Raises BlockingIOError where another does, OSError."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if waits else fcntl.LOCK_NB))
            yield descriptor
        finally:
            os.close(descriptor)

    def _read(self, descriptor: int) -> Record:
        try:
            return Record(**json.loads(os.pread(descriptor, 4096, 0) or b"{}"))
        except (ValueError, TypeError):  # whoever wrote it was killed half-way, and holds nothing
            return Record("?", self._lease.term)


def _write(descriptor: int, record: Record) -> None:
    text = json.dumps(asdict(record)).encode()
    os.pwrite(descriptor, text, 0)
    os.ftruncate(descriptor, len(text))


def identity(pid: int) -> str:
    """A process, told from later ones with its number by when it started; the number alone off Linux."""
    status = _status(pid)
    return f"{pid}:{status[19]}" if status else str(pid)


def is_running(process: str) -> bool:
    """Whether the process of this identity has not ended; True if the system does not say."""
    pid, _, started = process.partition(":")
    if not started:
        return bool(pid)
    status = _status(int(pid))
    return bool(status) and status[19] == started and status[0] not in "ZX"


def _status(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name; empty if there are none."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
