"""Refreshes docs/paper.md from a finished study: python -m tests.studies.paper_page FOLDER

A section of the page under a heading of the third level that FOLDER/tables.md or FOLDER/decision_times.md has too is
taken over from there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from ipa.studies.study.course import TABLES, TIMES

PAGE = Path(__file__).parents[2] / "docs" / "paper.md"


def sections(text: str) -> dict[str, str]:
    """Heading of the third level -> its section, up to the next heading of any level; the first of each name."""
    found: dict[str, str] = {}
    for match in re.finditer(r"^### ([^\n]+)\n(.*?)(?=^#|\Z)", text, re.MULTILINE | re.DOTALL):
        found.setdefault(match[1], match[2])
    return found


def refreshed(page: str, tables: str) -> str:
    """The page with the sections of the tables."""
    fresh = sections(tables)
    for heading, section in sections(page).items():
        if heading in fresh:
            page = page.replace(f"### {heading}\n{section}", f"### {heading}\n{fresh[heading].rstrip()}\n\n")
    return page


if __name__ == "__main__":
    tables = "\n".join(Path(sys.argv[1], name).read_text(encoding="utf-8") for name in (TABLES, TIMES))
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8"), tables), encoding="utf-8")
