"""`ipa trace synthesise`: a named load, written to a file."""

from __future__ import annotations

from pathlib import Path

import click

import ipa
from ipa.studies.commands import complete, printing
from ipa.studies.commands.options import NEW_FILE, output_options, workload_seed_option


@click.command()
@click.argument("workload", shell_complete=complete.traces)
@workload_seed_option
@click.option("--to", type=NEW_FILE, required=True, help="Write to this new .csv or .parquet file.")
@output_options
def synthesise(workload: str, seed: int, to: Path, as_json: bool) -> None:
    """Write a named synthetic load to a file.

    WORKLOAD is bursty, steady-low, steady-high, fluctuating or constant:RATE.
    """
    printing.print_made(ipa.traces.write(ipa.traces.find(workload, seed=seed), to), as_json)
