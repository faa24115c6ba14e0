"""Guards: bounds that hold whatever a policy says. A guard wraps a policy and is itself a policy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from ipa.policies import checks
from ipa.policies.configurations import check_decision
from ipa.policies.interface import Decision, Memory, Observation, Policy, PolicyError, StageConfiguration, reads
from ipa.profiles import Pipeline


@dataclass(frozen=True)
class Bounds:
    """Keeps the replicas of every stage between a minimum and a maximum."""

    policy: Policy
    pipeline: Pipeline
    min_replicas: int = 1
    max_replicas: int | None = None

    def __post_init__(self) -> None:
        checks.integer("min_replicas", self.min_replicas)
        if self.max_replicas is not None:
            checks.integer("max_replicas", self.max_replicas, at_least=self.min_replicas)

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision with all numbers of replicas within the bounds."""
        decision = check_decision(self.pipeline, self.policy.decide(observation, memory))
        replicas = {stage: self._bounded(wanted.replicas) for stage, wanted in decision.configuration.items()}
        return _with_replicas(decision, replicas, "bounds")

    def _bounded(self, replicas: int) -> int:
        upper = replicas if self.max_replicas is None else min(replicas, self.max_replicas)
        return max(self.min_replicas, upper)


@dataclass(frozen=True)
class CoreLimit:
    """Keeps the desired cores within the limit in the observation, if there is one.

    It removes one replica at a time, from the stage that sustains the most load without it, so that the pipeline's
    throughput suffers least. Every stage keeps one replica; if even these exceed the limit, a note says so.
    """

    policy: Policy
    pipeline: Pipeline

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision, cut down to the limit. PolicyError: a limit below 1."""
        decision = check_decision(self.pipeline, self.policy.decide(observation, memory))
        limit_cores = observation.limit_cores
        if limit_cores is None:
            return decision
        if limit_cores < 1:
            raise PolicyError(f"core limit {limit_cores}; allowed: at least 1, or None for no limit")
        configuration = dict(decision.configuration)
        wanted_cores = _total_cores(configuration)
        while _total_cores(configuration) > limit_cores:
            reducible = [stage for stage, wanted in configuration.items() if wanted.replicas > 1]
            if not reducible:
                note = (
                    f"core limit: one replica a stage already takes "
                    f"{_total_cores(configuration)} of {limit_cores} cores"
                )
                decision = replace(decision, notes=(*decision.notes, note))
                break
            stage = max(reducible, key=self._sustained_without_one(configuration))
            wanted = configuration[stage]
            configuration[stage] = replace(wanted, replicas=wanted.replicas - 1)
        if _total_cores(configuration) < wanted_cores:
            decision = replace(decision, binding="cores")
        replicas = {stage: wanted.replicas for stage, wanted in configuration.items()}
        return _with_replicas(decision, replicas, "core limit")

    def _sustained_without_one(self, configuration: Mapping[str, StageConfiguration]) -> Callable[[str], float]:
        def sustained_rps(stage: str) -> float:
            wanted = configuration[stage]
            variant = self.pipeline.stage(stage).variant(wanted.variant)
            return (wanted.replicas - 1) * variant.throughput_rps(wanted.batch, wanted.cores)

        return sustained_rps


def _total_cores(configuration: Mapping[str, StageConfiguration]) -> int:
    return sum(wanted.total_cores for wanted in configuration.values())


def _with_replicas(decision: Decision, replicas: Mapping[str, int], guard: str) -> Decision:
    """The decision with other numbers of replicas, each change noted."""
    changed = {stage: wanted for stage, wanted in decision.configuration.items() if wanted.replicas != replicas[stage]}
    if not changed:
        return decision
    configuration = {
        stage: replace(wanted, replicas=replicas[stage]) for stage, wanted in decision.configuration.items()
    }
    notes = tuple(
        f"{guard}: {stage} {wanted.replicas} -> {replicas[stage]} replicas" for stage, wanted in changed.items()
    )
    return replace(decision, configuration=configuration, notes=(*decision.notes, *notes))
