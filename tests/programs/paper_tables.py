"""The tables of the paper's study as text: sections by heading, rows of cells, figures."""

from __future__ import annotations

import re
from collections.abc import Iterable

from ipa.studies.formatting import MINUS

PUBLISHED = "published settings"
DEFAULTS = "own defaults"
NO_MATCH = "IPA has none"
"""Where the whole of IPA's curve is dearer, or less accurate."""


def sections(text: str) -> dict[str, str]:
    """Heading of the third level -> its section, up to the next heading of any level; the first of each name."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^### ([^\n]+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL):
        found.setdefault(match[1], match[2])
    return found


def figure(text: str) -> float:
    """A figure as the tables write it."""
    return float(text.replace(MINUS, "-").replace("%", "").replace(",", "").strip())


def rows(section: str) -> list[list[str]]:
    """The cells of a section's first table, without its header."""
    table = re.search(r"^\|.*?\n(?!\|)", section, re.MULTILINE | re.DOTALL)
    lines = table[0].splitlines() if table else []
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def span(figures: Iterable[str]) -> str:
    """The least and the greatest of some figures, or the one that they are."""
    ordered = sorted(set(figures), key=figure)
    return " to ".join([ordered[0], ordered[-1]][: len(ordered)]) if ordered else ""
