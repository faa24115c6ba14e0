"""The lease of two gateways, as one of them sees it: the one that holds it serves, the other waits.

A pipeline has one queue for each stage, so one gateway serves. Its right ends by itself, at a moment of a clock that it
reads before it admits a request or sends a batch: a gateway that was stopped finds out, when it goes on, that its right
is over. The lease is kept, and granted again and again, by `lease_file` on one machine and by
`kubernetes.gateway_lease` on a cluster. Terms number the holders, so that what comes late is known as late.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import inf


def boot_s() -> float:
    """Seconds of a clock that all processes of a machine share and nobody sets; where possible it also runs while the
    machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


LEASE_PATH, FOLLOW_PATH, STATE_PATH = "/control/lease", "/control/follow", "/control/state"
"""The calls of the control port by which two gateways get the lease, and know of each other (`lease_api`)."""
LEASE_HEADER = "X-Ipa-Lease"
"""With a batch: the term of the gateway that sends it, and the latest term that began without a release."""
FENCED_S = 60.0
"""For how long a model server remembers a term after its latest batch."""


class Fence:
    """A model server's memory of terms: a batch of a gateway from which another has taken the lease is too late.

    A gateway reads the clock before it sends. Should it stop between the two, this is what finds out.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._term, self._until_s = 0, -inf

    def admits(self, mark: str) -> bool:
        """Whether a batch with this header may be served; one without may."""
        term, _, fence = mark.partition(" ")
        if not (term.isdecimal() and fence.isdecimal()):
            return True
        if self._clock() > self._until_s:
            self._term = 0
        self._term = max(self._term, int(fence))
        is_late = int(term) < self._term
        if not is_late:
            self._until_s = self._clock() + FENCED_S
        return not is_late


@dataclass(frozen=True)
class Address:
    """Where a gateway is reached: the URLs of its two ports."""

    data_url: str
    control_url: str


class ServingLease:
    """Whether this gateway serves, and which one does if it does not.

    `on_taken` is called when its right begins, `on_lost` when another gateway has taken the lease from it. `clock`:
    `boot_s`.
    """

    def __init__(self, clock: Callable[[], float] = boot_s) -> None:
        self.term = 0
        """Of the latest holder that is known."""
        self.mark: Mapping[str, str] = {}
        """The header that a batch carries, for `Fence`: of the latest right of this gateway."""
        self.server: Address | None = None
        """The gateway that serves, if it is another and known."""
        self.is_left = False
        """Whether this gateway has given up its right for good."""
        self.on_taken: Callable[[], object] = lambda: None
        self.on_lost: Callable[[], object] = lambda: None
        self._clock = clock
        self._is_ours = False
        self._until_s = self._finishes_until_s = self._promised_until_s = -inf
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def serves(self) -> bool:
        """Whether a request may be admitted now."""
        return self._clock() < self._until_s

    @property
    def finishes(self) -> bool:
        """Whether a batch may be sent now: of requests that were admitted, even after the right was given up."""
        return self._clock() < max(self._until_s, self._finishes_until_s)

    @property
    def promised_s(self) -> float:
        """For how long from now it has promised not to serve (see `follow`)."""
        return max(self._promised_until_s - self._clock(), 0.0)

    def grant(self, term: int, until_s: float, fence: int) -> bool:
        """The right to serve before `until_s` of the clock; returns whether it is taken.

        `fence` is the latest term whose holder took the lease without its being released. The right is not taken if a
        later term is known, if this gateway has left, or if it has promised to wait for another's release.
        """
        is_new = term != self.term or not self._is_ours
        has_promised = is_new and fence == term and self.promised_s > 0.0
        is_anothers = term == self.term and self.server is not None
        if term < self.term or self.is_left or has_promised or is_anothers or until_s <= self._clock():
            return False
        self.term, self.server, self._is_ours = term, None, True
        self.mark = {LEASE_HEADER: f"{term} {fence}"}
        self._until_s = max(until_s, self._until_s)
        if is_new:
            self.on_taken()
        self._tell()
        return True

    def follow(self, term: int, server: Address, for_s: float = 0.0) -> bool:
        """Another gateway serves in this term; returns whether that is believed.

        It is then a promise not to serve for `for_s`, unless the lease is released.
        """
        if term < self.term or (term == self.term and self._is_ours):
            return False
        self._promised_until_s = max(self._promised_until_s, self._clock() + for_s)
        if (term, server) != (self.term, self.server):
            is_lost, self._is_ours = self._is_ours, False
            self.term, self.server, self._until_s = term, server, -inf
            if is_lost:
                self.on_lost()
            self._tell()
        return True

    def leave(self, finishes_within_s: float) -> None:
        """Give up the right for good; requests that were admitted may be finished for so long."""
        if self.serves:
            self._finishes_until_s = self._clock() + finishes_within_s
        self.is_left, self._is_ours, self._until_s = True, False, -inf
        self._tell()

    async def change(self, within_s: float) -> None:
        """Wait until something is granted, followed or left, at most so long."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.add(future)
        try:
            await asyncio.wait((future,), timeout=within_s)
        finally:
            self._waiting.discard(future)

    def _tell(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
