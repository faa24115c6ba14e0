"""The forecast of a policy: a predictor, by name or from a file, its horizon, and the quantile to plan for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import inf
from numbers import Real
from typing import Any

from ipa.policies import checks, plugins
from ipa.policies.forecast import DEFAULT_HORIZON_S, Forecast, certain
from ipa.policies.interface import Histories, Observation, PolicyError, Predictor, reads
from ipa.policies.predictors.learned import Lstm, LstmQuantile, QuantileGbm
from ipa.policies.predictors.simple import Ewma, Holt, Max, Mean, Oracle, Poisson, Reactive, Shipped

PREDICTORS: Mapping[str, type[Predictor]] = {
    "reactive": Reactive,
    "max": Max,
    "mean": Mean,
    "ewma": Ewma,
    "holt": Holt,
    "poisson": Poisson,
    "quantile-gbm": QuantileGbm,
    "lstm": Lstm,
    "lstm-quantile": LstmQuantile,
    "oracle": Oracle,
}

DEFAULT_PREDICTOR = "quantile-gbm"
"""The default predictor; docs/forecasts.md says why."""


class PointPredictor:
    """A predictor with `predict(observation) -> float` alone, whose forecasts are single numbers for any horizon."""

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor
        self.reads = reads(predictor)

    def predict(self, observation: Observation) -> float:
        """What it predicts [rps]; NaN: no forecast. PolicyError: it is no number, negative or infinite."""
        predicted: Any = self.predictor.predict(observation)
        rate_rps = _rate_rps(predicted)
        if rate_rps is not None:
            return rate_rps
        kind = type(self.predictor)
        raise PolicyError(
            f"{plugins.place_of(kind)}{kind.__name__}.predict returned {checks.shown(predicted)}; allowed: requests "
            "per second, a finite number of at least 0, or NaN where there is no forecast"
        )

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        """As `Predictor.forecast`."""
        return certain(self.predict(observation), horizon_s)


def _rate_rps(predicted: object) -> float | None:
    """A prediction as a float; None for what is no rate."""
    if isinstance(predicted, bool) or not isinstance(predicted, Real):
        return None
    try:
        rate_rps = float(predicted)
    except OverflowError:
        return None
    return None if rate_rps < 0 or rate_rps == inf else rate_rps


def create_predictor(predictor: str | Mapping[str, Any] | object) -> Predictor:
    """A predictor from a name, from {"name": ..., parameters ...}, or as it is.

    A name is built in, or `path.py:Class`; the class is called with the parameters. It has `forecast` as in
    `Predictor`, or `predict(observation) -> float`. PolicyError: an unknown name or parameter, or a wrong value.
    """
    if isinstance(predictor, str):
        predictor = {"name": predictor}
    if not isinstance(predictor, Mapping):
        if _is_predictor(predictor):
            return _whole(predictor)
        raise PolicyError(f"predictor={predictor!r} must be a name, a mapping, or have forecast() or predict()")
    if not isinstance(predictor.get("name"), str):
        raise PolicyError(f"predictor={dict(predictor)!r} lacks a name; names: {', '.join(PREDICTORS)}")
    name = predictor["name"]
    parameters = {key: value for key, value in predictor.items() if key != "name"}
    factory = plugins.find("predictor", name, PREDICTORS, "forecast", "predict")
    return _whole(plugins.call(f"predictor {name!r}", factory, parameters=parameters))


def describe_predictor(predictor: Predictor) -> dict[str, Any]:
    """The predictor's name and parameters, as `create_predictor` takes them."""
    for name, kind in PREDICTORS.items():
        if type(predictor) is kind:
            parameters = {field.name: getattr(predictor, field.name) for field in fields(predictor) if field.init}  # type: ignore[arg-type]
            return {"name": name, **parameters}
    return {"name": type(predictor.predictor if isinstance(predictor, PointPredictor) else predictor).__name__}


def _is_predictor(candidate: object) -> bool:
    return any(callable(getattr(candidate, method, None)) for method in ("forecast", "predict"))


def _whole(candidate: Any) -> Predictor:
    predictor: Predictor = candidate if callable(getattr(candidate, "forecast", None)) else PointPredictor(candidate)
    reads(predictor)
    return predictor


OUTLOOK_PARAMETERS = ("predictor", "quantile", "horizon_s")

MOST_KEPT = 2**14
"""How many forecasts are kept, more by a batch at most; each takes a kilobyte with its history. They are those of some
hundred runs of 20 minutes."""


MOST_AHEAD = 2**11
"""How many of them are kept by the identity of their history, more by a batch at most."""


class Outlook:
    """Forecasts by a predictor; those of ours that see the load alone are made once for each history, and kept.

    `predictor` as in `create_predictor`. `quantile`: the level of the forecast to plan for, between 0 and 1; None: the
    predictor's point forecast. `horizon_s`: how far to look ahead; None: 20 s, as published. PolicyError: an impossible
    value.
    """

    def __init__(
        self,
        predictor: str | Mapping[str, Any] | object,
        quantile: float | None = None,
        horizon_s: float | None = None,
    ) -> None:
        self.predictor: Predictor = create_predictor(predictor)
        self.reads = reads(self.predictor)
        self.quantile = quantile
        if quantile is not None and not 0 < checks.number("quantile", quantile) < 1:
            raise PolicyError(f"quantile={quantile!r} must be a finite number above 0 and below 1")
        self.horizon_s = DEFAULT_HORIZON_S if horizon_s is None else checks.number("horizon_s", horizon_s, at_least=1)
        # Their forecasts are sooner made anew than looked up by a whole history.
        self._is_quick = isinstance(self.predictor, (Reactive, Max, Mean))
        self._known: dict[tuple[float, ...], Forecast] = {}
        self._ahead: dict[int, tuple[tuple[float, ...], Forecast]] = {}
        """The latest ones made ahead, by the identity of their history, as hashing its numbers takes longer than all
        else. Each holds its history, so that no other can have its identity."""

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        return {
            "predictor": describe_predictor(self.predictor),
            "quantile": self.quantile,
            "horizon_s": self.horizon_s,
        }

    def rps(self, observation: Observation) -> float:
        """The load to plan for [rps]; NaN where there is no forecast. PolicyError: the predictor gives none that is."""
        forecast = self.forecast(observation)
        return forecast.point_rps if self.quantile is None else forecast.at(self.quantile)

    def forecast(self, observation: Observation) -> Forecast:
        """The forecast as a whole. PolicyError: the predictor gives none that is."""
        load_rps = observation.load_rps
        ahead = self._ahead.get(id(load_rps))
        if ahead is not None and ahead[0] is load_rps:
            return ahead[1]
        if self._is_quick:
            return self._asked(observation)
        forecast = self._known.get(load_rps)
        if forecast is None:
            forecast = self._asked(observation)
            if isinstance(self.predictor, Shipped) and not self.reads:
                self._keep(((load_rps, forecast),))
        return forecast

    def share(self, outlook: Outlook) -> None:
        """Keep forecasts in one place with another outlook of the same parameters."""
        self._known, self._ahead = outlook._known, outlook._ahead

    def compute_ahead(self, histories: Histories) -> None:
        """Make the forecasts for these `load_rps` now, all at once, unless they are known.

        `rps` then finds the same numbers that it would otherwise compute one by one. Nothing is done for a predictor
        that sees more than these, or that has no `forecast_many`.
        """
        many = getattr(self.predictor, "forecast_many", None)
        if many is None or self.reads:
            return
        if len(self._ahead) >= MOST_AHEAD:
            self._ahead.clear()
        missing = []
        for history in histories:
            if id(history) in self._ahead:
                continue
            forecast = self._known.get(history)
            if forecast is None:
                missing.append(history)
            else:
                self._ahead[id(history)] = (history, forecast)
        if not missing:
            return
        import numpy as np

        by_length: dict[int, list[tuple[float, ...]]] = {}
        for history in dict.fromkeys(missing):
            by_length.setdefault(len(history), []).append(history)
        for alike in by_length.values():
            forecasts = list(zip(alike, many(np.array(alike, dtype=np.float64), self.horizon_s), strict=True))
            self._keep(forecasts)
            self._ahead.update((id(known_forecast[0]), known_forecast) for known_forecast in forecasts)

    def _keep(self, forecasts: Iterable[tuple[tuple[float, ...], Forecast]]) -> None:
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known.update(forecasts)

    def _asked(self, observation: Observation) -> Forecast:
        forecast: Any = self.predictor.forecast(observation, self.horizon_s)
        if isinstance(forecast, Forecast) and not any(
            value < 0 or value == inf for value in (forecast.point_rps, forecast.at(1))
        ):
            return forecast
        kind = type(self.predictor)
        raise PolicyError(
            f"{plugins.place_of(kind)}{kind.__name__}.forecast returned {checks.shown(forecast)}; allowed: a Forecast "
            "of requests per second, finite numbers of at least 0, or NaN where there is no forecast"
        )
