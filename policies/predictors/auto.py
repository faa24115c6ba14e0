"""The predictor that did best on the seconds just gone."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ipa.policies import checks
from ipa.policies.forecast import DEFAULT_HORIZON_S, LEVELS, Forecast
from ipa.policies.interface import Observation, PolicyError, Predictor, reads
from ipa.policies.predictors.poisson import Poisson
from ipa.policies.predictors.recent import Max, Mean
from ipa.policies.predictors.shipped import Shipped
from ipa.policies.predictors.smoothing import Ewma, Holt
from ipa.policies.predictors.windows import load_of

EVERY_S = 10
"""How far apart the moments are at which the candidates are tried."""


@dataclass(frozen=True)
class Auto(Shipped):
    """The candidate whose forecasts of the last `window_s` seconds of the history had the least pinball loss.

    Each is asked what it would have forecast, with what had been seen by then, at every tenth second from which the
    horizon lies within the window. The loss is the mean over these forecasts and over `LEVELS`. The first candidate is
    the one to stay with: another takes its place only if its loss is less by more than the share `margin`. As all of
    this comes from the history, there is nothing to remember. Where the history is too short to try, the first.
    """

    candidates: tuple[Predictor, ...] = (Poisson(), Ewma(), Holt(), Mean(), Max(windows=2))  # type: ignore[assignment]
    window_s: int = 50
    margin: float = 0.2

    def __post_init__(self) -> None:
        if not self.candidates:
            raise PolicyError("candidates=() should name at least one predictor")
        for each in self.candidates:
            if reads(each):
                raise PolicyError(
                    f"candidates: {type(each).__name__} reads {', '.join(reads(each))}, not the load alone"
                )
        checks.integer("window_s", self.window_s)
        checks.number("margin", self.margin, at_least=0, at_most=1)

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`."""
        return self.best(observation, horizon_s).forecast(observation, horizon_s)

    def best(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Predictor:
        """The candidate that is asked."""
        trials = self._trials(observation, horizon_s)
        losses = [
            sum(_loss(each.forecast(then, horizon_s), busiest) for then, busiest in trials) for each in self.candidates
        ]
        least = min(losses)
        if not least < losses[0] * (1.0 - self.margin):  # not, as it may be NaN
            return self.candidates[0]
        return self.candidates[losses.index(least)]

    def _trials(self, observation: Observation, horizon_s: float) -> list[tuple[Observation, float]]:
        """What was seen at some moments, and the busiest second that followed each."""
        load, ahead = observation.load_rps, max(1, round(horizon_s))
        found = []
        for end in range(len(load) - ahead, max(0, len(load) - self.window_s - 1), -EVERY_S):
            busiest = load_of(load[end : end + ahead], "max")
            if busiest == busiest and load_of(load[:end], "max") == load_of(load[:end], "max"):
                found.append((replace(observation, load_rps=load[:end]), busiest))
        return found


def _loss(forecast: Forecast, busiest_rps: float) -> float:
    """The pinball loss, summed over `LEVELS`."""
    values = forecast.values_rps if forecast.levels == LEVELS else tuple(map(forecast.at, LEVELS))
    errors = ((level, busiest_rps - value) for level, value in zip(LEVELS, values, strict=True))
    return sum(level * error if error > 0 else (level - 1.0) * error for level, error in errors)
