"""`ipa models fetch`: models from an object store to a folder."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import click

from ipa.live.kubernetes import model_store
from ipa.studies.commands import printing
from ipa.studies.commands.models.list import print_models
from ipa.studies.commands.options import FOLDER, output_options, store_option


@click.command()
@click.argument("url", metavar="s3://BUCKET[/FOLDER]")
@click.argument("folder", type=FOLDER)
@store_option
@output_options
def fetch(url: str, folder: Path, endpoint: str, as_json: bool) -> None:
    """Fetch models from an object store to a folder.

    All variants there are fetched, as [PIPELINE/]STAGE/VARIANT/, and compared with their checksums. Repeat the command
    to go on where it was broken off: files that are there already are not fetched again. Credentials are taken as by
    `ipa models push`.
    """

    def say(variant: model_store.Shelved, is_new: bool) -> None:
        printing.note(f"{variant.name}: {'fetched' if is_new else 'already there'}")

    fetched = model_store.fetch_all(url, folder, endpoint, os.environ, say)
    if as_json:
        printing.print_json([asdict(each) for each in fetched])
    else:
        print_models(fetched)
