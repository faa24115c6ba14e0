"""The highest utilisation: replicas are planned with no larger share of their throughput, whatever the policy plans."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ipa.policies.configurations import check_decision
from ipa.policies.guards.bounds import with_configuration
from ipa.policies.interface import Decision, Memory, Observation, Policy, StageConfiguration, mix_of, reads
from ipa.policies.optimiser import RUNGS, replicas_for
from ipa.profiles import Pipeline, Stage

RECENT_S = 10
"""How many of the last samples are the load of a policy that does not say what it plans for."""


@dataclass(frozen=True)
class Ceiling:
    """Adds replicas until the planned load is at most `utilisation` of what they sustain as profiled, at every stage.

    The planned load is the decision's; where it says none, the mean of the last 10 s. A decision of the optimiser that
    is already the most that there is room for stays as it is.
    """

    policy: Policy
    pipeline: Pipeline
    utilisation: float

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision with replicas enough."""
        decision = check_decision(self.pipeline, self.policy.decide(observation, memory))
        load_rps = decision.planned_load_rps
        if load_rps is None:
            load_rps = recent_rps(observation)
        if load_rps is None or decision.rung == RUNGS[-1]:
            return decision
        enough = {
            stage.name: self._enough(stage, decision.configuration[stage.name], load_rps)
            for stage in self.pipeline.stages
        }
        return with_configuration(
            decision, enough, "ceiling", f"{load_rps:.4g} rps at a utilisation of {self.utilisation:g}"
        )

    def _enough(self, stage: Stage, wanted: StageConfiguration, load_rps: float) -> StageConfiguration:
        parts = []
        for part in wanted.parts:
            throughput_rps = stage.variant(part.variant).throughput_rps(part.batch, part.cores)
            least = replicas_for(load_rps * part.share, throughput_rps * self.utilisation)
            parts.append(replace(part, replicas=max(part.replicas, least)))
        return mix_of(parts)


def recent_rps(observation: Observation) -> float | None:
    """The mean load of the last 10 samples; None without any."""
    samples = [count for count in observation.load_rps if count == count][-RECENT_S:]
    return sum(samples) / len(samples) if samples else None
