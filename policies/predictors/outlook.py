"""What a policy plans from: a predictor, how far it should look ahead, and which quantile of its forecast counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf
from typing import Any

from ipa.policies import checks, plugins
from ipa.policies.forecast import DEFAULT_HORIZON_S, Forecast
from ipa.policies.interface import Histories, Observation, PolicyError, Predictor, reads
from ipa.policies.predictors.registry import create_predictor, describe_predictor
from ipa.policies.predictors.shipped import Shipped

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
        found = self._known.get(load_rps)
        if found is None:
            found = self._asked(observation)
            if isinstance(self.predictor, Shipped) and not self.reads:
                self._keep(((load_rps, found),))
        return found

    def share(self, other: Outlook) -> None:
        """Keep forecasts in one place with another outlook of the same parameters."""
        self._known, self._ahead = other._known, other._ahead

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
            found = self._known.get(history)
            if found is None:
                missing.append(history)
            else:
                self._ahead[id(history)] = (history, found)
        if not missing:
            return
        import numpy as np

        by_length: dict[int, list[tuple[float, ...]]] = {}
        for history in dict.fromkeys(missing):
            by_length.setdefault(len(history), []).append(history)
        for alike in by_length.values():
            made = list(zip(alike, many(np.array(alike, dtype=np.float64), self.horizon_s), strict=True))
            self._keep(made)
            self._ahead.update((id(one[0]), one) for one in made)

    def _keep(self, made: Iterable[tuple[tuple[float, ...], Forecast]]) -> None:
        if len(self._known) >= MOST_KEPT:
            self._known.clear()
        self._known.update(made)

    def _asked(self, observation: Observation) -> Forecast:
        given: Any = self.predictor.forecast(observation, self.horizon_s)
        if isinstance(given, Forecast) and not any(
            value < 0 or value == inf for value in (given.point_rps, given.at(1))
        ):
            return given
        kind = type(self.predictor)
        raise PolicyError(
            f"{plugins.place_of(kind)}{kind.__name__}.forecast returned {checks.shown(given)}; allowed: a Forecast of "
            "requests per second, finite numbers of at least 0, or NaN where there is no forecast"
        )
