"""What each of the two seasons is worth to `seasonal-gbm`: the forecasts of one that knows the other not.

    ipa predictor evaluate --trace twitter-2018-04.txt.xz --windows 1209600:1814400 --without-zeros \\
        --predictor tests/studies/predictor/one_season.py:Yesterday \\
        --predictor tests/studies/predictor/one_season.py:LastWeek
"""

from __future__ import annotations

from dataclasses import replace

from ipa.policies import Forecast, Observation, create_predictor


class Yesterday:
    """`seasonal-gbm` without last week."""

    reads = ("seasons_rps",)

    def __init__(self) -> None:
        self._predictor = create_predictor("seasonal-gbm")

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        """As `Predictor.forecast`."""
        day, week = observation.seasons_rps or ((), ())
        return self._predictor.forecast(replace(observation, seasons_rps=self.known(day, week)), horizon_s)

    def known(self, day: tuple[float, ...], week: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
        """The seasons that it knows."""
        return day, ()


class LastWeek(Yesterday):
    """`seasonal-gbm` without yesterday."""

    def known(self, day: tuple[float, ...], week: tuple[float, ...]) -> tuple[tuple[float, ...], ...]:
        """As `Yesterday.known`."""
        return (), week
