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


def render(all_findings: StudyFindings) -> str:
    """The whole file."""
    return "\n".join(_lines(all_findings))


def render_times(all_findings: StudyFindings) -> str:
    """The file of decision times, published and ours; a separate file, as they differ each time."""
    return "\n".join(table(sheets.decision_times(all_findings)))


def _lines(all_findings: StudyFindings) -> Iterator[str]:
    yield from (f"# Study {all_findings.plan.name}", "", f"{ran_on(all_findings)}.", "")
    if all_findings.failures:
        yield from table(sheets.failures(all_findings))
    if all_findings.compared:
        yield from _against_published(all_findings)
    if all_findings.plan.published:
        yield from _with_rows(sheets.loads(all_findings))
    for setting in all_findings.full_settings:
        yield from table(sheets.overall(all_findings, setting))
        yield from _with_rows(sheets.bounds(all_findings, setting))
    for setting in dict.fromkeys(match.other.setting for match in all_findings.matches):
        yield from (f"## Headline: {all_findings.setting_title(setting)}", "")
        for measure in ("measured", "planned"):
            yield from table(sheets.headline(all_findings, setting, measure))
    for setting in all_findings.swept_settings:
        yield from _with_rows(sheets.lost(all_findings, setting))
        for sheet in sheets.named_points(all_findings, setting):
            yield from table(sheet)
    for setting in all_findings.settings:
        for findings in all_findings.findings:
            yield from _of_pipeline(all_findings, findings, setting)


def _against_published(all_findings: StudyFindings) -> Iterator[str]:
    """Our figures compared with the published ones, in the first setting."""
    yield from table(sheets.score(all_findings))
    first = all_findings.settings[0]
    yield from table(sheets.cells(all_findings, first))
    misplaced = sheets.misplaced(all_findings, first)
    yield from (f"Not in the published order: {'; '.join(misplaced) or 'none'}.", "")
    yield from table(sheets.seen_most(all_findings, first))
    yield from table(sheets.forecasts(all_findings))
    if DEFECT in all_findings.settings:
        yield from ("### The optimiser's defect", "", sheets.queue_term(all_findings, first, DEFECT), "")


def _of_pipeline(all_findings: StudyFindings, findings: Findings, setting: str) -> Iterator[str]:
    """The table of a pipeline's systems in a setting, and sentences on them; nothing if there are none."""
    sheet = sheets.systems(findings, setting)
    if sheet.rows:
        yield from (f"## {findings.pipeline}: {all_findings.setting_title(setting)}", "")
        yield from table(sheet)
        yield from (f"- {workload}: {text}" for workload, text in sheets.sentences(findings, setting))
        yield ""


def _with_rows(sheet: Sheet) -> Iterator[str]:
    """The table, if it has rows."""
    return table(sheet) if sheet.rows else iter(())


DEFECT = "queue-term"
"""The setting with the published optimiser's defect."""


def ran_on(all_findings: StudyFindings) -> str:
    """The runs, pipelines, loads and seeds, in words."""
    plan = all_findings.plan
    seeds = "1 seed" if plan.seeds == 1 else f"seeds 1 to {plan.seeds}"
    pipelines = ", ".join(dict.fromkeys(trial.pipeline for trial in plan.trials))
    failed = f"; {len(all_findings.failures)} runs failed" if all_findings.failures else ""
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


def as_dict(all_findings: StudyFindings, folder: Path) -> dict[str, Any]:
    """The findings, JSON-able: scores, headline, comparisons, recommendations; null for missing figures."""
    return {
        "study": all_findings.plan.name,
        "folder": str(folder),
        "runs": len(all_findings.plan.trials),
        "seeds": all_findings.plan.seeds,
        "real_trace": all_findings.plan.has_real_trace,
        "failed": [failure.as_dict() for failure in all_findings.failures],
        "scores": {
            setting: {
                part: None if part_score is None else asdict(part_score)
                for part, part_score in all_findings.scores(setting).items()
            }
            for setting in all_findings.settings
        },
        "headline": [
            {key: None if isinstance(value, float) and not isfinite(value) else value for key, value in row.items()}
            for row in map(match_row, all_findings.matches)
        ],
        "comparisons": [
            {"setting": failure.one.setting, "sentence": sentence(findings, failure)}
            for findings in all_findings.findings
            for failure in comparisons(findings)
        ],
        "recommendations": [
            {"pipeline": pipeline, "setting": setting, **recommendation.as_dict()}
            for pipeline, setting, recommendation in all_findings.recommendations()
        ],
    }


def brief(all_findings: StudyFindings, folder: Path) -> Iterator[str | Sheet]:
    """The findings in brief, lines and tables: the score, the headline, recommendations, and where the rest is."""
    yield ran_on(all_findings)
    if all_findings.failures:
        yield sheets.failures(all_findings)
    if not all_findings.findings:
        return
    if all_findings.compared:
        yield sheets.score(all_findings)
    headline = sheets.headline(all_findings, all_findings.settings[0], "measured", brief=True)
    if headline.rows:
        yield headline
    for findings in all_findings.findings if not headline.rows else ():
        for comparison in comparisons(findings):
            yield f"{sentence(findings, comparison)} ({comparison.one.setting})"
        if len(findings.seeds) > 1 and (held := held_fixed(findings.traces)):
            yield held
    for pipeline, setting, recommendation in all_findings.recommendations():
        if setting == all_findings.full_settings[0]:
            yield f"{pipeline}: {' '.join(recommendation.sentences)}"
    for title, name in (("Report", "report.html"), ("Tables", "tables.md")):
        yield f"{title}: {folder / name}"
