"""The integer programme of a pipeline.

    maximise    alpha * A - beta * sum_s n_s R_s - gamma * sum_s b_s
    subject to  sum_s [ l_s + (b_s - 1) / load ] <= SLA
                n_s * h_s >= load for every s,   sum_s n_s R_s <= cores

(IPA, JSys 2024.) At each stage it chooses one variant and one batch size; the number of replicas n follows from them:
max(1, ceil(load / h)).

In a graph, the load of stage s is f_s load, with f_s items per request, and the latencies, including the waits of
joins, add up along every path from an entry to an exit. A burst of m items at once takes ceil(m / (b_s n_s)) services
of l_s; therefore more replicas than the load needs are also tried, if a burst takes fewer services with them (see
`flows`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from itertools import compress
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ipa.policies import checks
from ipa.policies.goals import Goal
from ipa.policies.interface import Configuration, PolicyError
from ipa.policies.optimiser.flows import StageFlow, flow_of
from ipa.policies.optimiser.parameters import PROGRAMME_PARAMETERS, Parameters
from ipa.policies.optimiser.scales import NS, Scales, scales

if TYPE_CHECKING:
    from ipa.profiles import Pipeline, Stage, Variant


PIPELINE_PARAMETERS = (
    "alpha",
    "beta",
    "gamma",
    "accuracy",
    "accuracy_scale",
    "accuracy_floor",
    "candidates",
    "batch_cap",
    "throughput_share",
)


class Programme(Parameters):
    """The programme with given parameters (see `Parameters`), and its tables, which are independent of the load."""

    @classmethod
    def of(cls, pipeline: Pipeline, **changes: Any) -> Programme:
        """The programme with the pipeline's parameters and `changes`. Raises PolicyError if a parameter is unknown."""
        checks.known("parameter", changes, PROGRAMME_PARAMETERS)
        own = {key: getattr(pipeline.defaults, key) for key in PIPELINE_PARAMETERS}
        goal = Goal.of(changes.get("goal"), pipeline)
        aims = {} if goal is None else goal.weights(pipeline)
        for key in aims:
            if key in changes:
                raise PolicyError(f"goal and {key}: what a goal aims at has no weights; give one of the two")
        return cls(pipeline, **{**own, **aims, **changes, "goal": goal})

    @cached_property
    def wanted(self) -> Goal:
        """The goal; an empty one if there is none."""
        return self.goal if isinstance(self.goal, Goal) else Goal()

    @cached_property
    def least_accuracy(self) -> int:
        """The accuracy that a goal requires of the pipeline, in the units of the scales; 0 for none."""
        return ceil(Fraction(str(self.wanted.accuracy_at_least or 0)) / 100 * self.table.scales.unit)

    def accurate_enough(self, stage: str, variant: str) -> bool:
        """Whether a variant has the accuracy that a goal requires of its stage."""
        return self.wanted.is_enough_at(stage, self.table.scales.raw[self.table.names.index(stage)][variant])

    @cached_property
    def most_accurate(self) -> Programme:
        """The programme that maximises accuracy only; among equals, it prefers the fewest cores."""
        return replace(self, goal=None, alpha=1.0, beta=0.0, gamma=0.0)

    @cached_property
    def table(self) -> ProgrammeTable:
        """The figures of the options that are independent of the load, computed once."""
        return tabulate(self)

    @property
    def core_weight(self) -> float:
        """The weight of a core in the objective: `beta` x its price."""
        return self.beta * self.pipeline.limits.price_per_core

    def score(self, configuration: Configuration) -> dict[str, float]:
        """The parts of the objective, for any configuration of this pipeline.

        They are accuracy (combined), pas (the product of raw accuracies, or the measured accuracy of the pair),
        cost_cores, batch (the sum of sizes), total.
        """
        chosen = [configuration[stage.name] for stage in self.pipeline.stages]
        variants = [stage.variant for stage in chosen]
        cores = sum(stage.total_cores for stage in chosen)
        batch = sum(stage.batch for stage in chosen)
        return self.table.scales.parts(variants, cores, batch)

    def accuracy_of(self, variants: Sequence[str]) -> float:
        """The combined accuracy, for one variant of each stage."""
        return self.table.scales.parts(variants, 0, 0)["accuracy"]


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one replica with one variant and batch size of a stage.

    `cores` are what it costs; `own_cores` and `gpus` what it takes of a node. `loss` is its loss without cores (see
    `scales`), if it changes the stage; `bare_loss` is the same without accuracy.
    """

    variant: str
    batch: int
    latency_s: float
    latency_ns: int
    throughput_rps: float
    cores: int
    accuracy: int
    loss: int
    bare_loss: int
    own_cores: int
    gpus: int


class Columns(NamedTuple):
    """Some rows of a stage with their figures in columns, which are faster to iterate."""

    rows: tuple[Row, ...]
    batch: tuple[int, ...]
    throughput_rps: tuple[float, ...]
    cores: tuple[int, ...]
    latency_ns: tuple[int, ...]
    accuracy: tuple[int, ...]
    loss: tuple[int, ...]
    bare_loss: tuple[int, ...]

    @classmethod
    def of(cls, rows: tuple[Row, ...]) -> Self:
        """Rows in columns."""
        names = cls._fields[1:]
        return cls(rows, *(tuple([getattr(row, name) for row in rows]) for name in names))

    def at(self, places: Sequence[int]) -> Columns:
        """The rows at some places, in this order."""
        columns: list[Any] = [tuple([column[place] for place in places]) for column in self]
        return Columns(*columns)

    def where(self, chosen: Sequence[bool]) -> Columns:
        """The chosen rows."""
        columns: list[Any] = [tuple(compress(column, chosen)) for column in self]
        return Columns(*columns)


@dataclass(frozen=True, slots=True)
class StageTable:
    """The rows of one stage, by variant in the pipeline's order, then by rising batch size.

    `idle` has only the smallest batch of each variant: the options at zero load.
    """

    name: str
    variants: tuple[str, ...]
    batches: tuple[int, ...]
    every: Columns
    idle: Columns

    @property
    def rows(self) -> tuple[Row, ...]:
        """All rows."""
        return self.every.rows

    def select(self, variants: Collection[str], idle: bool) -> Columns:
        """The rows of some variants."""
        columns = self.idle if idle else self.every
        if len(variants) == len(self.variants):
            return columns
        return columns.where([row.variant in variants for row in columns.rows])


@dataclass(frozen=True, slots=True)
class ProgrammeTable:
    """The rows of all stages, the scales of their figures, and the SLA in nanoseconds.

    `published_wait_ns` is the queue term of each stage, times the load, under the published code's defect.
    """

    stages: tuple[StageTable, ...]
    names: tuple[str, ...]
    scales: Scales
    sla_ns: int
    published_wait_ns: tuple[int, ...]
    flow: StageFlow


def tabulate(parameters: Parameters) -> ProgrammeTable:
    """The table of the programme with these parameters."""
    stages = parameters.pipeline.stages
    candidates = [_placeable(parameters, stage) for stage in stages]
    sizes = [
        [_sizes(parameters, stage, variant) for variant in variants]
        for stage, variants in zip(stages, candidates, strict=True)
    ]
    order_bits = [sum(map(len, stage_sizes)).bit_length() for stage_sizes in sizes]
    scale = scales(parameters, sum(order_bits))
    distinct = [tuple(sorted(set().union(*stage_sizes))) for stage_sizes in sizes]
    tables = []
    for k, stage in enumerate(stages):
        place = sum(order_bits[k + 1 :])
        pairs = [
            (variant, batch) for variant, batches in zip(candidates[k], sizes[k], strict=True) for batch in batches
        ]
        rows = tuple(_row(parameters, scale, k, variant, batch, i << place) for i, (variant, batch) in enumerate(pairs))
        smallest = {v.name: batches[0] for v, batches in zip(candidates[k], sizes[k], strict=True)}
        idle = tuple(row for row in rows if row.batch == smallest[row.variant])
        tables.append(StageTable(stage.name, tuple(smallest), distinct[k], Columns.of(rows), Columns.of(idle)))
    used = len(set().union(*distinct))
    names = tuple(stage.name for stage in stages)
    return ProgrammeTable(
        stages=tuple(tables),
        names=names,
        scales=scale,
        # Every stage's latency is rounded to a nanosecond, so one is allowed for each stage.
        sla_ns=round(parameters.target_s * NS) + len(stages),
        published_wait_ns=tuple(-len(variants) * (used - 1) * NS for variants in candidates),
        flow=flow_of(names, parameters.pipeline.graph, [table.variants for table in tables], scale.joint),
    )


def _placeable(parameters: Parameters, stage: Stage) -> tuple[Variant, ...]:
    """The candidates of which a replica fits a node. Raises PolicyError if there are none."""
    largest = parameters.pipeline.limits.largest_node
    candidates = parameters.candidates_of(stage)
    cores = {variant.name: variant.own_cores(parameters.cores_of(stage, variant)) for variant in candidates}
    placeable = tuple(variant for variant in candidates if cores[variant.name] <= largest)
    if not placeable:
        least = min(cores.values())
        raise PolicyError(f"{stage.name}: every replica takes at least {least} cores; the largest node has {largest:g}")
    prompt = tuple(variant for variant in placeable if _sizes(parameters, stage, variant))
    if not prompt:
        names = ", ".join(variant.name for variant in placeable)
        raise PolicyError(f"goal.ttft_at_most_s: none of these keeps it at {stage.name}, even by itself: {names}")
    return prompt


def _sizes(parameters: Parameters, stage: Stage, variant: Variant) -> list[int]:
    """The batch sizes to choose from, with which first tokens are in time."""
    sizes = variant.planned_batches(parameters.batch_cap)
    if not isinstance(parameters.goal, Goal):
        return sizes
    goal, pipeline = parameters.goal, parameters.pipeline
    return [size for size in sizes if goal.is_prompt_at(pipeline, stage, variant, size)]


def _row(parameters: Parameters, scale: Scales, k: int, variant: Variant, batch: int, place: int) -> Row:
    stage, term = parameters.pipeline.stages[k], scale.terms[k][variant.name]
    cores = parameters.cores_of(stage, variant)
    latency_s = variant.p99_s(batch, cores) if parameters.statistic == "p99" else variant.mean_s(batch, cores)
    bare_loss = scale.batch_loss(batch) + scale.switched_loss + scale.changed_loss + place
    return Row(
        variant=variant.name,
        batch=batch,
        latency_s=latency_s,
        latency_ns=round(latency_s * NS),
        throughput_rps=parameters.throughput_rps(stage, variant, batch),
        cores=cores,
        accuracy=term,
        loss=bare_loss + scale.accuracy_loss(term),
        bare_loss=bare_loss,
        own_cores=variant.own_cores(cores),
        gpus=variant.gpus,
    )
