"""A policy of one's own: IPA with hysteresis.

IPA changes a variant for any gain, however small, and every change costs a rollout: new replicas start
while the old ones still serve and cost. `Steady` asks the same optimiser twice, once freely and once with
the variants at hand, and changes a variant only for a gain above a threshold. Replicas and batch sizes
follow the load as ever. On the bursty load that saves a third of the changes and half of the SLA
violations, for 0.3 of accuracy (PAS). Run it from the project's root:

    ipa simulate video --policy studies/examples/my_policy.py:Steady --trace bursty

and beside IPA itself:

    ipa compare video --policy ipa --policy studies/examples/my_policy.py:Steady --trace bursty

A policy is any class that is made from a pipeline (and parameters) and has `decide`. It keeps nothing in
itself between decisions: what it wants to remember goes through `memory`, so that the same observation
and memory give the same decision, in simulation and on a cluster.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ipa.policies import Decision, Ipa, Memory, Observation, decision_from_solution
from ipa.policies.optimiser import solve
from ipa.profiles import Pipeline


class Steady:
    """IPA that changes variants only where the objective gains more than `least_gain`.

    Further parameters are IPA's: predictor, alpha, beta, ...
    """

    def __init__(self, pipeline: Pipeline, *, least_gain: float = 0.05, **ipa: Any) -> None:
        self.least_gain = least_gain
        self.ipa = Ipa(pipeline, **ipa)
        self.reads = self.ipa.reads

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """IPA's decision, or the best one with the variants at hand if that is nearly as good."""
        forecast_rps = self.ipa.outlook.rps(observation)
        problem = self.ipa.problem(observation, forecast_rps)
        if problem is None:  # no sample of the load: IPA holds the configuration
            return self.ipa.decide(observation, memory)

        free = solve(problem)
        at_hand = {name: [stage.variant] for name, stage in observation.configuration.items()}
        kept = solve(replace(problem, variants=at_hand))
        gain = free.objective["total"] - kept.objective["total"]

        # Steadiness is worth a little of the objective, but no SLA violation and no lost load.
        if kept.feasible and gain <= self.least_gain:
            made = decision_from_solution(kept, memory, forecast_rps, problem.load_rps)
            return replace(made, notes=(*made.notes, f"kept the variants; a change gains {gain:.3g}"))
        return decision_from_solution(free, memory, forecast_rps, problem.load_rps)
