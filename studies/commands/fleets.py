"""Fleets on the command line: several pipelines under one budget of cores or GPUs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from ipa import studies
from ipa.studies import fleets
from ipa.studies.commands import printing, progress, reports, unwritten
from ipa.studies.commands.options import check_required, values_of
from ipa.studies.scenario import choices

if TYPE_CHECKING:
    from ipa.studies.fleets import Fleet, FleetAnswers, FleetComparison
    from ipa.studies.many import Requirement, Running
    from ipa.studies.many.sweeps import SweepOptions


def build_fleet(
    what: str,
    assignments: Sequence[str],
    options: Mapping[str, object],
    defaults: Mapping[str, object] | None = None,
    budget: Callable[[Fleet], int] | None = None,
) -> Fleet:
    """The fleet in a file, with the values of options and --set; `defaults` and `budget` as of `load_fleet`.

    Raises ScenarioError.
    """
    fleet = fleets.load_fleet(what, values_of(assignments, options), defaults, budget)
    scenarios = [member.scenario for member in fleet.pipelines]
    for pipeline in dict.fromkeys(scenario.pipeline for scenario in scenarios):
        printing.say_rules(pipeline)
    printing.say_doubts(scenarios)
    return fleet


def simulate(
    what: str,
    assignments: Sequence[str],
    options: Mapping[str, object],
    *,
    out: Path | None,
    report: Path | None,
    required: Sequence[Requirement],
    as_json: bool,
) -> None:
    """`ipa simulate` for a fleet: in the fleet, alone, and with one core more."""
    fleet = build_fleet(what, assignments, options)
    if out is not None:
        studies.results.claim(out)
    if report is not None:
        reports.check_report(report, out)
    for load in dict.fromkeys(studies.load_of(member.scenario) for member in fleet.pipelines):
        printing.say_load(load.trace())
    progress.compile_engine(fleet.pipelines[0].scenario.engine)
    with redirect_stdout(sys.stderr):  # a user's policy may print
        run, answers = fleets.answered(fleet)
    if out is not None:
        with unwritten.told_last():
            fleets.write_fleet(run, answers, out)
    if report is not None:
        with unwritten.told_last():
            reports.write_report(answers, report)
    if as_json:
        printing.print_json(fleets.as_plain(answers))
    else:
        print_answers(answers)
        printing.print_places(out, report)
    summaries = {name: member_run.summary for name, member_run in run.runs.items()}
    printing.warn([{**summary, "policy": name} for name, summary in summaries.items()])
    check_required(required, [(name, [summary]) for name, summary in summaries.items()])


def compare(
    what: str,
    assignments: Sequence[str],
    options: Mapping[str, object],
    *,
    seeds: int,
    running: Running,
    as_json: bool,
) -> None:
    """`ipa compare` for a fleet: rules of sharing on the same requests, over seeds."""
    studies.many.check(running.on)
    fleet = build_fleet(what, assignments, options)
    progress.compile_engine(fleet.pipelines[0].scenario.engine)
    out = running.folder
    with progress.ended_cleanly(out), redirect_stdout(sys.stderr):  # a user's policy may print
        comparison = fleets.compare_sharing(fleet, get_args(choices.Sharing), seeds, running)
    if as_json:
        printing.print_json({"runs": comparison.runs, "short": comparison.short})
        return
    print_comparison(comparison, seeds)
    if out is not None:
        printing.print_line(f"Table: {out / fleets.TABLE}")


def sweep(
    what: str,
    assignments: Sequence[str],
    options: dict[str, Any],
    *,
    sweeping: SweepOptions,
    running: Running,
    as_json: bool,
) -> None:
    """`ipa sweep` for a fleet: a table with a row for each point, seed and pipeline, in a folder."""
    studies.many.check(running.on)
    fleet = build_fleet(what, assignments, options)
    space, seeds = studies.many.sweeps.space_of(sweeping), sweeping.seeds or 1
    points = list(space.values(fleet.model_dump(mode="json")))
    progress.compile_engine(fleet.pipelines[0].scenario.engine)
    out = running.folder
    assert out is not None, "a sweep has a folder"
    with progress.ended_cleanly(out), redirect_stdout(sys.stderr):  # a user's policy may print
        table = fleets.sweep_fleet(fleet, points, seeds, running)
    keys = list(space.keys)
    advice = fleets.least_budget_sentence(fleet, table, keys, studies.many.answers.LATE_AT_MOST)
    if as_json:
        printing.print_json({"table": str(out / fleets.TABLE), "points": len(points), "recommendation": advice or None})
        return
    shown = {"wanted": 1.0, "got": 1.0, "sla_violation_rate": 100.0, "pas_mean": 1.0}
    title = f"{len(points)} points, {seeds} {'seed' if seeds == 1 else 'seeds'} each, means"
    printed = printing.new_table(title, *keys, "pipeline", "wants", "gets", "late (%)", "PAS", names=len(keys) + 1)
    for point, runs in table.groupby([*keys, "pipeline"], sort=False):
        summaries: list[Any] = runs.to_dict("records")
        estimates = [studies.intervals.estimate_of(key, summaries, factor) for key, factor in shown.items()]
        printed.add_row(*map(str, point), *("-" if estimate is None else estimate.text(2) for estimate in estimates))
    printing.print_tight(printed)
    if advice:
        printing.print_line(advice)
    printing.print_line(f"Table: {out / fleets.TABLE}")


def print_comparison(comparison: FleetComparison, seeds: int) -> None:
    """Print a row for each rule and pipeline, with the means over seeds, and which rule to take."""
    fleet = comparison.fleet
    over = "1 seed" if seeds == 1 else f"{seeds} seeds, 95 % intervals"
    columns = ("sharing", "pipeline", "wants", "gets", "late (%)", "PAS", "objective")
    table = printing.new_table(f"{fleet.budget} {fleet.unit}, {over}", *columns, names=2)
    keys = (("wanted", 1.0, 2), ("got", 1.0, 2), ("sla_violation_rate", 100.0, 2), ("pas_mean", 1.0, 2))
    for rule in comparison.runs:
        for member in fleet.pipelines:
            estimates = [
                (comparison.estimate_of(rule, member.name, key, factor), digits)
                for key, factor, digits in (*keys, ("objective", 1.0, 3))
            ]
            cells = ["-" if figure is None else figure.text(digits) for figure, digits in estimates]
            table.add_row(rule, member.name, *cells)
    printing.print_tight(table)
    for sentence in fleets.recommendation(comparison):
        printing.print_line(sentence)


def print_answers(answers: FleetAnswers) -> None:
    """Print the table of a fleet, and who pays for whom."""
    fleet = answers.fleet
    title = f"{fleet.budget} {fleet.unit}, shared by {fleet.sharing}"
    columns = ["pipeline", "priority", "wants", "gets", "worst 10 min", "late", "PAS", "objective"]
    if answers.has_alone:
        title += "; alone -> in the fleet"
        columns.append(fleet.one_more)
    table = printing.new_table(title, *columns)
    for row in answers.rows:
        outcomes = [row.fleet] if row.alone is None else [row.alone, row.fleet]
        cells = [
            row.name,
            f"{row.priority:g}",
            f"{row.wanted:.2f}",
            f"{row.got:.2f}",
            f"{row.worst_got:.2f} of {row.worst_wanted:.2f}",
            f"{' -> '.join(f'{100 * outcome.late:.2f}' for outcome in outcomes)} %",
            " -> ".join(_figure(outcome.pas, 2) for outcome in outcomes),
            " -> ".join(_figure(outcome.objective, 3) for outcome in outcomes),
        ]
        if row.more is not None:
            late, objective = row.more.late - row.fleet.late, _change(row.fleet.objective, row.more.objective)
            cells.append(f"late {100 * late:+.2f}, objective {objective}")
        table.add_row(*cells)
    printing.print_table(table, piped_width=160)
    for sentence in fleets.sentences(answers):
        printing.print_line(sentence)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _change(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{after - before:+.3f}"
