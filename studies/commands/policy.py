"""`ipa policy`: the policies and their parameters."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

import ipa
from ipa.studies.commands import complete, printing
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import output_options

if TYPE_CHECKING:
    from ipa.policies import Manual


@click.group(cls=Group)
def policy() -> None:
    """List policies and their parameters."""


# ---- list ----


@policy.command("list")
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


# ---- show ----


@policy.command()
@click.argument("name", metavar="NAME|FILE:CLASS", shell_complete=complete.policies)
@output_options
def show(name: str, as_json: bool) -> None:
    """Show a policy's parameters: types, defaults and meanings.

    The meanings of a class in a file, such as my.py:MyPolicy, come from its docstring: "`level`: how much of it.".
    """
    found = ipa.policies.manual_of(name)
    if as_json:
        printing.print_json(asdict(found))
    else:
        print_manual(found)


def print_manual(found: Manual) -> None:
    """Print a policy's summary, its argument, and a row for each parameter."""
    printing.print_line(f"{found.name}: {found.summary or 'its class has no docstring'}")
    if found.argument:
        printing.print_line(f"With an argument: {found.argument}")
    if not found.parameters:
        printing.print_line("It has no parameters.")
        return
    table = printing.new_table("", "parameter", "type", "default", "meaning", names=4, folds_names=True)
    for each in found.parameters:
        table.add_row(each.name, each.type, "required" if each.default is None else each.default, each.meaning)
    printing.print_table(table)
