"""A load as a page: its rate over time, its burstiness, its day and week, its largest rises."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import numpy as np

from ipa import traces
from ipa.studies.pages.colours import MUTED, colour
from ipa.studies.pages.document import Facts, Page, Section
from ipa.studies.pages.plots import LOG_TICKS, Plot, Spec, axis, bars, layout, line, numbers, steps
from ipa.traces import SCALES_S, WEEKDAYS, Trace

MOST_BINS = 600
"""The most points in the plot over time."""

BINS_S = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400, 604_800)

SCALES = dict(zip(SCALES_S, ("1 s", "10 s", "1 min", "10 min", "1 h"), strict=True))
"""The names of the time scales of burstiness and of rises."""


def page(trace: Trace) -> Page:
    """The page; the same load gives the same page."""
    mean_rps = trace.requests / trace.duration_s
    subtitle = f"{trace.requests:,} requests in {trace.duration_s:,.12g} s, {mean_rps:.4g} per second"
    origin = {
        "source": trace.source,
        "read as": trace.reading,
        "sha256 of the source": trace.sha256,
        "starts at": trace.starts_at.isoformat() if trace.starts_at else "",
    }
    from_where = Section("Where it is from", [Facts({name: text for name, text in origin.items() if text})])
    return Page(f"Load {trace.name}", [subtitle], [*plots(trace), *_rises(trace), from_where])


def plots(trace: Trace) -> list[Plot]:
    """The plots of the page, without those for which the trace is too short or too empty."""
    of_load = [_over_time(trace)]
    by_scale = traces.dispersion(trace)
    if sum(index > 0 for index in by_scale.values()) > 1:
        of_load.append(_burstiness(by_scale))
    of_day, of_week = traces.daily(trace), traces.weekly(trace)
    clock = trace.starts_at is not None
    whose_clock = "on the trace's own clock" if clock else "from the start of the trace, which has no clock"
    if of_day is not None:
        hours = [f"{hour:02d}:00" if clock else f"{hour + 1}." for hour in range(24)]
        of_load.append(_means("day", "The day", f"Mean rate in each hour of the day, {whose_clock}.", hours, of_day))
    if of_week is not None:
        days = list(WEEKDAYS) if clock else [f"{day + 1}." for day in range(7)]
        of_load.append(_means("week", "The week", f"Mean rate on each day of the week, {whose_clock}.", days, of_week))
    return of_load


def _rises(trace: Trace) -> list[Section]:
    rows = {
        SCALES[rise.span_s]: f"from {rise.from_rps:.4g} to {rise.to_rps:.4g} rps, at {_moment(trace, rise.at_s)}"
        for rise in traces.rises(trace)
    }
    note = (
        "From one stretch of this length to the next, the mean rate rose most here. A pipeline whose replicas take "
        "that long to start has to foresee it."
    )
    return [Section("The largest rises", [Facts(rows)], note)] if rows else []


def _moment(trace: Trace, second: float) -> str:
    if trace.starts_at is None:
        return f"{second:,.0f} s"
    return (trace.starts_at + timedelta(seconds=second)).isoformat(sep=" ")


def _over_time(trace: Trace) -> Plot:
    """The mean rate in bins, and the busiest second of each."""
    counts = trace.per_second()
    width_s = next((bin_s for bin_s in BINS_S if len(counts) <= MOST_BINS * bin_s), BINS_S[-1])
    starts_s = np.arange(0, len(counts), width_s)
    x, across = _across(trace, starts_s.tolist())
    hover = "%{y:.4~g} rps, %{x}"
    means = numbers(traces.means_rps(trace, width_s))
    lines = [steps(x, means, "mean", {"color": colour(0), "width": 1.6}, hovertemplate=hover)]
    note = "Requests in each second."
    if width_s > 1:
        most = numbers(np.maximum.reduceat(counts, starts_s))
        style = {"color": MUTED, "width": 1.0}
        lines = [steps(x, most, "busiest second", style, hovertemplate=hover), *lines]
        note = f"Mean rate and busiest second of every {width_s:,} s."
    upward = axis("requests per second", rangemode="tozero")
    return Plot("load", "The load over time", note, lines, layout(320, xaxis=across, yaxis=upward))


def _across(trace: Trace, starts_s: Sequence[int]) -> tuple[Sequence[object], Spec]:
    """Moments and their axis: on the trace's clock, or in a unit in which they have at most three digits."""
    if trace.starts_at is None:
        units = {"s": 1, "min": 60, "h": 3600, "d": 86_400}
        unit = next((unit for unit, unit_s in units.items() if trace.duration_s <= 600 * unit_s), "d")
        return numbers(start / units[unit] for start in starts_s), axis(f"time since the start ({unit})")
    start = trace.starts_at.replace(tzinfo=None)
    zone = trace.starts_at.tzname() or "a clock without a zone"
    x = [(start + timedelta(seconds=second)).isoformat(sep=" ") for second in starts_s]
    return x, axis(f"time ({zone})", type="date")


def _burstiness(by_scale: dict[int, float]) -> Plot:
    shown = {scale_s: index for scale_s, index in by_scale.items() if index > 0}
    own = line(
        shown,
        numbers(shown.values()),
        "this load",
        {"color": colour(0), "width": 1.6},
        marker={"size": 8, "color": colour(0)},
        hovertemplate="%{y:.4~g} at %{x} s",
    )
    style = {"color": MUTED, "dash": "dash"}
    poisson = line(shown, [1.0] * len(shown), "Poisson of constant rate", style, hovertemplate="%{y:.4~g}, %{x} s")
    across = axis("length of a stretch", type="log", tickvals=list(SCALES), ticktext=list(SCALES.values()))
    upward = axis("variance / mean", type="log", **LOG_TICKS)
    note = (
        "Index of dispersion of the requests in stretches of each length: 1 for a Poisson process of constant rate. "
        "Where it grows with the length, the rate itself changes."
    )
    traces = [own | {"mode": "lines+markers"}, poisson]
    return Plot("burstiness", "Burstiness", note, traces, layout(320, xaxis=across, yaxis=upward))


def _means(name: str, title: str, note: str, places: Sequence[str], means_rps: Sequence[float]) -> Plot:
    hover = "%{y:.4~g} rps, %{x}<extra></extra>"
    columns = bars(places, numbers(means_rps), "mean rate", colour(0), hovertemplate=hover)
    axes = {"xaxis": axis(), "yaxis": axis("requests per second", rangemode="tozero")}
    return Plot(name, title, note, [columns], layout(280, showlegend=False, **axes))
