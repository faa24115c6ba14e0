"""The run's clock: seconds since a moment that all processes of a machine agree on."""

from __future__ import annotations

import time


class RunClock:
    """Counts from `origin_s`, a moment of the monotonic clock (CLOCK_MONOTONIC, in seconds)."""

    def __init__(self, origin_s: float | None = None) -> None:
        self.origin_s = time.monotonic() if origin_s is None else origin_s

    def now_s(self) -> float:
        """Seconds since the origin; negative before it."""
        return time.monotonic() - self.origin_s
