"""A load as one HTML page: its rate over time, its burstiness, its day and week, its largest rises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from html import escape
from pathlib import Path

import numpy as np

from ipa import traces
from ipa.studies.pages.colours import MUTED, colour
from ipa.studies.pages.document import facts, html_document, plot_section
from ipa.studies.pages.plots import Plot, Spec, axis, layout, log_ticks, numbers
from ipa.studies.runs.results import write_text
from ipa.traces import SCALES_S, WEEKDAYS, Trace

MOST_BINS = 600
"""How many points the plot over time has at most."""

BINS_S = (1, 2, 5, 10, 30, 60, 300, 600, 1800, 3600, 10_800, 43_200, 86_400, 604_800)

SCALES = dict(zip(SCALES_S, ("1 s", "10 s", "1 min", "10 min", "1 h"), strict=True))
"""The time scales of burstiness and of rises, as people read them."""


def render(trace: Trace) -> str:
    """The page; the same load gives the same page, byte for byte.

    Raises ScenarioError where plotly is not installed.
    """
    title = f"Load {trace.name}"
    return html_document(title, escape(_subtitle(trace)), "".join(_sections(trace)))


def write(trace: Trace, path: Path) -> None:
    """Write the page to a file, whole or not at all. Raises as `render`, and for an unusable path."""
    write_text(render(trace), path)


def plots(trace: Trace) -> list[Plot]:
    """The plots of the page; those that the trace is too short or too empty for are left out."""
    found = [_over_time(trace)]
    by_scale = traces.dispersion(trace)
    if sum(index > 0 for index in by_scale.values()) > 1:
        found.append(_burstiness(by_scale))
    of_day, of_week = traces.daily(trace), traces.weekly(trace)
    clock = trace.starts_at is not None
    what = "on the trace's own clock" if clock else "from the start of the trace, which has no clock"
    if of_day is not None:
        hours = [f"{hour:02d}:00" if clock else f"{hour + 1}." for hour in range(24)]
        found.append(_means("day", "The day", f"Mean rate in each hour of the day, {what}.", hours, of_day))
    if of_week is not None:
        days = list(WEEKDAYS) if clock else [f"{day + 1}." for day in range(7)]
        found.append(_means("week", "The week", f"Mean rate on each day of the week, {what}.", days, of_week))
    return found


def _subtitle(trace: Trace) -> str:
    mean_rps = trace.requests / trace.duration_s
    return f"{trace.requests:,} requests in {trace.duration_s:,.12g} s, {mean_rps:.4g} per second"


def _sections(trace: Trace) -> list[str]:
    sections = [plot_section(plot) for plot in plots(trace)]
    found = traces.rises(trace)
    if found:
        rows = {
            SCALES[rise.span_s]: f"from {rise.from_rps:.4g} to {rise.to_rps:.4g} rps, at {_moment(trace, rise.at_s)}"
            for rise in found
        }
        sections.append(
            '<section>\n<h2>The largest rises</h2>\n<p class="muted">From one stretch of this length to the next, the '
            "mean rate rose most here. A pipeline whose replicas take that long to start has to foresee it.</p>\n"
            f"{facts(rows)}</section>\n"
        )
    about = {"source": trace.source, "read as": trace.reading, "sha256 of the source": trace.sha256}
    if trace.starts_at is not None:
        about["starts at"] = trace.starts_at.isoformat()
    listed = facts({name: text for name, text in about.items() if text})
    sections.append(f"<section>\n<h2>Where it is from</h2>\n{listed}</section>\n")
    return sections


def _moment(trace: Trace, second: float) -> str:
    if trace.starts_at is None:
        return f"{second:,.0f} s"
    return (trace.starts_at + timedelta(seconds=second)).isoformat(sep=" ")


# ---- plots ----


@dataclass(frozen=True)
class _Bins:
    """A load in bins of `width_s` seconds: where each begins, its mean rate and its busiest second."""

    width_s: int
    start_s: list[int]
    means_rps: list[float]
    most_rps: list[int]

    @classmethod
    def of(cls, trace: Trace) -> _Bins:
        counts = trace.per_second()
        width_s = next((each for each in BINS_S if len(counts) <= MOST_BINS * each), BINS_S[-1])
        starts = np.arange(0, len(counts), width_s)
        most = np.maximum.reduceat(counts, starts)
        return cls(width_s, starts.tolist(), traces.means_rps(trace, width_s), most.tolist())


def _over_time(trace: Trace) -> Plot:
    bins = _Bins.of(trace)
    x: Sequence[object]
    if trace.starts_at is None:
        unit, seconds = next(
            each for each in (("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)) if _fits(trace, each[1])
        )
        x = numbers(start / seconds for start in bins.start_s)
        across = axis(f"time since the start ({unit})")
    else:
        start = trace.starts_at.replace(tzinfo=None)
        x = [(start + timedelta(seconds=each)).isoformat(sep=" ") for each in bins.start_s]
        zone = trace.starts_at.tzname() or "a clock without a zone"
        across = axis(f"time ({zone})", type="date")
    mean: Spec = _line(x, numbers(bins.means_rps), "mean", {"color": colour(0), "width": 1.6})
    lines = [mean]
    reading = "Requests in each second."
    if bins.width_s > 1:
        most = _line(x, numbers(bins.most_rps), "busiest second", {"color": MUTED, "width": 1.0})
        lines = [most, mean]
        reading = f"Mean rate and busiest second of every {bins.width_s:,} s."
    upward = axis("requests per second", rangemode="tozero")
    return Plot("load", "The load over time", reading, lines, layout(320, xaxis=across, yaxis=upward))


def _fits(trace: Trace, unit_s: int) -> bool:
    """Whether the time in units of `unit_s` seconds has at most three digits or is in days."""
    return trace.duration_s <= 600 * unit_s or unit_s == 86_400


def _line(x: Sequence[object], y: Sequence[float | None], name: str, line: Spec) -> Spec:
    return {
        "type": "scatter",
        "mode": "lines",
        "x": list(x),
        "y": list(y),
        "name": name,
        "line": {"shape": "hv", **line},
        "hovertemplate": "%{y:.4~g} rps, %{x}",
    }


def _burstiness(by_scale: dict[int, float]) -> Plot:
    shown = {scale_s: index for scale_s, index in by_scale.items() if index > 0}
    low, high = min(1.0, *shown.values()), max(1.0, *shown.values())
    points: Spec = {
        "type": "scatter",
        "mode": "lines+markers",
        "x": list(shown),
        "y": numbers(shown.values()),
        "name": "this load",
        "line": {"color": colour(0), "width": 1.6},
        "marker": {"size": 8, "color": colour(0)},
        "hovertemplate": "%{y:.4~g} at %{x} s",
    }
    poisson = _line(list(shown), [1.0] * len(shown), "Poisson of constant rate", {"color": MUTED, "dash": "dash"})
    across = axis("length of a stretch", type="log", tickvals=list(SCALES), ticktext=list(SCALES.values()))
    upward = axis("variance / mean", type="log", **log_ticks(low, high))
    reading = (
        "Index of dispersion of the requests in stretches of each length: 1 for a Poisson process of constant rate. "
        "Where it grows with the length, the rate itself changes."
    )
    return Plot("burstiness", "Burstiness", reading, [points, poisson], layout(320, xaxis=across, yaxis=upward))


def _means(name: str, heading: str, reading: str, places: Sequence[str], means_rps: Sequence[float]) -> Plot:
    bars: Spec = {
        "type": "bar",
        "x": list(places),
        "y": numbers(means_rps),
        "marker": {"color": colour(0)},
        "hovertemplate": "%{y:.4~g} rps, %{x}<extra></extra>",
    }
    axes = {"xaxis": axis(), "yaxis": axis("requests per second", rangemode="tozero")}
    return Plot(name, heading, reading, [bars], layout(280, showlegend=False, **axes))
