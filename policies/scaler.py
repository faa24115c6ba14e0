"""The base of policies that change only replicas: variants and batches are given, and replicas follow the load."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, TypeVar

from ipa.policies import checks
from ipa.policies.configurations import MOST_REPLICAS, explicit_variants, factors_of, standing, variants_argument
from ipa.policies.forecasting import held
from ipa.policies.interface import (
    Decision,
    Memory,
    Observation,
    PolicyError,
    StageConfiguration,
    StageObservation,
)
from ipa.policies.optimiser import Programme, replicas_for
from ipa.policies.predictors import Outlook

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage, Variant

SCALER_PARAMETERS = ("variants", "batch", "min_replicas", "max_replicas")
BATCHLESS_PARAMETERS = ("variants", "min_replicas", "max_replicas")
"""The same for those that choose batches themselves."""
LARGEST = "largest"
EPSILON = 1e-9
ABOVE_0 = partial(checks.number, above=0)
OPENING_S = 10
"""The seconds whose load a warm start is to carry."""

N = TypeVar("N", int, float)
Sample = tuple[float, float]
"""A time, and what was measured then."""

BATCHES_IN_SHARE = 2
"""A request that just misses a batch waits for all of it and is in the next one, so two batches must fit into a stage's
share of the SLA (Nexus, SOSP 2019). With language models nobody waits for a batch, and one is enough."""


@dataclass(frozen=True, slots=True)
class Served:
    """A stage now: the variant that serves it, the batch size, the load a replica sustains, and what was observed.

    The load is the pipeline's, in requests, of which each puts `factor` items into the stage: 1 in a chain. `least` and
    `most` bound its replicas.
    """

    name: str
    variant: Variant
    batch: int
    throughput_rps: float
    observed: StageObservation
    least: int
    most: int
    factor: float = 1.0

    def bounded(self, replicas: int) -> int:
        """Replicas within `least` and `most`."""
        return max(self.least, min(replicas, self.most))

    @property
    def replicas(self) -> int:
        """The replicas desired at present."""
        return self.observed.configuration.replicas

    @property
    def ready(self) -> int:
        """Ready replicas, of any variant."""
        return sum(counts.ready for counts in self.observed.replicas.values())

    @property
    def starting(self) -> int:
        """Starting replicas, of any variant."""
        return sum(counts.starting for counts in self.observed.replicas.values())

    @property
    def concurrency(self) -> float:
        """Requests queued and in service: their average since the last step if observed, else their present number."""
        mean = self.observed.concurrency
        return self.observed.queue_length + self.observed.in_service if mean is None else mean


@dataclass(frozen=True, slots=True)
class Scaled:
    """The replicas of each stage, in order, the memory to pass on and, if there is one, the load planned for."""

    replicas: Sequence[int]
    memory: Memory
    forecast_rps: float | None = None
    planned_load_rps: float | None = None
    batches: Mapping[str, int] | None = None
    shortfall: str = ""
    """The rung of the decision if it falls short of what was wanted."""
    notes: Sequence[str] = ()


class Scaler(ABC):
    """A policy that changes only the replicas.

    `variants`: a name in the pipeline's `scale_only` ("low", "high"), or stage -> variant. A variant that has failed to
    start is replaced by the lightest that has not (rung "no-accuracy"). `batch`: a number for all stages, stage ->
    number, or "largest": the largest profiled size, up to the pipeline's batch cap, for which two batches fit into the
    stage's share of the SLA (2 x p99 <= share), else 1. `min_replicas`: the fewest replicas of a stage; a number for
    all, or stage -> number. `max_replicas`: the most, likewise; None: no bound. The batch timeout is the least of
    (batch - 1) / load, 1 s and half the drop limit, where load is what the replicas are meant to carry: `share` x their
    throughput, at the stage where that is least. Without a load sample, the configuration stays.

    PolicyError: an impossible name or number.
    """

    further_parameters: tuple[str, ...] = SCALER_PARAMETERS
    reads: tuple[str, ...] = ()
    share: float = 1.0
    """The share of a replica's throughput that is meant to be used."""

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        variants: str | Mapping[str, str] = "low",
        batch: str | int | Mapping[str, int] = LARGEST,
        min_replicas: int | Mapping[str, int] = 1,
        max_replicas: int | Mapping[str, int] | None = 100,
    ) -> None:
        self._pipeline = pipeline
        self._programme = Programme.of(pipeline)
        self.variants = explicit_variants(pipeline, variants)
        self.batch = self._batches(batch)
        self.min_replicas, self.max_replicas = min_replicas, max_replicas
        self._least = self.by_stage("min_replicas", min_replicas, checks.integer)
        most = MOST_REPLICAS if max_replicas is None else max_replicas
        self._most = self.by_stage("max_replicas", most, checks.integer)
        if any(self._most[name] < least for name, least in self._least.items()):
            raise PolicyError(f"{max_replicas=} is below {min_replicas=}")

    @property
    def parameters(self) -> dict[str, Any]:
        """The effective parameters, JSON-able: those of the class, in the order of its signature, then those shared."""
        kinds = inspect.signature(type(self)).parameters.values()
        names = [parameter.name for parameter in kinds if parameter.kind is parameter.KEYWORD_ONLY]
        outlook: Outlook | None = getattr(self, "outlook", None)
        forecast = {} if outlook is None else outlook.parameters
        return {
            key: forecast[key] if key in forecast else getattr(self, key) for key in (*names, *self.further_parameters)
        }

    @staticmethod
    def from_argument(argument: str, pipeline: Pipeline) -> dict[str, Any]:
        """The parameters of `NAME:low` or, with one variant per stage, `NAME:yolov5s,resnet50`."""
        return variants_argument(argument, pipeline)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The decision for this step."""
        if all(count != count for count in observation.load_rps):
            return held(self._programme, observation, memory, "no load sample")
        if observation.is_silent:
            return held(self._programme, observation, memory, f"no sample for {observation.sample_age_s:g} s")
        scaled = self.scale(observation, memory, self.served(observation))
        return self._decision(observation, scaled)

    @abstractmethod
    def scale(self, observation: Observation, memory: Memory, stages: Sequence[Served]) -> Scaled:
        """The replicas for this step, a pure function of the arguments. There is at least one load sample."""

    def served(self, observation: Observation, batches: Mapping[str, int] | None = None) -> list[Served]:
        """The stages as they are now, with the policy's batches unless others are given."""
        observed, stages = observation.stages, self._pipeline.stages
        serving = {
            stage.name: standing(stage, self.variants[stage.name], observed[stage.name].failed_variants)
            for stage in stages
        }
        factors = factors_of(self._pipeline, serving)
        served = []
        for stage in stages:
            variant, factor = stage.variant(serving[stage.name]), factors[stage.name]
            batch = min((batches or self.batch)[stage.name], variant.max_batch())
            load_rps = self._throughput_rps(variant, batch) / factor if factor else inf
            least, most = self._least[stage.name], self._most[stage.name]
            served.append(Served(stage.name, variant, batch, load_rps, observed[stage.name], least, most, factor))
        return served

    def opening(self, observation: Observation, stages: Sequence[Served]) -> list[int]:
        """The replicas that carry the mean load of the last 10 s with `share` of their throughput, before anything
        runs."""
        load_rps = recent_rps(observation, OPENING_S)
        return [stage.bounded(replicas_for(load_rps, self.share * stage.throughput_rps)) for stage in stages]

    def carried_rps(self, stages: Sequence[Served], replicas: Sequence[int]) -> float:
        """The load that replicas are meant to carry."""
        return min(self.share * count * stage.throughput_rps for stage, count in zip(stages, replicas, strict=True))

    def _decision(self, observation: Observation, scaled: Scaled) -> Decision:
        stages = self.served(observation, scaled.batches)
        replicas = [stage.bounded(count) for stage, count in zip(stages, scaled.replicas, strict=True)]
        carried_rps = self.carried_rps(stages, replicas)
        configuration = {
            stage.name: StageConfiguration(
                variant=stage.variant.name,
                batch=stage.batch,
                replicas=count,
                batch_timeout_s=self._programme.batch_timeout_s(k, stage.batch, carried_rps * stage.factor),
                cores=stage.variant.base_cores,
            )
            for k, (stage, count) in enumerate(zip(stages, replicas, strict=True))
        }
        failed = [stage.name for stage in stages if stage.variant.name != self.variants[stage.name]]
        notes = [*scaled.notes, *(f"{name}: {self.variants[name]} has failed to start" for name in failed)]
        cores = sum(stage.total_cores for stage in configuration.values())
        limit = observation.limit_cores
        within = limit is None or cores <= limit
        if not within:
            notes.append(f"takes {cores} cores; limit: {limit}")
        return Decision(
            configuration=configuration,
            memory=scaled.memory,
            forecast_rps=scaled.forecast_rps,
            planned_load_rps=carried_rps if scaled.planned_load_rps is None else scaled.planned_load_rps,
            objective=self._programme.score(configuration),
            binding="none" if within else "cores",
            rung="no-accuracy" if failed else scaled.shortfall or "optimal",
            feasible=within and not failed and not scaled.shortfall,
            notes=tuple(notes),
        )

    def stage_throughput_rps(self, stage: str) -> float:
        """The items per second that a replica of a stage carries with the policy's variant and batch."""
        return self._throughput_rps(self._pipeline.stage(stage).variant(self.variants[stage]), self.batch[stage])

    def _throughput_rps(self, variant: Variant, batch: int) -> float:
        return variant.throughput_rps(batch) * self._programme.throughput_share

    def _batches(self, batch: str | int | Mapping[str, int]) -> dict[str, int]:
        """Stage -> batch, checked."""
        stages = self._pipeline.stages
        if isinstance(batch, str):
            checks.choice("batch", batch, [LARGEST])
            return {stage.name: self._largest(stage) for stage in stages}
        by_name = batch if isinstance(batch, Mapping) else dict.fromkeys((stage.name for stage in stages), batch)
        sizes = self.by_stage("batch", by_name, checks.integer)
        for stage in stages:
            largest = stage.variant(self.variants[stage.name]).max_batch()
            if sizes[stage.name] > largest:
                raise PolicyError(
                    f"batch.{stage.name}={sizes[stage.name]} is above the largest profiled for "
                    f"{self.variants[stage.name]}: {largest}"
                )
        return sizes

    def by_stage(self, key: str, parameter: N | Mapping[str, N] | None, check: Callable[[str, N], N]) -> dict[str, N]:
        """Stage -> number, of a parameter that is a number for all stages or stage -> number; empty for None.

        PolicyError: a missing or unknown stage, or a number that the `check` refuses.
        """
        if parameter is None:
            return {}
        names = [stage.name for stage in self._pipeline.stages]
        if not isinstance(parameter, Mapping):
            return dict.fromkeys(names, check(key, parameter))
        numbers = checks.mapping(key, parameter, names)
        return {name: check(f"{key}.{name}", value) for name, value in numbers.items()}

    def _largest(self, stage: Stage) -> int:
        variant = stage.variant(self.variants[stage.name])
        sizes = variant.planned_batches(self._programme.batch_cap)
        batches = BATCHES_IN_SHARE if stage.fills_batches else 1
        return max((batch for batch in sizes if batches * variant.p99_s(batch) <= stage.sla_s), default=1)


def moment(remembered_s: float, now_s: float) -> float:
    """A remembered time, at most `now_s`.

    A later one is from before the clock restarted. It counts as now, so that nothing waits for the clock to catch up.
    """
    return min(remembered_s, now_s)


def within(samples: Sequence[tuple[float, N]], now_s: float, window_s: float) -> list[tuple[float, N]]:
    """The samples younger than the window."""
    return [(moment(time_s, now_s), value) for time_s, value in samples if now_s - time_s < window_s - EPSILON]


def mean_of(samples: Sequence[Sample]) -> float:
    """The mean of what was measured; there is at least one sample."""
    return sum(value for _, value in samples) / len(samples)


def exists(stages: Sequence[Served]) -> bool:
    """Whether any replica exists; before the first request of a warm start, none does."""
    return any(stage.observed.replicas for stage in stages)


def recent_rps(observation: Observation, seconds: int) -> float:
    """The mean of the last `seconds` samples of the load, of which there must be at least one."""
    samples = [count for count in observation.load_rps if count == count][-seconds:]
    return sum(samples) / len(samples)
