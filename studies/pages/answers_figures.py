"""Plots of a table's keys: the effects of each, and an outcome over two."""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many.answers import ComparedSettings, Effect, Outcome, effect
from ipa.studies.pages.answers_front import cut, hover
from ipa.studies.pages.colours import PALETTE
from ipa.studies.pages.panels import grid
from ipa.studies.pages.plots import LOG_TICKS, Plot, Spec, error_bars, line, numbers, safe

MOST_KEYS = 8
LOGARITHMIC = 50.0
"""An axis is logarithmic if its largest number is at least so many times its smallest."""

MOST_LEVELS = 7
"""More numbers than these are too close for a place and a label each, and so are on an axis of numbers."""

LONGEST_LEVEL = 28
"""In characters; longer values of a key are cut on the axis."""


def effects(settings: ComparedSettings, outcome: Outcome, order: list[int], name: str = "") -> Plot:
    """The effects of the keys with the indices `order`; the first eight are drawn."""
    of_keys = [effect(settings, outcome, place) for place in order[:MOST_KEYS]]
    ends = np.concatenate([np.concatenate([of_key.mean, of_key.low, of_key.high]) for of_key in of_keys])
    low, high = np.nanmin(ends), np.nanmax(ends)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    # The same for all, so that large effects look larger than small ones.
    y = {"range": numbers([max(low - room, 0.0 if outcome.is_rate else -np.inf), high + room], outcome.decimals + 2)}
    panels, spec = grid(
        [of_key.bins.key.title for of_key in of_keys],
        [_across(of_key) for of_key in of_keys],
        [{**y, "title": safe(outcome.axis)} for _ in of_keys],
        panel=220,
        top=8,
    )
    return Plot(
        name or f"effects-{outcome.column}",
        f"What each key does to {outcome.title}",
        _reading(of_keys, len(order)),
        [{**_trace(of_key), **panel.axes} for panel, of_key in zip(panels, of_keys, strict=True)],
        {**spec, "showlegend": False},
    )


def _reading(of_keys: list[Effect], keys: int) -> str:
    parts = ["A point is the mean over all settings with this value of the key, whatever their other keys are."]
    if any(np.isfinite(of_key.low).any() for of_key in of_keys):
        parts.append("Bars: 95 % intervals over the seeds.")
    else:
        parts.append("There is one seed, or none that all settings have, and so no interval.")
    binned = [of_key.bins.key.title for of_key in of_keys if of_key.bins.is_binned]
    if binned:
        parts.append(f"In bins of equally many settings: {', '.join(binned)}.")
    if keys > len(of_keys):
        parts.append(f"The {len(of_keys)} keys of {keys} that matter most are drawn.")
    return " ".join(parts)


def _across(of_key: Effect) -> Spec:
    numbers_of = _numbers(of_key)
    if numbers_of is not None:
        low, high = float(numbers_of.min()), float(numbers_of.max())
        return {"type": "log", **LOG_TICKS} if 0.0 < low * LOGARITHMIC < high else {"nticks": 7}
    return _levels([cut(name, LONGEST_LEVEL) for name in of_key.bins.names])


def _numbers(of_key: Effect) -> FloatArray | None:
    """Where the values of a key are on an axis of numbers; None if each has a place of its own."""
    bins = of_key.bins
    return bins.numbers if bins.is_binned or len(bins.names) > MOST_LEVELS else None


def _levels(names: list[str]) -> Spec:
    """The settings of an axis that has a place for each value."""
    count = len(names)
    return {"tickvals": list(range(count)), "ticktext": names, "range": [-0.5, count - 0.5]}


def _trace(of_key: Effect) -> Spec:
    outcome, at = of_key.outcome, _numbers(of_key)
    if at is None:
        at = np.arange(len(of_key.mean), dtype=np.float64)
    trace = line(
        numbers(at, 5),
        numbers(of_key.mean, outcome.decimals + 2),
        safe(of_key.bins.key.title),
        {"color": PALETTE[0], "width": 1.6},
        customdata=[[safe(name), int(count)] for name, count in zip(of_key.bins.names, of_key.settings, strict=True)],
        marker={"color": PALETTE[0], "size": 7},
        hovertemplate=f"%{{customdata[0]}}<br>{hover(outcome, 'y')}<br>%{{customdata[1]}} settings<extra></extra>",
    )
    trace["mode"] = "lines+markers" if of_key.bins.key.is_number else "markers"
    if np.isfinite(of_key.low).any():
        mean, low, high = (values.tolist() for values in (of_key.mean, of_key.low, of_key.high))
        trace["error_y"] = error_bars(mean, low, high, PALETTE[0], decimals=outcome.decimals + 3)
    return trace
