"""Refreshes docs/paper.md from the folder of a finished study: python -m tests.programs.paper_page FOLDER

The page's tables, and its five sentences, are digests of FOLDER/tables.md, which has every cell.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ipa.studies.formatting import MINUS
from ipa.studies.many.study.run import TABLES
from tests.programs import paper_sentences
from tests.programs.paper_tables import DEFAULTS, NO_MATCH, PUBLISHED, figure, rows, sections, span

PAGE = Path(__file__).parents[2] / "docs" / "paper.md"

FAR_PERCENT = 5.0
"""Cells whose cost differs by more are listed."""

SHOWN = ("video", "audio-qa")
"""The pipelines of which cells, and lost requests, are published."""

COMPARED = ("IPA", "FA2-low", "FA2-high", "RIM", "foresight", "oracle (bound)")
"""The systems of which the page has the figures on every pipeline: all but the autoscalers."""


def agreement(tables: Mapping[str, str]) -> list[list[str]]:
    return [row[1:] for row in rows(tables["Agreement with the published cells"]) if row[0] == PUBLISHED]


def far_cells(tables: Mapping[str, str]) -> list[list[str]]:
    return [row[:6] for row in rows(tables["Published cells beside ours"]) if abs(figure(row[5])) > FAR_PERCENT]


def lost(tables: Mapping[str, str]) -> list[list[str]]:
    """What was lost with each forecast, without the load, which is bursty."""
    return [[row[0], *row[2:]] for row in rows(tables["Lost, published and ours"]) if row[0] in SHOWN]


def gains(tables: Mapping[str, str]) -> list[list[str]]:
    """Of each pipeline the range over the loads: what IPA gains or saves, and how many more violations it has."""
    table = rows(tables["The headline, measured"])
    found = []
    for pipeline in dict.fromkeys(row[0] for row in table):
        columns = zip(*(row[2:] for row in table if row[0] == pipeline), strict=True)
        found.append([pipeline, *(_gain(column) for column in columns)])
    return found


def _gain(cells: Iterable[str]) -> str:
    gained, violations = [], []
    for cell in cells:
        if cell == NO_MATCH:
            continue
        first, more = re.match(r"(?:≈ )?(\S+)", cell), re.search(rf"violations ([+{MINUS}\d.]+)", cell)
        assert first, cell
        assert more, cell
        gained.append(first[1])
        violations.append(more[1])
    return f"{span(gained)} ({span(violations)})" if gained else NO_MATCH


def adaptive_systems(tables: Mapping[str, str]) -> list[list[str]]:
    """Of each system but the autoscalers, for every pipeline: cost, PAS and SLA violations."""
    found: dict[str, list[str]] = {}
    for _, system, cost, pas, violations, *_ in rows(tables[f"Every system, {DEFAULTS}"]):
        found.setdefault(system, [system]).append(f"{cost} / {pas} / {violations}")
    return [found[system] for system in COMPARED]


DIGESTS: Mapping[str, Callable[[Mapping[str, str]], list[list[str]]]] = {
    "Agreement": agreement,
    "Why some cells differ": far_cells,
    "Lost with each forecast": lost,
    "Gains and savings": gains,
    "The systems, own defaults": adaptive_systems,
}
"""Heading of docs/paper.md -> the body of its first table, from the sections of FOLDER/tables.md."""


def refreshed(page: str, text: str) -> str:
    """The page with the tables, and the sentences, that follow from the text of FOLDER/tables.md."""
    tables = sections(text)
    for heading, digest in DIGESTS.items():
        page = with_table(page, heading, digest(tables))
    heading = paper_sentences.HEADING
    return page.replace(
        f"### {heading}\n{sections(page)[heading]}", f"### {heading}\n{paper_sentences.section(tables)}"
    )


def with_table(page: str, heading: str, rows: Iterable[Iterable[str]]) -> str:
    """The page with another body of the first table under a heading."""
    start = re.search(rf"^### {re.escape(heading)}\n.*?^\|---[^\n]*\n", page, re.MULTILINE | re.DOTALL)
    assert start, f"no table under {heading!r}"
    after = re.sub(r"\A(\|[^\n]*\n)+", "", page[start.end() :])
    return page[: start.end()] + "".join(f"| {' | '.join(row)} |\n" for row in rows) + after


if __name__ == "__main__":
    text = Path(sys.argv[1], TABLES).read_text(encoding="utf-8")
    PAGE.write_text(refreshed(PAGE.read_text(encoding="utf-8"), text), encoding="utf-8")
