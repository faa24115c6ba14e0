"""`ipa live recover`: the results of a run whose controller was killed."""

from __future__ import annotations

from pathlib import Path

import click

from ipa.studies import live_runs
from ipa.studies.commands import live_view, printing
from ipa.studies.commands.options import FOLDER, output_options


@click.command()
@click.argument("out", metavar="FOLDER", type=FOLDER)
@output_options
def recover(out: Path, as_json: bool) -> None:
    """Write the results of a run that was killed.

    FOLDER is what --out named. Everything that had ended up to a second before the kill is in the tables.
    """
    live_runs.check_installed()
    finished = live_runs.recover(out)
    if finished.loss:
        printing.log(finished.loss)
    if as_json:
        printing.print_json({**finished.summary, "live": finished.live})
    else:
        printing.print_run(finished, out, None)
    live_view.warn(finished.live)
