"""`ipa trace info`: the figures of a load."""

from __future__ import annotations

import click

import ipa
from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import json_option, scale_option, window_option, workload_seed_option


@click.command()
@click.argument("name", metavar="NAME|FILE")
@window_option
@scale_option
@workload_seed_option
@json_option
def info(name: str, window: str | None, scale: float | None, seed: int, as_json: bool) -> None:
    """Show the figures of a load: requests, mean rate, range and burstiness."""
    figures = ipa.traces.info(studies.Load.given(name, window, scale, seed).trace())
    if as_json:
        printing.print_json(figures)
    else:
        printing.print_figures(name, figures)
