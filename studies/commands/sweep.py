"""`ipa sweep`: one scenario with other values of its keys, over seeds, into one table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import replace
from math import floor, log10
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import fleets, printing, progress, reports, unwritten
from ipa.studies.commands.options import (
    FOLDER,
    Results,
    check_required,
    declared,
    jobs_option,
    load_options,
    on_option,
    output_options,
    pipeline_argument,
    policy_option,
    report_option,
    require_option,
    set_option,
    taken,
    values_of,
)
from ipa.studies.many.sweeps import SweepOptions

if TYPE_CHECKING:
    import pandas as pd

    from ipa.studies.many import Requirement
    from ipa.studies.many.answers import Recommendation
    from ipa.studies.many.sweeps import SweepTrial, Swept

SHOWN = ("cost_mean_cores", "pas_mean", "sla_violation_rate", "latency_p99_s")
"""The outcomes that are printed."""

FURTHER = ("sla_violation_worst_hour_rate", "infeasible_decisions")
"""The outcomes that are printed where runs are longer than an hour, and where any decision is infeasible."""

MOST_SHOWN = 20
"""The most points that are printed one by one."""


@click.command()
@pipeline_argument
@declared(SweepOptions, "vary", "where", "points")
@policy_option
@load_options
@set_option
@declared(SweepOptions, "seeds")
@click.option("--dry-run", is_flag=True, help="Only say how many runs there are, and their time.")
@jobs_option
@on_option
@click.option(
    "--out",
    type=FOLDER,
    help="Folder of the runs and their table; the same command resumes or extends it.",
)
@report_option
@require_option
@output_options
def sweep(
    what: str,
    assignments: Sequence[str],
    dry_run: bool,
    jobs: int | None,
    on: str,
    required: Sequence[Requirement],
    **options: Any,
) -> None:
    """Run one scenario with other values of its keys.

    Every point runs with the same seeds, and so on the same random draws. With more seeds, values or keys, only the
    missing runs are made. A failed run does not stop the sweep; its error is in the table.

    Of a fleet, --vary takes its keys, such as limit_cores=10:16:1, sharing or PIPELINE.KEY.
    """
    results, sweeping = taken(Results, options), taken(SweepOptions, options)
    out, report = results.out, results.report
    if out is None and not dry_run:
        raise click.UsageError("--out: is missing; give a folder for the table, or look first with --dry-run")
    if studies.scenario.is_fleet(what):
        others = {"--dry-run": dry_run, "--report": report, "--require": required}
        for name, value in others.items():
            if value:
                raise click.UsageError(f"{name} does not go with a fleet")
        assert out is not None
        as_json = results.as_json
        fleets.sweep(
            what,
            assignments,
            options,
            sweeping=sweeping,
            running=progress.running(out, jobs, on),
            as_json=as_json,
        )
        return
    if report is not None:
        reports.check_report(report, out)
    studies.many.runner.check(on)
    printing.say_copies(what)
    question = studies.results.asked(what)
    if question is not None and not sweeping.vary:
        changes = {key: value for key in ("seeds", "points") if (value := getattr(sweeping, key))}
        sweeping = replace(sweeping, **{**question.options, **changes})
    plan = studies.many.sweeps.prepare(what, replace(sweeping, values=values_of(assignments, options)))
    printing.say_rules(plan.base.pipeline)
    printing.say_doubts(point.scenario for point in plan.points())
    printing.say_load(studies.load_of(plan.base).trace())
    if dry_run:
        tried = studies.many.sweeps.trial(plan, progress.at_once(jobs), out)
        if results.as_json:
            printing.print_json(tried.as_dict())
        else:
            print_trial(tried, on)
        return
    assert out is not None
    progress.compile_engine(plan.base.engine)
    with progress.ended_cleanly(out), redirect_stdout(sys.stderr):  # a user's policy may print
        swept = studies.many.sweeps.conduct(plan, progress.running(out, jobs, on))
    report = None if swept.failed == swept.runs else report  # nothing to draw
    demand = studies.many.sweeps.demand_of_folder(out, required)
    if report is not None:
        with unwritten.told_last():
            reports.write_report(reports.answers_of(out, required), report)
    advice = swept.recommend(plan.space.keys, demand)
    if results.as_json:
        printing.print_json(swept.as_dict() | {"recommendation": None if advice is None else advice.as_dict()})
    else:
        print_swept(swept, plan.space.keys, advice, report)
    failed = (
        f"{swept.failed} of {swept.runs} runs failed; the others are kept in {out}: repeat the command to try the "
        "failed ones again"
    )
    check_required(required, swept.by_point(plan.space.keys), failed if swept.failed else "")


def print_trial(tried: SweepTrial, on: str) -> None:
    """Print the number of runs, the estimated time, and the scenario of the first run."""
    present = f", {tried.runs - tried.missing} of them are there" if tried.missing < tried.runs else ""
    printing.print_line(f"{tried.runs} runs: {_of(tried.points, 'point')} x {_of(tried.seeds, 'seed')}{present}")
    took = f"{1000 * tried.run_s:.0f} ms a run, by a trial of {_of(tried.tried, 'run')}"
    here = f"{_of(tried.jobs, 'process', 'es')} of this machine"
    elsewhere = "" if on == "local" else f"; {on} was not asked"
    printing.print_line(f"about {progress.span(tried.estimated_s)} in {here} ({took}){elsewhere}")
    printing.print_line(f"the first point, as a scenario file:\n\n{tried.example}")


def print_swept(swept: Swept, keys: Sequence[str], advice: Recommendation | None, report: Path | None) -> None:
    """Print means of some outcomes by point, or with many points the range of these means; then the recommendation."""
    table = swept.table
    ended: list[Any] = table[table["error"].isna()].to_dict("records")
    further = [key for _, key, *_ in studies.runs.figures_of(ended) if key in FURTHER]
    shown = [name for name in (*SHOWN, *further) if name in table]
    by_point = table.groupby(list(keys), dropna=False, sort=False)
    means = by_point[shown].mean()
    title = f"{_of(swept.points, 'point')}, {_of(swept.seeds, 'seed')} each, means"
    is_short = len(means) <= MOST_SHOWN
    if is_short:
        printed = printing.new_table(title, *keys, *shown, names=len(keys), folds_names=True)
        for point, runs in by_point:
            # A table without a single finished run has no figures.
            knows_future = "knows_future" in table and bool(runs["knows_future"].eq(True).any())
            name = studies.runs.marked(_text(point[-1]), {"knows_future": knows_future})
            printed.add_row(*map(_text, point[:-1]), name, *(_estimated(key, runs) for key in shown))
    else:
        printed = printing.new_table(title, "outcome", "least", "median", "most")
        for name in shown:
            printed.add_row(name, *(_text(value) for value in means[name].quantile([0.0, 0.5, 1.0])))
    printing.print_table(printed)
    if is_short and swept.seeds > 1:
        printing.print_line(studies.intervals.limits(table["trace"].dropna().unique()))
    for error, times in swept.errors.items():
        printing.print_line(f"{_of(times, 'run')} failed: {error}")
    printing.print_recommendation(advice)
    printing.print_unmet([("All points", ended)])
    printing.print_line(f"Table: {swept.folder / reports.SWEPT}")
    if report is not None:
        printing.print_line(f"Report: {report}")


def _estimated(outcome: str, runs: pd.DataFrame) -> str:
    """The mean of an outcome over some runs, with its interval, to four digits."""
    finished: list[Any] = runs.dropna(subset=[outcome]).to_dict("records")
    estimate = studies.intervals.estimate_of(outcome, finished)
    if estimate is None or not estimate.has_interval or outcome == "infeasible_decisions":
        return _text(None if estimate is None else estimate.mean)
    size = abs(estimate.mean) or estimate.high
    return estimate.text(min(max(3 - floor(log10(size)), 0), 6) if size else 0)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return "" if value is None else str(value)


def _of(count: int, noun: str, plural: str = "s") -> str:
    return f"{count:,} {noun}{plural if count != 1 else ''}"
