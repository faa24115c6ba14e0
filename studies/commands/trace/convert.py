"""`ipa trace convert`: a load, or a part of it, written to a file."""

from __future__ import annotations

from pathlib import Path

import click

import ipa
from ipa import studies
from ipa.studies.commands import complete, printing
from ipa.studies.commands.options import (
    NEW_FILE,
    output_options,
    scale_option,
    time_hints,
    time_options,
    window_option,
    workload_seed_option,
)


@click.command()
@click.argument("source", metavar="NAME|FILE", shell_complete=complete.traces)
@click.argument("to", type=NEW_FILE)
@time_options
@window_option
@scale_option
@workload_seed_option
@output_options
def convert(
    source: str, to: Path, window: str | None, scale: float | None, seed: int, as_json: bool, **times: str | None
) -> None:
    """Write a load, or a part of it, to a new .csv or .parquet file."""
    trace = studies.Load.given(source, window, scale, seed, time_hints(**times)).trace()
    printing.say_load(trace)
    printing.print_made(ipa.traces.write(trace, to), as_json)
