"""The future itself, which only a simulation knows."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import ClassVar

from ipa.policies import checks
from ipa.policies.forecast import DEFAULT_HORIZON_S, Forecast, certain
from ipa.policies.interface import Observation, PolicyError
from ipa.policies.predictors.shipped import Shipped
from ipa.policies.predictors.windows import OF, load_of


@dataclass(frozen=True)
class Oracle(Shipped):
    """The true load of the next `horizon_s` seconds; None: of the horizon that the policy asks for."""

    horizon_s: int | None = None
    of: str = "max"
    reads: ClassVar[tuple[str, ...]] = ("future_rps",)

    def __post_init__(self) -> None:
        if self.horizon_s is not None:
            checks.integer("horizon_s", self.horizon_s)
        checks.choice("of", self.of, OF)

    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """As `Shipped.forecast`; missing at the end of the load. PolicyError: no future in the observation."""
        if observation.future_rps is None:
            raise PolicyError("the predictor 'oracle' needs future_rps, which only a simulation has")
        seconds = ceil(horizon_s) if self.horizon_s is None else self.horizon_s
        return certain(load_of(observation.future_rps[:seconds], self.of), float(seconds))
