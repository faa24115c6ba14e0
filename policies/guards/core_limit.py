"""The cores of the cluster: no decision takes more than there are, nor replicas for which no node has room."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ipa.policies.configurations import check_decision
from ipa.policies.guards.bounds import sustained_rps, with_configuration, with_one
from ipa.policies.interface import (
    Configuration,
    Decision,
    Memory,
    Observation,
    Policy,
    PolicyError,
    reads,
)
from ipa.profiles import Pipeline, fits_nodes


@dataclass(frozen=True)
class CoreLimit:
    """Keeps the desired cores within the limit in the observation and on the nodes of the pipeline's limits.

    It removes one replica at a time, from the stage that sustains the most load without it, so that the pipeline's
    throughput suffers least. Every stage keeps one replica; if even these are too many, a note says so.
    """

    policy: Policy
    pipeline: Pipeline

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision, cut down to what there is. PolicyError: a limit below 1."""
        decision = check_decision(self.pipeline, self.policy.decide(observation, memory))
        limit_cores = observation.limit_cores
        if limit_cores is not None and limit_cores < 1:
            raise PolicyError(f"core limit {limit_cores}; allowed: at least 1, or None for no limit")
        decision = self._cut(
            decision, "core limit", "cores", lambda each: _is_within(each, limit_cores), f"{limit_cores} cores"
        )
        nodes = ", ".join(map(str, self.pipeline.limits.nodes))
        return self._cut(decision, "nodes", "nodes", self._is_placed, f"the nodes' {nodes} cores")

    def _cut(
        self, decision: Decision, guard: str, binding: str, fits: Callable[[Configuration], bool], room: str
    ) -> Decision:
        configuration = dict(decision.configuration)
        if fits(configuration):
            return decision
        while not fits(configuration):
            reducible = [
                (stage, part) for stage, wanted in configuration.items() for part in wanted.parts if part.replicas > 1
            ]
            if not reducible:
                cores = _total_cores(configuration)
                note = f"{guard}: one replica a stage already takes {cores} of {room}"
                decision = replace(decision, notes=(*decision.notes, note))
                break
            stage, part = max(reducible, key=lambda each: sustained_rps(self.pipeline, each[0], each[1], -1))
            configuration[stage] = with_one(configuration[stage], part, -1)
        if configuration != decision.configuration:
            decision = replace(decision, binding=binding)
        return with_configuration(decision, configuration, guard)

    def _is_placed(self, configuration: Configuration) -> bool:
        nodes = self.pipeline.limits.nodes
        parts = [part for wanted in configuration.values() for part in wanted.parts]
        return not nodes or fits_nodes([(part.cores, part.replicas) for part in parts], nodes)


def _is_within(configuration: Configuration, limit_cores: int | None) -> bool:
    return limit_cores is None or _total_cores(configuration) <= limit_cores


def _total_cores(configuration: Configuration) -> int:
    return sum(wanted.total_cores for wanted in configuration.values())
