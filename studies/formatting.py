"""Figures as people read them: a true minus, an interval in brackets.

Whatever people read has the true minus, U+2212: pages, plots, Markdown, the terminal. What programs read (JSON, CSV,
parquet) has the hyphen of ASCII, U+002D.
"""

from __future__ import annotations

from ipa.studies.intervals import Estimate

MINUS = "−"
NONE = "–"
"""Shown where there is no figure."""


def number(value: float, decimals: int) -> str:
    """A figure rounded to some decimals; what rounds to zero has no sign."""
    text = f"{value:,.{decimals}f}".replace("-", MINUS)
    return text if any(digit in "123456789" for digit in text) else text.removeprefix(MINUS)


def plus(value: float, decimals: int) -> str:
    """A difference with its sign; what rounds to zero has none."""
    text = number(value, decimals)
    return f"+{text}" if value > 0.0 and text.strip("0.,") else text


def signed(value: Estimate | None, decimals: int, unit: str) -> str:
    """A difference with its sign, its interval and its unit: `+2.1 [1.9, 2.3] PAS`."""
    if value is None:
        return f"no{unit.replace(' %', '')} to compare"
    text = plus(value.mean, decimals)
    if value.has_interval:
        text += f" [{number(value.low, decimals)}, {number(value.high, decimals)}]"
    return text + unit
