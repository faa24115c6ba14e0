"""`ipa pipeline new`: a pipeline file from a table of measured latencies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

import ipa
from ipa import studies
from ipa.studies.commands import printing
from ipa.studies.commands.options import NEW_FILE, output_options
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.profiles import Latencies


@click.command()
@click.argument("file", type=NEW_FILE)
@click.option(
    "--from",
    "sources",
    metavar="CSV",
    required=True,
    multiple=True,
    help="CSV table of the measurements. What it lacks may follow: 'perf.csv stage=sort batch=4'. Repeatable.",
)
@click.option("--name", help="Name of the pipeline. Default: that of FILE.")
@click.option("--overwrite", is_flag=True, help="Replace FILE if it exists.")
@output_options
def new(file: Path, sources: Sequence[str], name: str | None, overwrite: bool, as_json: bool) -> None:
    """Write a pipeline file from a CSV table of measured latencies.

    A row of the table is one stage, variant, number of cores and batch size:

    \b
    stage,variant,accuracy,cores,batch,mean_ms,p99_ms
    sort,small,0.84,1,1,50,70
    sort,small,0.84,1,4,160,200

    Tables of Triton's perf_analyzer (-f) and Model Analyzer, the table or folder of a series of the published project's
    profiler, and tables of other tools whose columns have such names are read as well.

    Accuracies are fractions, or per cent if all are above 1. Times are of a whole batch, in _s, _ms or _us. Further
    columns: throughput_rps, start_up_s, accuracy_metric. Every variant needs batch size 1, and each of its numbers of
    cores with each of its batch sizes.
    """
    if file.suffix not in (".yaml", ".yml"):
        raise ScenarioError(f"{file}: should end in .yaml")
    if file.exists() and not overwrite:
        raise ScenarioError(f"{file}: already exists; --overwrite replaces it")
    table = ipa.profiles.read_latencies(*map(ipa.profiles.Source.of, sources))
    called = ipa.profiles.slug(file.stem if name is None else name)
    if not called or (name is not None and called != name):
        raise ScenarioError(f"--name {name or file.stem}: should be lower-case letters, digits and single hyphens")
    studies.results.write_text(ipa.profiles.pipeline_text(table, called), file)
    if as_json:
        printing.print_json({"file": str(file), **_as_dict(table)})
    else:
        printing.print_line(f"Pipeline: {file}")
        _say(table)


def _as_dict(table: Latencies) -> dict[str, object]:
    return {
        "stages": {stage: list(variants) for stage, variants in table.stages.items()},
        "accuracies_in_percent": table.in_percent,
        "unused_columns": list(table.unused),
        "renamed": dict(table.renamed),
    }


def _say(table: Latencies) -> None:
    """Say on stderr how the table was read."""
    printing.note(f"Accuracies of {table.path} were read {'as per cent' if table.in_percent else 'as fractions'}")
    if table.unused:
        printing.note(f"Columns that are not used: {', '.join(table.unused)}")
    if table.renamed:
        names = ", ".join(f"{text} is {name}" for text, name in table.renamed.items())
        printing.note(f"Names have lower-case letters, digits and hyphens: {names}")
