"""The colours of both themes can be told from what is behind them, as WCAG 2.2 asks at level AA."""

from __future__ import annotations

import pytest

from ipa.studies.pages.colours import (
    ARRIVALS,
    BACKGROUND,
    BAD,
    DARK,
    DOUBTFUL,
    FAILED,
    GOOD,
    MUTED,
    ON_DARK,
    ON_LIGHT,
    PALETTE,
    SHADES,
    SLA_COLOUR,
    TEXT,
    in_css,
    style_of_themes,
)

LIGHT = {colour: colour for colour in DARK}


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio (WCAG 2.2)."""
    darker, lighter = sorted(map(luminance, (one, other)))
    return (lighter + 0.05) / (darker + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("text", [TEXT, MUTED, PALETTE[0], GOOD, DOUBTFUL, BAD])
def test_text_has_a_contrast_of_4_5(theme: dict[str, str], text: str) -> None:
    assert contrast(theme[text], theme[BACKGROUND]) >= 4.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("line", [*PALETTE, *SHADES, SLA_COLOUR, ARRIVALS, FAILED])
def test_lines_have_a_contrast_of_3(theme: dict[str, str], line: str) -> None:
    assert contrast(theme[line], theme[BACKGROUND]) >= 3.0


def test_what_is_the_same_in_both_themes_has_no_counterpart() -> None:
    assert not {ON_LIGHT, ON_DARK} & set(DARK)
    assert len(set(DARK.values())) == len(DARK), "two colours that differ do so in the dark too"


def test_the_style_has_every_colour_in_both_themes_and_the_dark_one_on_screens_only() -> None:
    light, dark = style_of_themes().splitlines()
    assert dark.startswith("@media screen and (prefers-color-scheme: dark)")
    for colour, other in DARK.items():
        name = in_css(colour)[4:-1]
        assert f"{name}: {colour};" in light
        assert f"{name}: {other};" in dark
