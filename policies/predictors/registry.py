"""Predictors by name, from packages and from files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from math import inf
from numbers import Real
from typing import Any

from ipa.policies import checks, plugins
from ipa.policies.forecast import Forecast, certain
from ipa.policies.interface import Observation, PolicyError, Predictor, reads
from ipa.policies.predictors.auto import Auto
from ipa.policies.predictors.future import Oracle
from ipa.policies.predictors.learned import Lstm, LstmQuantile, QuantileGbm, SeasonalGbm
from ipa.policies.predictors.poisson import Poisson
from ipa.policies.predictors.recent import Max, Mean, Reactive
from ipa.policies.predictors.smoothing import Ewma, Holt

PREDICTORS: Mapping[str, type[Any]] = {
    "reactive": Reactive,
    "max": Max,
    "mean": Mean,
    "ewma": Ewma,
    "holt": Holt,
    "poisson": Poisson,
    "quantile-gbm": QuantileGbm,
    "seasonal-gbm": SeasonalGbm,
    "lstm": Lstm,
    "lstm-quantile": LstmQuantile,
    "oracle": Oracle,
    "auto": Auto,
}

DEFAULT_PREDICTOR = "quantile-gbm"
"""What a policy plans by that is given none; docs/forecasts.md says why."""


class PointPredictor:
    """A predictor with `predict(observation) -> float` alone, whose forecasts are single numbers for any horizon."""

    def __init__(self, given: Any) -> None:
        self.given = given
        self.reads = reads(given)

    def predict(self, observation: Observation) -> float:
        """What it predicts [rps]; NaN: no forecast. PolicyError: it is no number, negative or infinite."""
        predicted: Any = self.given.predict(observation)
        rate_rps = _rate_rps(predicted)
        if rate_rps is not None:
            return rate_rps
        kind = type(self.given)
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


def create_predictor(given: str | Mapping[str, Any] | object) -> Predictor:
    """A predictor from a name, from {"name": ..., parameters ...}, or as it is.

    A name is built in, an entry point of the group `ipa.predictors`, or `path.py:Class`; the class is called with the
    parameters. It has `forecast` as in `Predictor`, or `predict(observation) -> float`. PolicyError: an unknown name
    or parameter, or a wrong value.
    """
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        if _is_predictor(given):
            return _whole(given)
        raise PolicyError(f"predictor={given!r} must be a name, a mapping, or have forecast() or predict()")
    if not isinstance(given.get("name"), str):
        raise PolicyError(f"predictor={dict(given)!r} lacks a name; names: {', '.join(PREDICTORS)}")
    name = given["name"]
    parameters = {key: value for key, value in given.items() if key != "name"}
    if name == "auto" and "candidates" in parameters:
        parameters["candidates"] = _candidates(parameters["candidates"])
    if plugins.is_file(name):
        factory = plugins.from_file(name, "forecast", "predict")
    else:
        factory = plugins.find("predictor", name, PREDICTORS, "ipa.predictors")
    return _whole(plugins.call(f"predictor {name!r}", factory, parameters=parameters))


def describe_predictor(predictor: Predictor) -> dict[str, Any]:
    """The predictor's name and parameters, as `create_predictor` takes them."""
    for name, kind in PREDICTORS.items():
        if type(predictor) is kind:
            given = {field.name: getattr(predictor, field.name) for field in fields(predictor) if field.init}  # type: ignore[arg-type]
            if isinstance(predictor, Auto):
                given["candidates"] = [describe_predictor(each) for each in predictor.candidates]
            return {"name": name, **given}
    return {"name": type(predictor.given if isinstance(predictor, PointPredictor) else predictor).__name__}


def _candidates(given: Any) -> tuple[Predictor, ...]:
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise PolicyError(f"candidates={given!r} should be a list of predictors")
    return tuple(map(create_predictor, given))


def _is_predictor(given: object) -> bool:
    return any(callable(getattr(given, method, None)) for method in ("forecast", "predict"))


def _whole(given: Any) -> Predictor:
    predictor: Predictor = given if callable(getattr(given, "forecast", None)) else PointPredictor(given)
    reads(predictor)
    return predictor
