"""An outcome over two keys."""

from __future__ import annotations

import numpy as np

from ipa.studies.many.answers import Bins, Outcome, Settings, plane
from ipa.studies.pages.answers_text import SCALE, colour_bar, hover, safe
from ipa.studies.pages.colours import text_on_shade
from ipa.studies.pages.plots import Plot, Spec, axis, layout, numbers

MOST_WRITTEN = 80
"""A map of at most so many cells has the figures in them."""

NARROW = 4
"""A map of more columns has no room on a telephone."""

LONGEST_LEVEL = 22


def heat_map(settings: Settings, outcome: Outcome, across: int, up: int, name: str = "") -> Plot:
    """The mean of an outcome by the values of two keys, given by their places."""
    found = plane(settings, outcome, across, up)
    rows, columns = found.mean.shape
    cells = [[int(count) for count in row] for row in found.settings]
    trace: Spec = {
        "type": "heatmap",
        "name": safe(outcome.title),
        "z": [numbers(row, outcome.decimals + 2) for row in found.mean],
        "customdata": [
            [[safe(found.across.names[at]), safe(name), count] for at, count in enumerate(row)]
            for name, row in zip(found.up.names, cells, strict=True)
        ],
        "colorscale": SCALE,
        "colorbar": colour_bar(outcome),
        "xgap": 1,
        "ygap": 1,
        "hoverongaps": False,
        "hovertemplate": (
            f"{safe(found.across.key.title)} %{{customdata[0]}}<br>{safe(found.up.key.title)} %{{customdata[1]}}<br>"
            f"{hover(outcome, 'z')}<br>%{{customdata[2]}} settings<extra></extra>"
        ),
    }
    traces = [trace]
    if rows * columns <= MOST_WRITTEN and columns <= 10:
        traces.append(_figures(found.mean, trace["z"]))
    each = np.unique(found.settings[found.settings > 0])
    one = len(each) == 1 and each[0] == 1
    reading = (
        ("A cell is a setting, by its mean over the seeds." if one else "A cell is the mean over the settings in it.")
        + f" Of {safe(outcome.title)}, {outcome.better} is better."
        + ("" if found.settings.all() else " Where there is no setting there is no colour.")
    )
    return Plot(
        name or f"map-{outcome.column}",
        safe(f"{outcome.title[0].upper()}{outcome.title[1:]} over {found.across.key.title} and {found.up.key.title}"),
        reading,
        traces,
        layout(
            max(320, 120 + 30 * rows),
            xaxis=_axis(found.across),
            yaxis=_axis(found.up),
            showlegend=False,
            margin={"l": 64, "r": 8, "t": 34, "b": 52},
        ),
        least_width=150 + 52 * columns if columns > NARROW else 0,
    )


def _figures(mean: np.ndarray, shown: list[list[float | None]]) -> Spec:
    """The figures in the cells, each in a colour that is read on its cell in both themes."""
    low, high = float(np.nanmin(mean)), float(np.nanmax(mean))
    digits = _digits(mean)
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


def _digits(mean: np.ndarray) -> int:
    """Decimals so that the largest figure has about three digits."""
    largest = float(np.nanmax(np.abs(mean)))
    return 0 if largest >= 100.0 else 1 if largest >= 10.0 else 2


def _axis(bins: Bins) -> Spec:
    names = [name if len(name) <= LONGEST_LEVEL else f"{name[: LONGEST_LEVEL - 1]}…" for name in bins.names]
    ticks = {"tickvals": list(range(len(names))), "ticktext": [safe(name) for name in names]}
    return axis(safe(bins.key.title), showgrid=False, range=[-0.5, len(names) - 0.5], **ticks)
