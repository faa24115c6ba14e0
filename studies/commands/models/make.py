"""`ipa models make`: a folder of the models that an extra brings."""

from __future__ import annotations

from pathlib import Path

import click

from ipa.live import ocr
from ipa.studies.commands import printing
from ipa.studies.commands.options import (
    FOLDER,
    Words,
    output_options,
)


@click.command()
@click.argument("pipeline", metavar="ocr", type=Words(("ocr",)))
@click.argument("folder", type=FOLDER)
@output_options
def make(pipeline: str, folder: Path, as_json: bool) -> None:
    """Make a folder of the models that an extra brings.

    These are the models of the pipeline ocr, as PIPELINE/STAGE/VARIANT/. They are copied from the wheels of the
    extra ocr. Each has its network and a model.py that a model server loads.
    """
    made = ocr.make_model_folder(folder)
    if as_json:
        printing.print_json({"folder": str(folder), "models": [str(each.relative_to(folder)) for each in made]})
    else:
        printing.print_line(f"Models: {folder} ({len(made)} variants)")
