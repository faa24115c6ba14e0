"""Loads of windows of seconds, counted back from the newest one."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

OF = ("max", "mean")
"""What the load of a window is: that of its busiest second, which the published system forecasts, or its mean."""


def load_of(seconds: Sequence[float], of: str) -> float:
    """The load of some seconds [rps]: of the busiest one, or the mean; NaN without a sample."""
    total = sum(seconds)
    samples = seconds if total == total else [count for count in seconds if count == count]
    if not samples:
        return nan
    return max(samples) if of == "max" else sum(samples) / len(samples)


def window_loads(load_rps: Sequence[float], windows: int, window_s: int, of: str) -> list[float]:
    """The loads of the last windows, newest first; windows without a sample are left out."""
    ends = range(len(load_rps), max(0, len(load_rps) - windows * window_s), -window_s)
    loads = [load_of(load_rps[max(0, end - window_s) : end], of) for end in ends]
    return [load for load in loads if load == load]
