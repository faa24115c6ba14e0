"""The findings as one Markdown file, to read without a browser or to paste into a page."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from ipa.studies.intervals import held_fixed
from ipa.studies.many.study import sheets
from ipa.studies.many.study.conclusions import StudyFindings
from ipa.studies.many.study.findings import Findings, comparisons, sentence
from ipa.studies.many.study.sheets import Sheet
from ipa.studies.many.study.tables import match_row


def render(found: StudyFindings) -> str:
    """The whole file."""
    return "\n".join(_lines(found))


def render_times(found: StudyFindings) -> str:
    """The file of decision times, published and ours; a separate file, as they differ each time."""
    return "\n".join(table(sheets.decision_times(found)))


def _lines(found: StudyFindings) -> Iterator[str]:
    yield from (f"# Study {found.plan.name}", "", f"{ran_on(found)}.", "")
    if found.failures:
        yield from table(sheets.failures(found))
    if found.compared:
        yield from _against_published(found)
    if found.plan.published:
        yield from _with_rows(sheets.loads(found))
    for setting in found.full_settings:
        yield from table(sheets.overall(found, setting))
        yield from _with_rows(sheets.bounds(found, setting))
    for setting in dict.fromkeys(match.other.setting for match in found.matches):
        yield from (f"## Headline: {found.setting_title(setting)}", "")
        for measure in ("measured", "planned"):
            yield from table(sheets.headline(found, setting, measure))
    for setting in found.swept_settings:
        yield from _with_rows(sheets.lost(found, setting))
        for sheet in sheets.named_points(found, setting):
            yield from table(sheet)
    for setting in found.settings:
        for findings in found.findings:
            yield from _of_pipeline(found, findings, setting)


def _against_published(found: StudyFindings) -> Iterator[str]:
    """Our figures compared with the published ones, in the first setting."""
    yield from table(sheets.score(found))
    first = found.settings[0]
    yield from table(sheets.cells(found, first))
    misplaced = sheets.misplaced(found, first)
    yield from (f"Not in the published order: {'; '.join(misplaced) or 'none'}.", "")
    yield from table(sheets.seen_most(found, first))
    yield from table(sheets.forecasts(found))
    if DEFECT in found.settings:
        yield from ("### The optimiser's defect", "", sheets.queue_term(found, first, DEFECT), "")


def _of_pipeline(found: StudyFindings, findings: Findings, setting: str) -> Iterator[str]:
    """The table of a pipeline's systems in a setting, and sentences on them; nothing if there are none."""
    sheet = sheets.systems(findings, setting)
    if sheet.rows:
        yield from (f"## {findings.pipeline}: {found.setting_title(setting)}", "")
        yield from table(sheet)
        yield from (f"- {workload}: {text}" for workload, text in sheets.sentences(findings, setting))
        yield ""


def _with_rows(sheet: Sheet) -> Iterator[str]:
    """The table, if it has rows."""
    return table(sheet) if sheet.rows else iter(())


DEFECT = "queue-term"
"""The setting with the published optimiser's defect."""


def ran_on(found: StudyFindings) -> str:
    """The runs, pipelines, loads and seeds, in words."""
    plan = found.plan
    seeds = "1 seed" if plan.seeds == 1 else f"seeds 1 to {plan.seeds}"
    pipelines = ", ".join(dict.fromkeys(trial.pipeline for trial in plan.trials))
    failed = f"; {len(found.failures)} runs failed" if found.failures else ""
    return f"{len(plan.trials):,} runs of {pipelines} on {plan.loads}, {seeds}{failed}"


def table(sheet: Sheet) -> Iterator[str]:
    """A sheet as Markdown, with its title."""
    yield f"### {sheet.title}"
    yield ""
    yield sheet.reading
    yield ""
    yield f"| {' | '.join(sheet.columns)} |"
    yield f"|{'---|' * sheet.names}{'---:|' * (len(sheet.columns) - sheet.names)}"
    for row in sheet.rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"
    yield ""


# The findings of a study in brief, for people and as plain data.


def as_dict(found: StudyFindings, folder: Path) -> dict[str, Any]:
    """The findings, JSON-able: scores, headline, comparisons, recommendations; null for missing figures."""
    return {
        "study": found.plan.name,
        "folder": str(folder),
        "runs": len(found.plan.trials),
        "seeds": found.plan.seeds,
        "real_trace": found.plan.has_real_trace,
        "failed": [each.as_dict() for each in found.failures],
        "scores": {
            setting: {part: None if given is None else asdict(given) for part, given in found.scores(setting).items()}
            for setting in found.settings
        },
        "headline": [
            {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}
            for row in map(match_row, found.matches)
        ],
        "comparisons": [
            {"setting": each.one.setting, "sentence": sentence(findings, each)}
            for findings in found.findings
            for each in comparisons(findings)
        ],
        "recommendations": [
            {"pipeline": pipeline, "setting": setting, **taken.as_dict()}
            for pipeline, setting, taken in found.recommendations()
        ],
    }


def brief(found: StudyFindings, folder: Path) -> Iterator[str | Sheet]:
    """The findings in brief, lines and tables: the score, the headline, recommendations, and where the rest is."""
    yield ran_on(found)
    if found.failures:
        yield sheets.failures(found)
    if not found.findings:
        return
    if found.compared:
        yield sheets.score(found)
    headline = sheets.headline(found, found.settings[0], "measured", brief=True)
    if headline.rows:
        yield headline
    for findings in found.findings if not headline.rows else ():
        for each in comparisons(findings):
            yield f"{sentence(findings, each)} ({each.one.setting})"
        if len(findings.seeds) > 1 and (said := held_fixed(findings.traces)):
            yield said
    for pipeline, setting, taken in found.recommendations():
        if setting == found.full_settings[0]:
            yield f"{pipeline}: {' '.join(taken.sentences)}"
    for what, name in (("Report", "report.html"), ("Tables", "tables.md")):
        yield f"{what}: {folder / name}"
