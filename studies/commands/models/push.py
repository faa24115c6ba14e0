"""`ipa models push`: a folder of models into an object store."""

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
@click.argument("folder", type=FOLDER)
@click.argument("url", metavar="s3://BUCKET[/FOLDER]")
@store_option
@output_options
def push(folder: Path, url: str, endpoint: str, as_json: bool) -> None:
    """Put a folder of models into an object store.

    The folder holds [PIPELINE/]STAGE/VARIANT/, the store is S3-compatible. Each variant gets a file SHA256SUMS, written
    last; pods compare it after they have fetched the variant. What is there already with the same checksums, and has
    not been changed since, is not sent again. Credentials are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN and AWS_REGION.
    """

    def say(variant: model_store.Shelved, is_new: bool) -> None:
        printing.note(f"{variant.name}: {'sent' if is_new else 'already there'}")

    pushed = model_store.push(folder, url, endpoint, os.environ, say)
    if as_json:
        printing.print_json([asdict(each) for each in pushed])
    else:
        print_models(pushed)
