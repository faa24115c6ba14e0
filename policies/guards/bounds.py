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
        """As many replicas as allowed."""
        limits = self.pipeline.limits
        most = wanted.replicas if self.max_replicas is None else min(wanted.replicas, self.max_replicas)
        return replace(wanted, replicas=max(self.min_replicas, limits.least(stage), limits.most(stage, most)))


def sustained_rps(pipeline: Pipeline, stage: str, wanted: StageConfiguration) -> float:
    """The load that a stage sustains [rps]."""
    variant = pipeline.stage(stage).variant(wanted.variant)
    return wanted.replicas * variant.throughput_rps(wanted.batch, wanted.cores)


def with_configuration(decision: Decision, configuration: Configuration, guard: str, why: str = "") -> Decision:
    """The decision with other numbers of replicas, each change noted."""
    because = f" ({why})" if why else ""
    notes = tuple(
        f"{guard}: {stage} {wanted.replicas} -> {configuration[stage].replicas} replicas{because}"
        for stage, wanted in decision.configuration.items()
        if wanted.replicas != configuration[stage].replicas
    )
    if not notes:
        return decision
    return replace(decision, configuration=configuration, notes=(*decision.notes, *notes))


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
        throughput_rps = stage.variant(wanted.variant).throughput_rps(wanted.batch, wanted.cores)
        least = replicas_for(load_rps, throughput_rps * self.utilisation)
        return replace(wanted, replicas=max(wanted.replicas, least))


def recent_rps(observation: Observation) -> float | None:
    """The mean load of the last 10 samples; None without any."""
    samples = [count for count in observation.load_rps if count == count][-RECENT_S:]
    return sum(samples) / len(samples) if samples else None


@dataclass(frozen=True)
class CoreLimit(Guard):
    """Keeps the desired cores within the limit in the observation and on the nodes of the pipeline's limits.

    It removes one replica at a time, from the stage that sustains the most load without it, so that the pipeline's
    throughput suffers least. Every stage keeps one replica; if even these are too many, the decision is not feasible,
    and a note says so.
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
            fewer = {
                stage: replace(wanted, replicas=wanted.replicas - 1)
                for stage, wanted in configuration.items()
                if wanted.replicas > 1
            }
            if not fewer:
                cores = _total_cores(configuration)
                note = f"{guard}: one replica a stage already takes {cores} of {room}"
                decision = replace(decision, feasible=False, notes=(*decision.notes, note))
                break
            factors = factors_of(self.pipeline, {name: each.variant for name, each in configuration.items()})
            sustained = {
                stage: sustained_rps(self.pipeline, stage, wanted) / max(factors[stage], LEAST_FACTOR)
                for stage, wanted in fewer.items()
            }
            stage = max(sustained, key=sustained.__getitem__)
            configuration[stage] = fewer[stage]
        if configuration != decision.configuration:
            decision = replace(decision, binding=binding)
        return with_configuration(decision, configuration, guard)

    def _is_placed(self, configuration: Configuration) -> bool:
        nodes = self.pipeline.limits.nodes
        return not nodes or fits_nodes([(each.cores, each.replicas) for each in configuration.values()], nodes)


def _total_cores(configuration: Configuration) -> int:
    return sum(wanted.total_cores for wanted in configuration.values())
