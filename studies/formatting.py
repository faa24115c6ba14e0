"""Figures as text for people: with a true minus, and intervals in brackets.

Pages, plots, Markdown and the terminal have the true minus, U+2212. Data for programs (JSON, CSV, parquet) has the
ASCII hyphen, U+002D.
"""

from __future__ import annotations

from ipa.studies.intervals import Estimate

MINUS = "−"
NONE = "–"
"""The text for a missing figure."""


def number(value: float, decimals: int) -> str:
    """A figure rounded to some decimals; zero has no sign."""
    text = f"{value:,.{decimals}f}".replace("-", MINUS)
    return text if any(digit in "123456789" for digit in text) else text.removeprefix(MINUS)


def plus(value: float, decimals: int) -> str:
    """A difference with its sign; zero has none."""
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
