"""What `ipa validate` prints for people."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ipa.studies.commands.printing import PIPED_WIDTH
from ipa.studies.validation.agreement import Agreement
from ipa.studies.validation.calibration import Overheads
from ipa.studies.validation.comparison import Row
from ipa.studies.validation.outcome import CLOSED_LOOP_PERCENT, Validation
from ipa.studies.validation.rollouts import KINDS, Took
from ipa.studies.validation.windows import JUDGED_UP_TO

OVERHEAD_NAMES = {
    "dispatch_overhead_s": "a batch +{}",
    "hop_s": "a hop {}",
    "start_up_extra_s": "a start-up +{}",
    "decision_delay_s": "a decision takes effect after {}",
    "stop_s": "a stop {}",
}

ROLLOUTS = "Seconds that replicas took to start and to stop, and rollouts; simulated: with the live decisions"

ROLLOUT_HEADINGS = ("live", "mean", "longest", "simulated", "mean", "longest")

BAND_METRICS = ("latency_mean_s", "latency_p99_s", "sla_violations_percent", "cost_mean_cores", "pas_mean")


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


def title(validation: Validation) -> str:
    """What was compared, in one line."""
    summary, repeats = validation.simulated.summary, len(validation.repeats)
    return (
        f"{summary['pipeline']} on {summary['trace']}, seconds {seconds(validation.scenario.window)}, "
        f"policy {summary['policy']}, seed {summary['seed']}: {repeats} live run{'s' if repeats > 1 else ''} "
        f"({validation.plan.reality}) against the simulator"
    )


def seconds(windows: Sequence[tuple[float, float]] | None) -> str:
    """Windows as the command line has them."""
    return ",".join(f"{start_s:g}:{end_s:g}" for start_s, end_s in windows or ())


def overheads(found: Overheads) -> str:
    """What was measured beyond the profile, in one line."""
    words = [
        wording.format(f"{1e3 * getattr(found, key).value_s:.1f} ms")
        for key, wording in OVERHEAD_NAMES.items()
        if getattr(found, key).count
    ]
    return f"Measured on other seconds: {', '.join(words) or 'nothing'}"


def decisions(validation: Validation) -> list[tuple[str, str]]:
    """How many decisions were equal, how many refused, and for how long as many replicas were ready."""
    alike = ", ".join(f"{stage} {share:.1f} %" for stage, share in validation.replicas_alike_percent.items())
    return [
        ("Equal decisions on the same observation", _agreement(validation.same_observations, 100.0)),
        ("Equal decisions in closed loop", _agreement(validation.closed_loop, CLOSED_LOOP_PERCENT)),
        ("Live decisions that were refused", f"{validation.refused} of {validation.same_observations.total}"),
        ("As many replicas ready, share of the time", alike),
    ]


def verdict(validation: Validation) -> str:
    """The verdict in words."""
    if validation.passed:
        doubts = len(validation.flags)
        doubtful = f"; {doubts} {'warning' if doubts == 1 else 'warnings'}" if doubts else ""
        return f"the simulator agrees with the live runs in all that is judged{doubtful}"
    off = [row.metric.title for row in validation.rows if row.passed is False]
    if validation.same_observations.percent < 100.0:
        off.append("decisions on the same observation")
    if validation.closed_loop.percent < CLOSED_LOOP_PERCENT:
        off.append("decisions in closed loop")
    return f"off: {', '.join(off)}" if off else "nothing could be judged"


def judged(validation: Validation) -> str:
    """Which part of the run the verdicts are about."""
    windows = validation.judged
    width_s = validation.scenario.interval_s
    return (
        f"{windows.chosen.sum()} of {len(windows.chosen)} windows of {width_s:g} s, those in which no stage was above "
        f"{100 * JUDGED_UP_TO:g} % utilisation"
    )


def cells(row: Row) -> tuple[str, ...]:
    """A row as text: live, spread, simulated, error, error with the live decisions, allowed, verdict."""
    return (
        _figure(row.live),
        row.shown(row.spread).lstrip("+"),
        _figure(row.simulated),
        row.shown(row.error),
        row.shown(row.open_loop_error),
        "" if row.allowed is None else row.shown(row.allowed).lstrip("+"),
        row.verdict,
    )


HEADINGS = ("live", "spread", "simulated", "error", "with live decisions", "allowed", "")


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


def rollout_cells(took: Took) -> tuple[str, ...]:
    """A row as text: how many, the mean and the longest, live and simulated."""
    return tuple(
        text
        for found in (took.live, took.simulated)
        for text in (str(found.count), _figure(found.mean_s), _figure(found.longest_s))
    )


def _table(heading: str, first: str, *others: str) -> Table:
    table = Table(title=heading, title_justify="left", box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _agreement(found: Agreement, wanted_percent: float) -> str:
    return f"{found.equal} of {found.total} ({found.percent:.1f} %, wanted {wanted_percent:g} %)"


def _figure(value: float) -> str:
    return "-" if value != value else f"{value:.4g}"
