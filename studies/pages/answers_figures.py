"""Plots of a table's keys: the effects of each, and an outcome over two."""

from __future__ import annotations

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many.answers import Bins, ComparedSettings, Effect, Outcome, effect, plane
from ipa.studies.pages.answers_front import SCALE, colour_bar, cut, hover
from ipa.studies.pages.colours import PALETTE, text_on_shade
from ipa.studies.pages.panels import grid
from ipa.studies.pages.plots import LOG_TICKS, Plot, Spec, axis, error_bars, layout, line, numbers, safe

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


# ---- an outcome over two keys ----


MOST_WRITTEN = 80
"""A map with at most so many cells shows the figures in them."""

NARROW = 4
"""A map with more columns does not fit on a telephone."""

LONGEST_NAME = 22


def heat_map(settings: ComparedSettings, outcome: Outcome, across: int, up: int, name: str = "") -> Plot:
    """The mean of an outcome by the values of two keys, given by their indices."""
    means = plane(settings, outcome, across, up)
    high, wide = means.mean.shape
    titles = [means.across.key.title, means.up.key.title]
    x_title, y_title = map(safe, titles)
    trace: Spec = {
        "type": "heatmap",
        "name": safe(outcome.title),
        "z": [numbers(row, outcome.decimals + 2) for row in means.mean],
        "customdata": [
            [[safe(means.across.names[at]), safe(of_row), int(count)] for at, count in enumerate(row)]
            for of_row, row in zip(means.up.names, means.settings, strict=True)
        ],
        "colorscale": SCALE,
        "colorbar": colour_bar(outcome),
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": (
            f"{x_title} %{{customdata[0]}}<br>{y_title} %{{customdata[1]}}<br>"
            f"{hover(outcome, 'z')}<br>%{{customdata[2]}} settings<extra></extra>"
        ),
    }
    is_written = high * wide <= MOST_WRITTEN and wide <= 10
    counts = np.unique(means.settings[means.settings > 0])
    is_one = len(counts) == 1 and counts[0] == 1
    looks = {"showlegend": False, "margin": {"l": 64, "r": 8, "t": 34, "b": 52}}
    return Plot(
        name or f"map-{outcome.column}",
        f"{outcome.title[0].upper()}{outcome.title[1:]} over {' and '.join(titles)}",
        (
            "A cell is a setting, by its mean over the seeds."
            if is_one
            else "A cell is the mean over the settings in it."
        )
        + f" Of {outcome.title}, {outcome.better} is better."
        + ("" if means.settings.all() else " Where there is no setting there is no colour."),
        [trace, *([_figures(means.mean, trace["z"])] if is_written else [])],
        layout(max(320, 120 + 30 * high), xaxis=_axis(means.across), yaxis=_axis(means.up), **looks),
        least_width=150 + 52 * wide if wide > NARROW else 0,
    )


def _figures(mean: np.ndarray, shown: list[list[float | None]]) -> Spec:
    """The figures in the cells, each in a colour readable on its cell in both themes."""
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    largest = float(np.nanmax(np.abs(mean)))
    digits = 0 if largest >= 100.0 else 1 if largest >= 10.0 else 2
    cells = [
        (across, up, value) for up, row in enumerate(shown) for across, value in enumerate(row) if value is not None
    ]
    depths = [(value - low) / (high - low) if high > low else 0.5 for _, _, value in cells]
    return {
        "type": "scatter",
        "mode": "text",
        "x": [across for across, _, _ in cells],
        "y": [up for _, up, _ in cells],
        "text": [f"{value:.{digits}f}".replace("-", "−") for _, _, value in cells],
        "textfont": {"size": 12, "color": [text_on_shade(min(max(depth, 0.0), 1.0)) for depth in depths]},
        "hoverinfo": "skip",
    }


def _axis(bins: Bins) -> Spec:
    return axis(safe(bins.key.title), showgrid=False, **_levels([cut(name, LONGEST_NAME) for name in bins.names]))
