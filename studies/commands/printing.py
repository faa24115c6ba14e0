"""Human-readable output of commands: lines and tables on stdout, warnings on stderr.

rich is imported with the first line or table, so that `--help` does not load it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import ipa
from ipa import studies

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.table import Table

    from ipa.policies import StageConfiguration
    from ipa.studies import Run, Scenario
    from ipa.studies.many.answers import Recommendation
    from ipa.traces import Trace

QUIET = f"{__name__}.quiet"
"""The key of --quiet in a command's context."""

PIPED_WIDTH = 120
"""Columns where stdout is not a terminal."""

MOST_DOUBTED = 1000
"""The most scenarios of a command that are looked at for doubts."""

MOST_DOUBTS = 5
"""The most doubts that are printed."""

_UNFOLDED = 1000
"""Columns that are enough for every table."""


def console(*, stderr: bool = False, soft_wrap: bool = False, piped_width: int = PIPED_WIDTH) -> Console:
    """The console of all commands; it prints names literally: `static:x:1:2` is no emoji, `[b]` no markup."""
    from rich.console import Console

    width = None if stderr or sys.stdout.isatty() else piped_width
    return Console(highlight=False, markup=False, emoji=False, stderr=stderr, soft_wrap=soft_wrap, width=width)


# ---- lines ----


def print_line(text: str) -> None:
    """Print a line on stdout."""
    console().print(text, soft_wrap=True)


def log(text: str) -> None:
    """Print a line on stderr."""
    console(stderr=True, soft_wrap=True).print(text)


def note(text: str) -> None:
    """Print a line on stderr, unless the command is quiet."""
    if not is_quiet():
        log(text)


def silence(context: click.Context, _: click.Parameter, quiet: bool) -> None:
    """The callback of --quiet."""
    context.meta[QUIET] = quiet


def is_quiet() -> bool:
    """Whether the running command prints neither progress nor notes."""
    context = click.get_current_context(silent=True)
    return context is not None and bool(context.meta.get(QUIET))


def say_load(trace: Trace) -> None:
    """Report on stderr how a file was read as a load, if anything was inferred, and what scaling did to its mean."""
    for sentence in (ipa.traces.sentence(trace), ipa.traces.scaling_sentence(trace)):
        if sentence:
            note(sentence)


def print_json(value: object) -> None:
    """Print one JSON document on stdout."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))


def print_places(results: Path | None, report: Path | None) -> None:
    """Print where the results and the report are, as far as they could be written."""
    for title, path in (("Results", results), ("Report", report)):
        if path is not None and path.exists():
            print_line(f"{title}: {path}")


def print_recommendation(advice: Recommendation | None) -> None:
    """Print the recommended setting and the reasons, a line for each sentence; nothing if there is none."""
    if advice is not None:
        for sentence in advice.sentences:
            print_line(sentence)


def print_unmet(runs: Iterable[tuple[str, Sequence[Mapping[str, Any]]]]) -> None:
    """Print a line for each policy or point, with the summaries of its seeds, that could not keep what is asked."""
    for name, summaries in runs:
        if line := studies.runs.unmet(name, summaries):
            print_line(line)


# ---- tables ----


def print_table(table: RenderableType, piped_width: int = PIPED_WIDTH) -> None:
    """Print a table, or anything that rich can draw, on stdout."""
    console(piped_width=piped_width).print(table)


def print_tight(table: Table) -> None:
    """Print a table; if it would be too wide, with smaller gaps between its columns."""
    out = console()
    whole = out.options.update(width=_UNFOLDED)
    table.collapse_padding = out.measure(table, options=whole).maximum > out.width
    out.print(table)


def new_table(title: str, *columns: str, names: int = 1, folds_names: bool = False) -> Table:
    """An empty table. The first `names` columns hold names, on one line unless `folds_names`; the others figures."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title or None, title_justify="left", box=SIMPLE_HEAD)
    for place, column in enumerate(columns):
        if place < names:
            table.add_column(column, no_wrap=not folds_names)
        else:
            table.add_column(column, justify="right")
    return table


def new_listing(*columns: str) -> Table:
    """An empty table without borders."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column)
    return table


def print_figures(title: str, figures: Mapping[str, Any]) -> None:
    """Print a table with a name and a value in each row."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(title=title, title_justify="left", show_header=False, box=SIMPLE_HEAD)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in figures.items():
        table.add_row(name, _plain(value))
    print_table(table)


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return " ".join(map(_plain, value))
    return str(value)


# ---- runs and configurations ----


def _token_times(summary: Mapping[str, Any]) -> dict[str, str]:
    """The times of tokens, where there are language models."""
    if "ttft_p50_s" not in summary:
        return {}
    first = f"{_figure(summary['ttft_p50_s'], 3)}, {_figure(summary['ttft_p99_s'], 3)} s"
    further = f"{_figure(summary['tpot_p50_s'], 4)}, {_figure(summary['tpot_p99_s'], 4)} s"
    return {"first token p50, p99": first, "further token p50, p99": further}


def print_run(run: Run, folder: Path | None, report: Path | None) -> None:
    """Print the summary of a run, and where its results and report are."""
    summary = run.summary
    title = title_of_run(summary, f"policy {summary['policy']}, seed {summary['seed']}")
    latencies = ("mean", "p50", "p95", "p99")
    rows = {
        "requests": f"{summary['requests']}",
        **_outcomes(summary),
        f"SLA violations ({summary['sla_s']:.2f} s)": _violations(summary),
        "goodput": f"{summary['goodput_rps']:.2f} requests/s in time",
        "latency mean, p50, p95, p99": ", ".join(_figure(summary[f"latency_{name}_s"], 3) for name in latencies) + " s",
        **_token_times(summary),
        "cost": f"{summary['cost_mean_cores']:.2f} cores (planned {summary['planned_cost_mean_cores']:.2f})"
        + (f", {summary['gpus_mean']:.2f} GPUs in them" if "gpus_mean" in summary else ""),
        "accuracy (PAS)": f"{_figure(summary['pas_mean'], 2)} (planned {summary['planned_pas_mean']:.2f})",
        "decisions, changes, infeasible": f"{summary['decisions']}, {summary['changes']}, "
        f"{summary['infeasible_decisions']}",
        "ran for" if summary["engine"] == "live" else "simulated in": f"{summary['wall_s']:.2f} s",
    }
    answers = run.further.get("live", {}).get("answers")
    if answers is not None and answers["checked"]:
        right = f"{100 * answers['character_accuracy']:.2f} % of the characters of {answers['checked']} answers"
        rows["right in the answers"] = right
    if run.decisions_reused is not None:
        rows["decisions from cache"] = f"{100 * run.decisions_reused:.0f} %"
    print_figures(title, rows)
    print_unmet([(str(summary["policy"]), [summary])])
    print_places(folder, report)


def title_of_run(summary: Mapping[str, Any], rest: str) -> str:
    """The pipeline, load and duration of a run, followed by `rest`."""
    return f"{summary['pipeline']} on {summary['trace']}, {summary['duration_s']:g} s, {rest}"


def _violations(summary: Mapping[str, Any]) -> str:
    """The share of late or lost requests, and that of the worst hour in a longer run."""
    text = f"{100 * summary['sla_violation_rate']:.2f} %"
    if studies.runs.is_longer_than_an_hour(summary):
        text += f", {100 * summary['sla_violation_worst_hour_rate']:.2f} % in the worst hour"
    return text


def _outcomes(summary: Mapping[str, Any]) -> dict[str, str]:
    """The numbers of requests by outcome, as one row; failed only if there are any."""
    names = [name for name in ("completed", "dropped", "failed", "unfinished") if name != "failed" or summary["failed"]]
    return {", ".join(names): ", ".join(str(summary[name]) for name in names)}


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def describe_configuration(configuration: Mapping[str, StageConfiguration]) -> str:
    """A configuration in one line."""
    return "; ".join(
        f"{stage}: {chosen.replicas} x {chosen.variant} ({chosen.cores} cores), batch {chosen.batch}"
        for stage, chosen in configuration.items()
    )


# ---- warnings ----


def say_copies(results: str | Path) -> None:
    """Say which files have changed since the runs of a results folder, so that its copies are used."""
    folder = Path(results).parent if Path(results).name == studies.results.MANIFEST else Path(results)
    if (folder / studies.results.MANIFEST).is_file() and (names := studies.results.copies_used(folder)):
        note(f"Changed since the run: {', '.join(names)}; the copy in {folder} is used")


def say_rules(pipeline: str) -> None:
    """Report on stderr which values of a pipeline's file are given by rules, and whether accuracies have no effect;
    nothing for a shipped pipeline."""
    if pipeline not in ipa.profiles.names():
        loaded = ipa.profiles.load(pipeline)
        for line in studies.profile.note(loaded, pipeline):
            note(line)
        for line in studies.profile.unmeasured(loaded):
            log(f"Warning: {line}")


def say_settings(policies: Iterable[str]) -> None:
    """Say which fields have no counterpart in the files with autoscalers' settings among policies' names."""
    for file in (ipa.policies.split_spec(policy)[0] for policy in policies):
        if ipa.policies.is_settings_file(file):
            for text in ipa.policies.read_settings(file).notes:
                note(f"{file}: {text}")


def say_doubts(scenarios: Iterable[Scenario]) -> None:
    """Warn on stderr of SLAs, goals and margins that are likely in another unit than meant, of the first scenarios."""
    with suppress(ValueError):  # of wrong input, which is answered when it is used
        first = islice(scenarios, MOST_DOUBTED)
        different = {(scenario.pipeline, scenario.sla_s, str(scenario.policy)): scenario for scenario in first}
        doubts = dict.fromkeys(doubt for scenario in different.values() for doubt in studies.profile.doubts(scenario))
        for doubt in islice(doubts, MOST_DOUBTS):
            log(f"Warning: {doubt}")


def warn(summaries: Sequence[Mapping[str, Any]]) -> None:
    """Warn on stderr if the summaries of a policy, over all its seeds, may mislead."""
    policies = dict.fromkeys(summary["policy"] for summary in summaries)
    for policy in policies:
        of_policy = [summary for summary in summaries if summary["policy"] == policy]
        for key, least_share, problem in _MISLEADING:
            shares = [summary[key] / summary["requests"] for summary in of_policy if summary["requests"]]
            worst = max(shares, default=0.0)
            if worst > least_share:
                of_seeds = f" in the worst of {len(shares)} seeds" if len(shares) > 1 else ""
                log(f"Warning: {policy}: {100 * worst:.3g} % of the requests{of_seeds} {problem}")


_MISLEADING = (
    ("unfinished", 0.0, "were unfinished 10 SLAs after the end of the trace; latencies are of completed ones only"),
    ("dropped", 0.05, "were dropped: it is overloaded; latencies are of completed ones only"),
)
"""A count of the summary, the share of the requests above which it misleads, and the text of the warning."""
