"""`ipa models measure`: how accurate models are, alone and together."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa.studies import ocr, results
from ipa.studies.commands import printing
from ipa.studies.commands.amounts import Whole
from ipa.studies.commands.options import FOLDER, NEW_FILE, output_options

if TYPE_CHECKING:
    from ipa.studies.ocr import Measured


@click.command()
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
