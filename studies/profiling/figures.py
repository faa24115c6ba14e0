"""What was measured as the figures of a pipeline file: as it is, or marked as what it is instead.

A file's figures obey laws (`ipa.profiles.figures`) that measurements need not: noise makes a large batch seem quicker
than a small one, and a full grid has points that need not be measured. Such a number is not smoothed into a measured
one: it gets another provenance, which says what was done, and the measurement stays in the record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import ROUND_DOWN, Context
from math import exp

from ipa.live.profiling import Point
from ipa.profiles import MAX_LN_P99_OVER_MEAN, Figure

NOT_FALLING, AS_LOGNORMAL, ONE_AT_A_TIME, RULED_OUT = "not-falling", "as-lognormal", "one-at-a-time", "ruled-out"

LAWS: Mapping[str, str] = {
    NOT_FALLING: "the mean of the next smaller batch on as many cores: that of this one was measured to be less, "
    "which is noise or emptier batches",
    AS_LOGNORMAL: f"the p99 that was measured, brought between the mean and {exp(MAX_LN_P99_OVER_MEAN):.1f} times "
    "that, the most that a lognormal has",
    ONE_AT_A_TIME: "throughput_rps = batch / mean_s: a replica here gets one batch at a time; with several on their "
    "way, as measured at saturation, it serves more",
    RULED_OUT: "not measured, as a smaller batch on as many cores takes longer than the stage's SLA: a straight line "
    "through the two largest that were measured (through one: as long for each request); p99_s over mean_s as at the "
    "largest, throughput_rps = batch / mean_s",
}
"""Provenance of what is not as measured -> its law."""

MOST_P99 = exp(MAX_LN_P99_OVER_MEAN) * (1 - 1e-6)


def figures(points: Mapping[tuple[int, int], Point], measured: str) -> tuple[Figure, ...]:
    """The figures of a variant from its points, (cores, batch) -> what was measured; `measured` is their provenance.

    Every batch size that was measured on some cores gets a figure on all of them.
    """
    sizes = sorted({batch for _, batch in points})
    rows: list[Figure] = []
    for cores in sorted({cores for cores, _ in points}):
        there = [points[cores, batch] for batch in sizes if (cores, batch) in points]
        before: Figure | None = None
        for batch in sizes:
            point = points.get((cores, batch))
            before = _continued(there, batch) if point is None else _lawful(point, measured, before)
            rows.append(before)
    return tuple(rows)


def _lawful(point: Point, measured: str, before: Figure | None) -> Figure:
    """A point as a figure, which comes after that of a smaller batch."""
    mean_s, p99_s = _rounded(point.mean_s), _rounded(point.p99_s)
    figure = Figure(
        point.cores, point.batch, mean_s, p99_s, 0.0, measured, measured, measured, point.mean_within, point.p99_within
    )
    if before is not None and mean_s < before.mean_s:
        figure = replace(figure, mean_s=before.mean_s, mean_from=NOT_FALLING, mean_within=None, p99_within=None)
    lawful_s = min(max(figure.p99_s, figure.mean_s), _below(MOST_P99 * figure.mean_s))
    if lawful_s != figure.p99_s:
        figure = replace(figure, p99_s=lawful_s, p99_from=AS_LOGNORMAL, p99_within=None)
    most_rps = point.batch / figure.mean_s
    if point.throughput_rps > most_rps:
        return replace(figure, throughput_rps=_below(most_rps), throughput_from=ONE_AT_A_TIME)
    return replace(figure, throughput_rps=_below(point.throughput_rps))


def _continued(there: Sequence[Point], batch: int) -> Figure:
    """A figure for a batch larger than those that were measured."""
    last = there[-1]
    each_s = last.mean_s / last.batch
    if len(there) > 1:
        each_s = max(0.0, (last.mean_s - there[-2].mean_s) / (last.batch - there[-2].batch))
    mean_s = _rounded(last.mean_s + each_s * (batch - last.batch))
    p99_s = min(max(mean_s, _rounded(last.p99_s / last.mean_s * mean_s)), _below(MOST_P99 * mean_s))
    return Figure(last.cores, batch, mean_s, p99_s, _below(batch / mean_s), *(RULED_OUT,) * 3)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _below(value: float) -> float:
    """Rounded down to six digits."""
    return float(Context(prec=6, rounding=ROUND_DOWN).create_decimal(repr(value)))
