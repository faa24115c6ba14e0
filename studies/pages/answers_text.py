"""Figures and settings in the text of plots."""

from __future__ import annotations

from html import escape

import numpy as np

from ipa.sim import FloatArray
from ipa.studies.many.answers import Outcome, Settings
from ipa.studies.pages.colours import SHADES

SCALE = [[place / (len(SHADES) - 1), shade] for place, shade in enumerate(SHADES)]
"""The colours of an outcome, from low to high."""


def safe(text: str) -> str:
    """Text for a plot, which takes it as HTML."""
    return escape(text, quote=False)


def rounded(outcome: Outcome, values: FloatArray) -> list[float | None]:
    """Figures in the outcome's unit, finer than they are read."""
    return [
        round(outcome.factor * value, outcome.decimals + 2) if np.isfinite(value) else None for value in values.tolist()
    ]


def titles(settings: Settings, places: list[int]) -> list[str]:
    """Settings for what is shown under the pointer: a key a line."""
    return [safe(settings.title(place)).replace(", ", "<br>") for place in places]


def hover(outcome: Outcome, variable: str) -> str:
    """A line of what is shown under the pointer: `cost 2.41 cores`."""
    return f"{safe(outcome.title)} %{{{variable}:.{outcome.decimals}f}} {outcome.unit}".rstrip()


def colour_bar(outcome: Outcome) -> dict[str, object]:
    """The legend of an outcome's colours."""
    return {
        "title": {"text": safe(outcome.axis).replace(" [", "<br>["), "font": {"size": 12}},
        "thickness": 12,
        "outlinewidth": 0,
        "nticks": 6,
    }
