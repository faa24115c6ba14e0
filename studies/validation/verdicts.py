"""Live against simulated, figure by figure: errors, the spread of the live repeats, and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite, isnan, nan
from typing import Any

import numpy as np

from ipa.studies.formatting import NONE, plus
from ipa.studies.validation.measures import POINTS, Metric, Tables, measure
from ipa.studies.validation.windows import Windows

SPREADS_ALLOWED = 2.0
"""An error within this many spreads of the live repeats is no more than the live system differs from itself."""


@dataclass(frozen=True)
class Row:
    """One figure. Errors and spreads are fractions of the live value, or points, as the metric says; NaN: none.

    `spread` is the standard deviation over the live repeats (n - 1 in the denominator), NaN of one repeat.
    """

    metric: Metric
    live: float
    spread: float
    simulated: float
    open_loop: float

    @property
    def error(self) -> float:
        """Simulated in closed loop against live: above 0 where the simulation has more."""
        return self._against_live(self.simulated)

    @property
    def open_loop_error(self) -> float:
        """The same with the live decisions."""
        return self._against_live(self.open_loop)

    @property
    def allowed(self) -> float | None:
        """The largest error that passes: the tolerance, or twice the spread where that is larger."""
        if self.metric.tolerance is None:
            return None
        return self.metric.tolerance + self.allowed_by_spread

    @property
    def allowed_by_spread(self) -> float:
        """The part of `allowed` that is owed to the spread of the live repeats, beyond the tolerance."""
        spread = 0.0 if isnan(self.spread) else self.spread
        return max(0.0, SPREADS_ALLOWED * spread - (self.metric.tolerance or 0.0))

    @property
    def passed(self) -> bool | None:
        """The verdict; None for a figure that is not judged, or that neither world has."""
        allowed = self.allowed
        if allowed is None or (isnan(self.live) and isnan(self.simulated)):
            return None
        return bool(abs(self.error) <= allowed)

    @property
    def verdict(self) -> str:
        """In a word: `ok`, `in spread` (above the tolerance, yet within twice the spread), `OFF`, or none."""
        if self.passed is None or self.metric.tolerance is None:
            return ""
        if not self.passed:
            return "OFF"
        return "ok" if abs(self.error) <= self.metric.tolerance else "in spread"

    def _against_live(self, value: float) -> float:
        if self.metric.error == POINTS:
            return value - self.live
        if value == self.live:
            return 0.0
        return value / self.live - 1.0 if self.live else nan

    def shown(self, error: float | None) -> str:
        """An error or a spread of this figure, in percent or points, as a person reads it."""
        if error is None or not isfinite(error):
            return NONE
        return plus(error, 2) if self.metric.error == POINTS else f"{plus(100.0 * error, 1)} %"

    def as_dict(self) -> dict[str, Any]:
        """JSON-able; NaN is null."""
        metric = self.metric
        figures = {
            "live": self.live,
            "spread": self.spread,
            "simulated": self.simulated,
            "error": self.error,
            "open_loop": self.open_loop,
            "open_loop_error": self.open_loop_error,
            "allowed": self.allowed,
            "allowed_by_spread": None if self.allowed is None else self.allowed_by_spread,
        }
        return {
            "metric": metric.key,
            "stage": metric.stage,
            "unit": metric.unit,
            "error_is": metric.error,
            **{name: plain(value) for name, value in figures.items()},
            "passed": self.passed,
            "verdict": self.verdict or None,
        }


def plain(value: float | None) -> float | None:
    """A number for JSON; None for what is not finite."""
    return value if value is not None and isfinite(value) else None


@dataclass(frozen=True)
class Worlds:
    """What is compared: the tables of the live repeats, of the simulation in closed loop, and of a simulation with the
    decisions of each repeat."""

    live: Sequence[Tables]
    simulated: Tables
    open_loop: Sequence[Tables]


def compare_worlds(
    worlds: Worlds,
    windows: Windows,
    judged: Sequence[Metric],
    sla_s: float,
    price_per_core: float,
) -> list[Row]:
    """One row per metric, of the requests that arrived and the time that passed within the chosen windows."""

    def measured(runs: Sequence[Tables]) -> Mapping[str, float]:
        return measure(runs, windows, sla_s, price_per_core)

    live, simulated, open_loop = measured(worlds.live), measured([worlds.simulated]), measured(worlds.open_loop)
    repeats = [measured([run]) for run in worlds.live]
    return [
        Row(
            metric,
            live[metric.key],
            _spread(metric, [repeat[metric.key] for repeat in repeats], live[metric.key]),
            simulated[metric.key],
            open_loop[metric.key],
        )
        for metric in judged
    ]


def _spread(metric: Metric, values: Sequence[float], live: float) -> float:
    if len(values) < 2 or not np.isfinite(values).all():
        return nan
    deviation = float(np.std(values, ddof=1))
    if metric.error == POINTS or deviation == 0.0:
        return deviation
    return deviation / abs(live) if live else nan
