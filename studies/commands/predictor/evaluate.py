"""`ipa predictor evaluate`: what forecasts are worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ipa import studies
from ipa.studies.commands import printing, progress
from ipa.studies.commands.amounts import SHARE
from ipa.studies.commands.options import NEW_FILE, output_options
from ipa.studies.commands.predictor.options import cases_of, cases_options, predictors_option, trace_of

if TYPE_CHECKING:
    from ipa.studies.many.predictor import Cases, Measured, Score


@click.command()
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
    help="Share of the loads that the interval in the middle of a forecast should hold. Default: 0.9.",
)
@click.option("--to", type=NEW_FILE, help="Write the table to this new .csv or .md file.")
@output_options
def evaluate(
    names: Sequence[str],
    name: str,
    windows: Sequence[str],
    scale: float | None,
    seed: int,
    quantiles: tuple[float, ...],
    within: float,
    to: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score predictors on a load, side by side.

    A forecast is made every --interval seconds from the --history seconds before, and compared with the busiest of the
    --horizon seconds after.

    \b
    SMAPE     mean of 200 |f - a| / (a + f), f being the point forecast and a what came
    under     share of forecasts that were exceeded: the point forecast, or a quantile
    pinball   loss of a quantile; the true one has the least
    within    share of what came inside the interval in the middle of the forecasts
    ms        median time of a forecast made alone
    """
    if to is not None:
        studies.many.predictor.table.check_file(to)
    chosen = [studies.many.predictor.choose(text) for text in names or studies.many.predictor.NAMES]
    trace = trace_of(name, scale, seed)
    cases = cases_of(trace, windows, **options)
    measured = studies.many.predictor.Measured(quantiles, within)
    scores: list[Score] = []
    with progress.shared("forecasts") as advance:
        for each in chosen:
            done = len(scores)
            scores.append(
                studies.many.predictor.score_of(
                    each.name,
                    each.predictor,
                    cases,
                    measured,
                    lambda share, done=done: advance((done + share) / len(chosen)),  # type: ignore[misc]
                )
            )
    if to is not None:
        studies.many.predictor.table.write(scores, measured, to)
    if as_json:
        about = {"trace": name, "source": trace.source, "sha256": trace.sha256, "windows": list(windows)}
        printing.print_json(about | options | _document(cases, measured, scores))
    else:
        _print(f"{name}{''.join(f', {each}' for each in windows)}", cases, measured, scores)
        printing.print_places(to, None)


def _document(cases: Cases, measured: Measured, scores: Sequence[Score]) -> dict[str, Any]:
    scored = [{key: None if value != value else value for key, value in asdict(score).items()} for score in scores]
    return {"forecasts": len(cases), **asdict(measured), "scores": scored}


def _print(load: str, cases: Cases, measured: Measured, scores: Sequence[Score]) -> None:
    title = f"{load}: {len(cases)} forecasts of the busiest of {cases.horizon_s} s"
    table = printing.new_table(title, *studies.many.predictor.table.columns(measured))
    for score in scores:
        table.add_row(*studies.many.predictor.table.row(score))
    printing.print_table(table)
