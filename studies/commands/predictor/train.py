"""`ipa predictor train`: a predictor that has learned from a load, written to a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.amounts import Whole
from ipa.studies.commands.options import NEW_FILE, Words, output_options, scale_option, window_option
from ipa.studies.scenario import choices


@click.command()
@click.option("--trace", required=True, metavar="NAME|FILE", help="Load to learn from.")
@window_option
@scale_option
@click.option(
    "--model",
    required=True,
    type=Words(choices.Model),
    help="What to train: the published network, ours with quantiles, or trees with quantiles.",
)
@click.option("--out", required=True, type=NEW_FILE, help="File to write: .npz, or .keras for a network.")
@click.option("--seed", type=Whole(min=0), default=1, help="Seed of every random draw. Default: 1.")
@click.option("--every", type=Whole(min=1), help="Seconds between samples. Default: 10; 1 for short loads.")
@click.option(
    "--epochs",
    type=Whole(min=1),
    help="Passes over the samples, for a network. Default: 30 for lstm, at most 60 for lstm-quantile.",
)
@click.option(
    "--thin",
    "thinned_by",
    type=click.IntRange(min=2),
    multiple=True,
    metavar="FACTOR",
    help="Learn also from the load with one of so many requests, so that the model knows lower rates. Repeatable. "
    "Default: the load as it is.",
)
@output_options
def train(
    trace: str,
    window: str | None,
    scale: float | None,
    model: str,
    out: Path,
    seed: int,
    every: int | None,
    epochs: int | None,
    thinned_by: tuple[int, ...],
    as_json: bool,
) -> None:
    """Train a predictor on a load.

    It is written with a card that says how. Without --window, it learns from the first 14 days, which the rest tests,
    or from all of a shorter load. lstm is trained by the published recipe, on all of these seconds. For the others, the
    last seventh is for validation: training stops when the forecasts for it get no better, and it calibrates the
    quantiles.
    """
    studies.many.predictor.check_target(model, out)
    load = studies.Load.given(trace, window, scale, seed).trace()
    given = {"--trace": Path(trace).name, "--window": window, "--scale": scale, "--model": model, "--out": out.name}
    command = _as_typed({**given, "--seed": seed, "--every": every, "--epochs": epochs})
    command += "".join(f" --thin {factor}" for factor in thinned_by)
    learnt_s = studies.many.predictor.TRAINED_S if window is None else None
    with progress.counted(f"training {model}", studies.many.predictor.steps(model, epochs)) as on_step:
        trained = studies.many.predictor.train(load, model, seed, command, on_step, every, epochs, thinned_by, learnt_s)
    card = studies.many.predictor.write(trained, out)
    scores = {
        part: trained.model.card[part] for part in ("training", "validation", "test") if part in trained.model.card
    }
    if as_json:
        printing.print_json({"file": str(out), "card": str(card), **scores})
        return
    printing.print_line(f"Model: {out}")
    for part, found in scores.items():
        printing.print_line(f"{part}: {', '.join(f'{name} {_shown(value)}' for name, value in found.items())}")
    printing.print_line(f"Card: {card}")


def _as_typed(options: dict[str, Any]) -> str:
    said = (f"{name} {value}" for name, value in options.items() if value is not None)
    return f"ipa predictor train {' '.join(said)}"


def _shown(value: Any) -> str:
    return ", ".join(f"{level}: {loss:g}" for level, loss in value.items()) if isinstance(value, dict) else f"{value:g}"
