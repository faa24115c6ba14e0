"""`ipa predictor`: scores and trains forecasts of a load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import (
    NEW_FILE,
    declared,
    described_load,
    json_option,
    log_option,
    output_options,
    scale_option,
    taken,
    together,
    window_option,
    workload_seed_option,
)
from ipa.studies.many.predictor import MeasuredOptions, Recipe
from ipa.studies.scenario import ScenarioError, option

if TYPE_CHECKING:
    from ipa.studies.many.predictor import Chosen, ForecastCases, ForecastScore
    from ipa.traces import Trace


@click.group(cls=Group)
def predictor() -> None:
    """List, score and train predictors of the load."""


# ---- options ----


@dataclass(frozen=True)
class ForecastOptions:
    """The predictors, the load and the moments of forecasts that the options describe."""

    names: Sequence[str] = option(
        (),
        "Predictor to use, with its parameters if any: 'poisson k=1.2'. Repeatable. Default: all that are built in, "
        "without the oracle.",
        flag="--predictor",
        metavar="NAME|FILE:CLASS",
    )
    name: str = option(
        "bursty",
        "Load to forecast: a named workload, a window of the real trace (twitter:bursty) or a file. Default: bursty.",
        flag="--trace",
    )
    windows: Sequence[str] = option(
        (),
        "Seconds of the trace to forecast; the history may lie before them. Several are separated by commas. "
        "Default: all.",
        metavar="START:END",
    )
    scale: float | None = None
    seed: int = 1
    assignments: Sequence[str] = ()
    interval_s: int = option(10, "Seconds between two forecasts. Default: 10.", least=1)
    horizon_s: int = option(20, "Forecast the busiest of this many seconds. Default: 20.", least=1)
    without_zeros: bool = option(False, "Remove seconds without a request first: gaps of the recording, as published.")

    def predictors(self) -> list[Chosen]:
        """The named predictors, or all. Raises PolicyError."""
        return [studies.many.predictor.choose(text) for text in self.names or studies.many.predictor.NAMES]

    def trace(self) -> Trace:
        """The whole load. Raises TraceError or ScenarioError."""
        return described_load(self.name, self.assignments, scale=self.scale, seed=self.seed).trace()

    @property
    def moments(self) -> dict[str, Any]:
        """The arguments of `cases_of` besides the load and its windows."""
        return {name: getattr(self, name) for name in ("interval_s", "horizon_s", "without_zeros")}

    def cases(self, trace: Trace) -> ForecastCases:
        """The moments of the forecasts. Raises ScenarioError."""
        windows = ",".join(self.windows)
        try:
            spans: Any = studies.parse_windows(windows) if windows else None
        except ValueError as error:
            raise ScenarioError(f"--windows {windows}: {error}") from None
        return studies.many.predictor.cases_of(trace, spans, **self.moments)


asked_options = together(
    declared(ForecastOptions, "names", "name", "windows"),
    scale_option,
    workload_seed_option,
    log_option,
    declared(ForecastOptions, "interval_s", "horizon_s", "without_zeros"),
)
"""The options of `ForecastOptions`."""


# ---- evaluate ----


@predictor.command()
@asked_options
@declared(MeasuredOptions, "quantiles")
@click.option("--to", type=NEW_FILE, help="Write the table to this new .csv or .md file.")
@output_options
def evaluate(to: Path | None, as_json: bool, **options: Any) -> None:
    """Score predictors on a load, side by side.

    A forecast is made every --interval seconds from the 120 seconds before, and compared with the busiest of the
    --horizon seconds after.

    \b
    SMAPE     mean of 200 |f - a| / (a + f), f: point forecast, a: actual load
    under     share of forecasts that were exceeded: the point forecast, or a quantile
    pinball   loss of a quantile; the true one has the least
    within    share of actual loads inside the central interval of the forecasts
    ms        median time of a forecast made alone
    """
    if to is not None:
        studies.many.predictor.check_file(to)
    measured = taken(MeasuredOptions, options)
    load = ForecastOptions(**options)
    chosen, trace = load.predictors(), load.trace()
    cases = load.cases(trace)
    with progress.shared("forecasts") as advance:
        scores = studies.many.predictor.scores_of(chosen, cases, measured, advance)
    if to is not None:
        studies.many.predictor.write_table(scores, measured, to)
    if as_json:
        described = {"trace": load.name, "source": trace.source, "sha256": trace.sha256, "windows": list(load.windows)}
        printing.print_json(described | load.moments | _document(cases, measured, scores))
    else:
        _print(", ".join([load.name, *load.windows]), cases, measured, scores)
        printing.print_places(to, None)


def _document(cases: ForecastCases, measured: MeasuredOptions, scores: Sequence[ForecastScore]) -> dict[str, Any]:
    scored = [{key: None if value != value else value for key, value in asdict(score).items()} for score in scores]
    return {"forecasts": len(cases), **asdict(measured), "scores": scored}


def _print(load: str, cases: ForecastCases, measured: MeasuredOptions, scores: Sequence[ForecastScore]) -> None:
    title = f"{load}: {len(cases)} forecasts of the busiest of {cases.horizon_s} s"
    table = printing.new_table(title, *studies.many.predictor.columns(measured))
    for score in scores:
        table.add_row(*studies.many.predictor.row(score))
    printing.print_table(table)


# ---- list ----


@predictor.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the predictors that are built in, with their parameters."""
    manuals = studies.many.predictor.manuals()
    if as_json:
        printing.print_json([asdict(manual) for manual in manuals])
        return
    table = printing.new_table("", "predictor", "what it forecasts", "parameters", names=3, folds_names=True)
    for manual in manuals:
        parameters = (f"{name}={default}" if default else name for name, default in manual.parameters.items())
        table.add_row(manual.name, manual.summary, ", ".join(parameters))
    printing.print_table(table)


# ---- train ----


@predictor.command()
@click.option("--trace", required=True, metavar="NAME|FILE", help="Load to learn from.")
@window_option
@scale_option
@log_option
@declared(Recipe, "kind")
@click.option("--out", required=True, type=NEW_FILE, help="File to write, .npz.")
@declared(Recipe, "seed", "epochs", "thinned_by")
@output_options
def train(
    trace: str,
    window: str | None,
    scale: float | None,
    assignments: Sequence[str],
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Train a predictor on a load.

    A card beside the file records how it was trained. Without --window, it is trained on the first 14 days and tested
    on the rest, or trained on all of a shorter load. lstm is trained by the published recipe, on all of these seconds.
    For the others, the last seventh is the validation part: it stops the training early and calibrates the quantiles.
    """
    recipe = taken(Recipe, options, learnt_s=studies.many.predictor.TRAINED_S if window is None else None)
    studies.many.predictor.check_target(recipe.kind, out)
    load = described_load(trace, assignments, window=window, scale=scale, seed=recipe.seed).trace()
    load_options = {"--trace": Path(trace).name, "--window": window, "--scale": scale}
    of_recipe = {"--seed": recipe.seed, "--epochs": recipe.epochs}
    all_options = {**load_options, "--model": recipe.kind, "--out": out.name, **of_recipe}
    words = [f"{name} {value}" for name, value in all_options.items() if value is not None]
    words[4:4] = [f"--set {assignment}" for assignment in assignments]
    words += [f"--thin {factor}" for factor in recipe.thinned_by]
    recipe = replace(recipe, command=f"ipa predictor train {' '.join(words)}")
    steps = studies.many.predictor.steps(recipe.kind, recipe.epochs)
    with progress.counted(f"training {recipe.kind}", steps) as on_step:
        model = studies.many.predictor.train(load, recipe, on_step)
    card = studies.many.predictor.write(model, out)
    scores = {part: model.card[part] for part in ("training", "validation", "test") if part in model.card}
    if as_json:
        printing.print_json({"file": str(out), "card": str(card), **scores})
        return
    printing.print_line(f"Model: {out}")
    for part, losses in scores.items():
        printing.print_line(f"{part}: {', '.join(f'{name} {_shown(value)}' for name, value in losses.items())}")
    printing.print_line(f"Card: {card}")


def _shown(value: Any) -> str:
    return ", ".join(f"{level}: {loss:g}" for level, loss in value.items()) if isinstance(value, dict) else f"{value:g}"
