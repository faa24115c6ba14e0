"""One profiled point of a variant, the laws of a grid of them, and its look-up tables.

A variant is profiled on a full grid of allocations (cores) times batch sizes. Between profiled batch sizes the figures
are interpolated once, into tables indexed by the batch size. Between allocations nothing is interpolated: how a model
scales with cores must be measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ipa.profiles.errors import listed

THROUGHPUT_TOLERANCE = 1e-9
"""Relative excess of throughput over batch / mean that rounding may cause."""

MAX_LN_P99_OVER_MEAN = 2.7
"""No lognormal has a larger ln(p99 / mean): it peaks at z^2 / 2 = 2.706, with z = 2.326 for p99."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One replica with `cores` cores serving batches of `batch` requests.

    `mean_s` and `p99_s` are the time of a whole batch, `throughput_rps` the requests per second
    that one replica sustains. The `..._from` name entries of the pipeline's provenance. The `..._within` are the
    half-widths of 95 % intervals, as shares of the value (None: not known).
    """

    cores: int
    batch: int
    mean_s: float
    p99_s: float
    throughput_rps: float
    mean_from: str = ""
    p99_from: str = ""
    throughput_from: str = ""
    mean_within: float | None = None
    p99_within: float | None = None


@dataclass(frozen=True, slots=True)
class FigureProblem:
    """An error: the row (None: the whole profile), its key (empty: the row), the text."""

    row: int | None
    key: str
    text: str


def row_problem(figure: Figure, row: int = 0) -> FigureProblem | None:
    """The first law that a single figure breaks, or None."""
    for key in ("cores", "batch", "mean_s", "p99_s", "throughput_rps"):
        value = getattr(figure, key)
        if not (math.isfinite(value) and value > 0):
            return FigureProblem(row, key, f"should be finite and above 0; given {value!r}")
    most = figure.batch / figure.mean_s
    if figure.p99_s < figure.mean_s:
        text = f"should be at least the mean, {figure.mean_s!r} s; given {figure.p99_s!r}"
        return FigureProblem(row, "p99_s", text)
    if math.log(figure.p99_s / figure.mean_s) > MAX_LN_P99_OVER_MEAN:
        text = (
            f"is {figure.p99_s / figure.mean_s:.3g} times the mean; no lognormal has a p99 above "
            f"{math.exp(MAX_LN_P99_OVER_MEAN):.3g} times its mean"
        )
        return FigureProblem(row, "p99_s", text)
    if figure.throughput_rps > most * (1 + THROUGHPUT_TOLERANCE):
        text = (
            f"should be at most batch / mean_s = {most:.6g}, what one batch at a time can serve; "
            f"given {figure.throughput_rps!r} (where a published latency is larger it is a p99: "
            "mean_s = batch / throughput_rps)"
        )
        return FigureProblem(row, "throughput_rps", text)
    return None


def grid_problem(figures: Sequence[Figure]) -> FigureProblem | None:
    """The first law that the figures of a variant break together, or None.

    The laws: at least one figure, no point twice, batch size 1 profiled, no hole in cores x batch,
    and at every allocation a mean that does not fall with the batch size.
    """
    rows: dict[tuple[int, int], int] = {}
    for row, figure in enumerate(figures):
        point = (figure.cores, figure.batch)
        if point in rows:
            return FigureProblem(
                row,
                "",
                f"cores {point[0]}, batch {point[1]} is given twice, first in figures[{rows[point]}]",
            )
        rows[point] = row
    cores = sorted({figure.cores for figure in figures})
    batches = sorted({figure.batch for figure in figures})
    if 1 not in batches:
        return FigureProblem(
            None, "", f"batch size 1 is missing, which every variant needs; given: {listed(batches) or 'none'}"
        )
    return _hole(rows, cores, batches) or _falling_mean(rows, figures, cores, batches)


def _hole(rows: Mapping[tuple[int, int], int], cores: Sequence[int], batches: Sequence[int]) -> FigureProblem | None:
    for c in cores:
        for b in batches:
            if (c, b) not in rows:
                text = (
                    f"cores {c}, batch {b} is missing: every profiled allocation ({listed(cores)}) "
                    f"needs every profiled batch size ({listed(batches)})"
                )
                return FigureProblem(None, "", text)
    return None


def _falling_mean(
    rows: Mapping[tuple[int, int], int],
    figures: Sequence[Figure],
    cores: Sequence[int],
    batches: Sequence[int],
) -> FigureProblem | None:
    for c in cores:
        for smaller, larger in pairwise(batches):
            before, after = figures[rows[c, smaller]].mean_s, figures[rows[c, larger]].mean_s
            if after < before:
                text = (
                    f"should not fall with the batch size: with cores {c}, batch {smaller} takes "
                    f"{before!r} s; given {after!r} for {larger} (as if measured with batches that were not full)"
                )
                return FigureProblem(rows[c, larger], "mean_s", text)
    return None


@dataclass(frozen=True, slots=True)
class FigureTable:
    """One allocation's figures: tuples indexed by the batch size 0..max (index 0 holds 0.0)."""

    batches: tuple[int, ...]
    mean_s: tuple[float, ...]
    p99_s: tuple[float, ...]
    throughput_rps: tuple[float, ...]


def tables(figures: Sequence[Figure]) -> dict[int, FigureTable]:
    """cores -> table, for figures without a `row_problem` or `grid_problem`.

    Latencies are linear between profiled batch sizes. Of the throughput, the time per batch (batch
    / throughput) is: so throughput <= batch / mean holds between profiled sizes as it does at them.
    """
    return {
        cores: _table(sorted((f for f in figures if f.cores == cores), key=lambda f: f.batch))
        for cores in sorted({figure.cores for figure in figures})
    }


def _table(figures: Sequence[Figure]) -> FigureTable:
    exact = {figure.batch: figure.throughput_rps for figure in figures}
    period_s = _by_batch(figures, lambda figure: figure.batch / figure.throughput_rps)
    return FigureTable(
        batches=tuple(exact),
        mean_s=_by_batch(figures, lambda figure: figure.mean_s),
        p99_s=_by_batch(figures, lambda figure: figure.p99_s),
        throughput_rps=(
            0.0,
            *(exact.get(batch, batch / period_s[batch]) for batch in range(1, len(period_s))),
        ),
    )


def _by_batch(figures: Sequence[Figure], value: Callable[[Figure], float]) -> tuple[float, ...]:
    result = [0.0, value(figures[0])]
    for low, high in pairwise(figures):
        start, end, span = value(low), value(high), high.batch - low.batch
        result.extend(start + (end - start) * step / span for step in range(1, span))
        result.append(end)
    return tuple(result)
