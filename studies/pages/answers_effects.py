"""Main effects: an outcome's mean by the value of each key, a panel a key."""

from __future__ import annotations

import numpy as np

from ipa.studies.many.answers import Effect, Outcome, Settings, effect
from ipa.studies.pages.answers_text import hover, safe
from ipa.studies.pages.colours import PALETTE
from ipa.studies.pages.grid import grid
from ipa.studies.pages.plots import Plot, Spec, log_ticks, numbers

MOST_KEYS = 8
LOGARITHMIC = 50.0
"""An axis whose largest number is so many times its smallest is logarithmic."""

LONGEST_LEVEL = 28
"""In characters; longer values of a key are cut on the axis."""


def effects(settings: Settings, outcome: Outcome, order: list[int], name: str = "") -> Plot:
    """The effects of the keys at the places `order`, of which the first eight are drawn."""
    found = [effect(settings, outcome, place) for place in order[:MOST_KEYS]]
    ends = np.concatenate([np.concatenate([each.mean, each.low, each.high]) for each in found])
    low, high = np.nanmin(ends), np.nanmax(ends)
    room = 0.08 * (high - low) or 0.05 * abs(high) or 1.0
    # The same for all, so that large effects look larger than small ones.
    y = {"range": numbers([max(low - room, 0.0 if outcome.is_rate else -np.inf), high + room], outcome.decimals + 2)}
    panels = grid(
        [each.bins.key.title for each in found],
        [_across(each) for each in found],
        [{**y, "title": safe(outcome.axis)} for _ in found],
        panel=220,
        top=8,
    )
    traces = [{**_trace(each), **panels.axes(place)} for place, each in enumerate(found)]
    return Plot(
        name or f"effects-{outcome.column}",
        f"What each key does to {safe(outcome.title)}",
        _reading(settings, found, len(order)),
        traces,
        {**panels.layout, "showlegend": False},
    )


def _reading(settings: Settings, found: list[Effect], keys: int) -> str:
    parts = ["A point is the mean over all settings with this value of the key, whatever their other keys are."]
    if any(np.isfinite(each.low).any() for each in found):
        parts.append("Bars: 95 % intervals over the seeds.")
    else:
        parts.append("There is one seed, or none that all settings have, and so no interval.")
    binned = [each.bins.key.title for each in found if each.bins.is_binned]
    if binned:
        parts.append(f"In bins of equally many settings: {safe(', '.join(binned))}.")
    if keys > len(found):
        parts.append(f"The {len(found)} keys of {keys} that matter most are drawn.")
    return " ".join(parts)


def _across(found: Effect) -> Spec:
    numbers_of = found.bins.numbers
    if found.bins.is_binned and numbers_of is not None:
        low, high = float(numbers_of.min()), float(numbers_of.max())
        return {"type": "log", **log_ticks(low, high)} if 0.0 < low * LOGARITHMIC < high else {"nticks": 7}
    short = [name if len(name) <= LONGEST_LEVEL else f"{name[: LONGEST_LEVEL - 1]}…" for name in found.bins.names]
    count = len(short)
    return {"tickvals": list(range(count)), "ticktext": [safe(name) for name in short], "range": [-0.5, count - 0.5]}


def _trace(found: Effect) -> Spec:
    outcome, is_binned = found.outcome, found.bins.is_binned
    at = found.bins.numbers if is_binned else np.arange(len(found.mean), dtype=np.float64)
    assert at is not None  # only numbers are put into bins
    trace: Spec = {
        "type": "scatter",
        "mode": "lines+markers" if found.bins.key.is_number else "markers",
        "name": safe(found.bins.key.title),
        "x": numbers(at, 5),
        "y": numbers(found.mean, outcome.decimals + 2),
        "customdata": [[safe(name), int(count)] for name, count in zip(found.bins.names, found.settings, strict=True)],
        "line": {"color": PALETTE[0], "width": 1.6},
        "marker": {"color": PALETTE[0], "size": 7},
        "hovertemplate": f"%{{customdata[0]}}<br>{hover(outcome, 'y')}<br>%{{customdata[1]}} settings<extra></extra>",
    }
    if np.isfinite(found.low).any():
        up, down = (
            numbers(np.nan_to_num(end), outcome.decimals + 3)
            for end in (found.high - found.mean, found.mean - found.low)
        )
        bars: Spec = {"type": "data", "symmetric": False, "array": up, "arrayminus": down}
        trace["error_y"] = {**bars, "color": PALETTE[0], "thickness": 1.2, "width": 4}
    return trace
