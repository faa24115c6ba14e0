"""As many seeds as an aim needs: `cost_mean_cores:2%`, the interval of the mean at most 2 % of it to either side.

All points are run with the same seeds. The intervals are computed after 8, 12, 18, 27, ... seeds, half as many more
each time, and the sweep stops at the first such look at which every aim is reached at every point. Stopping at the
first of several 95 % intervals would be wrong more often than 1 in 20, so the k-th look uses intervals of
1 - 0.05 / (k (k + 1)), of the kind that suits the outcome (`intervals`). Their errors add up to 0.05 over any number of
looks (Bonferroni's inequality with error spending: 0.05 x (1/2 + 1/6 + 1/12 + ...) = 0.05). So the interval at which
the sweep stops holds a point's mean with 95 %, as far as such intervals do for a fixed number of seeds: the level is
nominal. Of a figure that one run in twenty has far from the others, eight seeds may lack that run, and their interval
is narrow (docs/verification.md has what was measured).
If violations are rare, the first seeds may all lack the burst that the next one has, and their interval depends on the
assumed law of violations. So a share or a count is known only after effectively `FEW_EVENTS` events at a point; without
them, the sweep goes on to its last seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any

import numpy as np

from ipa.numbers import number_of
from ipa.profiles import did_you_mean
from ipa.sim import FloatArray
from ipa.studies.intervals import FEW_EVENTS, IntervalBounds, estimate_of
from ipa.studies.scenario import ScenarioError

FIRST = 8
"""Seeds at the first look: with fewer, intervals are wide and depend most on their assumptions."""

ERROR = 0.05

MOST = 100
"""The default of the most seeds."""


@dataclass(frozen=True)
class WidthAim:
    """An outcome and the largest half-width of its interval: a share of the mean if `is_relative`, else absolute."""

    outcome: str
    width: float
    is_relative: bool

    @property
    def text(self) -> str:
        """The aim as a command-line text."""
        return f"{self.outcome}:{self.width * 100:g}%" if self.is_relative else f"{self.outcome}:{self.width:g}"

    def excess(self, runs: Sequence[Mapping[str, Any]], error: float) -> float:
        """The half-width of the interval of the mean over runs, as a multiple of the aim.

        It is infinite without an interval, or if that is based on too few events.
        """
        estimate = estimate_of(self.outcome, runs, confidence=1.0 - error)
        if estimate is None or not estimate.has_interval:
            return inf
        ends = (estimate.mean, estimate.low, estimate.high, estimate.events)
        return float(self.excess_of(IntervalBounds(*(np.array(end) for end in ends))))

    def excess_of(self, interval: IntervalBounds) -> FloatArray:
        """As `excess`, for several intervals."""
        mean, low, high, events = interval
        half = np.maximum(high - mean, mean - low)
        allowed = self.width * np.abs(mean) if self.is_relative else self.width
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(events < FEW_EVENTS, inf, np.where(half == 0.0, 0.0, half / allowed))


@dataclass(frozen=True)
class StoppingLook:
    """The state after this many seeds, by intervals of 1 - `error`: the number of points that missed some aim, and the
    widest interval as a multiple of its aim."""

    seeds: int
    error: float
    missed: int
    widest: float

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        widest = self.widest if isfinite(self.widest) else None
        return {"seeds": self.seeds, "interval": 1.0 - self.error, "points_missed": self.missed, "widest": widest}


def parse(text: str) -> WidthAim:
    """The aim of `OUTCOME:WIDTH` or `OUTCOME:WIDTH%`. Raises ScenarioError for anything else."""
    outcome, colon, width = text.partition(":")
    value = number_of(width.strip().removesuffix("%"))
    if not colon or not outcome or value is None or not 0 < value < inf:
        raise ScenarioError(f"--until {text}: should be OUTCOME:WIDTH, such as cost_mean_cores:2% or pas_mean:0.5")
    is_relative = width.strip().endswith("%")
    return WidthAim(outcome, value / 100 if is_relative else value, is_relative)


def looks(most: int) -> Iterator[tuple[int, float]]:
    """The numbers of seeds at each look, the last one `most`, and the error that the look may spend."""
    seeds, number = min(FIRST, most), 1
    while True:
        yield seeds, ERROR / (number * (number + 1))
        if seeds >= most:
            return
        seeds, number = min(most, seeds + (seeds + 1) // 2), number + 1


def check_outcomes(aims: Sequence[WidthAim], summary: Mapping[str, Any]) -> None:
    """Raise ScenarioError for an aim whose outcome is not a number in a summary."""
    allowed = [key for key, value in summary.items() if not isinstance(value, str | bool | dict)]
    for aim in aims:
        if aim.outcome not in allowed:
            hint = did_you_mean(aim.outcome, allowed)
            raise ScenarioError(f"--until {aim.text}: no such outcome{hint}; allowed: {', '.join(allowed)}")
