"""`ipa replay`: a journal, decided by another policy."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.options import (
    NEW_FILE,
    build_scenario,
    output_options,
    set_option,
)

if TYPE_CHECKING:
    from ipa.studies.decision import Replayed


@click.command()
@click.argument("journal", type=NEW_FILE)
@click.option(
    "--pipeline",
    required=True,
    metavar="PIPELINE|FILE",
    shell_complete=complete.pipelines,
    help="Pipeline that the journal was recorded on: its name, or a pipeline or scenario file.",
)
@click.option("--policy", shell_complete=complete.policies, help="Policy to replay. Default: ipa.")
@set_option
@output_options
def replay(journal: Path, pipeline: str, policy: str | None, assignments: Sequence[str], as_json: bool) -> None:
    """Show what another policy would have decided on the observations in a recorded journal."""
    scenario = build_scenario(pipeline, assignments, policy=policy)
    with redirect_stdout(sys.stderr):  # a user's policy may print
        replayed = studies.replay(journal, scenario)
    if as_json:
        for line in replayed.lines():
            click.echo(line)
    else:
        print_replay(replayed)


def print_replay(replayed: Replayed) -> None:
    """Print the steps in which two policies decided differently on the same observations."""
    total = len(replayed.recorded)
    printing.console().print(f"{replayed.policy} would have decided the same in {replayed.equal} of {total} steps")
    table = printing.new_table("", "step", "time s", "recorded", replayed.policy)
    for one, other in zip(replayed.recorded, replayed.replayed, strict=True):
        if one.decision.configuration != other.decision.configuration:
            table.add_row(
                str(one.observation.step),
                f"{one.observation.time_s:g}",
                printing.describe_configuration(one.decision.configuration),
                printing.describe_configuration(other.decision.configuration),
            )
    if table.row_count:
        printing.print_table(table)
