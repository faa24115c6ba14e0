"""A table of text, which the page, Markdown and the terminal show alike."""

from __future__ import annotations

from dataclasses import dataclass

from ipa.studies.drawing import number

NONE = "–"
"""Shown where there is nothing."""


@dataclass(frozen=True)
class Sheet:
    """A table: the first `names` columns are names, the others figures."""

    title: str
    reading: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    names: int = 1


def plus(value: float, decimals: int) -> str:
    """A figure with its sign."""
    text = number(value, decimals)
    return f"+{text}" if value > 0.0 and text.strip("0.,") else text
