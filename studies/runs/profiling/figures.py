"""A profile's figures from measured points, within the bounds of the file."""

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
"""Provenance key of a figure that differs from the measured one -> the rule by which it was computed."""

MOST_P99 = exp(MAX_LN_P99_OVER_MEAN) * (1 - 1e-6)


def figures(points: Mapping[tuple[int, int], Point], measured: str) -> tuple[Figure, ...]:
    """The figures of a variant from its measured points, by (cores, batch); `measured` is their provenance.

    Every batch size that was measured for some number of cores gets a figure for all of them.
    """
    sizes = sorted({batch for _, batch in points})
    rows: list[Figure] = []
    for cores in sorted({cores for cores, _ in points}):
        points_here = [points[cores, batch] for batch in sizes if (cores, batch) in points]
        before: Figure | None = None
        for batch in sizes:
            point = points.get((cores, batch))
            before = _continued(points_here, batch) if point is None else _lawful(point, measured, before)
            rows.append(before)
    return tuple(rows)


def _lawful(point: Point, measured: str, before: Figure | None) -> Figure:
    """A point as a figure within bounds; `before` is the figure of the next smaller batch."""
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


def _continued(points: Sequence[Point], batch: int) -> Figure:
    """An extrapolated figure for a batch larger than the measured ones."""
    last = points[-1]
    each_s = last.mean_s / last.batch
    if len(points) > 1:
        each_s = max(0.0, (last.mean_s - points[-2].mean_s) / (last.batch - points[-2].batch))
    mean_s = _rounded(last.mean_s + each_s * (batch - last.batch))
    p99_s = min(max(mean_s, _rounded(last.p99_s / last.mean_s * mean_s)), _below(MOST_P99 * mean_s))
    return Figure(last.cores, batch, mean_s, p99_s, _below(batch / mean_s), *(RULED_OUT,) * 3)


def _rounded(value: float) -> float:
    return float(f"{value:.6g}")


def _below(value: float) -> float:
    """The value rounded down to six digits."""
    return float(Context(prec=6, rounding=ROUND_DOWN).create_decimal(repr(value)))
