"""What a study has found in brief, for people and as plain data."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from ipa.studies.many.study import sheets
from ipa.studies.many.study.compare import comparisons, sentence
from ipa.studies.many.study.found import Found
from ipa.studies.many.study.markdown import ran_on
from ipa.studies.many.study.sheets import Sheet
from ipa.studies.many.study.tables import match_row


def as_dict(found: Found, folder: Path) -> dict[str, Any]:
    """What was found, JSON-able: scores, headline, comparisons; null for what is not there."""
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
    }


def brief(found: Found, folder: Path) -> Iterator[str | Sheet]:
    """What people read first: lines and tables, the score and the headline, then where the rest is."""
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
    for what, name in (("Report", "report.html"), ("Tables", "tables.md")):
        yield f"{what}: {folder / name}"
