"""Bounds on the replicas of every stage, and how a guard changes replicas and says so."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ipa.policies import checks
from ipa.policies.configurations import check_decision
from ipa.policies.interface import (
    Configuration,
    Decision,
    Memory,
    Observation,
    Policy,
    StageConfiguration,
    mix_of,
    reads,
)
from ipa.profiles import Pipeline


@dataclass(frozen=True)
class Bounds:
    """Keeps the replicas of every stage between a minimum and a maximum, and within the limits of the pipeline."""

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
        bounded = {stage: self._bounded(stage, wanted) for stage, wanted in decision.configuration.items()}
        return with_configuration(decision, bounded, "bounds")

    def _bounded(self, stage: str, wanted: StageConfiguration) -> StageConfiguration:
        """As many replicas as allowed. Of a mix, all variants count, and each keeps one."""
        limits, present = self.pipeline.limits, sum(part.replicas for part in wanted.parts)
        most = present if self.max_replicas is None else min(present, self.max_replicas)
        allowed = max(self.min_replicas, limits.least(stage), limits.most(stage, most))
        if not wanted.is_mix:
            return replace(wanted, replicas=allowed)

        def least_missed(part: StageConfiguration) -> float:
            return sustained_rps(self.pipeline, stage, part, -1)

        while sum(part.replicas for part in wanted.parts) > allowed:
            reducible = [part for part in wanted.parts if part.replicas > 1]
            if not reducible:
                break
            wanted = with_one(wanted, max(reducible, key=least_missed), -1)
        while sum(part.replicas for part in wanted.parts) < allowed:
            wanted = with_one(wanted, min(wanted.parts, key=least_missed), 1)
        return wanted


def sustained_rps(pipeline: Pipeline, stage: str, part: StageConfiguration, more: int) -> float:
    """The load that a stage sustains with so many more replicas of a variant [rps]; in a mix, by its share."""
    variant = pipeline.stage(stage).variant(part.variant)
    return (part.replicas + more) * variant.throughput_rps(part.batch, part.cores) / part.share


def with_one(wanted: StageConfiguration, part: StageConfiguration, more: int) -> StageConfiguration:
    """The configuration with so many more replicas of one of its parts."""
    return mix_of(
        [
            replace(each, replicas=each.replicas + more) if each.variant == part.variant else each
            for each in wanted.parts
        ]
    )


def with_configuration(decision: Decision, configuration: Configuration, guard: str, why: str = "") -> Decision:
    """The decision with other numbers of replicas, each change noted."""
    because = f" ({why})" if why else ""
    notes = tuple(
        f"{guard}: {_name(stage, wanted, part)} {part.replicas} -> {now.replicas} replicas{because}"
        for stage, wanted in decision.configuration.items()
        for part, now in zip(wanted.parts, configuration[stage].parts, strict=True)
        if part.replicas != now.replicas
    )
    if not notes:
        return decision
    return replace(decision, configuration=configuration, notes=(*decision.notes, *notes))


def _name(stage: str, wanted: StageConfiguration, part: StageConfiguration) -> str:
    return f"{stage} {part.variant}" if wanted.is_mix else stage
