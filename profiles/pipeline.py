"""A pipeline, and the limits of the cluster that it runs on: frozen values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from ipa.profiles import default_rules
from ipa.profiles.defaults import Defaults, defaults_problem, defaults_within
from ipa.profiles.errors import ProfileError
from ipa.profiles.graph import Graph, in_order
from ipa.profiles.graph_laws import graph_problem
from ipa.profiles.language_model import GPU_CORES
from ipa.profiles.stage import Measured, Stage, named, pairs_problem, refuse_twins


@dataclass(frozen=True)
class Limits:
    """The limits of a cluster.

    `node_cores`: the cores of each node, as many nodes as there are entries; or one number: nodes of that size, as many
    as are needed; None: unknown. `min_replicas`, `max_replicas`: stage -> number; a missing stage: no bound.
    `ruled_out`: stage -> variants that may not be used. `gpus`: the most GPUs of all replicas; None: no limit.
    `utilisation`: the highest share of a replica's profiled throughput that may be planned with, above 0 to 1.
    `price_per_core`: the price of a core, such as per hour. `excluded`: stage -> variant -> why a pipeline is without
    it; filled in by `Pipeline.within`.
    """

    node_cores: int | tuple[int, ...] | None = None
    min_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)
    max_replicas: Mapping[str, int] = field(default_factory=dict, hash=False)
    ruled_out: Mapping[str, Sequence[str]] = field(default_factory=dict, hash=False)
    gpus: int | None = None
    utilisation: float = 1.0
    price_per_core: float = 1.0
    excluded: Mapping[str, Mapping[str, str]] = field(default_factory=dict, hash=False)

    @property
    def nodes(self) -> tuple[int, ...]:
        """The cores of each node; empty where their number is not limited."""
        return self.node_cores if isinstance(self.node_cores, tuple) else ()

    @property
    def room(self) -> Room:
        """The room for all replicas together."""
        return Room(self.nodes, self.gpus)

    @cached_property
    def largest_node(self) -> float:
        """The most cores that one replica can have."""
        if isinstance(self.node_cores, int):
            return self.node_cores
        return max(self.node_cores or (math.inf,))

    def least(self, stage: str) -> int:
        """The fewest replicas of a stage."""
        return self.min_replicas.get(stage, 1)

    def most(self, stage: str, otherwise: int) -> int:
        """The most replicas of a stage, and never more than `otherwise`."""
        return min(self.max_replicas.get(stage, otherwise), otherwise)

    def why_not(self, stage: str, variant: str, cores: int, gpus: int) -> str:
        """Why a variant with replicas of this many cores and GPUs cannot be used; empty if it can."""
        if variant in self.ruled_out.get(stage, ()):
            return f"{variant} is ruled out"
        if self.gpus is not None and gpus > self.gpus:
            return f"a replica of {variant} takes {gpus} GPUs, and limit_gpus is {self.gpus}"
        if cores > self.largest_node:
            return f"a replica of {variant} takes {cores} cores, and the largest node has {self.largest_node:g}"
        return ""


@dataclass(frozen=True)
class Room:
    """The room for replicas: the cores of each node, empty for any number of nodes, and GPUs in all, None for any."""

    nodes: tuple[int, ...] = ()
    gpus: int | None = None

    def within(self, gpus: int | None) -> Room:
        """This room with at most so many GPUs; None: as it is."""
        if gpus is None:
            return self
        return Room(self.nodes, gpus if self.gpus is None else min(gpus, self.gpus))

    @property
    def is_limited(self) -> bool:
        """Whether there may be no room for some replicas."""
        return bool(self.nodes) or self.gpus is not None

    def fits(self, replicas: Sequence[tuple[int, int, int]]) -> bool:
        """Whether all replicas find room. `replicas`: (own cores of each, GPUs of each, number)."""
        if self.gpus is not None and sum(gpus * count for _, gpus, count in replicas) > self.gpus:
            return False
        return not self.nodes or fits_nodes([(cores, count) for cores, _, count in replicas], self.nodes)


def fits_nodes(replicas: Iterable[tuple[int, int]], nodes: Sequence[int]) -> bool:
    """Whether all replicas find a node, by first fit: the largest first, each on the first node with room for it.

    `replicas`: (cores of each, number). `nodes`: the cores of each. First fit may miss a placement if sizes do not
    divide each other.
    """
    free = list(nodes)
    for cores, count in sorted(replicas, reverse=True):
        missing = count
        for place, room in enumerate(free):
            fitting = min(missing, room // cores)
            free[place] -= fitting * cores
            missing -= fitting
            if not missing:
                break
        if missing:
            return False
    return True


@dataclass(frozen=True)
class Provenance:
    """The origin of figures: measured, interpolated, calibrated or assumed; with the source, law or reason.

    The text of what is calibrated is how, AGAINST, and against what.
    """

    kind: str
    text: str


AGAINST = "; calibrated against "


@dataclass(frozen=True)
class Pipeline:
    """Stages, what policies use unless told otherwise, and where the figures come from.

    The stages form a chain in their order, unless there is a `graph`: then each comes after those that lead to it.
    What `defaults` leave out is filled in by the rules of `ipa.profiles.defaults`. `limits`: those of the cluster that
    it runs on, see `within`. `pair_accuracies`, of a chain of two stages only: variant of the first -> variant of the
    second -> the measured accuracy of the two together, 0 to 1, for every pair; empty: nobody measured it.
    `pair_accuracies_from` and `gpu_cores_from` name entries of the provenance. `gpu_cores`: what a GPU costs, in cores.
    """

    name: str
    description: str
    stages: tuple[Stage, ...]
    defaults: Defaults = field(default_factory=Defaults)
    provenance: Mapping[str, Provenance] = field(default_factory=dict, hash=False, repr=False)
    limits: Limits = field(default_factory=Limits)
    pair_accuracies: Mapping[str, Mapping[str, float]] = field(default_factory=dict, hash=False, repr=False)
    pair_accuracies_from: str = ""
    graph: Graph | None = None
    gpu_cores: int = GPU_CORES
    gpu_cores_from: str = ""

    def __post_init__(self) -> None:
        refuse_twins(self.name, "stage", (stage.name for stage in self.stages))
        if self.graph is not None:
            self._put_in_order(self.graph)
        wrong = defaults_problem(
            self.defaults,
            {stage.name: [variant.name for variant in stage.variants] for stage in self.stages},
        )
        if wrong:
            raise ProfileError(f"{self.name}: defaults.{'.'.join(map(str, wrong[0]))}: {wrong[1]}")
        self._check_pairs()
        object.__setattr__(self, "defaults", default_rules.complete(self))

    def _put_in_order(self, graph: Graph) -> None:
        """Raise ProfileError for a graph that is none of these stages; sort the stages by it."""
        variants = {stage.name: [variant.name for variant in stage.variants] for stage in self.stages}
        problem = graph_problem(graph, variants)
        if problem:
            raise ProfileError(f"{self.name}: {problem.place(graph)}: {problem.text}")
        if self.pair_accuracies:
            raise ProfileError(f"{self.name}: pair_accuracies are those of a chain; a graph has accuracies of its own")
        order = in_order(list(variants), graph.edges)
        object.__setattr__(self, "stages", tuple(sorted(self.stages, key=lambda stage: order.index(stage.name))))

    def _check_pairs(self) -> None:
        """Raise ProfileError for accuracies of pairs that are not those of this pipeline."""
        names = [[variant.name for variant in stage.variants] for stage in self.stages]
        if self.defaults.accuracy == "pairs" and not self.pair_accuracies:
            raise ProfileError(f"{self.name}: defaults.accuracy: 'pairs' needs pair_accuracies")
        problem = pairs_problem(self.pair_accuracies, names)
        if problem:
            path, text = problem
            raise ProfileError(f"{self.name}: {'.'.join(('pair_accuracies', *path))}: {text}")

    @cached_property
    def measured_accuracies(self) -> Measured:
        """Variants in the order of the stages -> what they reach together, where that was measured; else empty."""
        if self.graph is not None:
            return self.graph.accuracies
        return {(a, b): accuracy for a, row in self.pair_accuracies.items() for b, accuracy in row.items()}

    def accuracy_of(self, variants: Sequence[str]) -> float:
        """The accuracy of one variant for each stage: measured of them together, else the product of the stages' (PAS),
        in a graph `Graph.accuracy`.
        """
        if self.measured_accuracies:
            return self.measured_accuracies[tuple(variants)]
        of_stage = {stage.name: stage.variant(name).accuracy for stage, name in zip(self.stages, variants, strict=True)}
        return math.prod(of_stage.values()) if self.graph is None else self.graph.accuracy(of_stage)

    @property
    def sla_s(self) -> float:
        """The end-to-end SLA: of a chain the sum of the stages', to the nanosecond (4.62 + 2.27 is 6.89)."""
        if self.graph is not None:
            return self.graph.sla_s
        return round(math.fsum(stage.sla_s for stage in self.stages), 9)

    @property
    def drop_limits_s(self) -> tuple[float, ...]:
        """Per stage, the age since it came to the pipeline at which a request is dropped [s].

        Unless the stage has its own: 2 x SLA at the first, the SLA at later ones (IPA, JSys 2024).
        """
        if self.graph is None:
            defaults_s = (2 * self.sla_s, *(self.sla_s for _ in self.stages[1:]))
        else:
            entries = self.graph.entries([stage.name for stage in self.stages])
            defaults_s = tuple((2 if stage.name in entries else 1) * self.sla_s for stage in self.stages)
        return tuple(
            default_s if stage.drop_limit_s is None else stage.drop_limit_s
            for stage, default_s in zip(self.stages, defaults_s, strict=True)
        )

    def with_limits(self, sla_s: float | None, drop_limits_s: Mapping[str, float]) -> Pipeline:
        """The pipeline with another end-to-end SLA, shared out as the old one, and drop limits.

        `drop_limits_s`: stage -> limit; ProfileError for a stage that is not there.
        """
        for name in drop_limits_s:
            self.stage(name)
        factor = 1.0 if sla_s is None else sla_s / self.sla_s
        stages = (
            replace(
                stage,
                sla_s=stage.sla_s * factor,
                drop_limit_s=drop_limits_s.get(stage.name, stage.drop_limit_s),
            )
            for stage in self.stages
        )
        graph = self.graph and replace(self.graph, sla_s=self.graph.sla_s if sla_s is None else sla_s)
        return replace(self, stages=tuple(stages), graph=graph)

    def within(self, limits: Limits) -> Pipeline:
        """The pipeline on a cluster with these limits.

        Variants that are ruled out, or whose base cores fit no node, are removed, from the defaults too, which the
        rules complete from the other variants. ProfileError: an unknown stage or variant, bounds that contradict each
        other, or a stage without any variant.
        """
        for key in ("min_replicas", "max_replicas", "ruled_out"):
            for name in getattr(limits, key):
                self.stage(name)
        for name, least in limits.min_replicas.items():
            if limits.most(name, least) < least:
                raise ProfileError(f"{name}: max_replicas {limits.max_replicas[name]} is below min_replicas {least}")
        for name, variants in limits.ruled_out.items():
            for variant in variants:
                self.stage(name).variant(variant)
        excluded = {
            stage.name: {
                variant.name: why
                for variant in stage.variants
                if (
                    why := limits.why_not(stage.name, variant.name, variant.own_cores(variant.base_cores), variant.gpus)
                )
            }
            for stage in self.stages
        }
        if not any(excluded.values()):
            return replace(self, limits=limits)
        limits = replace(limits, excluded=excluded)
        stages = tuple(_without(stage, excluded[stage.name]) for stage in self.stages)
        variants_left = {stage.name: [variant.name for variant in stage.variants] for stage in stages}
        pairs = {
            first: {second: row[second] for second in variants_left[self.stages[1].name]}
            for first, row in self.pair_accuracies.items()
            if first in variants_left[self.stages[0].name]
        }
        graph = self.graph and self.graph.within(variants_left)
        defaults = defaults_within(self.defaults, variants_left)
        return replace(self, stages=stages, defaults=defaults, limits=limits, pair_accuracies=pairs, graph=graph)

    def with_start_up(self, start_up_s: float) -> Pipeline:
        """The pipeline with one start-up time for every variant [s]. ProfileError: it is not finite, or negative."""
        stages = (
            replace(stage, variants=tuple(replace(variant, start_up_s=start_up_s) for variant in stage.variants))
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages))

    def with_gpu_cores(self, gpu_cores: int) -> Pipeline:
        """The pipeline where a GPU costs so many cores, which are at least 1."""
        stages = (
            replace(stage, variants=tuple(variant.with_gpu_cores(gpu_cores) for variant in stage.variants))
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages), gpu_cores=gpu_cores)

    def bent(self, factors: Mapping[str, Mapping[str, float]]) -> Pipeline:
        """The pipeline with other batch times; `factors`, above 0: stage -> variant -> factor on the profiled ones.

        SLAs and base cores stay. ProfileError: a stage or variant that is not there, or figures that break a law.
        """
        for name, of_stage in factors.items():
            for variant in of_stage:
                self.stage(name).variant(variant)
        stages = (
            replace(
                stage, variants=tuple(variant.taking(by_variant.get(variant.name, 1.0)) for variant in stage.variants)
            )
            if (by_variant := factors.get(stage.name))
            else stage
            for stage in self.stages
        )
        return replace(self, stages=tuple(stages))

    @property
    def has_language_models(self) -> bool:
        """Whether any stage is one of language models."""
        return any(stage.tokens is not None for stage in self.stages)

    @property
    def has_gpus(self) -> bool:
        """Whether replicas of any variant have GPUs."""
        return any(variant.gpus for stage in self.stages for variant in stage.variants)

    @cached_property
    def by_name(self) -> Mapping[str, Stage]:
        """The stages by name, in their order."""
        return {stage.name: stage for stage in self.stages}

    def stage(self, name: str) -> Stage:
        """The stage of that name; ProfileError names the nearest."""
        return named(name, self.by_name, f"{self.name} has no stage")


def _without(stage: Stage, excluded: Mapping[str, str]) -> Stage:
    variants_left = tuple(variant for variant in stage.variants if variant.name not in excluded)
    if not variants_left:
        raise ProfileError(f"{stage.name} is left without a variant: {'; '.join(excluded.values())}")
    return replace(stage, variants=variants_left)
