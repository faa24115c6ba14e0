"""`ipa models check`: the answers of a live run, compared with the models run alone."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ipa import live
from ipa.studies import live_runs, ocr
from ipa.studies.commands import printing
from ipa.studies.commands.options import FOLDER, output_options
from ipa.studies.scenario import ScenarioError


@click.command()
@click.argument("results", type=FOLDER)
@click.option("--models", type=FOLDER, help="Folder of the models. Default: those of the extra ocr.")
@click.option("--samples", type=FOLDER, help="Folder of files that were sent. Default: the pages of the run's seed.")
@output_options
def check(results: Path, models: Path | None, samples: Path | None, as_json: bool) -> None:
    """Compare the answers of a live run with the models run alone.

    Every answer is compared with what the two variants that served it say on the same page, outside of any server.

    Exit code 1 if an answer differs by so much as a character.
    """
    sent = _pages_of(results) if samples is None else [each.path.read_bytes() for each in live.read_samples(samples)]
    with TemporaryDirectory(prefix="ipa-models-") as name:
        folder = models or Path(name, "models")
        if models is None:
            live.ocr.make_model_folder(folder, linked=True)
        compared = ocr.compare(results, folder, sent)
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


def _pages_of(results: Path) -> list[bytes]:
    """The pages that a run sent which was given none."""
    try:
        manifest = json.loads((results / "manifest.json").read_text(encoding="utf-8"))
        generated = manifest["live"]["answers"]["samples"] == live_runs.GENERATED
        seed = int(manifest["scenario"]["seed"])
    except (OSError, ValueError, KeyError):
        raise ScenarioError(f"{results}: not the results of a live run with answers") from None
    if not generated:
        raise ScenarioError(f"{results}: its samples were a folder; name it with --samples")
    return [page.picture for page in live_runs.generated_pages(seed)]
