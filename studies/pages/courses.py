"""The course of a figure over time: a line of steps, or over a long time an envelope with its mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ipa.sim import FloatArray, bin_edges, round_up
from ipa.studies.pages.clock import moments
from ipa.studies.pages.colours import faded
from ipa.studies.pages.plots import Spec, numbers, steps
from ipa.studies.series import MOST_STEPS, Steps

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
