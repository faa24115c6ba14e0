"""`ipa policy list`: the policies by name."""

from __future__ import annotations

import click

import ipa
from ipa.studies.commands import printing
from ipa.studies.commands.options import output_options


@click.command("list")
@output_options
def list_(as_json: bool) -> None:
    """List the policies that are built in or installed."""
    found = [ipa.policies.manual_of(name) for name in ipa.policies.policy_names()]
    if as_json:
        printing.print_json([{"name": each.name, "summary": each.summary} for each in found])
        return
    table = printing.new_listing("policy", "what it does")
    for each in found:
        table.add_row(each.name, each.summary)
    printing.print_table(table)
