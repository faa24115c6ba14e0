"""Parallel coordinates: a line a setting, an axis a key or outcome; part of an axis can be brushed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.sim import FloatArray, IntArray
from ipa.studies.many.answers import Outcome, Settings
from ipa.studies.pages.answers_text import SCALE, colour_bar, rounded, safe
from ipa.studies.pages.colours import LINE, faded
from ipa.studies.pages.plots import Plot, Spec, layout

MOST_LINES, MOST_KEYS = 300, 9
LONGEST_LEVEL = 14
FEW_LEVELS = 12

AXIS_WIDTH = 105
"""The room of an axis [pixels]."""


def parallel(settings: Settings, order: list[int], kept: IntArray, name: str = "parallel") -> Plot:
    """The keys at the places `order`, then the outcomes; the colour is the first outcome. `kept`: settings that are
    drawn in any case, where not all can be."""
    places = _drawn(settings, kept)
    axes = [_key(settings, place, places) for place in order[:MOST_KEYS]]
    axes += [_outcome(outcome, settings.means[outcome.column][places]) for outcome in settings.outcomes]
    first = settings.outcomes[0]
    trace: Spec = {
        "type": "parcoords",
        "name": "settings",
        "dimensions": axes,
        "line": {
            "color": rounded(first, settings.means[first.column][places]),
            "colorscale": SCALE,
            "showscale": True,
            "colorbar": colour_bar(first),
        },
        "unselected": {"line": {"color": LINE, "opacity": 0.25}},
        "labelfont": {"size": 12},
        "tickfont": {"size": 10},
        "rangefont": {"size": 1, "color": faded("#ffffff", 0.0)},
    }
    reading = (
        "A line is a setting, by its means over the seeds. Drag along an axis to keep the settings within a range, and "
        "click on it to let go; drag an axis' name to move it."
    )
    if len(places) < len(settings):
        reading += f" Of {len(settings):,} settings {len(places)} are drawn: the Pareto front, and others at random."
    if len(order) > MOST_KEYS:
        reading += f" The {MOST_KEYS} keys of {len(order)} that matter most are drawn."
    margin = {"l": 70, "r": 24, "t": 72, "b": 30}
    return Plot(
        name,
        "All keys and outcomes at once",
        reading,
        [trace],
        layout(446, margin=margin),
        AXIS_WIDTH * (len(axes) + 1),
    )


def _drawn(settings: Settings, kept: IntArray) -> IntArray:
    known = np.isfinite(np.array([settings.means[each.column] for each in settings.outcomes])).all(axis=0)
    there = np.flatnonzero(known)
    if len(there) <= MOST_LINES:
        return there
    first = kept[known[kept]][: MOST_LINES // 2]
    others = np.setdiff1d(there, first)
    chosen = np.random.default_rng(0).choice(others, MOST_LINES - len(first), replace=False)
    return np.sort(np.concatenate([first, chosen]))


def _key(settings: Settings, place: int, places: IntArray) -> Spec:
    key, codes = settings.keys[place], settings.codes[places, place]
    has_gaps = bool((settings.codes[:, place] < 0).any())
    if key.is_number and len(key.levels) > FEW_LEVELS and not has_gaps:
        return _axis(key.title, settings.numbers_of(place)[places], settings.numbers_of(place))
    shown: Sequence[int] = range(-1 if has_gaps else 0, len(key.levels))
    if len(shown) > 40:
        shown = shown[:: len(shown) // 20]
    names = [_cut(key.text(code)) for code in shown]
    return {
        "label": safe(key.title),
        "values": codes.tolist(),
        "range": [min(shown) - 0.2, len(key.levels) - 0.8],
        "tickvals": list(shown),
        "ticktext": names,
    }


def _outcome(outcome: Outcome, means: FloatArray) -> Spec:
    return _axis(outcome.title, outcome.factor * means, outcome.factor * means)


def _axis(title: str, values: FloatArray, of_all: FloatArray) -> Spec:
    low, high = float(of_all.min()), float(of_all.max())
    room = 0.02 * (high - low) or 0.5
    return {
        "label": safe(title),
        "values": [float(f"{value:.5g}") for value in values.tolist()],
        "range": [float(f"{low - room:.5g}"), float(f"{high + room:.5g}")],
    }


def _cut(name: str) -> str:
    return safe(name if len(name) <= LONGEST_LEVEL else f"{name[: LONGEST_LEVEL - 1]}…")
