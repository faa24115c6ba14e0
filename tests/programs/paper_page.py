"""Refreshes the two pages on the paper's study from a finished one: python -m tests.studies.paper_page FOLDER

Each section of docs/paper-details.md whose heading, of the third level, is also in FOLDER/tables.md or
FOLDER/decision_times.md is replaced by that one. Its tables of named points are digests of FOLDER/tables.md, and the
tables of docs/paper.md, and its five sentences, are digests of the sections of docs/paper-details.md.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from ipa.studies.drawing import MINUS
from ipa.studies.many.study.course import TABLES, TIMES

PAGE = Path(__file__).parents[2] / "docs" / "paper.md"
DETAILS = PAGE.with_name("paper-details.md")

PUBLISHED = "published settings"
DEFAULTS = "own defaults"
NO_MATCH = "IPA has none"
"""Where the whole of IPA's curve is dearer, or less accurate."""

FAR_PERCENT = 5.0
"""Cells whose cost differs by more are listed."""


Digest = Callable[[Mapping[str, str]], list[list[str]]]
"""From sections by heading to the cells of a table."""


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


# ---- digests of the details ----


def figure(text: str) -> float:
    """A figure as the pages write it."""
    return float(text.replace(MINUS, "-").replace("%", "").replace(",", "").strip())


def rows(section: str) -> list[list[str]]:
    """The cells of a section's first table, without its header."""
    table = re.search(r"^\|.*?\n(?!\|)", section, re.MULTILINE | re.DOTALL)
    lines = table[0].splitlines() if table else []
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:]]


def span(figures: Iterable[str], unit: str = "") -> str:
    """The least and the greatest of some figures, or the one that they are."""
    ordered = sorted(set(figures), key=figure)
    return (" to ".join([ordered[0], ordered[-1]][: len(ordered)]) + unit) if ordered else ""


def agreement(details: Mapping[str, str]) -> list[list[str]]:
    return [row[1:] for row in rows(details["Agreement with the published cells"]) if row[0] == PUBLISHED]


def far_cells(details: Mapping[str, str]) -> list[list[str]]:
    return [row[:6] for row in rows(details["Published cells beside ours"]) if abs(figure(row[5])) > FAR_PERCENT]


def gains(details: Mapping[str, str], measure: str = "measured") -> list[list[str]]:
    """Of each pipeline the range over the loads: what IPA gains or saves, and how many more violations it has."""
    table = rows(details[f"The headline, {measure}"])
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


def systems(details: Mapping[str, str]) -> list[list[str]]:
    """Of each system, for every pipeline: cost, PAS and SLA violations."""
    found: dict[str, list[str]] = {}
    for _, system, cost, pas, violations, *_ in rows(details[f"Every system, {PUBLISHED}"]):
        found.setdefault(system, [system]).append(f"{cost} / {pas} / {violations}")
    return list(found.values())


# ---- digests of the named points ----


def points(tables: Mapping[str, str], heading: str) -> dict[tuple[str, str], dict[str, dict[str, str]]]:
    """Pipeline and workload -> point -> column -> figure, of a sweep with named points."""
    columns = [cell.strip() for cell in tables[heading].split("\n| ", 1)[1].split("\n", 1)[0].split("|")]
    found: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for pipeline, workload, point, *figures in rows(tables[heading]):
        found.setdefault((pipeline, workload), {})[point] = dict(zip(columns[3:], figures, strict=False))
    return found


def dynamics(tables: Mapping[str, str]) -> list[list[str]]:
    """For each pipeline and load: IPA's SLA violations with each change."""
    return [
        [*name, *(each["SLA violations, %"] for each in of.values())]
        for name, of in points(tables, "What makes requests late").items()
    ]


def preferences(tables: Mapping[str, str]) -> list[list[str]]:
    """For each pipeline and load: cost, PAS and SLA violations with each of the published preferences."""
    return [
        [*name, *(f"{each['cost, cores']} / {each['PAS']} / {each['SLA violations, %']}" for each in of.values())]
        for name, of in points(tables, "The published preferences").items()
    ]


OF_TABLES = {
    "Lost with each forecast": lambda tables: rows(tables["Lost, published and ours"]),
    "IPA's SLA violations without each of these": dynamics,
    "Preferences": preferences,
}
"""Heading of docs/paper-details.md -> the body of its first table, from the sections of FOLDER/tables.md."""


def lost_of_two(details: Mapping[str, str]) -> list[list[str]]:
    """What was lost on the two pipelines of which it is published, without the load, which is bursty."""
    return [[row[0], *row[2:]] for row in rows(details["Lost with each forecast"]) if row[0] in ("video", "audio-qa")]


DIGESTS = {
    "Agreement": agreement,
    "Lost with each forecast": lost_of_two,
    "Why some cells differ": far_cells,
    "Gains and savings": gains,
    "Every system": systems,
}
"""Heading of docs/paper.md -> the body of its first table, from the sections of the details."""


def digested(page: str, source: str, digests: Mapping[str, Digest] = DIGESTS) -> str:
    """The page with its tables made from the sections of another text."""
    known = sections(source)
    for heading, digest in digests.items():
        start = re.search(rf"^### {re.escape(heading)}\n.*?^\|---[^\n]*\n", page, re.MULTILINE | re.DOTALL)
        assert start, f"no table under {heading!r}"
        after = re.sub(r"\A(\|[^\n]*\n)+", "", page[start.end() :])
        page = page[: start.end()] + "".join(f"| {' | '.join(row)} |\n" for row in digest(known)) + after
    return page


def with_section(page: str, heading: str, text: str) -> str:
    """The page with another text below a heading of the third level."""
    return page.replace(f"### {heading}\n{sections(page)[heading]}", f"### {heading}\n{text}")


if __name__ == "__main__":
    from tests.studies import paper_sentences

    tables = "\n".join(Path(sys.argv[1], name).read_text(encoding="utf-8") for name in (TABLES, TIMES))
    details = refreshed(DETAILS.read_text(encoding="utf-8"), tables).rstrip() + "\n"
    details = digested(details, tables, OF_TABLES)
    DETAILS.write_text(details, encoding="utf-8")
    page = digested(PAGE.read_text(encoding="utf-8"), details)
    page = with_section(page, paper_sentences.HEADING, paper_sentences.section(sections(details)))
    PAGE.write_text(page, encoding="utf-8")
