"""`ipa validate`: the simulator against live runs of the same scenario."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from ipa import studies
from ipa.studies.commands import cluster, printing, progress, reports, unwritten
from ipa.studies.commands.options import (
    Results,
    Whole,
    backend_option,
    build_live_scenario,
    live_policy_option,
    output_options,
    pipeline_argument,
    report_option,
    resumable_out_option,
    scenario_options,
    taken,
)
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from rich.table import Table

    from ipa.studies import Validation
    from ipa.studies.scenario import Windows
    from ipa.studies.validation import UnkeptError


@click.command()
@pipeline_argument
@backend_option("Where the live runs take place")
@cluster.settings_option
@cluster.cluster_options
@cluster.url_option
@click.option("--repeats", type=Whole(min=1), default=3, help="Live runs, all of the same load. Default: 3.")
@click.option(
    "--duration",
    "duration_s",
    type=Whole(min=20),
    help="Seconds to compare, where the load rises most. Default: all of --window, or 120.",
)
@live_policy_option
@scenario_options
@click.option(
    "--calibration-window",
    metavar="A:B",
    help="Other seconds of the load, to measure overheads on. Default: where it rises most.",
)
@resumable_out_option
@report_option
@output_options
def validate(
    what: str,
    backend: str,
    repeats: int,
    duration_s: int | None,
    calibration_window: str | None,
    **options: Any,
) -> None:
    """Compare the simulator with live runs of the same scenario.

    Overheads (of a batch, a hop, a start-up, a decision and a stop) are measured on a part of the load outside the
    seconds compared, and passed to the simulator. On a cluster, the load is sent from this machine.
    """
    how, results = cluster.taken_live(backend, options), taken(Results, options)
    scenario = build_live_scenario(what, **options)
    if results.report is not None:
        reports.check_report(results.report, results.out, scenario.records)
    calibration = _windows(calibration_window)
    printing.say_load(studies.load_of(scenario).trace())
    progress.compile_engine(scenario.engine)
    with (
        progress.counted("live runs", repeats + 1) as advance,
        redirect_stdout(sys.stderr),
    ):  # a user's policy may print
        try:
            validation: Validation | UnkeptError = studies.validate(
                scenario,
                how,
                results.out,
                repeats=repeats,
                duration_s=duration_s,
                calibration=calibration,
                on_finished=advance,
                writing=unwritten.told_last,
            )
        except KeyboardInterrupt:
            raise progress.interrupted(results.out) from None
        except studies.validation.UnkeptError as problem:
            validation = problem
    if isinstance(validation, studies.validation.UnkeptError):
        _tell(validation, results.as_json)
    if results.report is not None:
        with unwritten.told_last():
            reports.write_report(validation, results.report)
    if results.as_json:
        printing.print_json(validation.as_dict())
    else:
        print_validation(validation, results.out, results.report)
    for flag in validation.flags:
        printing.log(f"Warning: {flag}")


def _tell(unkept: UnkeptError, as_json: bool) -> NoReturn:
    """Print the live run that could not be kept, and keep it elsewhere. Raises ScenarioError, which says where."""
    if as_json:
        printing.print_json(unkept.run.summary)
    else:
        printing.print_run(unkept.run, None, None)
    unwritten.write_or_elsewhere(unkept.write, unkept.place)
    raise ScenarioError(f"{unkept}; there is room again: repeat the command to resume")


def _windows(text: str | None) -> Windows | None:
    try:
        return None if text is None else studies.parse_windows(text)  # type: ignore[return-value]
    except ValueError as error:
        raise ScenarioError(f"--calibration-window {text}: {error}") from None


def print_validation(validation: Validation, folder: Path | None, report: Path | None) -> None:
    """Print the comparison by figure, that of decisions, and the verdict."""
    words = studies.validation.sentences
    printing.print_line(validation.title)
    printing.print_line(words.overheads(validation.calibration.overheads))
    printing.print_table(_rows(validation))
    printing.print_line(words.TIPS)
    for name, sentence in (*words.decisions(validation), *words.beyond(validation)):
        printing.print_line(f"{name}: {sentence}")
    printing.print_line(f"Verdict: {validation.verdict}")
    printing.print_places(folder, report)


def _rows(validation: Validation) -> Table:
    words = studies.validation.sentences
    table = printing.new_table(f"\nLive against simulated: {words.judged(validation)}", "", *words.HEADINGS)
    stage = None
    for row in validation.rows:
        if row.metric.stage != stage:
            stage = row.metric.stage
            table.add_section()
            table.add_row(stage or "", style="bold")
        unit = f" ({row.metric.unit})" if row.metric.unit else ""
        table.add_row(f"{'  ' if stage else ''}{row.metric.title}{unit}", *words.cells(row))
    return table
