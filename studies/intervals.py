"""Means over seeds with intervals that suit the kind of figure: 95 % by default.

Student's t assumes that a mean over few seeds is normally distributed. That holds for cost and PAS, not for:

shares      of requests, seconds or decisions (`sla_violation_rate`), and counts of these (`dropped`): Clopper and
            Pearson's interval of the effective number of requests, by the design effect between seeds (Korn and
            Graubard, Survey Methodology 24, 1998). Where no seed has any, and in addition where few have, events are
            taken to come in bursts of `BURST_S`: none in 6,000 s is none in 600, so at most 0.6 % (see `unseen`).
latencies   are skewed: most runs are alike, a few far slower, and these may be missing. The far end is that of a
            figure with the skewness of an exponential distribution (the correction of Johnson's t, JASA 73, 1978).

Each end of a 95 % interval is a bound of 97.5 %, also the upper one where none was seen. Intervals stay within the
figure's possible range. Their coverage is measured: `make verify`, docs/verification.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf, isnan, nan
from typing import Any, NamedTuple

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.scenario import is_log

CONFIDENCE = 0.95

SURE = 1.0 - (1.0 - CONFIDENCE) / 2.0
"""The confidence of one end of an interval as a bound."""

BURST_S = 10.0
"""The assumed length of a burst if there are too few events to know how they cluster [s]."""

HOUR_S = 3600.0

FEW_EVENTS = 5.0
"""With fewer effective events, it is unknown how they cluster."""

LATENCY_SKEWNESS = 2.0
"""The skewness of an exponential distribution."""

NO_FIGURES = frozenset({"policy", "wall_s", "records", "engine", "knows_future"})
"""The keys of a summary that are no figures: how a run is named and was made."""

HELD = (
    "With few {}, skewed figures (p99, and costs and p50 of some policies) are held in 85 to 95 % of cases, and one "
    "that one run in twenty has far from the others in 42 to 64 % (docs/verification.md)."
)
_LIMITS = (
    "95 % intervals, so each end is a bound of 97.5 %; a mean without one was the same with every seed. (≤): the upper "
    f"end where no seed had any, assuming bursts of 10 s. {HELD.format('seeds')}"
)
_ONE_LOG = "A log is the same load with every seed: intervals hold it fixed, and say nothing of other loads."


def limits(traces: Iterable[str]) -> str:
    """What intervals over seeds do not cover, in words; `traces`: the names of the loads."""
    return f"{_LIMITS} {held_fixed(traces)}".rstrip()


def held_fixed(traces: Iterable[str]) -> str:
    """The sentence that intervals over seeds hold a log fixed, if one of the loads is a log; else empty."""
    return _ONE_LOG if any(map(is_log, traces)) else ""


@dataclass(frozen=True)
class FigureKind:
    """Properties of a figure: its range, its skewness, and for a share or a count (`is_count`) the key of its total.

    `is_of_an_hour`: a share rests on one hour of a run at most.
    """

    least: float = 0.0
    most: float = inf
    skewness: float = 0.0
    of: str | None = None
    is_count: bool = False
    is_of_an_hour: bool = False


PLAIN = FigureKind(least=-inf)
"""The kind of figures without known range, such as differences."""

KINDS: Mapping[str, FigureKind] = {
    "sla_violation_rate": FigureKind(most=1.0, of="requests"),
    "sla_violation_worst_hour_rate": FigureKind(most=1.0, of="requests", is_of_an_hour=True),
    "sla_violation_seconds_rate": FigureKind(most=1.0, of="duration_s"),
    "infeasible_share": FigureKind(most=1.0, of="decisions"),
    **{
        f"{name}_decisions": FigureKind(of="decisions", is_count=True)
        for name in ("infeasible", "below_accuracy", "above_cores", "uncovered", "overloaded")
    },
    **{name: FigureKind(of="requests", is_count=True) for name in ("dropped", "failed", "unfinished", "lost")},
    **{name: FigureKind(most=100.0) for name in ("pas_mean", "planned_pas_mean")},
    "objective": PLAIN,
}


def kind_of(key: str) -> FigureKind:
    """The kind of a figure of a run's summary, by its name."""
    return KINDS.get(key) or FigureKind(skewness=LATENCY_SKEWNESS if key.startswith("latency_") else 0.0)


@dataclass(frozen=True)
class Estimate:
    """A mean and the ends of its interval; NaN where there was a single value, which gives none.

    `events`: how many a share or a count rests on, effectively; inf for any other figure.
    """

    mean: float
    low: float
    high: float
    events: float = field(default=inf, compare=False)

    @property
    def has_interval(self) -> bool:
        """Whether there were enough values for an interval."""
        return not isnan(self.low)

    def text(self, digits: int) -> str:
        """The mean with half its interval, or with both ends where these are not as far: `0.10 ± 0.04`, `0.10 [0.01,
        0.25]`; `0 (≤ 0.61)` where nothing was seen, and the mean alone where all values are the same."""
        mean, low, high = (f"{value:.{digits}f}" for value in (self.mean, self.low, self.high))
        if not self.has_interval or self.high - self.low <= 1e-9 * abs(self.mean):
            return mean
        if self.low == self.mean == 0.0:
            return f"0 (≤ {high})"
        low = low if self.low else "0"
        below, above = f"{self.mean - self.low:.{digits}f}", f"{self.high - self.mean:.{digits}f}"
        return f"{mean} ± {above}" if below == above else f"{mean} [{low}, {high}]"


class IntervalBounds(NamedTuple):
    """For each row, a mean and the ends of its interval; `events`: the effective number behind a share, else inf."""

    mean: FloatArray
    low: FloatArray
    high: FloatArray
    events: FloatArray


def as_columns(key: str, estimate: Estimate | None) -> dict[str, float]:
    """A figure as columns of a table: `KEY` (its mean), `KEY_low` and `KEY_high`; NaN if missing."""
    mean, low, high = (nan, nan, nan) if estimate is None else (estimate.mean, estimate.low, estimate.high)
    return {key: mean, f"{key}_low": low, f"{key}_high": high}


def estimate(values: Iterable[float | None]) -> Estimate | None:
    """The mean of the known values with its Student t interval; None where none is known.

    The interval is mean +- t(0.975, n - 1) s / sqrt(n), with s the sample's standard deviation.
    """
    known_values = [value for value in values if value is not None]
    return _of_row(bounds(PLAIN, _row(known_values), CONFIDENCE)) if known_values else None


def estimate_of(
    key: str, runs: Iterable[Mapping[str, Any]], factor: float = 1.0, confidence: float = CONFIDENCE
) -> Estimate | None:
    """The mean of a figure over summaries, times a factor, with the interval of its kind; None if none has it."""
    having_it = [run for run in runs if run.get(key) is not None]
    if not having_it:
        return None
    kind = kind_of(key)
    return _of_row(bounds(kind, _row(run[key] for run in having_it), confidence, *_sizes(kind, having_it)), factor)


def difference_of(
    key: str,
    runs: Mapping[int, Mapping[str, Any]],
    reference_runs: Mapping[int, Mapping[str, Any]],
    factor: float = 1.0,
    confidence: float = CONFIDENCE,
) -> Estimate | None:
    """As `paired_difference`, of a figure of the summaries by seed, times a factor, with the interval of its kind.

    If all runs are equal in every figure, the interval is 0, even with few or no events.
    """
    pairs = [(run, reference_runs[seed]) for seed, run in runs.items() if seed in reference_runs]
    pairs = [pair for pair in pairs if all(run.get(key) is not None for run in pair)]
    if not pairs:
        return None
    kind = PLAIN if all(_are_alike(*pair) for pair in pairs) else kind_of(key)
    a, b = (_row(pair[place][key] for pair in pairs) for place in (0, 1))
    return _of_row(differences(kind, a, b, confidence, *_sizes(kind, [run for run, _ in pairs])), factor)


def _are_alike(summary: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
    """Whether two runs have the same figures in their summaries."""
    keys = {*summary, *reference} - NO_FIGURES
    return all(summary.get(key) == reference.get(key) for key in keys)


def paired_difference(values: Mapping[int, float | None], reference: Mapping[int, float | None]) -> Estimate | None:
    """The mean of value - reference over the common seeds, in which both have the same random draws."""
    return estimate(a - b for a, b in _pairs(values, reference))


def paired_change_percent(values: Mapping[int, float | None], reference: Mapping[int, float | None]) -> Estimate | None:
    """The mean of value / reference - 1, in percent, over common seeds; those where the reference is 0 are left out."""
    return estimate(100.0 * (a / b - 1.0) for a, b in _pairs(values, reference) if b != 0.0)


def _pairs(values: Mapping[int, float | None], reference: Mapping[int, float | None]) -> list[tuple[float, float]]:
    pairs = ((value, reference.get(seed)) for seed, value in values.items())
    return [(a, b) for a, b in pairs if a is not None and b is not None]


def _row(values: Iterable[float]) -> FloatArray:
    return np.array([list(values)], dtype=np.float64)


def _sizes(kind: FigureKind, runs: Sequence[Mapping[str, Any]]) -> tuple[FloatArray, FloatArray]:
    """For each run the total that its figure is a share of, and its duration [s], or those of an hour of it; NaN if
    unknown."""
    totals, span_s = (_row(run.get(key, nan) for run in runs) for key in (kind.of or "", "duration_s"))
    part = np.minimum(HOUR_S / span_s, 1.0) if kind.is_of_an_hour else 1.0
    return totals * part, span_s * part


def _of_row(interval: IntervalBounds, factor: float = 1.0) -> Estimate:
    mean, low, high = (factor * float(ends[0]) for ends in (interval.mean, interval.low, interval.high))
    return Estimate(mean, low, high, float(interval.events[0]))


def bounds(
    kind: FigureKind,
    values: FloatArray,
    confidence: float,
    totals: FloatArray | None = None,
    span_s: FloatArray | None = None,
) -> IntervalBounds:
    """The mean of every row of `values`, ignoring NaN, with its interval.

    A share needs `totals`, the total of each value, and `span_s`, the length of each run; without them it is treated as
    any other figure. The ends are NaN for a row of fewer than two values, the mean too for an empty row. A confidence
    of 1 - 0.05 / m gives m simultaneous 95 % intervals (Bonferroni).
    """
    if kind.of is not None and totals is not None and span_s is not None and np.isfinite(totals + span_s).any():
        return _shares(kind, values, confidence, totals, span_s)
    mean, error, critical = _student(values, confidence)
    skewed = critical + _correction(kind, values, critical)
    low, high = mean - critical * error, mean + skewed * error
    return IntervalBounds(mean, np.maximum(low, kind.least), np.minimum(high, kind.most), np.full(len(mean), inf))


def differences(
    kind: FigureKind,
    values: FloatArray,
    reference: FloatArray,
    confidence: float,
    totals: FloatArray | None = None,
    span_s: FloatArray | None = None,
) -> IntervalBounds:
    """For each row the mean of value - reference over common seeds (with the same random draws), with its interval.

    Student's interval of the differences; for a skewed figure corrected at both ends. If one of two shares is based on
    few events, the seeds say little about their difference: its interval then comes from those of both shares
    (Newcombe, Statistics in Medicine 17, 1998), unless there are events, and equally many with every seed.
    """
    mean, error, critical = _student(values - reference, confidence)
    half = (critical + _correction(kind, values - reference, critical)) * error
    low, high = mean - half, mean + half
    if kind.of is None or totals is None or span_s is None or not np.isfinite(totals + span_s).any():
        return IntervalBounds(mean, low, high, np.full(len(mean), inf))
    a, b = (
        bounds(kind, side, confidence, totals, span_s) for side in (values, np.broadcast_to(reference, values.shape))
    )
    events = np.minimum(a.events, b.events)
    is_same = (mean == 0.0) & (error == 0.0) & (a.mean > 0.0)
    few = (events < FEW_EVENTS) & np.isfinite(error) & ~is_same
    below, above = np.hypot(a.mean - a.low, b.high - b.mean), np.hypot(a.high - a.mean, b.mean - b.low)
    return IntervalBounds(mean, np.where(few, mean - below, low), np.where(few, mean + above, high), events)


def _student(values: FloatArray, confidence: float) -> tuple[FloatArray, FloatArray, FloatArray]:
    """For each row the mean, its standard error (NaN for fewer than two values), and Student's critical value."""
    from scipy.special import stdtrit

    is_known = np.isfinite(values)
    count = is_known.sum(axis=1)
    mean = np.where(count > 0, np.where(is_known, values, 0.0).sum(axis=1) / np.maximum(count, 1), nan)
    squares = np.where(is_known, (values - mean[:, None]) ** 2, 0.0).sum(axis=1)
    freedom = np.maximum(count - 1, 1)
    error = np.where(count > 1, np.sqrt(squares / freedom / np.maximum(count, 1)), nan)
    return mean, error, stdtrit(freedom, (1.0 + confidence) / 2.0)


def _correction(kind: FigureKind, values: FloatArray, critical: FloatArray) -> FloatArray:
    """The shift of an end [standard errors] for the skewness of the kind of figure."""
    count = np.maximum(np.isfinite(values).sum(axis=1), 1)
    return np.asarray(kind.skewness / (6.0 * np.sqrt(count)) * (2.0 * critical**2 + 1.0))


def _shares(
    kind: FigureKind, values: FloatArray, confidence: float, totals: FloatArray, span_s: FloatArray
) -> IntervalBounds:
    from scipy.special import betaincinv, ndtri

    is_known = np.isfinite(values)
    whole, seconds = (np.where(is_known, size, 0.0).sum(axis=1) for size in (totals, span_s))
    scale = whole / np.maximum(is_known.sum(axis=1), 1) if kind.is_count else np.ones(len(values))
    mean, error, critical = _student(values / np.where(scale > 0.0, scale, 1.0)[:, None], confidence)
    share = np.clip(mean, 0.0, 1.0)
    tail = (1.0 - confidence) / 2.0
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.where(error > 0.0, np.minimum(share * (1.0 - share) / error**2, whole), whole)
        size *= (ndtri(1.0 - tail) / critical) ** 2
        further = unseen(whole, seconds, confidence)
    events = np.minimum(share, 1.0 - share) * size
    low = np.where(share > 0.0, betaincinv(np.maximum(share * size, 1e-12), (1.0 - share) * size + 1.0, tail), 0.0)
    high = np.where(share < 1.0, betaincinv(share * size + 1.0, np.maximum((1.0 - share) * size, 1e-12), 1 - tail), 1.0)
    high = np.where(share > 0.0, high, 0.0)
    low = np.where(share < 1.0, low, 1.0)
    is_few = events < FEW_EVENTS
    ends = np.where(is_few & (share > 0.5), low - further, low), np.where(is_few & (share <= 0.5), high + further, high)
    low, high = (np.where(np.isfinite(error), scale * np.clip(end, 0.0, 1.0), nan) for end in ends)
    return IntervalBounds(scale * mean, low, high, events)


def unseen(totals: FloatArray, span_s: FloatArray, confidence: float = CONFIDENCE) -> FloatArray:
    """The upper end of the interval of a share if none was seen among `totals` in `span_s` seconds.

    It is Clopper and Pearson's of as many independent ones as there are bursts of `BURST_S`, at most `totals`.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(-np.expm1(np.log((1.0 - confidence) / 2.0) / np.minimum(span_s / BURST_S, totals)))


def runs_to_show(most: float, total: float, span_s: float) -> float:
    """How many runs of `total` in `span_s` seconds, with none seen, have at most the share `most` in their interval;
    inf: no number has."""
    needed = np.log(1.0 - SURE) / np.log1p(-most) if 0.0 < most < 1.0 else (0.0 if most else inf)
    bursts = min(span_s / BURST_S, total)
    return max(1.0, float(np.ceil(needed / bursts))) if bursts > 0.0 and needed < inf else inf
