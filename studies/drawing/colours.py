"""The colours of every page."""

from __future__ import annotations

PALETTE = (
    "#0b62a4",
    "#d1490c",
    "#12855c",
    "#8e4fa8",
    "#c98a00",
    "#3aa0c9",
    "#b83a6b",
    "#5f6b73",
    "#6b4423",
)
"""The colours of policies, systems, variants and worlds, by their place; distinct to colour-blind eyes and in print."""

TEXT = "#1d2429"
MUTED = "#66717a"
LINE = "#c9d0d5"
GRID = "#eceff1"
SLA_COLOUR = "#b3261e"
ARRIVALS = "#aab4bb"


def colour(place: int) -> str:
    """The colour for a place; after the last the first comes again."""
    return PALETTE[place % len(PALETTE)]


def faded(colour: str, opacity: float) -> str:
    """A colour #rrggbb made transparent."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def coloured(text: str, colour: str) -> str:
    """Bold text in a colour, for a plot's title."""
    return f'<b><span style="color:{colour}">{text}</span></b>'
