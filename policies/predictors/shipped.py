"""What the shipped predictors have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ipa.policies.forecast import DEFAULT_HORIZON_S, Forecast
from ipa.policies.interface import Observation


class Shipped(ABC):
    """A predictor that reads no costly field, unless it says so."""

    reads: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def forecast(self, observation: Observation, horizon_s: float = DEFAULT_HORIZON_S) -> Forecast:
        """The distribution of the load of the busiest of the next `horizon_s` seconds; missing without a sample."""

    def predict(self, observation: Observation) -> float:
        """The point forecast [rps] for the default horizon; NaN without a sample."""
        return self.forecast(observation).point_rps
