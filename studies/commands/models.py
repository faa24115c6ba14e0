"""`ipa models`: real models, made, measured, listed, published, fetched and read with."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import live
from ipa.live.kubernetes import model_store
from ipa.studies import ocr, results
from ipa.studies.commands import printing
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import (
    FOLDER,
    NEW_FILE,
    Url,
    Whole,
    Words,
    declared,
    output_options,
    store_option,
)
from ipa.studies.runs.live_runs import Live

if TYPE_CHECKING:
    from ipa.studies.ocr import Measured


@click.group(cls=Group)
def models() -> None:
    """Make, measure, list, publish and fetch real models, and read a picture with them."""


# ---- check ----


@models.command()
@click.argument("results", type=FOLDER)
@click.option("--models", type=FOLDER, required=True, help="Folder of the models.")
@click.option("--samples", type=FOLDER, required=True, help="Folder of files that were sent.")
@output_options
def check(results: Path, models: Path, samples: Path, as_json: bool) -> None:
    """Compare the answers of a live run with the models run alone.

    Each answer is compared with that of the two variants that served it, run on the same page without a server.

    Exit code 1 if any answer differs.
    """
    compared = ocr.compare(results, models, [each.path.read_bytes() for each in live.read_samples(samples)])
    if as_json:
        by_pair = [{"variants": pair, "answers": count} for pair, count in compared.by_pair.items()]
        wrong = [vars(each) for each in compared.wrong]
        printing.print_json(
            {"answers": compared.answers, "unknown": compared.unknown, "by_pair": by_pair, "wrong": wrong}
        )
    else:
        table = printing.new_table("", "detection", "recognition", "answers", "wrong", names=2)
        for pair, count in compared.by_pair.items():
            table.add_row(*pair, str(count), str(sum(each.variants == pair for each in compared.wrong)))
        printing.print_table(table)
        if compared.unknown:
            printing.print_line(f"{compared.unknown} answers have no record of what served them")
    if compared.wrong:
        first = compared.wrong[0]
        raise click.ClickException(
            f"{len(compared.wrong)} of {compared.answers} answers are wrong; the first: request {first.request} was "
            f"answered {first.answer!r}; {' + '.join(first.variants)} alone: {first.alone!r}"
        )


# ---- fetch ----


@models.command()
@click.argument("url", metavar="s3://BUCKET[/FOLDER]")
@click.argument("folder", type=FOLDER)
@store_option
@output_options
def fetch(url: str, folder: Path, endpoint: str, as_json: bool) -> None:
    """Fetch models from an object store to a folder.

    All variants there are fetched, as [PIPELINE/]STAGE/VARIANT/, and compared with their checksums. Repeat the command
    to resume: files that are there already are not fetched again. Credentials are taken as by `ipa models push`.
    """

    def say(variant: model_store.Shelved, is_new: bool) -> None:
        printing.note(f"{variant.name}: {'fetched' if is_new else 'already there'}")

    fetched = model_store.fetch_all(url, folder, endpoint, os.environ, say)
    if as_json:
        printing.print_json([asdict(each) for each in fetched])
    else:
        print_models(fetched)


# ---- list ----


@models.command("list")
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


# ---- make ----


@models.command()
@click.argument("pipeline", metavar="ocr", type=Words(("ocr",)))
@click.argument("folder", type=FOLDER)
@output_options
def make(pipeline: str, folder: Path, as_json: bool) -> None:
    """Make a folder of the models that an extra brings.

    These are the models of the pipeline ocr, as PIPELINE/STAGE/VARIANT/. They are copied from the wheels of the
    extra ocr. Each has its network and a model.py that a model server loads.
    """
    made = live.ocr.make_model_folder(folder)
    if as_json:
        printing.print_json({"folder": str(folder), "models": [str(each.relative_to(folder)) for each in made]})
    else:
        printing.print_line(f"Models: {folder} ({len(made)} variants)")


# ---- measure ----


@models.command()
@click.argument("folder", type=FOLDER)
@click.option("--pages", "count", type=Whole(1, 9999), default=200, help="How many pages to read. Default: 200.")
@click.option("--seed", type=Whole(min=0), default=1, help="Seed of the pages. Default: 1.")
@click.option("--into", type=NEW_FILE, help="Write the accuracies into this pipeline file.")
@output_options
def measure(folder: Path, count: int, seed: int, into: Path | None, as_json: bool) -> None:
    """Measure the accuracy of models, of each stage and of every pair.

    The models in FOLDER, [ocr/]STAGE/VARIANT/, read generated pages. Detection alone: F1 of the boxes. Recognition
    alone: characters right, of lines cut out where they truly are. A pair of them: characters right on whole pages.
    Then, how well the product of the two stages' accuracies ranks the pairs. With --into, a pipeline file that has
    these stages and variants gets the accuracies, also those of pairs.
    """
    if into is not None:
        ocr.check_into(into)
    measured = ocr.measure(folder, count, seed, printing.note)
    if into is not None:
        results.write_text(ocr.put_into(measured, into), into)
    if as_json:
        printing.print_json(measured.as_dict())
        return
    _print(measured)
    if into is not None:
        printing.print_line(f"Pipeline: {into}")


def _print(measured: Measured) -> None:
    detection, recognition = measured.stages.values()
    head = f"{measured.pages} pages of seed {measured.seed}, {measured.lines} lines, {measured.characters} characters"
    title = f"{head}\ncharacters right, % (by the product of the stages)"
    table = printing.new_table(title, "detection", "F1, %", *recognition)
    table.add_row("lines where they are", "", *(f"{100 * each:.1f}" for each in recognition.values()))
    for first, accuracy in detection.items():
        cells = [f"{100 * measured.pairs[first][b]:.1f} ({100 * measured.product(first, b):.1f})" for b in recognition]
        table.add_row(first, f"{100 * accuracy:.1f}", *cells)
    printing.print_table(table, piped_width=160)
    printing.print_line(f"Kendall's tau of the product and what was measured: {measured.kendall_tau:.2f}")
    step = measured.wrong_step
    if step is None:
        printing.print_line("The product ranks no two pairs wrongly")
    else:
        printing.print_line(
            f"Largest wrong step: the product prefers {' + '.join(step.preferred)} to {' + '.join(step.better)}, "
            f"which reads {100 * step.loss:.1f} points more"
        )


# ---- pages ----


@models.command()
@click.argument("folder", type=FOLDER)
@click.option("--count", type=Whole(1, 9999), default=100, help="How many pages. Default: 100.")
@click.option("--seed", type=Whole(min=0), default=1, help="Seed of the pages. Default: 1.")
@click.option("--models", type=FOLDER, help="With --lines: the folder of the models.")
@click.option("--lines", metavar="VARIANT", help="Write the lines that this detection cuts out, not the pages.")
@output_options
def pages(folder: Path, count: int, seed: int, models: Path | None, lines: str | None, as_json: bool) -> None:
    """Write pages of known text, to be recognised.

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


# ---- push ----


@models.command()
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


# ---- read ----


@models.command()
@click.argument("pictures", type=NEW_FILE, nargs=-1, required=True)
@click.option(
    "--url", type=Url(), default="http://127.0.0.1:8080", help="Gateway or server. Default: http://127.0.0.1:8080."
)
@click.option("--model", default="ocr", help="Name of the model. Default: ocr.")
@declared(Live, "token_file")
@output_options
def read(pictures: tuple[Path, ...], url: str, model: str, token_file: Path | None, as_json: bool) -> None:
    """Send a picture to a running pipeline and print its text.

    Several pictures are sent one after the other.
    """
    texts = {str(each): ocr.read_picture(url, model, each, token_file) for each in pictures}
    if as_json:
        printing.print_json(texts)
        return
    for text in texts.values():
        click.echo(text)
