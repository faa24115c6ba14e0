"""`ipa predictor`: forecasts of a load: scored, shown and learned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.group import Group
from ipa.studies.commands.options import (
    NEW_FILE,
    SHARE,
    Whole,
    Words,
    output_options,
    scale_option,
    together,
    window_option,
    workload_seed_option,
)
from ipa.studies.scenario import ScenarioError, choices

if TYPE_CHECKING:
    from ipa.studies.many.predictor import Cases, Chosen, Measured, Score
    from ipa.traces import Trace


@click.group(cls=Group)
def predictor() -> None:
    """List, score, draw and train predictors of the load."""


# ---- options ----


WHOLE_SECONDS = Whole(min=1)

predictors_option = click.option(
    "--predictor",
    "names",
    multiple=True,
    metavar="NAME|FILE:CLASS",
    help="Predictor to use, with its parameters if any: 'poisson k=1.2'. Repeatable. Default: all that are built in, "
    "without the oracle.",
)

cases_options = together(
    click.option(
        "--trace",
        "name",
        default="bursty",
        help="Load to forecast: a named workload, a window of the real trace (twitter:bursty) or a file. "
        "Default: bursty.",
    ),
    click.option(
        "--windows",
        multiple=True,
        metavar="START:END",
        help="Seconds of the trace to forecast; the history may lie before them. Several are separated by commas. "
        "Default: all.",
    ),
    scale_option,
    workload_seed_option,
    click.option(
        "--interval",
        "interval_s",
        type=WHOLE_SECONDS,
        default=10,
        help="Seconds between two forecasts. Default: 10.",
    ),
    click.option(
        "--horizon",
        "horizon_s",
        type=WHOLE_SECONDS,
        default=20,
        help="Forecast the busiest of this many seconds. Default: 20.",
    ),
    click.option(
        "--history",
        "history_s",
        type=WHOLE_SECONDS,
        default=120,
        help="Seconds of the load that a predictor sees. Default: 120.",
    ),
    click.option(
        "--without-zeros",
        is_flag=True,
        help="Remove seconds without a request first: gaps of the recording, as published.",
    ),
)
"""The options that say which forecasts are made."""


@dataclass(frozen=True)
class Asked:
    """Which predictors forecast which load, and at which of its moments."""

    names: Sequence[str]
    name: str
    windows: Sequence[str]
    scale: float | None
    seed: int
    interval_s: int
    history_s: int
    horizon_s: int
    without_zeros: bool

    def predictors(self) -> list[Chosen]:
        """Those that are named, or all. Raises PolicyError."""
        return [studies.many.predictor.choose(text) for text in self.names or studies.many.predictor.NAMES]

    def trace(self) -> Trace:
        """The whole load. Raises TraceError or ScenarioError."""
        return studies.Load.given(self.name, None, self.scale, self.seed).trace()

    @property
    def moments(self) -> dict[str, Any]:
        """What `cases_of` needs beside the load and its windows."""
        return {name: getattr(self, name) for name in ("interval_s", "history_s", "horizon_s", "without_zeros")}

    def cases(self, trace: Trace) -> Cases:
        """The moments of the forecasts. Raises ScenarioError."""
        given = ",".join(self.windows)
        try:
            spans: Any = studies.parse_windows(given) if given else None
        except ValueError as error:
            raise ScenarioError(f"--windows {given}: {error}") from None
        return studies.many.predictor.cases_of(trace, spans, **self.moments)


# ---- evaluate ----


@predictor.command()
@predictors_option
@cases_options
@click.option(
    "--quantile",
    "quantiles",
    type=SHARE,
    multiple=True,
    default=(0.5, 0.95),
    help="Quantile to score the forecasts at. Repeatable. Default: 0.5 and 0.95.",
)
@click.option(
    "--within",
    type=SHARE,
    default=0.9,
    help="Share of the loads that the central interval of a forecast should hold. Default: 0.9.",
)
@click.option("--to", type=NEW_FILE, help="Write the table to this new .csv or .md file.")
@output_options
def evaluate(quantiles: tuple[float, ...], within: float, to: Path | None, as_json: bool, **options: Any) -> None:
    """Score predictors on a load, side by side.

    A forecast is made every --interval seconds from the --history seconds before, and compared with the busiest of the
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
    asked = Asked(**options)
    chosen, trace = asked.predictors(), asked.trace()
    cases = asked.cases(trace)
    measured = studies.many.predictor.Measured(quantiles, within)
    with progress.shared("forecasts") as advance:
        scores = studies.many.predictor.scores_of(chosen, cases, measured, advance)
    if to is not None:
        studies.many.predictor.write_table(scores, measured, to)
    if as_json:
        about = {"trace": asked.name, "source": trace.source, "sha256": trace.sha256, "windows": list(asked.windows)}
        printing.print_json(about | asked.moments | _document(cases, measured, scores))
    else:
        _print(", ".join([asked.name, *asked.windows]), cases, measured, scores)
        printing.print_places(to, None)


def _document(cases: Cases, measured: Measured, scores: Sequence[Score]) -> dict[str, Any]:
    scored = [{key: None if value != value else value for key, value in asdict(score).items()} for score in scores]
    return {"forecasts": len(cases), **asdict(measured), "scores": scored}


def _print(load: str, cases: Cases, measured: Measured, scores: Sequence[Score]) -> None:
    title = f"{load}: {len(cases)} forecasts of the busiest of {cases.horizon_s} s"
    table = printing.new_table(title, *studies.many.predictor.columns(measured))
    for score in scores:
        table.add_row(*studies.many.predictor.row(score))
    printing.print_table(table)


# ---- list ----


@predictor.command("list")
@output_options
def list_(as_json: bool) -> None:
    """List the predictors that are built in or installed, with their parameters."""
    found = studies.many.predictor.manuals()
    if as_json:
        printing.print_json([asdict(each) for each in found])
        return
    table = printing.new_table("", "predictor", "what it forecasts", "parameters", names=3, folds_names=True)
    for each in found:
        parameters = (f"{name}={default}" if default else name for name, default in each.parameters.items())
        table.add_row(each.name, each.summary, ", ".join(parameters))
    printing.print_table(table)


# ---- show ----


@predictor.command()
@predictors_option
@cases_options
@click.option(
    "--within", type=SHARE, default=0.9, help="Share of the loads that the drawn interval should hold. Default: 0.9."
)
@click.option("--to", type=NEW_FILE, required=True, help="HTML file to write.")
@output_options
def show(within: float, to: Path, as_json: bool, **options: Any) -> None:
    """Draw forecasts over the load as one HTML page.

    A panel for each predictor shows the load of each second, the busiest second to come at each moment, and the
    forecast that was made then, with its interval.
    """
    studies.displayed.check_plotly("--to")
    asked = Asked(**options)
    chosen, trace = asked.predictors(), asked.trace()
    ends = studies.many.predictor.Measured(interval=within).ends
    studies.pages.write(studies.pages.predictor.page(trace, asked.cases(trace), chosen, ends), to)
    printing.print_made(to, as_json)


# ---- train ----


@predictor.command()
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
    help="Train on the load thinned to one request in FACTOR as well, so that the model knows lower rates. Repeatable. "
    "Default: the load as it is.",
)
@output_options
def train(
    trace: str, window: str | None, scale: float | None, model: str, out: Path, as_json: bool, **options: Any
) -> None:
    """Train a predictor on a load.

    A card beside the file records how it was trained. Without --window, it is trained on the first 14 days and tested
    on the rest, or trained on all of a shorter load. lstm is trained by the published recipe, on all of these seconds.
    For the others, the last seventh is the validation part: it stops the training early and calibrates the quantiles.
    """
    studies.many.predictor.check_target(model, out)
    seed, every, epochs, thinned_by = (options[name] for name in ("seed", "every", "epochs", "thinned_by"))
    load = studies.Load.given(trace, window, scale, seed).trace()
    given = {"--trace": Path(trace).name, "--window": window, "--scale": scale, "--model": model, "--out": out.name}
    command = _as_typed({**given, "--seed": seed, "--every": every, "--epochs": epochs})
    command += "".join(f" --thin {factor}" for factor in thinned_by)
    learnt_s = studies.many.predictor.TRAINED_S if window is None else None
    with progress.counted(f"training {model}", studies.many.predictor.steps(model, epochs)) as on_step:
        recipe = studies.many.predictor.Recipe(model, seed, command, every, epochs, thinned_by, learnt_s)
        trained = studies.many.predictor.train(load, recipe, on_step)
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
