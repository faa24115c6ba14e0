"""Of two gateways of a pipeline on a cluster, the one that holds their Lease serves: the Lease's term, on both sides.

The container beside each gateway keeps the Lease (`kubernetes.gateway_lease`) and tells its gateway. Each batch carries
the term, which grows when the Lease is taken from a holder that has not given it back. A model server refuses a batch
of an older term than it has seen, so a gateway that is cut off from the cluster alone finds out that it is replaced.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

LEASE_PATH = "/control/lease"
"""The call of the control port by which a gateway learns who holds the Lease."""
TERM_HEADER = "X-Ipa-Term"
"""With a batch: the term of the gateway that sends it."""
REMEMBERED_S = 60.0
"""For how long a model server remembers a term after its latest batch: one who deletes the Lease begins at 0 again."""


class SeenTerms:
    """A model server's memory of terms."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._term, self._until_s = 0, 0.0

    def admits(self, term: str) -> bool:
        """Whether a batch with this header may be served; one without may."""
        if not term.isdecimal():
            return True
        if int(term) < self._term and self._clock() < self._until_s:
            return False
        self._term, self._until_s = int(term), self._clock() + REMEMBERED_S
        return True


class Term:
    """Whether this gateway may serve, as it was told last; it waits at first.

    `on_lost` is called when another has taken the Lease from it.
    """

    def __init__(self, on_lost: Callable[[], object] = lambda: None) -> None:
        self.serves = False
        self.is_replaced = False
        """Whether another gateway is known to hold the Lease."""
        self.headers: Mapping[str, str] = {}
        """Those that a batch carries."""
        self._term = self._refused = -1
        self._on_lost = on_lost

    def hold(self, term: int) -> None:
        """The Lease is this gateway's, in this term. One that a model server has refused is over."""
        if term > self._refused:
            self.serves, self.is_replaced, self._term = True, False, term
            self.headers = {TERM_HEADER: str(term)}

    def follow(self, *, is_given_back: bool) -> None:
        """Another gateway holds the Lease. Where this one has given it back, it finishes what still comes to it."""
        self.is_replaced = True
        if not is_given_back:
            self._end()

    def refused(self) -> None:
        """A model server has seen a later term."""
        self._refused, self.is_replaced = self._term, True
        self._end()

    def _end(self) -> None:
        if self.serves:
            self.serves = False
            self._on_lost()
