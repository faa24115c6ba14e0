"""What the commands share: the options that describe a scenario, and JSON on stdout."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from ipa.studies.scenario import Scenario

F = TypeVar("F", bound=Callable[..., Any])


def scenario_options(command: F) -> F:
    """The options that set a key of the scenario each."""
    for option in (
        click.option(
            "--set",
            "assignments",
            multiple=True,
            metavar="KEY=VALUE",
            help="any other key of the scenario, such as policy.beta=0.5 or hop_s=0.01",
        ),
        click.option("--records", help="all, sample or none: of which requests records are kept [all]"),
        click.option("--journal", help="lean, or full: observations with all fields, for any policy's replay [lean]"),
        click.option("--seed", type=click.IntRange(min=0), help="of every random draw [1]"),
        click.option("--arrivals", help="poisson, poisson-count, even or clumped [poisson]"),
        click.option("--scaling", help="floor or thin [floor]"),
        click.option("--scale", type=float, help="factor on the trace's requests [1]"),
        click.option(
            "--window",
            metavar="START:END",
            help="seconds of the trace; several, comma-separated, are joined",
        ),
        click.option(
            "--trace",
            help="a workload (bursty, steady-low, ...), twitter:bursty, or a file [bursty]",
        ),
    ):
        command = option(command)
    return command


def prometheus_options(command: F) -> F:
    """The options that say which Prometheus server is read, and which series of it."""
    for option in (
        click.option(
            "--prometheus-match",
            multiple=True,
            metavar='LABEL="VALUE"',
            help="of the series there only those with this label; several times: with all of them",
        ),
        click.option(
            "--prometheus", metavar="URL", help="a Prometheus server that scrapes the gateway [one is started]"
        ),
    ):
        command = option(command)
    return command


def build_scenario(what: str, assignments: Sequence[str], **options: object) -> Scenario:
    """The scenario that a command's argument and options describe."""
    from ipa.studies.errors import ScenarioError
    from ipa.studies.scenario import find, parse_value

    values = {name: value for name, value in options.items() if value is not None}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        if not equals or not all(key.split(".")):
            raise ScenarioError(f"--set {assignment}: should be KEY=VALUE, such as policy.beta=0.5")
        try:
            values[key] = parse_value(value)
        except ScenarioError as error:
            raise ScenarioError(f"--set {assignment}: {error}") from None
    return find(what, values)


def echo_json(value: object) -> None:
    """One JSON document on stdout and nothing else."""
    click.echo(json.dumps(value, indent=2, allow_nan=False))
