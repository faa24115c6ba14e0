"""What `ipa study` prints."""

from __future__ import annotations

from dataclasses import asdict
from math import isfinite
from pathlib import Path
from typing import Any

from ipa.studies.commands import printing as terminal
from ipa.studies.study import sheets
from ipa.studies.study.compare import comparisons, sentence
from ipa.studies.study.found import Found
from ipa.studies.study.markdown import ran_on
from ipa.studies.study.tables import match_row


def as_dict(found: Found, folder: Path) -> dict[str, Any]:
    """What was found, JSON-able: scores, headline, comparisons; null for what is not there."""
    return {
        "study": found.plan.name,
        "folder": str(folder),
        "runs": len(found.plan.trials),
        "seeds": found.plan.seeds,
        "real_trace": found.plan.has_real_trace,
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


def print_found(found: Found, folder: Path) -> None:
    """The score and the headline, and where the rest is."""
    terminal.print_line(ran_on(found))
    if found.compared:
        terminal.print_sheet(sheets.score(found))
    brief = sheets.headline(found, found.settings[0], "measured", brief=True)
    if brief.rows:
        terminal.print_sheet(brief)
    for findings in found.findings if not brief.rows else ():
        for each in comparisons(findings):
            terminal.print_line(f"{sentence(findings, each)} ({each.one.setting})")
    for what, name in (("Report", "report.html"), ("Tables", "tables.md")):
        terminal.print_line(f"{what}: {folder / name}")
