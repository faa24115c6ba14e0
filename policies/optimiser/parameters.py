"""The parameters of a pipeline's integer programme that do not depend on the load."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ipa.policies import checks
from ipa.policies.configurations import refuse_excluded
from ipa.policies.goals import Goal
from ipa.policies.interface import PolicyError

if TYPE_CHECKING:
    from ipa.profiles import Graph, Pipeline, Stage, Variant

ACCURACIES = ("product", "sum", "average", "pairs")
SCALES = ("raw", "rank")
STATISTICS = ("p99", "mean")
LONGEST_TIMEOUT_S = 1.0


@dataclass(frozen=True)
class Parameters:
    """The objective, the choices and the assumptions of the programme.

    `alpha`: the weight of the accuracy. `beta`: the weight of a core. `gamma`: the weight of a batch size. `accuracy`:
    how the accuracies of the stages combine: "product", "sum", "average", or "pairs" (measured accuracies of two
    variants together, from the pipeline's file; without "rank"). `accuracy_scale`: the scale of an accuracy: "raw"
    fraction or "rank" (the lowest variant 0, the highest 1, equally spaced; an only variant 1). `accuracy_floor`: lower
    accuracies are raised to this. `candidates`: stage -> variants to choose from and to rank; a missing stage: all.
    `batch_cap`: batch sizes are the profiled ones up to this. `sla_s`: the SLA to plan for; None: the
    pipeline's. `statistic`: the latency to plan with: "p99" or "mean". `throughput_share`: the share of the profiled
    throughput to plan with. `throughput_cap_rps`: stage -> upper bound on a replica's profiled throughput; a missing
    stage: none. `threshold_rps`: replicas have the fewest cores that carry this load within their stage's SLA, at batch
    1 (the published rule), or the most profiled cores if none do; None: their variant's base cores. `max_replicas`: the
    most replicas of a stage. `drop_limits_s`: the drop limit of each stage, which bounds the batch timeout; None: 2 x
    SLA at the first stage, the SLA at later ones. `published_queue_defect`: reproduce the published code, whose queue
    term takes the binary selector for the batch size: -|M_s| (|B| - 1) / load in place of (b - 1) / load. `goal`: an
    objective in place of the weights, such as {max: accuracy, cores_at_most: 20} (see `ipa.policies.goals`); None: the
    weights.

    The pipeline's `limits` take precedence: a core weighs `beta` x its price, and at most the highest utilisation of
    the throughput is planned with.

    PolicyError: a value out of range.
    """

    pipeline: Pipeline
    alpha: float = 1.0
    beta: float = 1.0
    gamma: float = 1e-6
    accuracy: str = "product"
    accuracy_scale: str = "raw"
    accuracy_floor: float = 0.0
    candidates: Mapping[str, Collection[str]] = field(default_factory=dict, hash=False)
    batch_cap: int = 64
    sla_s: float | None = None
    statistic: str = "p99"
    throughput_share: float = 1.0
    throughput_cap_rps: Mapping[str, float] = field(default_factory=dict, hash=False)
    threshold_rps: float | None = None
    max_replicas: int = 100
    drop_limits_s: tuple[float, ...] | None = None
    published_queue_defect: bool = False
    goal: Goal | Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        for key in ("alpha", "beta", "gamma"):
            self._set(key, checks.number(key, getattr(self, key), at_least=0))
        checks.choice("accuracy", self.accuracy, ACCURACIES)
        checks.choice("accuracy_scale", self.accuracy_scale, SCALES)
        if self.accuracy == "pairs":
            self._check_pairs()
        if self.published_queue_defect and not all(stage.fills_batches for stage in self.pipeline.stages):
            raise PolicyError("published_queue_defect: the published code has no language models; leave it out")
        if self.pipeline.graph is not None:
            self._check_graph(self.pipeline.graph)
        checks.choice("statistic", self.statistic, STATISTICS)
        checks.number("accuracy_floor", self.accuracy_floor, at_least=0, at_most=1)
        checks.integer("batch_cap", self.batch_cap)
        checks.integer("max_replicas", self.max_replicas)
        checks.number("throughput_share", self.throughput_share, above=0, at_most=1)
        checks.flag("published_queue_defect", self.published_queue_defect)
        if self.threshold_rps is not None:
            checks.number("threshold_rps", self.threshold_rps, above=0)
        self._set("throughput_cap_rps", self._checked_caps())
        self._set("candidates", self._checked_candidates())
        self._set("goal", Goal.of(self.goal, self.pipeline))
        if self.sla_s is not None:
            checks.number("sla_s", self.sla_s, above=0)
        if self.drop_limits_s is not None:
            self._set("drop_limits_s", self._checked_drop_limits())

    def _check_pairs(self) -> None:
        if not self.pipeline.pair_accuracies:
            raise PolicyError(
                f"accuracy='pairs': {self.pipeline.name} has no pair_accuracies; allowed: {', '.join(ACCURACIES[:-1])}"
            )
        if self.accuracy_scale != "raw":
            raise PolicyError(f"accuracy_scale={self.accuracy_scale!r}: with accuracy='pairs' allowed: raw")

    def _check_graph(self, graph: Graph) -> None:
        if self.published_queue_defect:
            raise PolicyError(
                f"published_queue_defect: the published code takes chains, and {self.pipeline.name} is a graph"
            )
        if graph.accuracies and self.accuracy == "product" and self.accuracy_scale != "raw":
            raise PolicyError(
                f"accuracy_scale={self.accuracy_scale!r}: {self.pipeline.name} has accuracies of combinations; allowed "
                "with these: raw"
            )

    def candidates_of(self, stage: Stage) -> tuple[Variant, ...]:
        """The variants of a stage to choose from, in the pipeline's order."""
        names = self.candidates.get(stage.name)
        return tuple(variant for variant in stage.variants if names is None or variant.name in names)

    def cores_of(self, stage: Stage, variant: Variant) -> int:
        """The cores of a replica."""
        if self.threshold_rps is None:
            return variant.base_cores
        return stage.base_cores_rule(variant.name, self.threshold_rps) or max(variant.cores)

    def throughput_rps(self, stage: Stage, variant: Variant, batch: int) -> float:
        """The requests per second that a replica is planned to sustain."""
        profiled = variant.throughput_rps(batch, self.cores_of(stage, variant))
        share = min(self.throughput_share, self.pipeline.limits.utilisation)
        return min(profiled, self.throughput_cap_rps.get(stage.name, profiled)) * share

    @property
    def target_s(self) -> float:
        """The SLA to plan for [s]."""
        return self.pipeline.sla_s if self.sla_s is None else self.sla_s

    @cached_property
    def drop_limits(self) -> tuple[float, ...]:
        """For each stage, the age at which a request is dropped [s]."""
        if self.drop_limits_s is not None:
            return self.drop_limits_s
        return self.pipeline.with_limits(self.sla_s, {}).drop_limits_s

    def batch_timeout_s(self, stage: int, batch: int, planned_rps: float) -> float:
        """The longest that a request waits for its batch to fill [s]; `stage` is a position.

        0 for a batch of 1 and where no batch fills, as with language models; else the least of
        (batch - 1) / planned_rps, 1 s and half the stage's drop limit.
        """
        if batch == 1 or not self.pipeline.stages[stage].fills_batches:
            return 0.0
        fill_s = (batch - 1) / planned_rps if planned_rps > 0 else math.inf
        return min(fill_s, LONGEST_TIMEOUT_S, self.drop_limits[stage] / 2)

    def _checked_caps(self) -> dict[str, float]:
        stages = [stage.name for stage in self.pipeline.stages]
        caps = {} if self.throughput_cap_rps is None else self.throughput_cap_rps
        if not isinstance(caps, Mapping):
            raise PolicyError(
                f"throughput_cap_rps={caps!r} must map stages to requests per second; stages: {', '.join(stages)}"
            )
        checks.known("stage", caps, stages, suffix=" in throughput_cap_rps")
        return {name: checks.number(f"throughput_cap_rps.{name}", cap, above=0) for name, cap in caps.items()}

    def _checked_candidates(self) -> dict[str, tuple[str, ...]]:
        stages = {stage.name: [variant.name for variant in stage.variants] for stage in self.pipeline.stages}
        candidates = {} if self.candidates is None else self.candidates
        if not isinstance(candidates, Mapping):
            raise PolicyError(f"candidates={candidates!r} must map stages to variants; stages: {', '.join(stages)}")
        checks.known("stage", candidates, stages, suffix=" in candidates")
        for stage, names in candidates.items():
            if isinstance(names, str) or not isinstance(names, Collection) or not names:
                raise PolicyError(f"candidates.{stage}={names!r} must be a list of some of: {', '.join(stages[stage])}")
            for name in names:
                refuse_excluded(self.pipeline, stage, name)
            checks.known("variant", names, stages[stage], suffix=f" in candidates.{stage}")
        return {stage: tuple(names) for stage, names in candidates.items()}

    def _checked_drop_limits(self) -> tuple[float, ...]:
        stages = [stage.name for stage in self.pipeline.stages]
        limits_s = self.drop_limits_s
        if not isinstance(limits_s, (list, tuple)) or len(limits_s) != len(stages):
            raise PolicyError(
                f"drop_limits_s={limits_s!r} must be a list of seconds, one for each of: {', '.join(stages)}"
            )
        return tuple(checks.number("drop_limits_s", limit, above=0) for limit in limits_s)

    def _set(self, key: str, value: object) -> None:
        object.__setattr__(self, key, value)


PROGRAMME_PARAMETERS = tuple(field.name for field in fields(Parameters) if field.name != "pipeline")
