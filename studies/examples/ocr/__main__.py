"""Reads text with real models: makes their folder and pages, and measures their accuracy. See docs/own-models.md.

python -m ipa.studies.examples.ocr --help
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from ipa.errors import Error

NEW, FOLDER = click.Path(path_type=Path), click.Path(exists=True, file_okay=False, path_type=Path)
COUNT, SEED = click.IntRange(1, 9999), click.IntRange(0)


@click.group()
def main() -> None:
    """Make and measure the models of the pipeline ocr."""


@main.command()
@click.argument("folder", type=NEW)
def make(folder: Path) -> None:
    """Copy the models out of the wheels, as FOLDER/ocr/STAGE/VARIANT/."""
    from ipa.studies.examples.ocr.model_folder import make_model_folder

    click.echo(f"Models: {folder} ({len(make_model_folder(folder))} variants)")


@main.command()
@click.argument("folder", type=NEW)
@click.option("--count", type=COUNT, default=100, show_default=True, help="How many pages.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="The same seed makes the same pages.")
@click.option("--models", type=FOLDER, help="Write the lines that their best detection cuts out, not the pages.")
def pages(folder: Path, count: int, seed: int, models: Path | None) -> None:
    """Write pages of known text as NUMBER.jpg, and labels.jsonl with what each says and where."""
    from ipa.studies.examples.ocr.measure import write_lines
    from ipa.studies.examples.ocr.pages import write_pages

    if models is None:
        write_pages(count, seed, folder)
    else:
        write_lines(models, count, seed, folder)
    click.echo(f"Pages: {folder} ({count} of seed {seed})")


@main.command()
@click.argument("models", type=FOLDER)
@click.option("--pages", "count", type=COUNT, default=200, show_default=True, help="How many pages to read.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Seed of the pages.")
def measure(models: Path, count: int, seed: int) -> None:
    """Measure the accuracy of each stage and of every pair, and print it as JSON.

    Detection alone: F1 of its boxes. Recognition alone: characters right, of lines cut out where they truly are. A
    pair: characters right on whole pages.
    """
    from ipa.studies.examples.ocr.measure import measure

    measured = measure(models, count, seed, lambda text: click.echo(text, err=True))
    click.echo(json.dumps(asdict(measured), indent=2))


if __name__ == "__main__":
    try:
        main()
    except Error as error:
        sys.exit(f"Error: {error}")
