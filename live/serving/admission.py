"""Admission by bytes: what requests may hold, one alone and all together, derived from the available memory."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from ipa.live.serving.protocol import ProtocolError

MOST_INSIDE_BYTES = 2 * 2**30
"""How many bytes the requests inside may hold at most, however much memory there is."""
MOST_RECORDED_BYTES = 64 * 2**20
"""How many bytes the records of ended requests may hold at most, however much memory there is."""
MOST_BODY_BYTES = 64 * 2**20
"""How large a body may be at most, however much memory there is."""
MOST_MESSAGE_BYTES = MOST_BODY_BYTES + 2**20
"""How large a batch sent to a model server may be: a client's largest body, and some more parameters."""
MOST_JSON_BYTES = 4 * 2**20
"""How long JSON may be by default; binary data, which take a tenth of the time, do not count."""
REQUEST_BYTES = 16 * 2**10
"""The bytes that a request counts beyond its head and its body, for its connection, its task and its records."""
HEAD_GROWS = 3
"""The bytes held per byte of a head: as it came, and as text."""
PEER_SHARE = 0.9
"""Which share of what the requests inside may hold those of one peer may have, so that another finds room: more than
the largest request that may be."""

SMALL_BYTES = 2**18
SMALL_WAITS_S = 0.1
LARGE_WAITS_S = 1.0
"""How long a body must be without a byte to give way to a request of up to SMALL_BYTES, and to a larger one."""

JSON_GROWS = 8
"""The bytes held per byte of JSON while it is read: twice its numbers, which take four times the bytes of their JSON if
they have one digit and 8 bytes."""

_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True)
class MessageLimits:
    """How long one message may be: `body_bytes` as a body, of which `json_bytes` as JSON."""

    body_bytes: int = MOST_BODY_BYTES
    json_bytes: int = MOST_JSON_BYTES

    @classmethod
    def within(cls, inside_bytes: int, json_bytes: int = MOST_JSON_BYTES) -> MessageLimits:
        """The limits of a server whose requests may together hold so many bytes: none takes more than half of them."""
        body_bytes = min(MOST_BODY_BYTES, inside_bytes // 4)
        return cls(body_bytes, min(json_bytes, body_bytes, inside_bytes // (2 * JSON_GROWS)))


def default_inside_bytes() -> int:
    """How many bytes the requests inside may hold by default: a quarter of this process's memory, at most 2 GiB."""
    return min(MOST_INSIDE_BYTES, memory_bytes() // 4)


def default_recorded_bytes() -> int:
    """How many bytes the records of ended requests may hold by default: an eighth of this process's memory, at most 64
    MiB."""
    return min(MOST_RECORDED_BYTES, memory_bytes() // 8)


def memory_bytes() -> int:
    """The memory that this process may use: its cgroup's limit, its own, or the machine's, whichever is least."""
    import resource

    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for limit in _CGROUP_LIMITS:
        with suppress(OSError, ValueError):  # no such cgroup, or "max"
            found.append(int(limit.read_text()))
    own, _ = resource.getrlimit(resource.RLIMIT_AS)
    return min([*found, own] if own != resource.RLIM_INFINITY else found)


def open_files() -> None:
    """Raise this process's limit of open files as far as allowed: each connection is one."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # a system that has a lower limit still
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def return_large_blocks() -> None:
    """Have glibc return memory of 1 MiB and more to the system when it is freed.

    By default it learns to keep blocks of up to 32 MiB in its heap, where bodies that grow side by side leave holes:
    four at a time of 27 MiB each took 227 MB instead of 111.
    """
    import ctypes

    with suppress(OSError, AttributeError):  # another C library
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, 2**20)


_M_MMAP_THRESHOLD = -3


class Admission:
    """Counts the bytes that the requests inside hold, at most `most_bytes`, and at most PEER_SHARE of them for those of
    one peer. Without room, a body that has stalled while it arrives gives way."""

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._inside_bytes = 0
        self._of_peer = Counter[str]()
        self._arriving: dict[Share, None] = {}
        """In the order in which they grew last."""

    def share(self, peer: str = "", head_bytes: int = 0) -> Share:
        """The share of one request of a peer, until the end of a `with` block. Raises ProtocolError (503) without
        room."""
        return Share(self, peer, REQUEST_BYTES + HEAD_GROWS * head_bytes)

    def change(self, share: Share, bytes_more: int) -> None:
        """A share holds more, or less. Raises ProtocolError (503) if there is no room for more."""
        peer = share.peer
        while bytes_more > 0:
            if self._inside_bytes + bytes_more > self._most_bytes:
                problem, peers = f"the requests inside hold {self._inside_bytes} bytes", None
            elif peer and self._of_peer[peer] + bytes_more > PEER_SHARE * self._most_bytes:
                problem, peers = f"the requests of {peer} inside hold {self._of_peer[peer]} bytes", peer
            else:
                break
            waits_s = SMALL_WAITS_S if share.held_bytes + bytes_more <= SMALL_BYTES else LARGE_WAITS_S
            others = (each for each in self._arriving if each is not share and peers in (None, each.peer))
            first = next(others, None)
            if first is None or first.stood_s <= waits_s:
                raise ProtocolError(f"{problem}; no more are admitted", 503)
            first.give_way()
        self._inside_bytes += bytes_more
        self._of_peer[peer] += bytes_more
        if not self._of_peer[peer]:
            del self._of_peer[peer]
        share.held_bytes += bytes_more
        if bytes_more > 0 and share in self._arriving:
            self._arriving[share] = self._arriving.pop(share)

    def begin(self, share: Share) -> None:
        """The body of a share begins to arrive."""
        self._arriving[share] = None

    def end(self, share: Share) -> None:
        """The body of a share has arrived, or arrives no more."""
        self._arriving.pop(share, None)


class Share:
    """One request's share of the memory."""

    def __init__(self, admission: Admission, peer: str, own_bytes: int) -> None:
        self.peer = peer
        self._own_bytes = own_bytes
        self.held_bytes = 0
        self.gave_way = False
        self._admission = admission
        self._changed_s = 0.0
        self._stop: Callable[[], object] = bool

    def __enter__(self) -> Share:
        self.hold(0)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._admission.change(self, -self.held_bytes)

    @property
    def stood_s(self) -> float:
        """For how long it has not changed."""
        return time.monotonic() - self._changed_s

    def hold(self, size: int) -> None:
        """Set what the request holds beyond its own bytes. Raises ProtocolError (503) without room."""
        if self.gave_way:
            raise ProtocolError("there is no room for a body that arrives so slowly", 503)
        self._admission.change(self, self._own_bytes + size - self.held_bytes)
        self._changed_s = time.monotonic()

    @contextmanager
    def arriving(self, stop: Callable[[], object]) -> Iterator[None]:
        """Its body arrives within the block; `stop` is called if it has to give way to another."""
        self._stop = stop
        self._admission.begin(self)
        try:
            yield
        finally:
            self._admission.end(self)

    def give_way(self) -> None:
        """Release all that it holds, and stop its body."""
        self._admission.end(self)
        self._admission.change(self, -self.held_bytes)
        self.gave_way = True
        self._stop()
