"""Where the time of completed requests went: at which stage, and on what."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from ipa.sim.exact import ExactSum
from ipa.sim.model import FloatArray, IntArray
from ipa.sim.records import Visits

KINDS = ("hop", "batch", "queue", "service")
"""On the way to the stage; until the last of the batch came; until a replica took the batch; until it was served."""


class Spent:
    """Adds up the time that requests spent at each stage on each of `KINDS`; all of it is their latency."""

    def __init__(self, stages: int, hop_s: float) -> None:
        self._hop_s = hop_s
        self._sums = [[ExactSum() for _ in KINDS] for _ in range(stages)]

    def add(self, arrival_s: FloatArray, visits: Visits, filled_s: FloatArray, places: IntArray) -> None:
        """Add the completed requests at places of `visits` and `filled_s`; shape of `arrival_s`: that of `places`."""
        left_s = arrival_s
        for position, sums in enumerate(self._sums):
            enqueue_s = left_s if position == 0 else left_s + self._hop_s
            later_s = (part[position][places] for part in (filled_s, visits.start_s, visits.finish_s))
            moments_s = (left_s, enqueue_s, *later_s)
            for total, (begin_s, end_s) in zip(sums, pairwise(moments_s), strict=True):
                total.add(end_s - begin_s)
            left_s = moments_s[-1]

    def totals_s(self) -> FloatArray:
        """The sums in seconds, shape (stages, kinds)."""
        return np.array([[total.value() for total in sums] for sums in self._sums])
