"""Time in plots: moments as plotly takes them, and axes in seconds, minutes, hours or days, or on the load's own clock.

A moment is a date since the epoch, so that the ticks stay whole minutes and hours at every zoom.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import isfinite
from typing import Any

import numpy as np

from ipa.sim import FloatArray, bin_edges, round_up
from ipa.studies.pages.colours import faded
from ipa.studies.pages.plots import Spec, axis, numbers, steps
from ipa.studies.series import MOST_STEPS, StepLine

TIME = "time since the start"

ORIGIN = datetime(1971, 1, 1)
ORIGIN_MS = 31_536_000_000
"""The start of a run, from which days are counted. It cannot be in 1970: plotly reads numbers of four digits as years,
so moments from 1 to 10 s would be the years 1000 to 9999."""

_MINUTE_S, _HOUR_S, _DAY_S = 60.0, 3600.0, 86400.0

_HOVER = (
    (_MINUTE_S, "%-S.%2f s"),
    (_HOUR_S, "%-M min %-S s"),
    (_DAY_S, "%-H h %-M min %-S s"),
)
_HOVER_DAYS = "day %-j, %-H:%M"


def lengths(durations_s: Iterable[float]) -> list[int]:
    """Durations on an axis of time, in milliseconds: the widths of bars."""
    return [round(1e3 * float(duration_s)) for duration_s in durations_s]


@dataclass(frozen=True)
class Clock:
    """The time of a run: since its start, or on the load's own clock where that is known."""

    duration_s: float
    starts_at: datetime | None = None

    def moments(self, times_s: Iterable[float]) -> list[int | None]:
        """Times since the start as an axis takes them: milliseconds since 1970; None for NaN."""
        at = ORIGIN if self.starts_at is None else self.starts_at.replace(tzinfo=None)
        origin_ms = ORIGIN_MS + round(1e3 * (at - ORIGIN).total_seconds())
        return [origin_ms + round(1e3 * float(time_s)) if isfinite(time_s) else None for time_s in times_s]

    def axis(self, title: str = TIME, **keys: Any) -> Spec:
        """The axis of time, the same in all plots; `title` is ignored on the load's own clock, which has its own.

        If the duration is a whole minute, hour or day, the axis ends a little early: the tick there would read 0.
        """
        is_round = self.duration_s in (_MINUTE_S, _HOUR_S, _DAY_S)
        ends = self.moments([0.0, self.duration_s * (1.0 - 2e-4) if is_round else self.duration_s])
        ticks, hover = _ticks(self.duration_s) if self.starts_at is None else self._own_ticks(self.starts_at)
        shown = {"tickformatstops": ticks, "hoverformat": hover}
        return axis(title and self._title(title), type="date", range=ends, **shown, **keys)

    def text(self, time_s: float) -> str:
        """A time in words, as exact as the run is long: `12 min 31 s`, `5 h 3 min`, `day 2, 5:03`.

        On the load's own clock: `09:12:31`, `4 Apr 09:12:31`.
        """
        if self.starts_at is not None:
            at = self.starts_at + timedelta(seconds=round(time_s))
            day = "" if self._is_one_day(self.starts_at) else f"{at.day} {at:%b} "
            return f"{day}{at:%H:%M:%S}"
        if self.duration_s <= _MINUTE_S:
            return f"{time_s:.2f} s"
        whole = int(time_s + 0.5)
        days, hours, minutes, seconds = whole // 86400, whole // 3600 % 24, whole // 60 % 60, whole % 60
        if self.duration_s <= _HOUR_S:
            return f"{whole // 60} min {seconds} s"
        if self.duration_s <= _DAY_S:
            return f"{whole // 3600} h {minutes} min" + (f" {seconds} s" if seconds else "")
        return f"day {days + 1}, {hours}:{minutes:02d}"

    def _is_one_day(self, starts_at: datetime) -> bool:
        return starts_at.date() == (starts_at + timedelta(seconds=self.duration_s, microseconds=-1)).date()

    def _title(self, title: str) -> str:
        at = self.starts_at
        if at is None:
            return title
        zone = f" ({at.tzname()})" if at.tzinfo else ""
        return f"time on {at.day} {at:%B %Y}{zone}" if self._is_one_day(at) else f"time{zone}"

    def _own_ticks(self, starts_at: datetime) -> tuple[list[Spec], str]:
        day = "" if self._is_one_day(starts_at) else "<br>%-d %b"
        forms = ((None, 59_999, f"%H:%M:%S{day}"), (60_000, 86_399_999, f"%H:%M{day}"), (86_400_000, None, "%-d %b"))
        return [{"dtickrange": [low, high], "value": form} for low, high, form in forms], "%-d %b %Y, %H:%M:%S"


def _ticks(duration_s: float) -> tuple[list[Spec], str]:
    """The format of ticks since the start, by the step between them [ms], and that of the hover text."""
    day = "<br>day %-j" if duration_s > _DAY_S else ""
    if duration_s <= _MINUTE_S:
        seconds, minutes = "%-S s", "%-S s"
    elif duration_s <= _HOUR_S:
        seconds, minutes = "%-M:%S min", "%-M min"
    else:
        seconds, minutes = f"%-H:%M:%S h{day}", f"%-H:%M h{day}"
    forms = (
        (None, 999, seconds.replace("%-S", "%-S.%2f").replace("%S", "%S.%2f")),
        (1000, 59_999, seconds),
        (60_000, 3_599_999, minutes),
        (3_600_000, 86_399_999, f"%-H h{day}"),
        (86_400_000, None, "day %-j"),
    )
    hover = next((form for below_s, form in _HOVER if duration_s <= below_s), _HOVER_DAYS)
    return [{"dtickrange": [low, high], "value": form} for low, high, form in forms], hover


# ---- the course of a figure over time ----


ENVELOPE_BINS = 480
"""An envelope has at most this many bins."""

MOST_SHORT = 100
"""The most steps of a line that may be too short to be seen."""


@dataclass(frozen=True)
class BinEnvelope:
    """Minimum, mean over time and maximum in each bin; one edge more than values."""

    edges_s: FloatArray
    low: FloatArray
    mean: FloatArray
    high: FloatArray


def is_long(figure: StepLine) -> bool:
    """Whether a figure is shown as an envelope: it has too many short steps, or its steps are means."""
    lasting_s = np.diff(figure.edges_s)
    return figure.low is not None or int(np.sum(lasting_s < np.sum(lasting_s) / MOST_STEPS)) > MOST_SHORT


def envelope(figure: StepLine) -> BinEnvelope:
    """The envelope of a figure, in bins of a round width [s]."""
    start_s, end_s = float(figure.edges_s[0]), float(figure.edges_s[-1])
    bins_s = start_s + bin_edges(end_s - start_s, round_up((end_s - start_s) / ENVELOPE_BINS))
    pieces_s = np.union1d(figure.edges_s, bins_s)
    place = np.searchsorted(figure.edges_s, pieces_s[:-1], side="right") - 1
    value = figure.value[place]
    low = value if figure.low is None else figure.low[place]
    high = value if figure.high is None else figure.high[place]
    first = np.searchsorted(pieces_s, bins_s[:-1])
    mean = np.add.reduceat(value * np.diff(pieces_s), first) / np.diff(bins_s)
    return BinEnvelope(bins_s, np.minimum.reduceat(low, first), mean, np.maximum.reduceat(high, first))


@dataclass(frozen=True)
class LineLook:
    """How a figure over time is drawn: its colour, width and dash, and the colour of the area beneath it."""

    colour: str
    width: float = 1.6
    dash: str = "solid"
    area: str = ""


def course(
    clock: Clock, figure: StepLine, name: str, look: LineLook, unit: str, reasons: Sequence[str] = (), **keys: Any
) -> list[Spec]:
    """The traces of a figure over time; `reasons`: for each value a hover text (HTML).

    A long figure (see `is_long`) is its envelope, without area or reasons.
    """
    style: Spec = {"color": look.colour, "width": look.width, "dash": look.dash}
    if is_long(figure):
        return _enveloped(clock, envelope(figure), name, style, unit, **keys)
    x, y = figure.line
    shown: Spec = {"hovertemplate": f"%{{y:.4~g}} {unit}"}
    if len(reasons):
        shown = {"hovertemplate": f"%{{y:.4~g}} {unit}<br>%{{text}}", "text": [*reasons, reasons[-1]]}
    area: Spec = {"fill": "tozeroy", "fillcolor": look.area} if look.area else {}
    return [steps(clock.moments(x), numbers(y), name, style, **shown, **area, **keys)]


def _enveloped(clock: Clock, of_bins: BinEnvelope, name: str, style: Spec, unit: str, **keys: Any) -> list[Spec]:
    """The means within the band from minimum to maximum."""
    x = clock.moments(of_bins.edges_s)
    low, mean, high = (numbers([*values, *values[-1:]]) for values in (of_bins.low, of_bins.mean, of_bins.high))
    ends = [list(pair) for pair in zip(low, high, strict=True)]
    hover = f"%{{y:.4~g}} {unit} (%{{customdata[0]:.4~g}} to %{{customdata[1]:.4~g}})"
    means = steps(x, mean, name, style, customdata=ends, hovertemplate=hover, **keys)
    return [*band(x, low, high, name, style["color"], **keys), means]


def band(
    x: Sequence[object], low: Sequence[object], high: Sequence[object], name: str, colour: str, **keys: Any
) -> list[Spec]:
    """The area between two step lines."""
    edge: Spec = {**keys, "showlegend": False, "hoverinfo": "skip"}
    filled: Spec = {"fill": "tonexty", "fillcolor": faded(colour, 0.22)}
    return [steps(x, low, name, {"width": 0}, **edge), steps(x, high, name, {"width": 0}, **edge, **filled)]
