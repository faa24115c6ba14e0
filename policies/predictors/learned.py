"""Predictors that have learned from a trace, as `ipa predictor train` trains them."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from ipa.policies.forecast import DEFAULT_HORIZON_S, Forecast, between, certain
from ipa.policies.interface import Observation, PolicyError
from ipa.policies.predictors import trained
from ipa.policies.predictors.simple import Ewma, Shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from ipa.policies.predictors.trained import Floats, TrainedModel


@dataclass(frozen=True)
class Learned(Shipped):
    """`model`: the name of a shipped one, or an .npz file. PolicyError: it cannot be used here."""

    model: str
    _trained: TrainedModel = field(init=False, repr=False, compare=False)
    _outputs: Callable[[Floats], Floats] = field(init=False, repr=False, compare=False)

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        if not isinstance(self.model, str):
            raise PolicyError(f"model={self.model!r} should be the name of a shipped model or a file")
        model, outputs = _shipped(self.model) if self.model in trained.shipped() else _loaded(self.model)
        if model.kind != self.kind:
            raise PolicyError(f"model={self.model!r} is of kind {model.kind!r}; this predictor needs {self.kind!r}")
        object.__setattr__(self, "_trained", model)
        object.__setattr__(self, "_outputs", outputs)

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        import numpy as np

        return self.forecast_many(np.array([observation.load_rps], dtype=np.float64), horizon_s)[0]

    @abstractmethod
    def forecast_many(self, load_rps: Floats, horizon_s: float = DEFAULT_HORIZON_S) -> list[Forecast]:
        """The forecasts after histories of shape (forecasts, seconds), as `forecast` makes each."""


@dataclass(frozen=True)
class Lstm(Learned):
    """The published predictor: the maxima of the last 12 windows of 10 s [rps], an LSTM of 25 units, and a dense layer
    that answers with the busiest of the next 20 s, whatever the horizon. Until all windows have samples, the maximum
    seen.
    """

    model: str = "lstm"
    kind: ClassVar[str] = "lstm"

    def forecast_many(self, load_rps: Floats, horizon_s: float = DEFAULT_HORIZON_S) -> list[Forecast]:
        """As `Learned.forecast_many`."""
        import numpy as np

        maxima = trained.features.maxima(trained.features.by_window(load_rps))
        is_whole = ~np.isnan(maxima).any(axis=1)
        busiest = np.fmax.reduce(maxima, axis=1)
        outputs = np.maximum(self._outputs(np.nan_to_num(maxima)[:, :, None])[:, 0], 0.0)
        return [certain(float(rps), DEFAULT_HORIZON_S) for rps in np.where(is_whole, outputs, busiest)]


class Relative(Learned):
    """A model of quantiles that sees loads relative to the history's mean and deviation, so that it carries over to
    other scales. The horizon is one of its features; the models are trained for 10 to 60 s.

    They are trained on whole histories. Until `least_seen_s` of the two minutes have been seen, `ewma` answers.
    """

    least_seen_s: ClassVar[int]

    def forecast_many(self, load_rps: Floats, horizon_s: float = DEFAULT_HORIZON_S) -> list[Forecast]:
        """As `Learned.forecast_many`."""
        import numpy as np

        windows = trained.features.by_window(load_rps)
        level, scale = trained.features.level_and_scale(windows)
        horizons_s = np.full(len(level), float(horizon_s))
        inputs = trained.features.relative(windows, level, scale, horizons_s)
        if self.kind == trained.TREES:
            inputs = inputs.reshape(len(inputs), -1)
        values = np.maximum(level[:, None] + scale[:, None] * self._outputs(inputs), 0.0)
        values[level == 0.0] = 0.0  # nothing came, and no deviation says what might
        values.sort(axis=1)
        levels = self._trained.levels
        medians = between(levels, tuple(values.T), 0.5)
        rows = zip(medians.tolist(), values.tolist(), strict=True)
        forecasts = [Forecast(horizon_s, median, levels, tuple(row)) for median, row in rows]
        for place in np.flatnonzero((~np.isnan(windows)).sum(axis=(1, 2)) < self.least_seen_s).tolist():
            forecasts[place] = Ewma().after(load_rps[place].tolist(), horizon_s)
        return forecasts


def _loaded(model: str) -> tuple[TrainedModel, Callable[[Floats], Floats]]:
    loaded = trained.load(model)
    return loaded, trained.forward_pass(loaded)


_shipped = cache(_loaded)
"""Cached, as every run makes its own predictor, and preparing a forward pass takes as long as a hundred forecasts."""


@dataclass(frozen=True)
class LstmQuantile(Relative):
    """An LSTM of more features of each window, with one output for each quantile."""

    model: str = "lstm-quantile"
    kind: ClassVar[str] = "lstm-quantile"
    least_seen_s: ClassVar[int] = 80


@dataclass(frozen=True)
class QuantileGbm(Relative):
    """Gradient-boosted trees for each quantile."""

    model: str = "quantile-gbm"
    kind: ClassVar[str] = "quantile-gbm"
    least_seen_s: ClassVar[int] = 20
