"""The options of scoring forecasts and of training models, declared once for the command line and Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from typing import ClassVar

from ipa.studies.scenario import choices, option


@dataclass(frozen=True)
class MeasuredOptions:
    """The quantiles at which forecasts are scored."""

    quantiles: tuple[float, ...] = option(
        (0.5, 0.95),
        "Quantile to score the forecasts at. Repeatable. Default: 0.5 and 0.95.",
        flag="--quantile",
        above=0.0,
        below=1.0,
    )
    interval: ClassVar[float] = 0.9
    """The share of the loads that the central interval of a forecast should hold."""

    @property
    def ends(self) -> tuple[float, float]:
        """The levels of the interval's ends."""
        outside = (1.0 - self.interval) / 2.0
        return outside, 1.0 - outside

    @property
    def levels(self) -> tuple[float, ...]:
        """All levels needed: the quantiles, then the interval's ends."""
        return (*self.quantiles, *self.ends)


@dataclass(frozen=True)
class Recipe:
    """How a model of a kind is trained; `command` is recorded in its card.

    `epochs` limits a network's passes over them; None: `EPOCHS`. `thinned_by`: train also on the load with one request
    in so many, so that the model knows the rates and the spread of much smaller loads. `learnt_s`: train on this many
    first seconds of the load; None: all.
    """

    kind: str = option(
        MISSING,
        "What to train: the published network, ours with quantiles, or trees with quantiles.",
        flag="--model",
        words=choices.Model,
    )
    seed: int = option(1, "Seed of every random draw. Default: 1.", least=0)
    command: str = ""
    epochs: int | None = option(
        None,
        "Passes over the samples, for a network. Default: 30 for lstm, at most 60 for lstm-quantile.",
        least=1,
    )
    thinned_by: Sequence[int] = option(
        (),
        "Train on the load thinned to one request in FACTOR as well, so that the model knows lower rates. Repeatable. "
        "Default: the load as it is.",
        flag="--thin",
        least=2,
        metavar="FACTOR",
    )
    learnt_s: int | None = None
