"""Fleets on the command line: several pipelines under one budget of cores."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies import fleets
from ipa.studies.commands import printing, progress, unwritten
from ipa.studies.commands.options import check_required, values_of

if TYPE_CHECKING:
    from ipa.studies.fleets import Answers, Fleet
    from ipa.studies.many import Requirement


def build_fleet(what: str, assignments: Sequence[str], options: Mapping[str, object]) -> Fleet:
    """The fleet in a file, with the values of options and --set. Raises ScenarioError."""
    fleet = fleets.load_fleet(what, values_of(assignments, options))
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
    if report is not None:
        raise click.UsageError("--report takes no fleets; --out keeps the results of one")
    fleet = build_fleet(what, assignments, options)
    if out is not None:
        studies.results.claim(out)
    for load in dict.fromkeys(studies.load_of(member.scenario) for member in fleet.pipelines):
        printing.say_load(load.trace())
    progress.compile_engine(fleet.pipelines[0].scenario.engine)
    with redirect_stdout(sys.stderr):  # a user's policy may print
        answers = fleets.answered(fleet)
    if out is not None:
        with unwritten.told_last():
            fleets.write_fleet(answers, out)
    if as_json:
        printing.print_json(fleets.as_plain(answers))
    else:
        print_answers(answers)
        printing.print_places(out, None)
    runs = answers.run.runs
    printing.warn([{**run.summary, "policy": name} for name, run in runs.items()])
    check_required(required, [(name, [run.summary]) for name, run in runs.items()])


def print_answers(answers: Answers) -> None:
    """Print the table of a fleet, and who pays for whom."""
    fleet = answers.run.fleet
    title = f"{fleet.limit_cores} cores, shared by {fleet.sharing}"
    columns = ("pipeline", "priority", "wants", "gets", "worst 10 min", "late", "PAS", "objective", "one core more")
    table = printing.new_table(title, *columns)
    for row in answers.rows:
        alone, fleet_outcome, more = row.alone, row.fleet, row.more
        table.add_row(
            row.name,
            f"{row.priority:g}",
            f"{row.wanted_cores:.2f}",
            f"{row.got_cores:.2f}",
            f"{row.worst_got_cores:.2f} of {row.worst_wanted_cores:.2f}",
            f"{100 * alone.late:.2f} -> {100 * fleet_outcome.late:.2f} %",
            f"{_figure(alone.pas, 2)} -> {_figure(fleet_outcome.pas, 2)}",
            f"{_figure(alone.objective, 3)} -> {_figure(fleet_outcome.objective, 3)}",
            f"late {100 * (more.late - fleet_outcome.late):+.2f}, "
            f"objective {_change(fleet_outcome.objective, more.objective)}",
        )
    printing.print_table(table, piped_width=160)
    for sentence in fleets.sentences(answers):
        printing.print_line(sentence)


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _change(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{after - before:+.3f}"
