"""Conducts the study: its loads, its runs, a table as CSV and as Markdown, and one HTML page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ipa.studies.formatting import number
from ipa.studies.load_study.families import ALL, drawn
from ipa.studies.load_study.runs import BOUND, PIPELINES, POLICIES, WORLD, Row, cases_of, check, row_of
from ipa.studies.load_study.tables import OURS, Figures, Line, lines_of
from ipa.studies.many import Running, begun
from ipa.studies.pages import Cell, Page, Paragraph, Section, Strong, Table, write
from ipa.studies.runs.results import SCHEMA_VERSION, versions, write_text
from ipa.studies.scenario import Scenario

TABLE, MARKDOWN, PAGE = "table.csv", "table.md", "report.html"
READING = (
    "Means over pipelines and draws: objective (alpha x accuracy - beta x cores, with IPA's weights) / requests that "
    "missed the SLA, in percent / cores / PAS. Best simple choice: the causal policy but foresight of the highest "
    "objective among those with at most 0.1 points more late than the oracle, or else with the fewest late. Closed: "
    "the share of the gap between it and the oracle that foresight closes, cell by cell, none counted above 100 %; '-' "
    "where there is no gap."
)


@dataclass(frozen=True)
class Found:
    """The results of the study: its lines, and the errors of failed runs."""

    lines: Sequence[Line]
    failures: Sequence[str]


@dataclass(frozen=True)
class Loads:
    """Which loads are drawn: families, draws of each and seed; and the files of recordings."""

    families: Sequence[str] = ALL
    draws: int = 1
    seed: int = 1
    tweets: Path | None = None
    azure: Path | None = None


def conduct(asked: Loads, running: Running, pipelines: Sequence[str] = PIPELINES) -> Found:
    """Draw the loads, make the runs that the folder lacks, and write the table and the page.

    Each seed has its own loads, in its own folder inside. Raises TraceError if a file cannot be read, ScenarioError if
    a pipeline is a graph, and as `begun` and `Session.executor`.
    """
    check(pipelines)
    loads, folder = drawn(asked.families, asked.draws, asked.seed, asked.tweets, asked.azure), running.folder
    manifest = {"schema_version": SCHEMA_VERSION, "kind": "loads", "seed": asked.seed, **versions()}
    with begun(running, manifest, "objective") as session:
        cases = list(cases_of(loads, pipelines, asked.seed, folder / f"seed-{asked.seed}" / "loads"))
        with session.executor(Scenario.model_validate(planned.data) for _, planned in cases) as run:
            run((planned for _, planned in cases), len(cases))
        session.store.say_left_out((planned.key for _, planned in cases), "the table")
        found = [(cell, session.store.summaries([planned.key])[planned.key]) for cell, planned in cases]
        rows = [row_of(cell, summary) for cell, summary in found if isinstance(summary, dict)]
        lines = lines_of(rows)
        write_text(as_csv(lines), folder / TABLE)
        write_text(as_markdown(lines), folder / MARKDOWN)
        write(page(lines, rows, asked.seed), folder / PAGE)
    failures = [f"{tuple(cell)}: {error}" for cell, error in found if isinstance(error, str)]
    session.finish(failed_runs=failures)
    return Found(lines, failures)


def as_csv(lines: Sequence[Line]) -> str:
    """The lines as CSV, a row for every policy."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["world", "scale", "family", "policy", *Figures._fields, "is_best_simple", "closed"])
    for line in lines:
        for policy, each in line.figures.items():
            share = line.closed if policy == OURS and line.closed == line.closed else ""
            figures = [round(value, 4) for value in each]
            table.writerow([line.world, line.scale, line.family, policy, *figures, policy == line.best, share])
    return text.getvalue()


def as_dict(found: Found) -> dict[str, Any]:
    """All results, JSON-able."""
    lines = [
        {
            "world": line.world,
            "scale": line.scale,
            "family": line.family,
            "best_simple": line.best,
            "closed": line.closed if line.closed == line.closed else None,
            "policies": {policy: each._asdict() for policy, each in line.figures.items()},
        }
        for line in found.lines
    ]
    return {"lines": lines, "failures": list(found.failures)}


COLUMNS = ("world", "load", "best simple choice", "ipa", OURS, BOUND, "closed %")


def text_rows(lines: Sequence[Line]) -> Iterator[tuple[str, ...]]:
    """The rows under `COLUMNS`: objective, late, cores and PAS of the best simple policy, IPA, ours and the oracle."""
    for line in lines:
        load = line.family if line.world != WORLD else f"{line.family}, x {line.scale:g}"
        share = number(100 * line.closed, 0) if line.closed == line.closed else "-"
        best = f"{line.best}: {_four(line, line.best)}"
        yield (line.world, load, best, *(_four(line, policy) for policy in ("ipa", OURS, BOUND)), share)


def _four(line: Line, policy: str) -> str:
    if policy not in line.figures:
        return "-"
    each = line.figures[policy]
    return f"{number(each.objective, 1)} / {each.late_percent:.2f} / {each.cores:.1f} / {each.pas:.1f}"


def as_markdown(lines: Sequence[Line]) -> str:
    """The table in Markdown; figures are objective / late in % / cores / PAS."""
    head = [f"| {' | '.join(COLUMNS)} |", f"|{'---|' * (len(COLUMNS) - 1)}--:|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in text_rows(lines)), ""])


def page(lines: Sequence[Line], rows: Sequence[Row], seed: int) -> Page:
    """The study as a page: a table of choices, then every policy in every world."""
    pipelines = ", ".join(dict.fromkeys(row.cell.pipeline for row in rows))
    title = "Which policy for which load"
    choices = Table(title, COLUMNS, list(text_rows(lines)), css="many")
    worlds = dict.fromkeys(line.world for line in lines)
    return Page(
        f"{title}: {pipelines}",
        [f"{len(POLICIES)} policies in {len(worlds)} worlds; loads drawn by seed {seed}"],
        [
            Section(title, [Paragraph(READING), choices]),
            *(
                Section(world.capitalize(), [_every_policy([line for line in lines if line.world == world])])
                for world in worlds
            ),
        ],
    )


def _every_policy(lines: Sequence[Line]) -> Table:
    columns = ["policy", *(f"{line.family}, x {line.scale:g}" for line in lines)]
    rows = [[Cell(policy, is_heading=True), *(_cell(line, policy) for line in lines)] for policy in POLICIES]
    return Table(f"every policy, {lines[0].world}", columns, rows, css="many")


def _cell(line: Line, policy: str) -> str | Cell:
    if policy not in line.figures:
        return "-"
    each = line.figures[policy]
    objective = number(each.objective, 1)
    small = f"{each.late_percent:.2f} ({each.most_late_percent:.2f}) % late, {each.cores:.1f} cores, PAS {each.pas:.1f}"
    return Cell([Strong(objective)] if policy == line.best else objective, small)
