"""Predictors of the load, from the last windows or from the future itself.

The load of a window is that of its busiest second (`of="max"`, which is what the published system forecasts) or its
mean. Windows are counted back from the newest second. Seconds without a sample (NaN) are skipped; without any sample
the forecast is NaN, never zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import inf, nan
from numbers import Real
from typing import Any

from ipa.policies import checks, plugins
from ipa.policies.interface import Observation, PolicyError, Predictor, reads

OF = ("max", "mean")


class _NoCostlyField:
    reads: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reactive(_NoCostlyField):
    """The load of the last window."""

    window_s: int = 10
    of: str = "max"

    def __post_init__(self) -> None:
        checks.integer("window_s", self.window_s)
        checks.choice("of", self.of, OF)

    def predict(self, observation: Observation) -> float:
        """The forecast [rps]; NaN without a sample in the window."""
        return load_of(observation.load_rps[-self.window_s :], self.of)


@dataclass(frozen=True)
class Max(_NoCostlyField):
    """The greatest load of the last windows; by default they are 2 minutes, the published history."""

    windows: int = 12
    window_s: int = 10
    of: str = "max"

    def __post_init__(self) -> None:
        checks.integer("windows", self.windows)
        checks.integer("window_s", self.window_s)
        checks.choice("of", self.of, OF)

    def predict(self, observation: Observation) -> float:
        """The forecast [rps]; NaN without a sample in the windows."""
        loads = window_loads(observation.load_rps, self.windows, self.window_s, self.of)
        return max(loads, default=nan)


@dataclass(frozen=True)
class Mean(_NoCostlyField):
    """`factor` x the mean load of the last windows.

    The default is 1.04 x the mean of the last four 10 s maxima, in place of the published system's LSTM. As a forecast,
    every 10 s, of the busiest of the next 20 s, on seconds 1296000 to 1297200 of the Twitter stream of 2018-04, it has
    a SMAPE of 9.2 %; the last maximum alone has 11.3 %.
    """

    windows: int = 4
    factor: float = 1.04
    window_s: int = 10
    of: str = "max"

    def __post_init__(self) -> None:
        checks.integer("windows", self.windows)
        checks.number("factor", self.factor, above=0)
        checks.integer("window_s", self.window_s)
        checks.choice("of", self.of, OF)

    def predict(self, observation: Observation) -> float:
        """The forecast [rps]; NaN without a sample in the windows."""
        loads = window_loads(observation.load_rps, self.windows, self.window_s, self.of)
        return self.factor * sum(loads) / len(loads) if loads else nan


@dataclass(frozen=True)
class Oracle(_NoCostlyField):
    """The true load of the next `horizon_s` seconds, which only a simulation knows."""

    horizon_s: int = 20
    of: str = "max"
    reads = ("future_rps",)

    def __post_init__(self) -> None:
        checks.integer("horizon_s", self.horizon_s)
        checks.choice("of", self.of, OF)

    def predict(self, observation: Observation) -> float:
        """The forecast [rps]; NaN at the end of the load. PolicyError: no future in the observation."""
        if observation.future_rps is None:
            raise PolicyError("the predictor 'oracle' needs future_rps, which only a simulation has")
        return load_of(observation.future_rps[: self.horizon_s], self.of)


PREDICTORS: Mapping[str, type[Any]] = {
    "reactive": Reactive,
    "max": Max,
    "mean": Mean,
    "oracle": Oracle,
}


def forecast_of(predictor: Predictor, observation: Observation) -> float:
    """The predictor's forecast [rps]; NaN where it has none. PolicyError: it is no number, negative or infinite."""
    given: Any = predictor.predict(observation)
    if isinstance(given, Real) and not isinstance(given, bool) and not (given < 0 or given == inf):
        return float(given)
    kind = type(predictor)
    raise PolicyError(
        f"{plugins.place_of(kind)}{kind.__name__}.predict returned {given!r}; allowed: requests per second, a finite "
        "number of at least 0, or NaN where there is no forecast"
    )


def load_of(seconds: Sequence[float], of: str) -> float:
    """The load of some seconds [rps]: of the busiest one, or the mean; NaN without a sample."""
    samples = [count for count in seconds if count == count]
    if not samples:
        return nan
    return max(samples) if of == "max" else sum(samples) / len(samples)


def window_loads(load_rps: Sequence[float], windows: int, window_s: int, of: str) -> list[float]:
    """The loads of the last windows, newest first; windows without a sample are left out."""
    ends = range(len(load_rps), max(0, len(load_rps) - windows * window_s), -window_s)
    loads = [load_of(load_rps[max(0, end - window_s) : end], of) for end in ends]
    return [load for load in loads if load == load]


def create_predictor(given: str | Mapping[str, Any] | Predictor) -> Predictor:
    """A predictor from a name, from {"name": ..., parameters ...}, or as it is.

    A name is built in, an entry point of the group `ipa.predictors`, or `path.py:Class`; the class is called with the
    parameters. PolicyError: an unknown name or parameter, or a wrong value.
    """
    if isinstance(given, str):
        given = {"name": given}
    if not isinstance(given, Mapping):
        if callable(getattr(given, "predict", None)):
            return given
        raise PolicyError(f"predictor={given!r} must be a name, a mapping or have predict()")
    if not isinstance(given.get("name"), str):
        raise PolicyError(f"predictor={dict(given)!r} lacks a name; names: {', '.join(PREDICTORS)}")
    name = given["name"]
    parameters = {key: value for key, value in given.items() if key != "name"}
    if plugins.is_file(name):
        factory = plugins.from_file(name, "predict")
    else:
        factory = plugins.find("predictor", name, PREDICTORS, "ipa.predictors")
    predictor: Predictor = plugins.call(f"predictor {name!r}", factory, parameters=parameters)
    reads(predictor)
    return predictor


def describe_predictor(predictor: Predictor) -> dict[str, Any]:
    """The predictor's name and parameters, as `create_predictor` takes them."""
    for name, kind in PREDICTORS.items():
        if type(predictor) is kind:
            return {"name": name, **asdict(predictor)}  # type: ignore[call-overload]
    return {"name": type(predictor).__name__}
