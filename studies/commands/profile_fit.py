"""`ipa profile fit`: the step of a language model, fitted to measured requests."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipa import profiles
from ipa.studies import profiling, results
from ipa.studies.commands import printing, progress
from ipa.studies.commands.options import NEW_FILE, SHARE, Whole, output_options
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ipa.profiles import StepTime
    from ipa.studies.runs.profiling import language_fit, measured_requests

NAMES = {"ttft_s": "time to first token", "tpot_s": "time per further token", "latency_s": "end to end"}
BILLION = 1_000_000_000


@click.command()
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=NEW_FILE)
@click.option("--sequences", type=Whole(min=1, max=4096), help="The engine's most requests at once. Default: as seen.")
@click.option("--kv-blocks", type=Whole(min=1, max=BILLION), required=True, help="The engine's blocks of KV cache.")
@click.option("--block-tokens", type=Whole(min=1, max=4096), default=16, help="Tokens of a block. Default: 16.")
@click.option(
    "--tokens-per-step", type=Whole(min=1), default=2048, help="The most tokens that a step computes. Default: 2048."
)
@click.option("--gpus", type=Whole(min=0, max=1024), default=0, help="GPUs of the replica, for the file. Default: 0.")
@click.option(
    "--part",
    type=SHARE,
    default=0.5,
    help="Fit this share of each file, the first requests. Default: 0.5.",
)
@click.option("--name", help="Name of the variant. Default: that of the first file.")
@click.option("--to", type=NEW_FILE, help="Write a pipeline file with the variant.")
@output_options
def fit(
    files: tuple[Path, ...],
    sequences: int | None,
    kv_blocks: int,
    block_tokens: int,
    tokens_per_step: int,
    gpus: int,
    part: float,
    name: str | None,
    to: Path | None,
    as_json: bool,
) -> None:
    """Fit the step of a language model to requests that a real engine has served, and say how far it is off.

    FILE is a CSV table with the columns queued_s, first_token_s, last_token_s, input_tokens and output_tokens: of one
    replica at one load. Several files are the same replica at several loads, which tell the figures of a step apart.
    """
    called = profiles.slug(files[0].stem if name is None else name)
    if not called or (name is not None and called != name):
        raise ScenarioError(f"--name {name or files[0].stem}: should be lower-case letters, digits and single hyphens")
    if to is not None and to.exists():
        raise ScenarioError(f"{to}: already exists")
    tables = [profiling.measured_requests.read(file) for file in files]
    if sequences is None:
        sequences = _sequences_shown(tables, say=not as_json)
    model = profiles.LanguageModel(
        profiles.StepTime(0.0, 0.0, 0.0), sequences, kv_blocks, tokens_per_step, block_tokens, gpus
    )
    progress.compile_engine("auto")
    if not as_json:
        printing.note(f"Fitting a step to {sum(len(table.queued_s) for table in tables)} requests: some seconds")
    fitted = profiling.language_fit.fit(model, tables, part)
    if to is not None:
        results.write_text(profiling.language_fit.pipeline_text(called, fitted, tables), to)
    if as_json:
        printing.print_json(profiling.language_fit.as_dict(fitted))
        return
    print_fit(fitted)
    if to is not None:
        printing.print_line(f"Pipeline: {to}")


def _sequences_shown(tables: Sequence[measured_requests.MeasuredRequests], *, say: bool) -> int:
    most, was_full = profiling.measured_requests.sequences_shown(tables)
    if say:
        guess = "" if was_full else "; the engine was never full, so this is a guess: give the engine's own number"
        printing.print_line(f"--sequences {most}: the most requests at once in what was measured{guess}.")
    return most


def print_fit(fitted: language_fit.Fit, model: str = "", requests: str = "file") -> None:
    """Print a fit, of a `model` if there may be several; `requests`: what the tables of the requests are."""
    of_model = f" of {model}" if model else ""
    printing.print_line(f"A step{of_model} takes {_words(fitted.model.step)}: fitted to {fitted.fitted} requests.")
    title = f"How far the simulation{of_model} is off for {fitted.judged} other requests, in per cent"
    table = printing.new_table(title, requests, "time", "mean", "p90", "by request", names=2)
    for name, errors in fitted.errors.items():
        for time, (mean, p90, by_request) in errors.items():
            table.add_row(name, NAMES[time], f"{100 * mean:+.1f}", f"{100 * p90:+.1f}", f"{100 * by_request:.1f}")
    printing.print_table(table)
    for step in (step for steps in fitted.others.values() for step in steps):
        printing.print_line(f"Nearly as good: {_words(step)}.")
    if not fitted.is_identified:
        printing.print_line(
            f"So these requests do not identify {' and '.join(fitted.not_identified)}: trust the step at loads like "
            "these, or measure another load and fit both."
        )


def _words(step: StepTime) -> str:
    return (
        f"{1000 * step.base_s:.4g} ms + {1e6 * step.per_token_s:.4g} µs a token computed + "
        f"{1e6 * step.per_cached_token_s:.4g} µs a cached token read"
    )
