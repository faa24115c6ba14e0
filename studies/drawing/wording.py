"""Figures as people read them: a true minus, an interval in brackets."""

from __future__ import annotations

from ipa.studies.intervals import Estimate

MINUS = "−"


def number(value: float, decimals: int) -> str:
    """A figure rounded to some decimals; what rounds to zero has no sign."""
    text = f"{value:,.{decimals}f}".replace("-", MINUS)
    return text if any(digit in "123456789" for digit in text) else text.removeprefix(MINUS)


def signed(value: Estimate | None, decimals: int, unit: str) -> str:
    """A difference with its sign, its interval and its unit: `+2.1 [1.9, 2.3] PAS`."""
    if value is None:
        return f"no{unit.replace(' %', '')} to compare"
    text = number(value.mean, decimals)
    text = f"+{text}" if value.mean > 0.0 and text.strip("0.") else text
    if value.has_interval:
        text += f" [{number(value.low, decimals)}, {number(value.high, decimals)}]"
    return text + unit
