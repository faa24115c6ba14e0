"""The input of a simulation: stages with their service times, and the settings of the world they run in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from ipa.profiles import Graph, LanguageModel, Pipeline, Stage, StageTokens
from ipa.sim import streams

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DISPATCH_MODES = ("central", "eager")
DROP_MODES = ("request", "batch", "deadline")
REMOVAL_MODES = ("drain", "lose")
FULL_MODES = ("replace", "wait")

CORES, GPUS = RESOURCES = ("cores", "gpus")
"""What replicas take, and a world may limit."""


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """The time that a replica of a given variant and number of cores takes for a batch of each size.

    `latency_s[n]` is the mean for n requests (index 0 is unused). `sigma[n]` is the sigma of a lognormal factor with
    mean 1; None: every batch takes exactly the mean.
    """

    latency_s: tuple[float, ...]
    sigma: tuple[float, ...] | None = None

    @property
    def max_batch(self) -> int:
        """The largest batch size profiled."""
        return len(self.latency_s) - 1


@dataclass(frozen=True, slots=True, eq=False)
class StageModel:
    """One stage as an engine sees it; the keys of `service` are (variant, cores). Stages are compared by identity.

    `language`: of a stage of language models, the model of each variant, and `tokens` those of its requests. `service`
    is then what is expected of a replica with so many requests at once.
    """

    name: str
    service: Mapping[tuple[str, int], ServiceTime]
    start_up_s: Mapping[str, float]
    drop_limit_s: float
    language: Mapping[str, LanguageModel] = field(default_factory=dict)
    tokens: StageTokens | None = None

    def taken(self, resource: str, variant: str, cores: int) -> int:
        """How much of a resource one replica takes."""
        if resource == CORES:
            return cores
        return self.language[variant].gpus if variant in self.language else 0


@dataclass(frozen=True, slots=True)
class World:
    """The settings of one simulated world; all times in seconds. Dropping by deadline needs `sla_s`.

    `max_surge` None: a quarter of the desired replicas, rounded up. `bound_s`: how long the run may continue after
    `duration_s`; requests that have not ended by then are unfinished. `removal`: whether a removed replica finishes its
    batch or loses its requests. `limit_cores`, `limit_gpus`: the most cores and GPUs that exist at any time; None: no
    limit. `when_full`: whether a rollout without room replaces one replica after the other, or waits.
    """

    duration_s: float
    bound_s: float
    hop_s: float = 0.0
    stop_s: float = 0.0
    decision_delay_s: float = 0.0
    max_surge: int | None = None
    max_unavailable: int = 0
    dispatch: str = "central"
    drop: str = "request"
    sla_s: float | None = None
    removal: str = "drain"
    limit_cores: int | None = None
    limit_gpus: int | None = None
    when_full: str = "replace"

    def __post_init__(self) -> None:
        if self.dispatch not in DISPATCH_MODES:
            raise ValueError(f"dispatch {self.dispatch!r}; allowed: {', '.join(DISPATCH_MODES)}")
        if self.drop not in DROP_MODES:
            raise ValueError(f"drop {self.drop!r}; allowed: {', '.join(DROP_MODES)}")
        if self.drop == "deadline" and self.sla_s is None:
            raise ValueError("drop 'deadline' needs sla_s")
        if self.removal not in REMOVAL_MODES:
            raise ValueError(f"removal {self.removal!r}; allowed: {', '.join(REMOVAL_MODES)}")
        if self.when_full not in FULL_MODES:
            raise ValueError(f"when_full {self.when_full!r}; allowed: {', '.join(FULL_MODES)}")
        if self.max_surge is not None and self.max_surge + self.max_unavailable < 1:
            raise ValueError(
                f"max_surge {self.max_surge} and max_unavailable {self.max_unavailable}: "
                "their sum must be at least 1, or no rollout could ever move"
            )

    @property
    def limits(self) -> dict[str, int]:
        """The limits that there are, by resource."""
        limits = {CORES: self.limit_cores, GPUS: self.limit_gpus}
        return {resource: limit for resource, limit in limits.items() if limit is not None}


@dataclass(frozen=True, slots=True, eq=False)
class RunInput:
    """The input of a run, besides the configurations that are applied.

    `arrivals_s`: when requests arrive, shape (requests,), sorted, in [0, duration). `seed`: of all draws. `graph`: how
    the stages are connected if they are not a chain; `models` are then in its topological order. `columns`: what the
    load says of each request, by name, shape (requests,) each.
    """

    models: Sequence[StageModel]
    world: World
    arrivals_s: FloatArray
    seed: int
    graph: Graph | None = None
    columns: Mapping[str, IntArray] = field(default_factory=dict)

    @property
    def names(self) -> list[str]:
        """The names of the stages."""
        return [model.name for model in self.models]

    @property
    def has_language_models(self) -> bool:
        """Whether any stage is one of language models."""
        return any(model.language for model in self.models)


def in_words(resource: str) -> str:
    """Cores or GPUs, as they are written."""
    return "GPUs" if resource == GPUS else resource


def stage_model(
    stage: Stage,
    drop_limit_s: float,
    *,
    sampled: bool,
    dispatch_overhead_s: float = 0.0,
    start_up_extra_s: float = 0.0,
    service_factor: float = 1.0,
) -> StageModel:
    """A profiled stage as an engine sees it; with `sampled`, service times vary and fit the profile's mean and p99.

    Two overheads of real systems are added to the profile: `dispatch_overhead_s` to every batch, `start_up_extra_s` to
    every start-up. `service_factor` multiplies the profiled latency of a batch, or the time of a language model's step.
    """
    service = {
        (variant.name, cores): _service_time(
            *variant.latency_table(cores),
            service_factor,
            dispatch_overhead_s,
            sampled=sampled,
        )
        for variant in stage.variants
        for cores in variant.cores
    }
    start_up_s = {variant.name: variant.start_up_s + start_up_extra_s for variant in stage.variants}
    models = {variant.name: variant.language_model for variant in stage.variants if variant.language_model}
    language = {name: model.taking(service_factor) for name, model in models.items()}
    return StageModel(stage.name, service, start_up_s, drop_limit_s, language, stage.tokens)


def stage_models(
    pipeline: Pipeline,
    *,
    sampled: bool,
    dispatch_overhead_s: float = 0.0,
    start_up_extra_s: float = 0.0,
    service_factor: float = 1.0,
) -> tuple[StageModel, ...]:
    """All stages of a pipeline, with its drop limits; see `stage_model`."""
    return tuple(
        stage_model(
            stage,
            limit_s,
            sampled=sampled,
            dispatch_overhead_s=dispatch_overhead_s,
            start_up_extra_s=start_up_extra_s,
            service_factor=service_factor,
        )
        for stage, limit_s in zip(pipeline.stages, pipeline.drop_limits_s, strict=True)
    )


@lru_cache(maxsize=4096)  # the runs of a study need the same ones again and again
def _service_time(
    mean_s: tuple[float, ...],
    p99_s: tuple[float, ...],
    factor: float,
    overhead_s: float,
    *,
    sampled: bool,
) -> ServiceTime:
    """The service time with factor and overhead, which make batches longer but not more random: sigma is unchanged."""
    latency_s = (mean_s[0], *(factor * mean + overhead_s for mean in mean_s[1:]))
    if not sampled:
        return ServiceTime(latency_s)
    sigmas = (streams.lognormal_sigma(max(1.0, p99 / mean)) for mean, p99 in zip(mean_s[1:], p99_s[1:], strict=True))
    return ServiceTime(latency_s, (0.0, *sigmas))
