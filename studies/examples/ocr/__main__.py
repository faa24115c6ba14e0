"""Reads text with real models: makes their folder and pages, and measures their accuracy. See docs/own-models.md.

python -m ipa.studies.examples.ocr --help
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click

from ipa.errors import Error, InputError
from ipa.live import LoadJob, ask_file, read_samples

NEW, FOLDER = click.Path(path_type=Path), click.Path(exists=True, file_okay=False, path_type=Path)
COUNT, SEED = click.IntRange(1, 9999), click.IntRange(0)


@click.group()
def main() -> None:
    """Make and measure the models of the pipeline ocr, and read with them."""


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
@click.option("--models", type=FOLDER, help="With --lines: the folder of the models.")
@click.option("--lines", metavar="VARIANT", help="Write the lines that this detection cuts out, not the pages.")
def pages(folder: Path, count: int, seed: int, models: Path | None, lines: str | None) -> None:
    """Write pages of known text as NUMBER.jpg, and labels.jsonl with what each says and where."""
    from ipa.studies.examples.ocr.measure import write_lines
    from ipa.studies.examples.ocr.pages import write_pages

    if (models is None) != (lines is None):
        raise click.UsageError("--lines VARIANT and --models FOLDER need each other")
    if models is not None and lines is not None:
        write_lines(models, lines, count, seed, folder)
    else:
        write_pages(count, seed, folder)
    click.echo(f"Pages: {folder} ({count} of seed {seed})")


@main.command()
@click.argument("models", type=FOLDER)
@click.option("--pages", "count", type=COUNT, default=200, show_default=True, help="How many pages to read.")
@click.option("--seed", type=SEED, default=1, show_default=True, help="Seed of the pages.")
@click.option("--into", type=NEW, help="Write the accuracies into this pipeline file, also those of pairs.")
def measure(models: Path, count: int, seed: int, into: Path | None) -> None:
    """Measure the accuracy of each stage and of every pair, and print it as JSON.

    Detection alone: F1 of its boxes. Recognition alone: characters right, of lines cut out where they truly are. A
    pair: characters right on whole pages. Then, how well the product of the two stages' accuracies ranks the pairs.
    """
    from ipa.studies import results
    from ipa.studies.examples.ocr import pipeline_file
    from ipa.studies.examples.ocr.measure import measure

    if into is not None:
        pipeline_file.check_into(into)
    measured = measure(models, count, seed, lambda text: click.echo(text, err=True))
    if into is not None:
        results.write_text(pipeline_file.put_into(measured, into), into)
    click.echo(json.dumps(measured.as_dict(), indent=2))


@main.command()
@click.argument("results", type=FOLDER)
@click.option("--models", type=FOLDER, required=True, help="Folder of the models.")
@click.option("--samples", type=FOLDER, required=True, help="Folder of the pages that were sent.")
def check(results: Path, models: Path, samples: Path) -> None:
    """Compare each answer of a live run with that of its two variants, run alone on the same page.

    Exit code 1 if any answer differs.
    """
    from ipa.studies.examples.ocr.compare import compare

    compared = compare(results, models, [sample.path.read_bytes() for sample in read_samples(samples)])
    for pair, count in compared.by_pair.items():
        wrong = sum(answer.variants == pair for answer in compared.wrong)
        click.echo(f"{' + '.join(pair)}: {count} answers, {wrong} wrong")
    if compared.unknown:
        click.echo(f"{compared.unknown} answers have no record of what served them")
    if compared.wrong:
        first = compared.wrong[0]
        raise click.ClickException(
            f"{len(compared.wrong)} of {compared.answers} answers are wrong; the first: request {first.request} was "
            f"answered {first.answer!r}; {' + '.join(first.variants)} alone: {first.alone!r}"
        )


@main.command()
@click.argument("pictures", type=NEW, nargs=-1, required=True)
@click.option("--url", default="http://127.0.0.1:8080", show_default=True, help="Gateway or server.")
@click.option("--model", default="ocr", show_default=True, help="Name of the model.")
@click.option("--token-file", type=NEW, help="File with the token that the gateway asks its clients for.")
def read(pictures: tuple[Path, ...], url: str, model: str, token_file: Path | None) -> None:
    """Send pictures to a running pipeline, one after the other, and print their text."""
    job = LoadJob(url, model, 0.0, 0.0, {}, token_file=str(token_file or ""))
    for picture in pictures:
        try:
            content = picture.read_bytes()
        except OSError as error:
            raise InputError(f"{picture}: cannot be read: {error.strerror}") from None
        click.echo(ask_file(job, content, str(picture)))


if __name__ == "__main__":
    try:
        main()
    except Error as error:
        sys.exit(f"Error: {error}")
