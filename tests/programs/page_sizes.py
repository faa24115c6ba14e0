"""Counts the words and lines of the pages written by hand: python -m tests.programs.page_sizes

Not those of docs/lookup/, which `make docs` writes, nor the changelog. Ends with 1 where there are too many.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
MOST_WORDS = 60_000
MOST_LINES = 400


def pages() -> list[Path]:
    by_hand = (page for page in sorted((ROOT / "docs").rglob("*.md")) if page.parent.name != "lookup")
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md", *by_hand]


def sizes() -> dict[str, tuple[int, int]]:
    """Page -> its words and lines."""
    texts = {str(page.relative_to(ROOT)): page.read_text(encoding="utf-8") for page in pages()}
    return {name: (len(text.split()), text.count("\n")) for name, text in texts.items()}


def problems(found: dict[str, tuple[int, int]]) -> list[str]:
    words = sum(words for words, _ in found.values())
    long = [f"{name}: {lines} lines; at most {MOST_LINES}" for name, (_, lines) in found.items() if lines > MOST_LINES]
    return [*long, *([f"{words:,} words in all; at most {MOST_WORDS:,}"] if words > MOST_WORDS else [])]


if __name__ == "__main__":
    found = sizes()
    for name, (words, lines) in sorted(found.items(), key=lambda each: each[1]):
        print(f"{words:6} words {lines:4} lines  {name}")
    print(f"{sum(words for words, _ in found.values()):6} words in all")
    sys.exit("; ".join(problems(found)) or 0)
