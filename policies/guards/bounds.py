"""Guards on replicas: bounds for every stage, a highest utilisation, and the cores and nodes of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from ipa.policies import checks
from ipa.policies.configurations import check_decision, factors_of
from ipa.policies.interface import (
    Configuration,
    Decision,
    Memory,
    Observation,
    Policy,
    PolicyError,
    StageConfiguration,
    mix_of,
    reads,
)
from ipa.policies.optimiser import RUNGS, replicas_for
from ipa.profiles import Pipeline, Stage, fits_nodes


@dataclass(frozen=True)
class Guard:
    """A policy that changes what another one decides."""

    policy: Policy
    pipeline: Pipeline

    @property
    def reads(self) -> tuple[str, ...]:
        """What the policy reads."""
        return reads(self.policy)

    def asked(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision, checked."""
        return check_decision(self.pipeline, self.policy.decide(observation, memory))


@dataclass(frozen=True)
class Bounds(Guard):
    """Keeps the replicas of every stage between a minimum and a maximum, and within the limits of the pipeline."""

    min_replicas: int = 1
    max_replicas: int | None = None

    def __post_init__(self) -> None:
        checks.integer("min_replicas", self.min_replicas)
        if self.max_replicas is not None:
            checks.integer("max_replicas", self.max_replicas, at_least=self.min_replicas)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision with all numbers of replicas within the bounds."""
        decision = self.asked(observation, memory)
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


LEAST_FACTOR = 1e-9
"""Lower bound on the items per request of a stage in a graph."""

RECENT_S = 10
"""Number of last samples whose mean stands for the planned load if a policy does not name it."""


@dataclass(frozen=True)
class Ceiling(Guard):
    """Adds replicas until the planned load is at most `utilisation` of their profiled throughput, at every stage.

    The planned load is the decision's or, if it has none, the mean of the last 10 s. A decision of the optimiser on its
    last rung (the most throughput) stays as it is.
    """

    utilisation: float

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision with replicas enough."""
        decision = self.asked(observation, memory)
        load_rps = decision.planned_load_rps
        if load_rps is None:
            load_rps = recent_rps(observation)
        if load_rps is None or decision.rung == RUNGS[-1]:
            return decision
        factors = factors_of(self.pipeline, {name: each.variant for name, each in decision.configuration.items()})
        enough = {
            stage.name: self._enough(stage, decision.configuration[stage.name], load_rps * factors[stage.name])
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


@dataclass(frozen=True)
class CoreLimit(Guard):
    """Keeps the desired cores within the limit in the observation and on the nodes of the pipeline's limits.

    It removes one replica at a time, from the stage that sustains the most load without it, so that the pipeline's
    throughput suffers least. Every stage keeps one replica; if even these are too many, a note says so.
    """

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The policy's decision, reduced to the available cores. PolicyError: a limit below 1."""
        decision = self.asked(observation, memory)
        limit_cores = observation.limit_cores
        if limit_cores is not None and limit_cores < 1:
            raise PolicyError(f"core limit {limit_cores}; allowed: at least 1, or None for no limit")
        if limit_cores is not None:
            decision = self._cut(
                decision, "core limit", "cores", lambda each: _total_cores(each) <= limit_cores, f"{limit_cores} cores"
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
            factors = factors_of(self.pipeline, {name: each.variant for name, each in configuration.items()})
            stage, part = max(
                reducible,
                key=lambda each: (
                    sustained_rps(self.pipeline, each[0], each[1], -1) / (max(factors[each[0]], LEAST_FACTOR))
                ),
            )
            configuration[stage] = with_one(configuration[stage], part, -1)
        if configuration != decision.configuration:
            decision = replace(decision, binding=binding)
        return with_configuration(decision, configuration, guard)

    def _is_placed(self, configuration: Configuration) -> bool:
        nodes = self.pipeline.limits.nodes
        parts = [part for wanted in configuration.values() for part in wanted.parts]
        return not nodes or fits_nodes([(part.cores, part.replicas) for part in parts], nodes)


def _total_cores(configuration: Configuration) -> int:
    return sum(wanted.total_cores for wanted in configuration.values())
