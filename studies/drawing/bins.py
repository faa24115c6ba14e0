"""The bins of time that statistics are taken in."""

from __future__ import annotations

from ipa.sim import round_up


def bin_s(duration_s: float) -> float:
    """The width of the bins that statistics are taken in: 10 s, more for a run above 20 minutes, less below 100 s."""
    return round_up(max(duration_s / 120.0, min(10.0, duration_s / 10.0)))
