"""`ipa profile list`: the shipped pipelines."""

from __future__ import annotations

import click

import ipa
from ipa.studies.commands import printing
from ipa.studies.commands.options import output_options


@click.command("list")
@output_options
def list_(as_json: bool) -> None:
    """List the shipped pipelines with their stages, variants and SLAs."""
    found = [ipa.profiles.load(name) for name in ipa.profiles.names()]
    if as_json:
        printing.print_json(
            [
                {
                    "name": each.name,
                    "description": each.description,
                    "sla_s": each.sla_s,
                    "stages": {stage.name: [variant.name for variant in stage.variants] for stage in each.stages},
                }
                for each in found
            ]
        )
        return
    table = printing.new_table("", "pipeline", "SLA s", "stages, each with its number of variants")
    table.columns[-1].justify = "left"
    for each in found:
        stages = ", ".join(f"{stage.name} ({len(stage.variants)})" for stage in each.stages)
        table.add_row(each.name, f"{each.sla_s:.2f}", stages)
    printing.print_table(table)
