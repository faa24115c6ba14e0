"""`ipa models pages`: pages to read, whose text is known."""

from __future__ import annotations

from pathlib import Path

import click

from ipa.studies import ocr
from ipa.studies.commands import printing
from ipa.studies.commands.amounts import Whole
from ipa.studies.commands.options import FOLDER, output_options


@click.command()
@click.argument("folder", type=FOLDER)
@click.option("--count", type=Whole(1, 9999), default=100, help="How many pages. Default: 100.")
@click.option("--seed", type=Whole(min=0), default=1, help="Seed of the pages. Default: 1.")
@click.option("--models", type=FOLDER, help="With --lines: the folder of the models.")
@click.option("--lines", metavar="VARIANT", help="Write the lines that this detection cuts out, not the pages.")
@output_options
def pages(folder: Path, count: int, seed: int, models: Path | None, lines: str | None, as_json: bool) -> None:
    """Write pages whose text is known, to read.

    The new folder gets NUMBER.jpg, and labels.jsonl with what each page says and where. Pages have lines in several
    fonts and sizes, turned, blurred and noisy. The same seed makes the same files.
    """
    if (models is None) != (lines is None):
        raise click.UsageError("--lines VARIANT and --models FOLDER need each other")
    if models is not None and lines is not None:
        ocr.write_lines(models, lines, count, seed, folder)
    else:
        ocr.write_pages(count, seed, folder)
    if as_json:
        printing.print_json({"folder": str(folder), "pages": count, "seed": seed})
    else:
        printing.print_line(f"Pages: {folder} ({count} of seed {seed})")
