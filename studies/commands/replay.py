"""`ipa replay`: a journal's observations, decided by another policy."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.options import assigned, build_scenario, output_options, set_option
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies import Scenario
    from ipa.studies.runs import Replayed


@click.command()
@click.argument("run", metavar="RUN|JOURNAL", type=click.Path(path_type=Path))
@click.option(
    "--pipeline",
    metavar="PIPELINE|FILE",
    shell_complete=complete.pipelines,
    help="Pipeline or scenario file of a journal that is no longer in its run's folder. Default: the run's scenario.",
)
@click.option(
    "--policy",
    shell_complete=complete.policies,
    help="Policy to replay. Default: the run's own; with --pipeline, the scenario file's, or ipa.",
)
@set_option
@output_options
def replay(run: Path, pipeline: str | None, policy: str | None, assignments: Sequence[str], as_json: bool) -> None:
    """Show what another policy would have decided on what was observed in a run.

    RUN is the folder of a run, whose scenario holds for the other policy too; JOURNAL is the file in it.
    """
    journal = studies.read_run(run).journal if run.is_dir() else run
    if pipeline is not None:
        scenario = build_scenario(pipeline, assignments, policy=policy)
    else:
        scenario = _scenario_of(journal, {**({} if policy is None else {"policy": policy}), **assigned(assignments)})
    with redirect_stdout(sys.stderr):  # a user's policy may print
        replayed = studies.replay(journal, scenario)
    if as_json:
        for line in replayed.lines():
            click.echo(line)
    else:
        print_replay(replayed)


def _scenario_of(journal: Path, values: Mapping[str, object]) -> Scenario:
    """The scenario of the run in a journal's folder, with other values and the files that it has read."""
    if not (journal.parent / studies.results.MANIFEST).is_file():
        why = f"no run's {studies.results.MANIFEST} is beside it; give the run's folder, or --pipeline"
        raise ScenarioError(f"{journal}: {why if journal.exists() else 'no such file or folder'}")
    printing.say_copies(journal.parent)
    scenario = studies.read_run(journal.parent).scenario.with_values(values)
    printing.say_rules(scenario.pipeline)
    return scenario


def print_replay(replayed: Replayed) -> None:
    """Print the steps in which two policies decided differently on the same observations."""
    total = len(replayed.recorded)
    printing.console().print(f"{replayed.policy} would have decided the same in {replayed.equal} of {total} steps")
    table = printing.new_table("", "step", "time s", "recorded", replayed.policy)
    for recorded, decided in zip(replayed.recorded, replayed.replayed, strict=True):
        if recorded.decision.configuration != decided.decision.configuration:
            table.add_row(
                str(recorded.observation.step),
                f"{recorded.observation.time_s:g}",
                printing.describe_configuration(recorded.decision.configuration),
                printing.describe_configuration(decided.decision.configuration),
            )
    if table.row_count:
        printing.print_table(table)
