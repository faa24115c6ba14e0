"""`ipa trace synthesise`: a named load, written to a file."""

from __future__ import annotations

from pathlib import Path

import click

import ipa
from ipa.studies.commands.options import NEW_FILE, workload_seed_option


@click.command()
@click.argument("workload")
@workload_seed_option
@click.option("--to", type=NEW_FILE, required=True, help="Write to this new .csv or .parquet file.")
def synthesise(workload: str, seed: int, to: Path) -> None:
    """Write a named synthetic load to a file.

    WORKLOAD is bursty, steady-low, steady-high, fluctuating or constant:RATE.
    """
    click.echo(str(ipa.traces.write(ipa.traces.find(workload, seed=seed), to)))
