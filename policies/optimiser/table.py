"""The part of the options that does not depend on the load, computed once for each programme."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import compress
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from ipa.policies.interface import PolicyError
from ipa.policies.optimiser.parameters import Parameters
from ipa.policies.optimiser.scales import NS, Scales, scales

if TYPE_CHECKING:
    from ipa.profiles import Stage, Variant


@dataclass(frozen=True, slots=True)
class Row:
    """The figures of one replica with one variant and batch size of a stage.

    `loss` is its loss without its cores (see `scales`), if it is a change for the stage; `bare_loss` is the same
    without accuracy.
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


class Columns(NamedTuple):
    """Some rows of a stage, and their figures in columns, which are quicker to go through."""

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

    def where(self, chosen: Sequence[bool]) -> Columns:
        """The chosen rows."""
        kept: list[Any] = [tuple(compress(column, chosen)) for column in self]
        return Columns(*kept)


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
        found = self.idle if idle else self.every
        if len(variants) == len(self.variants):
            return found
        return found.where([row.variant in variants for row in found.rows])


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of all stages, the scales of their figures, and the SLA in nanoseconds.

    `published_wait_ns` is the queue term of each stage, times the load, under the published code's defect.
    """

    stages: tuple[StageTable, ...]
    names: tuple[str, ...]
    scales: Scales
    sla_ns: int
    published_wait_ns: tuple[int, ...]


def tabulate(parameters: Parameters) -> Table:
    """The table of the programme with these parameters."""
    stages = parameters.pipeline.stages
    candidates = [_placeable(parameters, stage) for stage in stages]
    sizes = [[planned_batches(v, parameters.batch_cap) for v in variants] for variants in candidates]
    order_bits = [sum(map(len, each)).bit_length() for each in sizes]
    scale = scales(parameters, sum(order_bits))
    distinct = [tuple(sorted(set().union(*each))) for each in sizes]
    tables = []
    for k, stage in enumerate(stages):
        place = sum(order_bits[k + 1 :])
        pairs = [
            (variant, batch) for variant, batches in zip(candidates[k], sizes[k], strict=True) for batch in batches
        ]
        rows = tuple(
            _row(stage, variant, batch, parameters, scale, scale.terms[k][variant.name], i << place)
            for i, (variant, batch) in enumerate(pairs)
        )
        smallest = {v.name: batches[0] for v, batches in zip(candidates[k], sizes[k], strict=True)}
        idle = tuple(row for row in rows if row.batch == smallest[row.variant])
        tables.append(StageTable(stage.name, tuple(smallest), distinct[k], Columns.of(rows), Columns.of(idle)))
    used = len(set().union(*distinct))
    return Table(
        stages=tuple(tables),
        names=tuple(stage.name for stage in stages),
        scales=scale,
        # Every stage's latency is rounded to a nanosecond, so one is allowed for each stage.
        sla_ns=round(parameters.target_s * NS) + len(stages),
        published_wait_ns=tuple(-len(variants) * (used - 1) * NS for variants in candidates),
    )


def _placeable(parameters: Parameters, stage: Stage) -> tuple[Variant, ...]:
    """The candidates of which a node has room for a replica. PolicyError: there are none."""
    largest = parameters.pipeline.limits.largest_node
    found = parameters.candidates_of(stage)
    kept = tuple(variant for variant in found if parameters.cores_of(stage, variant) <= largest)
    if not kept:
        least = min(parameters.cores_of(stage, variant) for variant in found)
        raise PolicyError(f"{stage.name}: every replica takes at least {least} cores; the largest node has {largest:g}")
    return kept


def planned_batches(variant: Variant, cap: int) -> list[int]:
    """The profiled powers of two up to `cap`, rising (1 is always profiled)."""
    return [batch for batch in variant.batches() if batch <= cap and batch & (batch - 1) == 0]


def _row(
    stage: Stage, variant: Variant, batch: int, parameters: Parameters, scale: Scales, term: int, place: int
) -> Row:
    cores = parameters.cores_of(stage, variant)
    latency_s = variant.p99_s(batch, cores) if parameters.statistic == "p99" else variant.mean_s(batch, cores)
    bare_loss = scale.batch_loss(batch) + scale.changed_loss + place
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
    )
