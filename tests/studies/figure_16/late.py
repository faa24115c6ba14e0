"""A forecast from metrics that come late."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ipa.policies import Observation, create_predictor


class Late:
    """The forecast that `of` would make if the last `late_s` seconds of the load had not been seen yet."""

    def __init__(self, of: str, late_s: int) -> None:
        self._predictor = create_predictor(of)
        self._late_s = late_s
        self.reads = self._predictor.reads

    def forecast(self, observation: Observation, horizon_s: float) -> Any:
        """As `Predictor.forecast`."""
        seen = observation.load_rps[: len(observation.load_rps) - self._late_s]
        return self._predictor.forecast(replace(observation, load_rps=seen), horizon_s)
