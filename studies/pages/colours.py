"""The colours of every page, the explorer's too, in a light and in a dark theme.

Pages and plots are written in the colours of the light theme. `DARK` maps each to its counterpart, which the page's
script uses where the screen asks for the dark theme; a colour not in it is the same in both.
"""

from __future__ import annotations

PALETTE = (
    "#0b62a4",
    "#d1490c",
    "#12855c",
    "#8e4fa8",
    "#c08400",
    "#2f93bb",
    "#b83a6b",
    "#5f6b73",
    "#6b4423",
    "#2b3aa8",
    "#6f7a00",
    "#cf3f98",
    "#00807f",
    "#64203a",
    "#7466e0",
    "#3f7a1f",
)
"""The colours of policies, systems, variants and worlds, by their place. The first nine are distinct to colour-blind
readers and in print; figures with more add a dash or a symbol."""

HUES = (("#d6e6f4", "#08306b"), ("#e2f0d9", "#0d4a26"), ("#fbe3cf", "#7a2c05"), ("#e9e0f1", "#3d1766"))
"""For each stage of a pipeline, the light and the dark end of its colours; the same in both themes."""

BACKGROUND = "#ffffff"
TEXT = "#1d2429"
MUTED = "#626d76"
LINE = "#c9d0d5"
GRID = "#eceff1"
SLA_COLOUR = "#b3261e"
ARRIVALS = "#88949c"
FILL = "#e7ebee"
GOOD = "#0f7a54"
DOUBTFUL = "#8a5f00"
BAD = SLA_COLOUR

FAILED = "#6d3f8c"
SHADES = ("#5a97c9", "#3f80b8", "#2669a3", "#0f5288", "#083a63")
"""From few to many."""

ON_LIGHT = "#1d242a"
ON_DARK = "#fefefe"
"""The colour of text on an area whose colour is the same in both themes."""

DARK = {
    "#0b62a4": "#5aa9e6",
    "#d1490c": "#f08a4b",
    "#12855c": "#3fb581",
    "#8e4fa8": "#c08ad9",
    "#c08400": "#e3b341",
    "#2f93bb": "#8fdcf5",
    "#b83a6b": "#ee7ba6",
    "#5f6b73": "#a3afb7",
    "#6b4423": "#b98d63",
    "#2b3aa8": "#8f9cf5",
    "#6f7a00": "#c3d150",
    "#cf3f98": "#ff9ed2",
    "#00807f": "#4fd6d9",
    "#64203a": "#d98aa5",
    "#7466e0": "#b3acff",
    "#3f7a1f": "#94d873",
    BACKGROUND: "#15191c",
    TEXT: "#e6eaed",
    MUTED: "#9ca7af",
    LINE: "#4a545b",
    GRID: "#272d32",
    SLA_COLOUR: "#ff7b72",
    ARRIVALS: "#75818a",
    FILL: "#2b3338",
    GOOD: "#4cc38a",
    DOUBTFUL: "#e3b342",
    FAILED: "#b58ad0",
    "#5a97c9": "#3f79a8",
    "#3f80b8": "#5590bf",
    "#2669a3": "#70a8d6",
    "#0f5288": "#92c2ea",
    "#083a63": "#bfe0ff",
}
"""A colour of the light theme -> its counterpart in the dark one."""


def colour(place: int) -> str:
    """The colour for a place; the palette repeats."""
    return PALETTE[place % len(PALETTE)]


def faded(colour: str, opacity: float) -> str:
    """A colour #rrggbb made transparent."""
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red},{green},{blue},{opacity:g})"


def between(light: str, dark: str, depth: float) -> str:
    """A colour between two of the form #rrggbb; `depth` is from 0 (the light one) to 1 (the dark one)."""
    ends = [[int(colour[at : at + 2], 16) for at in (1, 3, 5)] for colour in (light, dark)]
    return "#" + "".join(f"{round(a + (b - a) * depth):02x}" for a, b in zip(*ends, strict=True))


def coloured(text: str, colour: str) -> str:
    """Bold text beside a patch of the colour, for a plot's title: not every colour is dark enough for text."""
    return f'<span style="color:{colour}">■</span> <b style="color:{TEXT}">{text}</b>'


def in_css(colour: str) -> str:
    """A colour for a style of the page, which follows the theme."""
    return f"var(--{colour.removeprefix('#')})"


NAMES = {
    "back": BACKGROUND,
    "text": TEXT,
    "muted": MUTED,
    "line": LINE,
    "grid": GRID,
    "fill": FILL,
    "link": PALETTE[0],
    "bad": BAD,
    **{f"c{place}": colour for place, colour in enumerate(PALETTE)},
}
"""Names of colours for style sheets and scripts: `c0` is that of the first policy."""


def style_of_themes() -> str:
    """The style sheet that gives each colour its value: the dark theme on screens that ask for it, never on paper."""
    light, dark = (
        " ".join(f"--{name.removeprefix('#')}: {value};" for name, value in theme)
        for theme in (((name, name) for name in DARK), DARK.items())
    )
    names = " ".join(f"--{name}: {in_css(colour) if colour in DARK else colour};" for name, colour in NAMES.items())
    return (
        f":root {{ color-scheme: light; {light} {names} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{ :root {{ color-scheme: dark; {dark} }} }}\n"
    )
