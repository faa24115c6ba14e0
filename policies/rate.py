"""Rate: the replicas that the measured rate needs, with a margin. The simplest useful autoscaler.

    n = max(1, ceil(rate x (1 + margin) / h(batch)))

for each stage, where h is the profiled throughput of a replica: textbook capacity planning (the utilisation law; Jain,
The Art of Computer Systems Performance Analysis, 1991, ch. 33), repeated at every step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.interface import Histories, Memory, Observation, Predictor
from ipa.policies.optimiser import replicas_for
from ipa.policies.predictors import Outlook
from ipa.policies.scaler import Scaled, Scaler, Served

if TYPE_CHECKING:
    from ipa.profiles import Pipeline

MEASURED: Mapping[str, Any] = {"name": "reactive", "window_s": 10, "of": "mean"}


class Rate(Scaler):
    """Replicas for the measured rate.

    `predictor`: gives the rate, by default the mean of the last 10 seconds. `quantile`: the quantile of the forecast to
    plan for; None: its point. `horizon_s`: how far the forecast looks; None: 20 s. `margin`: the share added to the
    rate. For other parameters see `Scaler`. Without a rate (NaN), the replicas stay. PolicyError: an impossible value.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        predictor: str | Mapping[str, Any] | Predictor = MEASURED,
        quantile: float | None = None,
        horizon_s: float | None = None,
        margin: float = 0.2,
        **scaler: Any,
    ) -> None:
        super().__init__(pipeline, **scaler)
        self.outlook = Outlook(predictor, quantile, horizon_s)
        self.reads = self.outlook.reads
        self.margin = checks.number("margin", margin, above=-1)
        self.share = 1 / (1 + self.margin)

    def compute_ahead(self, histories: Histories) -> None:
        """Make the forecasts for these `load_rps` at once; see `Outlook.compute_ahead`."""
        self.outlook.compute_ahead(histories)

    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for the rate. PolicyError: an infinite or negative forecast."""
        rate_rps = self.outlook.rps(observation)
        if rate_rps != rate_rps:
            return Scaled([stage.replicas for stage in stages], memory)
        planned_rps = rate_rps * (1 + self.margin)
        replicas = [replicas_for(planned_rps, stage.throughput_rps) for stage in stages]
        return Scaled(replicas, memory, rate_rps, planned_rps)
