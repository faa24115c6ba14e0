"""`ipa models`: real models, listed, published and fetched."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path

import click

from ipa.live.kubernetes import model_store
from ipa.studies.commands import printing
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import FOLDER, json_option, quiet_option


@click.group(cls=Group)
def models() -> None:
    """List, publish and fetch real models."""


def endpoint() -> str:
    """The URL of the object store. Raises UsageError if the environment has one that is none."""
    url = os.environ.get("AWS_ENDPOINT_URL") or "https://s3.amazonaws.com"
    if not re.fullmatch(r"https?://[^/?#\s]+(/\S*)?", url):
        raise click.UsageError(
            f"AWS_ENDPOINT_URL: {url!r}; allowed: the URL of a server, such as http://localhost:9000"
        )
    return url


# ---- fetch ----


@models.command()
@click.argument("url", metavar="s3://BUCKET[/FOLDER]")
@click.argument("folder", type=FOLDER)
@quiet_option
def fetch(url: str, folder: Path) -> None:
    """Fetch models from an object store to a folder.

    All variants there are fetched, as [PIPELINE/]STAGE/VARIANT/, and compared with their checksums. Repeat the command
    to resume: files that are there already are not fetched again. Credentials are taken as by `ipa models push`.
    """

    def say(variant: model_store.Shelved, is_new: bool) -> None:
        printing.note(f"{variant.name}: {'fetched' if is_new else 'already there'}")

    print_models(model_store.fetch_all(url, folder, endpoint(), os.environ, say))


# ---- list ----


@models.command("list")
@click.argument("where", metavar="FOLDER|s3://BUCKET[/FOLDER]")
@json_option
def list_(where: str, as_json: bool) -> None:
    """List the models in a folder or an object store, with their checksums.

    A checksum covers all files of a model, so the same files have the same checksum everywhere. In a store it is
    missing if `ipa models push` did not put the whole model there. Files added, removed or changed since the checksums
    were written, to a store or by `ipa models fetch`, are named instead, and the command ends with exit code 1.
    """
    is_url = "://" in where
    listed = model_store.in_store(where, endpoint(), os.environ) if is_url else model_store.in_folder(Path(where))
    if as_json:
        printing.print_json([asdict(model) for model in listed])
    else:
        print_models(listed)
    if wrong := [model.name for model in listed if model.wrong]:
        raise click.ClickException(f"{where}: not what the checksums say: {', '.join(wrong)}")


def print_models(listed: list[model_store.Shelved]) -> None:
    """Print a table of models."""
    table = printing.new_table("", "model", "files", "MB", "checksum")
    for model in listed:
        table.add_row(
            model.name,
            str(model.files),
            f"{model.size_bytes / 1e6:.2f}",
            model.digest or (f"wrong: {', '.join(model.wrong)}" if model.wrong else "missing"),
        )
    printing.print_table(table)


# ---- push ----


@models.command()
@click.argument("folder", type=FOLDER)
@click.argument("url", metavar="s3://BUCKET[/FOLDER]")
@quiet_option
def push(folder: Path, url: str) -> None:
    """Put a folder of models into an object store.

    The folder holds [PIPELINE/]STAGE/VARIANT/, the store is S3-compatible. Each variant gets a file SHA256SUMS, written
    first; pods compare it after they have fetched the variant. What is there already with the same checksums, and has
    not been changed since, is not sent again. Credentials are taken from AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_SESSION_TOKEN and AWS_REGION, and the store from AWS_ENDPOINT_URL; by default it is Amazon's.
    """

    def say(variant: model_store.Shelved, is_new: bool) -> None:
        printing.note(f"{variant.name}: {'sent' if is_new else 'already there'}")

    print_models(model_store.push(folder, url, endpoint(), os.environ, say))
