"""What the commands print for people: tables on stdout, progress on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ipa.policies import ExplainedOption, Explanation, StageConfiguration
from ipa.profiles import Pipeline, Stage
from ipa.studies.decision import Replayed
from ipa.studies.intervals import estimate
from ipa.studies.profile import StageTable, notes
from ipa.studies.results import RunData
from ipa.studies.run import Run

if TYPE_CHECKING:
    from ipa.studies.study.sheets import Sheet

PIPED_WIDTH = 120

_PLAIN: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
"""Names are printed as they are: `static:x:1:2` is no emoji."""

_out = Console(**_PLAIN, width=None if sys.stdout.isatty() else PIPED_WIDTH)


LINE_EVERY_S = 10.0
"""How often progress is told where there is no bar: often enough to see it, seldom enough for a log."""


class Lines:
    """Progress as plain lines, for a log: how many of all are done, told on a completion and only now and then."""

    def __init__(self, what: str, total: int, clock: Callable[[], float] = monotonic) -> None:
        self._what, self._total, self._clock = what, total, clock
        self._done = 0
        self._began_s = self._told_s = clock()

    def __call__(self) -> None:
        self._done += 1
        now_s = self._clock()
        if now_s >= self._told_s + LINE_EVERY_S and self._done < self._total:
            self._told_s = now_s
            left = self._total - self._done
            log(f"{self._what}: {self._done} of {self._total} after {now_s - self._began_s:.0f} s, {left} left")


@contextmanager
def progress(what: str, total: int, quiet: bool = False) -> Iterator[Callable[[], None]]:
    """A bar on stderr that moves with every completion; a line every 10 s where that is no terminal."""
    if quiet or total < 2:
        yield lambda: None
        return
    if not sys.stderr.isatty():
        yield Lines(what, total)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda: bar.advance(task)


@contextmanager
def share_done(what: str) -> Iterator[Callable[[float], object]]:
    """A bar on stderr for a share from 0 to 1 that it is told; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0)
        shown = 0.0

        def show(share: float) -> None:
            nonlocal shown
            if share >= shown + 0.002:
                shown = share
                bar.update(task, completed=share)

        yield show


def log(text: str) -> None:
    """A line on stderr."""
    Console(**_PLAIN, stderr=True, soft_wrap=True).print(text)


def print_line(text: str) -> None:
    """A line on stdout."""
    _out.print(text, soft_wrap=True)


def print_sheet(sheet: Sheet) -> None:
    """A table of text under its title."""
    table = Table(title=sheet.title, title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(sheet.columns):
        table.add_column(column, justify="left" if place < sheet.names else "right")
    for row in sheet.rows:
        table.add_row(*row)
    _out.print(table)
    _out.print(sheet.reading, style="dim")


def print_run(run: Run, folder: Path | None, report: Path | None) -> None:
    """The summary of one run, and where the rest of it is."""
    summary = run.summary
    title = _title(summary, f"policy {summary['policy']}, seed {summary['seed']}")
    latencies = ("mean", "p50", "p95", "p99")
    rows = {
        "requests": f"{summary['requests']}",
        **_outcomes(summary),
        f"SLA violations ({summary['sla_s']:.2f} s)": f"{100 * summary['sla_violation_rate']:.2f} %",
        "goodput": f"{summary['goodput_rps']:.2f} requests/s in time",
        "latency mean, p50, p95, p99": ", ".join(_figure(summary[f"latency_{name}_s"], 3) for name in latencies) + " s",
        "cost": f"{summary['cost_mean_cores']:.2f} cores (planned {summary['planned_cost_mean_cores']:.2f})",
        "accuracy (PAS)": f"{_figure(summary['pas_mean'], 2)} (planned {summary['planned_pas_mean']:.2f})",
        "decisions, changes, infeasible": f"{summary['decisions']}, {summary['changes']}, "
        f"{summary['infeasible_decisions']}",
        "ran for" if summary["engine"] == "live" else "simulated in": f"{summary['wall_s']:.2f} s",
    }
    if run.decisions_reused is not None:
        rows["decisions found before"] = f"{100 * run.decisions_reused:.0f} %"
    print_figures(title, rows)
    _print_places(folder, report)


def _outcomes(summary: Mapping[str, Any]) -> dict[str, str]:
    """How requests ended, in a row; only live ones can fail."""
    names = [name for name in ("completed", "dropped", "failed", "unfinished") if name != "failed" or summary["failed"]]
    return {", ".join(names): ", ".join(str(summary[name]) for name in names)}


def _print_places(folder: Path | None, report: Path | None) -> None:
    for what, path in (("Results", folder), ("Report", report)):
        if path is not None:
            _out.print(f"{what}: {path}", soft_wrap=True)


def print_comparison(runs: Sequence[RunData], folder: Path | None, report: Path | None) -> None:
    """A row a policy, means over seeds with 95 % intervals, and where the rest is."""
    grouped = by_policy(runs)
    first = next(iter(grouped.values()))
    seeds = [run.summary["seed"] for run in first]
    span = f"seed {seeds[0]}" if len(seeds) == 1 else f"seeds {seeds[0]} to {seeds[-1]}, 95 % intervals"
    table = _table(_title(first[0].summary, span), "policy", *(name for name, *_ in _COLUMNS))
    for policy, group in grouped.items():
        cells = (_cell(group, key, factor, digits) for _, key, factor, digits in _COLUMNS)
        table.add_row(policy, *cells)
    _out.print(table)
    _print_places(folder, report)


_COLUMNS = (
    ("PAS", "pas_mean", 1.0, 2),
    ("cores", "cost_mean_cores", 1.0, 2),
    ("violations %", "sla_violation_rate", 100.0, 2),
    ("p50 s", "latency_p50_s", 1.0, 2),
    ("p99 s", "latency_p99_s", 1.0, 2),
    ("dropped", "dropped", 1.0, 0),
    ("changes", "changes", 1.0, 0),
)
"""The comparison's columns: title, key of the summary, factor, digits."""


def by_policy(runs: Sequence[RunData]) -> dict[str, list[RunData]]:
    """The runs of each policy, in the order in which the policies come."""
    grouped: dict[str, list[RunData]] = {}
    for run in runs:
        grouped.setdefault(run.summary["policy"], []).append(run)
    return grouped


def warn(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Say on stderr what makes a policy's summary misleading, its seeds together."""
    console = Console(**_PLAIN, stderr=True, soft_wrap=True)
    policies = dict.fromkeys(summary["policy"] for summary in summaries)
    for policy in policies:
        of_policy = [summary for summary in summaries if summary["policy"] == policy]
        for key, least_share, what in _MISLEADING:
            shares = [summary[key] / summary["requests"] for summary in of_policy if summary["requests"]]
            worst = max(shares, default=0.0)
            if worst > least_share:
                of_seeds = f" in the worst of {len(shares)} seeds" if len(shares) > 1 else ""
                console.print(f"Warning: {policy}: {what} ({100 * worst:.2g} % of the requests{of_seeds})")


_MISLEADING = (
    ("unfinished", 0.0, "unfinished 10 SLAs after the trace's end; latencies are of the requests that completed"),
    ("dropped", 0.05, "overloaded, many dropped; latencies are of the requests that completed"),
)
"""A summary's count, the share of the requests above which it misleads, and why."""


def print_explanation(explanation: Explanation) -> None:
    """The options of each stage, the choice, what binds and the runner-up."""
    for stage, options in explanation.options.items():
        table = _table(
            f"{stage}: options for {explanation.load_rps:g} requests/s",
            "variant",
            *("batch", "replicas", "cores", "latency s", "queue s", "accuracy", "objective", ""),
        )
        for option in options:
            table.add_row(
                option.variant,
                str(option.batch),
                str(option.replicas),
                str(option.cores),
                f"{option.latency_s:.3f}",
                f"{option.queue_wait_s:.3f}",
                f"{100 * option.accuracy:.2f}",
                f"{option.value:.4f}",
                _standing(option),
                style="bold" if option.chosen else "dim" if option.dominated else None,
            )
        _out.print(table)
    objective = explanation.objective
    _out.print(f"Chosen ({explanation.rung}): {describe_configuration(explanation.configuration)}")
    _out.print(
        f"  PAS {100 * objective['pas']:.2f}, {objective['cost_cores']:g} cores, objective {objective['total']:.4f}, "
        f"latency {explanation.latency_s:.3f} of {explanation.sla_s:.3f} s (slack {explanation.slack_s:.3f} s)"
    )
    gains = ", ".join(f"without {name}: +{gain:.4f}" for name, gain in explanation.gains.items() if gain > 0)
    _out.print(f"Binding constraint: {explanation.binding}{f' ({gains})' if gains else ''}")
    if explanation.runner_up is not None:
        _out.print(
            f"Runner-up: {describe_configuration(explanation.runner_up.configuration)}, "
            f"objective {explanation.runner_up.difference:.4f} less"
        )
    for note in explanation.notes:
        _out.print(f"Note: {note}")


def describe_configuration(configuration: Mapping[str, StageConfiguration]) -> str:
    """A configuration in one line."""
    return "; ".join(
        f"{stage}: {wanted.replicas} x {wanted.variant} ({wanted.cores} cores), batch {wanted.batch}"
        for stage, wanted in configuration.items()
    )


def print_replay(replayed: Replayed) -> None:
    """Where two policies decided otherwise on the same observations."""
    total = len(replayed.recorded)
    _out.print(f"{replayed.policy} would have decided the same in {replayed.equal} of {total} steps")
    table = _table("", "step", "time s", "recorded", replayed.policy)
    for one, other in zip(replayed.recorded, replayed.replayed, strict=True):
        if one.decision.configuration != other.decision.configuration:
            table.add_row(
                str(one.observation.step),
                f"{one.observation.time_s:g}",
                describe_configuration(one.decision.configuration),
                describe_configuration(other.decision.configuration),
            )
    if table.row_count:
        _out.print(table)


def print_profiles(pipeline: Pipeline, stages: Sequence[Stage], page: Path | None) -> None:
    """The tables of each stage, then where the numbers come from."""
    for stage in stages:
        _out.print(StageTable(pipeline, stage))
    _out.print(notes(pipeline, stages))
    _print_places(None, page)


def print_figures(title: str, figures: Mapping[str, Any]) -> None:
    """A name and a value a line."""
    table = Table(title=title, title_justify="left", show_header=False, box=SIMPLE_HEAD)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in figures.items():
        table.add_row(name, _plain(value))
    _out.print(table)


def _table(title: str, first: str, *others: str) -> Table:
    """A table of a name and figures."""
    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    table.add_column(first, no_wrap=True)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _standing(option: ExplainedOption) -> str:
    if option.chosen:
        return "chosen"
    if not option.sustains:
        return "too many replicas"
    return "dominated" if option.dominated else ""


def _title(summary: Mapping[str, Any], rest: str) -> str:
    return f"{summary['pipeline']} on {summary['trace']}, {summary['duration_s']:g} s, {rest}"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    return str(value)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _cell(group: Sequence[RunData], key: str, factor: float, digits: int) -> str:
    values = (run.summary[key] for run in group)
    found = estimate(None if value is None else factor * value for value in values)
    if found is None:
        return "-"
    if not found.has_interval:
        return f"{found.mean:.{digits}f}"
    return f"{found.mean:.{digits}f} ± {found.high - found.mean:.{digits}f}"
