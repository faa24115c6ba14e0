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
from ipa.profiles import Pipeline, Variant


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
        limits, bounded = self.pipeline.limits, {}
        for stage, planned in decision.configuration.items():
            most = planned.replicas if self.max_replicas is None else min(planned.replicas, self.max_replicas)
            replicas = max(self.min_replicas, limits.least(stage), limits.most(stage, most))
            bounded[stage] = replace(planned, replicas=replicas)
        return with_configuration(decision, bounded, "bounds")


def sustained_rps(pipeline: Pipeline, stage: str, configuration: StageConfiguration) -> float:
    """The load that a stage sustains [rps]."""
    variant = pipeline.stage(stage).variant(configuration.variant)
    return configuration.replicas * variant.throughput_rps(configuration.batch, configuration.cores)


def with_configuration(decision: Decision, configuration: Configuration, guard: str, why: str = "") -> Decision:
    """The decision with other numbers of replicas, each change noted."""
    because = f" ({why})" if why else ""
    notes = tuple(
        f"{guard}: {stage} {planned.replicas} -> {configuration[stage].replicas} replicas{because}"
        for stage, planned in decision.configuration.items()
        if planned.replicas != configuration[stage].replicas
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
        factors = factors_of(self.pipeline, {name: planned.variant for name, planned in decision.configuration.items()})
        enough = {}
        for stage in self.pipeline.stages:
            planned = decision.configuration[stage.name]
            throughput_rps = stage.variant(planned.variant).throughput_rps(planned.batch, planned.cores)
            least = replicas_for(load_rps * factors[stage.name], throughput_rps * self.utilisation)
            enough[stage.name] = replace(planned, replicas=max(planned.replicas, least))
        return with_configuration(
            decision, enough, "ceiling", f"{load_rps:.4g} rps at a utilisation of {self.utilisation:g}"
        )


def recent_rps(observation: Observation) -> float | None:
    """The mean load of the last 10 samples; None without any."""
    samples = [count for count in observation.load_rps if count == count][-RECENT_S:]
    return sum(samples) / len(samples) if samples else None


@dataclass(frozen=True)
class CoreLimit(Guard):
    """Keeps the desired cores and GPUs within the limits in the observation, and replicas within the pipeline's limits.

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
                decision,
                "core limit",
                "cores",
                lambda configuration: _total_cores(configuration) <= limit_cores,
                f"{limit_cores} cores",
            )
        room = self.pipeline.limits.room.within(observation.limit_gpus)
        if room.gpus is not None:
            on_any_node = replace(room, nodes=())
            decision = self._cut(
                decision,
                "GPU limit",
                "gpus",
                lambda configuration: on_any_node.fits(self._shapes(configuration)),
                f"{room.gpus} GPUs",
            )
        nodes = ", ".join(map(str, room.nodes))
        return self._cut(
            decision,
            "nodes",
            "nodes",
            lambda configuration: room.fits(self._shapes(configuration)),
            f"the nodes' {nodes} cores",
        )

    def _cut(
        self, decision: Decision, guard: str, binding: str, fits: Callable[[Configuration], bool], room: str
    ) -> Decision:
        configuration = dict(decision.configuration)
        if fits(configuration):
            return decision
        while not fits(configuration):
            fewer = {
                stage: replace(chosen, replicas=chosen.replicas - 1)
                for stage, chosen in configuration.items()
                if chosen.replicas > 1 and (binding != "gpus" or self._variant(stage, chosen).gpus)
            }
            if not fewer:
                units = _total_cores(configuration)
                if binding == "gpus":
                    units = sum(gpus * count for _, gpus, count in self._shapes(configuration))
                note = f"{guard}: one replica a stage already takes {units} of {room}"
                decision = replace(decision, feasible=False, notes=(*decision.notes, note))
                break
            factors = factors_of(self.pipeline, {name: chosen.variant for name, chosen in configuration.items()})
            sustained = {
                stage: sustained_rps(self.pipeline, stage, chosen) / max(factors[stage], LEAST_FACTOR)
                for stage, chosen in fewer.items()
            }
            stage = max(sustained, key=sustained.__getitem__)
            configuration[stage] = fewer[stage]
        if configuration != decision.configuration:
            decision = replace(decision, binding=binding)
        return with_configuration(decision, configuration, guard)

    def _shapes(self, configuration: Configuration) -> list[tuple[int, int, int]]:
        """Own cores and GPUs of a replica of each stage, and their number."""
        stages = [(self._variant(name, chosen), chosen) for name, chosen in configuration.items()]
        return [(variant.own_cores(chosen.cores), variant.gpus, chosen.replicas) for variant, chosen in stages]

    def _variant(self, stage: str, chosen: StageConfiguration) -> Variant:
        return self.pipeline.stage(stage).variant(chosen.variant)


def _total_cores(configuration: Configuration) -> int:
    return sum(stage.total_cores for stage in configuration.values())
