"""`ipa profile show`: the numbers of a pipeline's profiles."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ipa
from ipa import studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.options import NEW_FILE, output_options

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage


@click.command()
@click.argument("pipeline", metavar="PIPELINE|FILE", shell_complete=complete.pipelines)
@click.option("--stage", help="Show only this stage.")
@click.option("--to", type=NEW_FILE, help="Write an HTML page with plots to this file.")
@output_options
def show(pipeline: str, stage: str | None, to: Path | None, as_json: bool) -> None:
    """Show accuracy, base cores, latency and throughput of every variant, and which of them are measured."""
    found = ipa.profiles.load(pipeline)
    stages = found.stages if stage is None else (found.stage(stage),)
    if to is not None:
        studies.pages.profile.write(found, stages, to)
    if as_json:
        printing.print_json(studies.profile.as_dict(found, stages))
    else:
        print_profiles(found, stages, to)


def print_profiles(pipeline: Pipeline, stages: Sequence[Stage], page: Path | None) -> None:
    """Print the tables of each stage, then where the numbers come from."""
    for stage in stages:
        printing.print_table(studies.profile.StageTable(pipeline, stage))
    printing.print_table(studies.profile.notes(pipeline, stages))
    printing.print_places(None, page)
