"""`ipa policy`: the policies and their parameters, and autoscalers' settings read and written."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ipa
from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import json_option

FORMATS = ("hpa", "keda")
"""`ipa.policies.FORMATS`, which is imported only when it is used."""

if TYPE_CHECKING:
    from ipa.policies import Manual


@click.group(cls=Group)
def policy() -> None:
    """List policies; read and write autoscalers' settings."""


# ---- list ----


@policy.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the policies that are built in."""
    manuals = [ipa.policies.manual_of(name) for name in ipa.policies.POLICIES]
    if as_json:
        printing.print_json([{"name": manual.name, "summary": manual.summary} for manual in manuals])
        return
    table = printing.new_listing("policy", "what it does")
    for manual in manuals:
        table.add_row(manual.name, manual.summary)
    printing.print_table(table)


# ---- show ----


@policy.command()
@click.argument("name", metavar="NAME|FILE:CLASS")
@json_option
def show(name: str, as_json: bool) -> None:
    """Show a policy's parameters: types, defaults and meanings.

    The meanings of a class in a file, such as my.py:MyPolicy, come from its docstring: "`level`: how much of it.".
    """
    manual = ipa.policies.manual_of(name)
    if as_json:
        printing.print_json(asdict(manual))
    else:
        print_manual(manual)


def print_manual(manual: Manual) -> None:
    """Print a policy's summary, its argument, and a row for each parameter."""
    printing.print_line(f"{manual.name}: {manual.summary or 'its class has no docstring'}")
    if manual.argument:
        printing.print_line(f"With an argument: {manual.argument}")
    if not manual.parameters:
        printing.print_line("It has no parameters.")
        return
    table = printing.new_table("", "parameter", "type", "default", "meaning", names=4, folds_names=True)
    for parameter in manual.parameters:
        default = "required" if parameter.default is None else parameter.default
        table.add_row(parameter.name, parameter.type, default, parameter.meaning)
    printing.print_table(table)


# ---- from-yaml and to-yaml ----


@policy.command("from-yaml")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@json_option
def from_yaml(file: Path, as_json: bool) -> None:
    """Show the policy that behaves as an autoscaler's settings say.

    FILE: a HorizontalPodAutoscaler, KEDA's ScaledObject, or a List with one of these for each stage, as written or as
    `kubectl get -o yaml` prints it. Wherever a policy stands, its file may: `ipa compare mine.yaml --policy hpa.yaml
    --policy foresight`.
    """
    settings = ipa.policies.read_settings(file)
    if as_json:
        printing.print_json(asdict(settings))
        return
    click.echo(studies.many.systems.as_spec(settings.policy, settings.parameters))
    printing.say_settings([str(file)])


@policy.command("to-yaml")
@click.argument("spec", metavar="POLICY")
@click.option("--pipeline", required=True, metavar="PIPELINE|FILE", help="The pipeline whose stages are scaled.")
@click.option(
    "--as",
    "form",
    type=click.Choice(list(FORMATS)),
    help="What to write. Default: what says all that the policy does.",
)
@click.option("--trace", help="Simulate the policy on this load, and write the outcome above the settings.")
def to_yaml(spec: str, pipeline: str, form: str | None, trace: str | None) -> None:
    """Write a policy as the settings of an autoscaler, a manifest for each stage.

    POLICY: hpa with parameters, such as 'hpa target=0.6 max_replicas=20', or a file with settings. What has
    to be guessed, such as the names of metrics, is marked.
    """
    scenario = studies.find(pipeline, {"policy": spec, **({} if trace is None else {"trace": trace})})
    click.echo(studies.many.settings_of(scenario, form, is_measured=trace is not None), nl=False)
