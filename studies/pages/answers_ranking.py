"""Which key matters most for each outcome, as bars with their intervals."""

from __future__ import annotations

import numpy as np

from ipa.studies.many.answers import Ranking
from ipa.studies.pages.answers_text import safe
from ipa.studies.pages.colours import ARRIVALS, PALETTE, TEXT, faded
from ipa.studies.pages.grid import grid
from ipa.studies.pages.plots import Plot, Spec, numbers

MOST_KEYS = 12

READINGS = {
    "variance": (
        "The settings are a full grid, so that an outcome's variance can be divided exactly. Strong: the share that a "
        "key has alone; faint: with what it does together with other keys. The faint ones may add up to more than 1."
    ),
    "Sobol": (
        "Sobol's indices of a sample of Saltelli's, by SALib. Strong: the share of the variance that a key has alone; "
        "faint: with what it does together with other keys."
    ),
    "PAWN": (
        "PAWN, which any sample allows: how far the outcome's distribution moves if the key's value is known, from 0 "
        "to 1. Up to the dashed line a key without any effect would do as well."
    ),
    "permutation": (
        "Permutation importance, as the sample is small: how much worse a regression predicts settings that it has not "
        "seen if the key's values are shuffled, as a share of the outcome's variance."
    ),
}


OVER = {"variance": "seeds", "Sobol": "settings", "PAWN": "settings", "permutation": "settings"}
"""What the intervals of a method are over."""


def ranking(found: list[Ranking], name: str = "ranking") -> Plot:
    """The rankings of some outcomes side by side; at least one."""
    panels = grid(
        [each.outcome.title for each in found],
        # Above another panel there is no room for a title.
        [
            {"title": each.measure if at + 2 >= len(found) else "", "rangemode": "tozero"}
            for at, each in enumerate(found)
        ],
        [_up(each) for each in found],
        panel=60 + 24 * min(max(len(each.keys) for each in found), MOST_KEYS),
        top=48,
    )
    traces = [
        {**trace, **panels.axes(place), "showlegend": place == 0 and trace["showlegend"]}
        for place, each in enumerate(found)
        for trace in _bars(each)
    ]
    spec = {**panels.layout, "barmode": "overlay", "bargap": 0.35}
    spec["shapes"] = [
        _noise(each, panels.references[place]) for place, each in enumerate(found) if np.isfinite(each.noise)
    ]
    return Plot(name, "Which key matters most", _reading(found), traces, spec)


def _up(found: Ranking) -> Spec:
    names = [safe(each.key.title) for each in found.keys[:MOST_KEYS]]
    count = len(names)
    return {"tickvals": list(range(count)), "ticktext": names, "range": [count - 0.4, -0.6], "showgrid": False}


def _bars(found: Ranking) -> list[Spec]:
    keys = found.keys[:MOST_KEYS]
    divided = found.method in ("variance", "Sobol")
    at = list(range(len(keys)))
    whole: Spec = {
        "type": "bar",
        "orientation": "h",
        "name": "with other keys" if divided else safe(found.measure),
        "legendgroup": "whole",
        "showlegend": divided,
        "y": at,
        "x": numbers([each.value for each in keys], 4),
        "text": [safe(each.key.title) for each in keys],
        "textposition": "none",
        "marker": {"color": faded(PALETTE[0], 0.35) if divided else PALETTE[0]},
        "hovertemplate": f"%{{text}}<br>{found.measure} %{{x:.3f}}<extra></extra>",
    }
    if any(np.isfinite(each.low) for each in keys):
        up, down = ([each.high - each.value for each in keys], [each.value - each.low for each in keys])
        bars: Spec = {"type": "data", "symmetric": False, "array": numbers(up, 4), "arrayminus": numbers(down, 4)}
        whole["error_x"] = {**bars, "color": TEXT, "thickness": 1.4, "width": 4}
    if not divided:
        return [whole]
    alone: Spec = {
        **{key: value for key, value in whole.items() if key != "error_x"},
        "name": "alone",
        "legendgroup": "alone",
        "x": numbers([max(each.alone, 0.0) for each in keys], 4),
        "marker": {"color": PALETTE[0]},
        "hovertemplate": "%{text}<br>alone %{x:.3f}<extra></extra>",
    }
    return [whole, alone]


def _noise(found: Ranking, reference: str) -> Spec:
    line = {"color": ARRIVALS, "width": 1.4, "dash": "dash"}
    at = round(found.noise, 4)
    return {
        "type": "line",
        "xref": f"x{reference}",
        "yref": f"y{reference} domain",
        "x0": at,
        "x1": at,
        "y0": 0,
        "y1": 1,
        "line": line,
    }


def _reading(found: list[Ranking]) -> str:
    methods = list(dict.fromkeys(each.method for each in found))
    parts = [READINGS[method] for method in methods]
    if any(np.isfinite(each.keys[0].low) for each in found):
        parts.append(f"Bars: 95 % intervals over the {' and '.join(dict.fromkeys(map(OVER.__getitem__, methods)))}.")
    else:
        parts.append("Intervals need at least five seeds that all settings have.")
    explained = [
        f"{100 * each.explained:.0f} % of {each.outcome.title}" for each in found if np.isfinite(each.explained)
    ]
    if explained:
        parts.append(
            f"Of the variance the regression explains {safe(', '.join(explained))}; the rest is not in the ranking."
        )
    if len(found[0].keys) > MOST_KEYS:
        parts.append(f"The first {MOST_KEYS} of {len(found[0].keys)} keys are drawn.")
    return " ".join(parts)
