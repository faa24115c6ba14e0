"""Oracle: IPA with the future known, which bounds what a better forecast can bring IPA; simulation only.

It plans for the busiest second of all those that the configuration decided now has to carry: until the replicas of the
*next* decision can be ready, that is the interval, the decision delay and the longest start-up time from now. Whatever
a forecast of IPA gets wrong, this gets right, so the distance from `ipa` to `oracle` is what a better predictor could
bring at most.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING, Any

from policies import checks
from policies.interface import Decision, Memory, Observation, PolicyError
from policies.planner import PLANNING_PARAMETERS, Planner
from policies.predictors import Oracle as Future

if TYPE_CHECKING:
    from profiles import Pipeline


class Oracle(Planner):
    """IPA (Inference Pipeline Adaptation, JSys 2024) with the true load in place of a forecast.

    `interval_s`: the time between two decisions, which only the first decision needs: later ones take the time since
    the one before. `decision_delay_s`: the scenario's. `load_margin` is 0 unless given: the truth needs none. Further
    parameters: see `Planner`, but for `predictor`. The observation must have `future_rps`; PolicyError where it has
    not, as in a live world.
    """

    further_parameters = tuple(name for name in PLANNING_PARAMETERS if name != "predictor")

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        interval_s: float = 10.0,
        decision_delay_s: float = 0.0,
        load_margin: float = 0.0,
        **planning: Any,
    ) -> None:
        checks.known("parameter", planning, self.further_parameters)
        super().__init__(pipeline, predictor="oracle", load_margin=load_margin, **planning)
        self.interval_s = checks.number("interval_s", interval_s, above=0)
        self.decision_delay_s = checks.number("decision_delay_s", decision_delay_s, at_least=0)
        self._start_up_s = max(variant.start_up_s for stage in pipeline.stages for variant in stage.variants)

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able."""
        planning = {key: value for key, value in super().parameters.items() if key != "predictor"}
        return {"interval_s": self.interval_s, "decision_delay_s": self.decision_delay_s, **planning}

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step. PolicyError: no future observed, a solver that cannot answer."""
        if observation.future_rps is None:
            raise PolicyError("the policy 'oracle' needs future_rps, which only a simulation has")
        since_s = observation.time_s - memory.get("time_s", observation.time_s)
        interval_s = since_s if since_s > 0 else self.interval_s
        horizon_s = max(1, ceil(interval_s + self.decision_delay_s + self._start_up_s))
        busiest_rps = Future(horizon_s).predict(observation)
        return self.decide_for(busiest_rps, observation, {**memory, "time_s": observation.time_s})
