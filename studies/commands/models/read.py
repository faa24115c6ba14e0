"""`ipa models read`: a picture's text, from a running pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from ipa.studies import ocr
from ipa.studies.commands import printing
from ipa.studies.commands.options import NEW_FILE, Url, output_options, token_file_option


@click.command()
@click.argument("pictures", type=NEW_FILE, nargs=-1, required=True)
@click.option(
    "--url", type=Url(), default="http://127.0.0.1:8080", help="Gateway or server. Default: http://127.0.0.1:8080."
)
@click.option("--model", default="ocr", help="Name of the model. Default: ocr.")
@token_file_option
@output_options
def read(pictures: tuple[Path, ...], url: str, model: str, token_file: Path | None, as_json: bool) -> None:
    """Send a picture to a running pipeline and print its text.

    Of several pictures, one after the other.
    """
    texts = {str(each): ocr.read_picture(url, model, each, token_file) for each in pictures}
    if as_json:
        printing.print_json(texts)
        return
    for text in texts.values():
        click.echo(text)
