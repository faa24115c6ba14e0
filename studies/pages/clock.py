"""Time in plots: moments as plotly takes them, and axes in seconds, minutes, hours or days, or on the load's own clock.

A moment is a date since the epoch, so that the ticks stay whole minutes and hours at every zoom.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np

from ipa.sim import FloatArray, bin_edges, round_up
from ipa.studies.pages.colours import faded
from ipa.studies.pages.plots import Plot, Spec, axis, numbers, steps
from ipa.studies.series import MOST_STEPS, Steps

TIME = "time since the start"

ORIGIN = datetime(1971, 1, 1)
ORIGIN_MS = 31_536_000_000
"""The start of a run, from which days are counted. It could not be in 1970: plotly takes numbers of four digits for
years, and so the moments from 1 to 10 s for the years 1000 to 9999."""

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0

_HOVER = (
    (_MINUTE_S, "%-S.%2f s"),
    (_HOUR_S, "%-M min %-S s"),
    (_DAY_S, "%-H h %-M min %-S s"),
)
_HOVER_DAYS = "day %-j, %-H:%M"


def moments(times_s: Iterable[float]) -> list[int | None]:
    """Times since the start as an axis of time takes them: milliseconds since 1970; None for what is not a number."""
    return [ORIGIN_MS + round(1e3 * float(time_s)) if isfinite(time_s) else None for time_s in times_s]


def lengths(durations_s: Iterable[float]) -> list[int]:
    """Durations on an axis of time, in milliseconds: the widths of bars."""
    return [round(1e3 * float(duration_s)) for duration_s in durations_s]


def time_axis(duration_s: float, title: str = TIME, **more: object) -> Spec:
    """The axis of time, the same in all plots.

    Where the whole duration is a minute, an hour or a day it ends a little early: the tick there would read 0.
    """
    end_s = duration_s * (1.0 - 2e-4) if duration_s in (_MINUTE_S, _HOUR_S, _DAY_S) else duration_s
    return axis(
        title,
        type="date",
        range=moments([0.0, end_s]),
        tickformatstops=_ticks(duration_s),
        hoverformat=next((form for below_s, form in _HOVER if duration_s <= below_s), _HOVER_DAYS),
        **more,
    )


def _ticks(duration_s: float) -> list[Spec]:
    """The form of the ticks by the step between them, in milliseconds."""
    day = "<br>day %-j" if duration_s > _DAY_S else ""
    if duration_s <= _MINUTE_S:
        seconds, minutes = "%-S s", "%-S s"
    elif duration_s <= _HOUR_S:
        seconds, minutes = "%-M:%S min", "%-M min"
    else:
        seconds, minutes = f"%-H:%M:%S h{day}", f"%-H:%M h{day}"
    return [
        {"dtickrange": [None, 999], "value": seconds.replace("%-S", "%-S.%2f").replace("%S", "%S.%2f")},
        {"dtickrange": [1000, 59_999], "value": seconds},
        {"dtickrange": [60_000, 3_599_999], "value": minutes},
        {"dtickrange": [3_600_000, 86_399_999], "value": f"%-H h{day}"},
        {"dtickrange": [86_400_000, None], "value": "day %-j"},
    ]


def clock(time_s: float, duration_s: float, starts_at: datetime | None = None) -> str:
    """A time in words, as exact as the run is long: `12 min 31 s`, `5 h 3 min`, `day 2, 5:03`.

    With the start of the load on a clock of its own, the time of that clock: `09:12:31`, `4 Apr 09:12:31`.
    """
    if starts_at is not None:
        at = starts_at + timedelta(seconds=round(time_s))
        day = "" if _is_one_day(starts_at, duration_s) else f"{at.day} {at:%b} "
        return f"{day}{at:%H:%M:%S}"
    if duration_s <= _MINUTE_S:
        return f"{time_s:.2f} s"
    whole = int(time_s + 0.5)
    days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
    if duration_s <= _HOUR_S:
        return f"{whole // 60} min {seconds} s"
    if duration_s <= _DAY_S:
        return f"{whole // 3600} h {minutes} min" + (f" {seconds} s" if seconds else "")
    return f"day {days + 1}, {hours}:{minutes:02d}"


def on_clock(plot: Plot, starts_at: datetime, duration_s: float) -> Plot:
    """A plot with its times since the start as those of the load's own clock; other axes stay."""
    shift = round(1e3 * (starts_at.replace(tzinfo=None) - ORIGIN).total_seconds())
    timed = {key for key, of in plot.layout.items() if key.startswith("xaxis") and of.get("type") == "date"}
    layout = {
        key: _clocked(of, shift, starts_at, duration_s) if key in timed else of for key, of in plot.layout.items()
    }
    traces = [
        _shifted(trace, shift) if re.sub("^x", "xaxis", trace.get("xaxis", "x")) in timed else trace
        for trace in plot.traces
    ]
    return replace(plot, traces=traces, layout=layout)


def _is_one_day(starts_at: datetime, duration_s: float) -> bool:
    return starts_at.date() == (starts_at + timedelta(seconds=duration_s, microseconds=-1)).date()


def _clocked(of: Spec, shift: int, starts_at: datetime, duration_s: float) -> Spec:
    day = "" if _is_one_day(starts_at, duration_s) else "<br>%-d %b"
    title = {**of["title"]}
    if title["text"]:
        zone = f" ({starts_at.tzname()})" if starts_at.tzinfo else ""
        title["text"] = f"time on {starts_at.day} {starts_at:%B %Y}{zone}" if not day else f"time{zone}"
    return {
        **of,
        "title": title,
        "range": [edge + shift for edge in of["range"]],
        "hoverformat": "%-d %b %Y, %H:%M:%S",
        "tickformatstops": [
            {"dtickrange": [None, 59_999], "value": f"%H:%M:%S{day}"},
            {"dtickrange": [60_000, 86_399_999], "value": f"%H:%M{day}"},
            {"dtickrange": [86_400_000, None], "value": "%-d %b"},
        ],
    }


def _shifted(trace: Spec, shift: int) -> Spec:
    """A trace later by some milliseconds; of bars that lie the base moves, as their x is a length."""
    moved = "base" if "base" in trace else "x"
    return {**trace, moved: [None if at is None else at + shift for at in trace[moved]]}


# ---- the course of a figure over time ----


ENVELOPE_BINS = 480
"""An envelope has at most this many bins."""

MOST_SHORT = 100
"""A line may have this many steps that are too short to be seen."""


@dataclass(frozen=True)
class Envelope:
    """The least, the mean (by time) and the greatest value in each bin; one edge more than values."""

    edges_s: FloatArray
    low: FloatArray
    mean: FloatArray
    high: FloatArray


def is_long(figure: Steps) -> bool:
    """Whether a figure has too many short steps to tell them apart, or they are means: an envelope shows it then."""
    lasting_s = np.diff(figure.edges_s)
    return figure.low is not None or int(np.sum(lasting_s < np.sum(lasting_s) / MOST_STEPS)) > MOST_SHORT


def envelope(figure: Steps) -> Envelope:
    """The envelope of a figure, in bins of a round width."""
    start_s, end_s = float(figure.edges_s[0]), float(figure.edges_s[-1])
    bins_s = start_s + bin_edges(end_s - start_s, round_up((end_s - start_s) / ENVELOPE_BINS))
    pieces_s = np.union1d(figure.edges_s, bins_s)
    place = np.searchsorted(figure.edges_s, pieces_s[:-1], side="right") - 1
    value = figure.value[place]
    low = value if figure.low is None else figure.low[place]
    high = value if figure.high is None else figure.high[place]
    first = np.searchsorted(pieces_s, bins_s[:-1])
    mean = np.add.reduceat(value * np.diff(pieces_s), first) / np.diff(bins_s)
    return Envelope(bins_s, np.minimum.reduceat(low, first), mean, np.maximum.reduceat(high, first))


def course(
    figure: Steps,
    name: str,
    colour: str,
    unit: str,
    *,
    fill: str = "",
    reasons: Sequence[str] = (),
    line: Spec | None = None,
    **more: Any,
) -> list[Spec]:
    """The traces of a figure over time.

    `fill`: the colour of the area beneath; `reasons`: what the pointer shows beneath each value (HTML), one each.
    A long figure is the line of its means within a band from the least to the greatest value, without area or reasons.
    """
    style = {"color": colour, "width": 1.6, **(line or {})}
    if is_long(figure):
        return _enveloped(envelope(figure), name, style, unit, more)
    x, y = figure.line
    shown: Spec = {"hovertemplate": f"%{{y:.4~g}} {unit}"}
    if len(reasons):
        shown = {"hovertemplate": f"%{{y:.4~g}} {unit}<br>%{{text}}", "text": [*reasons, reasons[-1]]}
    area: Spec = {"fill": "tozeroy", "fillcolor": fill} if fill else {}
    return [steps(moments(x), numbers(y), name, line=style, **shown, **area, **more)]


def _enveloped(found: Envelope, name: str, style: Spec, unit: str, more: Spec) -> list[Spec]:
    x = moments(found.edges_s)
    low, mean, high = (numbers(np.append(values, values[-1:])) for values in (found.low, found.mean, found.high))
    edge: Spec = {**more, "showlegend": False, "hoverinfo": "skip", "line": {"width": 0}}
    return [
        steps(x, low, name, **edge),
        steps(x, high, name, **edge, fill="tonexty", fillcolor=faded(str(style["color"]), 0.22)),
        steps(
            x,
            mean,
            name,
            line=style,
            customdata=[[least, most] for least, most in zip(low, high, strict=True)],
            hovertemplate=f"%{{y:.4~g}} {unit} (%{{customdata[0]:.4~g}} to %{{customdata[1]:.4~g}})",
            **more,
        ),
    ]
