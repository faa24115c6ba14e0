"""`ipa models list`: the models in a folder or an object store."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from ipa.live.kubernetes import model_store
from ipa.studies.commands import printing
from ipa.studies.commands.options import output_options, store_option


@click.command("list")
@click.argument("where", metavar="FOLDER|s3://BUCKET[/FOLDER]")
@store_option
@output_options
def list_(where: str, endpoint: str, as_json: bool) -> None:
    """List the models in a folder or an object store, with their checksums.

    A checksum is of all files of a model: the same for the same files, here and there. One that is missing means
    that `ipa models push` did not put the model there, or not wholly. Files that were added, removed or changed since
    are named in its place.
    """
    is_url = "://" in where
    found = model_store.in_store(where, endpoint, os.environ) if is_url else model_store.in_folder(Path(where))
    if as_json:
        printing.print_json([asdict(each) for each in found])
    else:
        print_models(found)


def print_models(found: list[model_store.Shelved]) -> None:
    """Print a table of models."""
    table = printing.new_table("", "model", "files", "MB", "checksum")
    for each in found:
        table.add_row(
            each.name,
            str(each.files),
            f"{each.size_bytes / 1e6:.2f}",
            each.digest or (f"wrong: {', '.join(each.wrong)}" if each.wrong else "missing"),
        )
    printing.print_table(table)
