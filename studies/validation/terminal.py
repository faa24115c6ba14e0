"""What `ipa validate` prints for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ipa.studies.commands.printing import PIPED_WIDTH
from ipa.studies.validation.outcome import Validation
from ipa.studies.validation.rollouts import KINDS
from ipa.studies.validation.wording import (
    BAND_METRICS,
    HEADINGS,
    ROLLOUT_HEADINGS,
    ROLLOUTS,
    cells,
    decisions,
    judged,
    overheads,
    rollout_cells,
    title,
    verdict,
)


def print_validation(validation: Validation, folder: Path | None, report: Path | None) -> None:
    """The comparison, by figure and by band of utilisation, the decisions, the verdict, and where the rest is."""
    out = Console(highlight=False, markup=False, emoji=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
    out.print(title(validation), soft_wrap=True)
    out.print(overheads(validation.calibration.overheads), soft_wrap=True)
    out.print(_rows(validation))
    out.print(_bands(validation))
    out.print(_rollouts(validation))
    for name, found in decisions(validation):
        out.print(f"{name}: {found}", soft_wrap=True)
    out.print(f"Verdict: {verdict(validation)}", soft_wrap=True)
    for what, path in (("Results", folder), ("Report", report)):
        if path is not None:
            out.print(f"{what}: {path}", soft_wrap=True)


def print_flags(flags: Iterable[str]) -> None:
    """Say on stderr what makes the result doubtful."""
    console = Console(highlight=False, markup=False, emoji=False, stderr=True, soft_wrap=True)
    for flag in flags:
        console.print(f"Warning: {flag}")


def _rows(validation: Validation) -> Table:
    table = _table(f"\nLive against simulated: {judged(validation)}", "", *HEADINGS)
    stage = None
    for row in validation.rows:
        if row.metric.stage != stage:
            stage = row.metric.stage
            table.add_section()
            table.add_row(stage or "", style="bold")
        unit = f" ({row.metric.unit})" if row.metric.unit else ""
        table.add_row(f"{'  ' if stage else ''}{row.metric.title}{unit}", *cells(row))
    return table


def _bands(validation: Validation) -> Table:
    names = [row.metric.title for row in validation.rows if row.metric.key in BAND_METRICS]
    table = _table("Errors by utilisation of the busiest stage", "utilisation", "windows", *names)
    for name, (windows, rows) in validation.bands.items():
        errors = [row.shown(row.error) for row in rows if row.metric.key in BAND_METRICS]
        table.add_row(name, str(windows.chosen.sum()), *errors)
    return table


def _rollouts(validation: Validation) -> Table:
    table = _table(f"\n{ROLLOUTS}", "", *ROLLOUT_HEADINGS)
    for took in validation.rollouts:
        table.add_row(f"{took.stage}: {KINDS[took.kind]}", *rollout_cells(took))
    return table


def _table(heading: str, first: str, *others: str) -> Table:
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table
