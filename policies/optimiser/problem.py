"""One decision's problem for the optimiser, and the knapsack to which it reduces.

A multiple-choice knapsack has a list of options for each stage, of which a pick takes one. An option is a variant, a
batch size, and the replicas that sustain the load. Options are plain parallel lists, which any solver can turn into its
own arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from math import ceil, prod
from operator import mul
from typing import NamedTuple

from ipa.policies import checks
from ipa.policies.interface import Configuration, PolicyError
from ipa.policies.optimiser.flows import ONE_ITEM, Inflows, StageFlow
from ipa.policies.optimiser.programme import Columns, Programme, Row
from ipa.policies.optimiser.scales import NS
from ipa.profiles import Room

HIGHEST_LOAD_RPS = 1e12


@dataclass(frozen=True)
class Problem:
    """One decision's problem.

    `limit_gpus`: beside that of the pipeline's limits. `variants` (stage -> candidates; a missing stage: all) is for
    policies that fix variants; `keep_variants`: they are required even if nothing is feasible with them. `replicas`
    (stage -> number) fixes the replicas. `failed` variants are left out as long as there are others. `current` is the
    present configuration, which is preferred among equals.

    Raises PolicyError if the load is NaN, infinite or negative, a stage or variant is unknown, or a number is out of
    range.
    """

    programme: Programme
    load_rps: float
    limit_cores: int | None = None
    limit_gpus: int | None = None
    variants: Mapping[str, Collection[str]] | None = None
    keep_variants: bool = True
    replicas: Mapping[str, int] | None = None
    failed: Mapping[str, Collection[str]] = field(default_factory=dict)
    current: Configuration | None = None

    @property
    def room(self) -> Room:
        """The nodes and GPUs into which replicas must fit."""
        return self.programme.pipeline.limits.room.within(self.limit_gpus)

    @property
    def most_cores(self) -> int | None:
        """The most cores: the lower of the limit and those of all nodes; None: unlimited."""
        of_nodes = None if self.programme.pipeline.has_gpus else sum(self.room.nodes) or None
        return min((limit for limit in (self.core_limit, of_nodes) if limit is not None), default=None)

    @property
    def core_limit(self) -> int | None:
        """The lower of the limit of cores and the goal's; None: unlimited."""
        return self.programme.wanted.core_limit(self.limit_cores)

    def with_core_limit(self, limit_cores: int) -> Problem:
        """The problem with another limit of cores, also in the goal if it has one."""
        goal = self.programme.wanted
        if goal.cores_at_most is None:
            return replace(self, limit_cores=limit_cores)
        programme = replace(self.programme, goal=replace(goal, cores_at_most=limit_cores))
        return replace(self, programme=programme, limit_cores=limit_cores)

    def with_variants(self, configuration: Configuration) -> Problem:
        """The problem with the variants of a configuration."""
        return replace(self, variants={name: [stage.variant] for name, stage in configuration.items()})

    def bounds(self, stage: str) -> tuple[int, int]:
        """The fewest and the most replicas of a stage; the most take precedence if they contradict."""
        limits = self.programme.pipeline.limits
        most = limits.most(stage, self.programme.max_replicas)
        return min(limits.least(stage), most), most

    def __post_init__(self) -> None:
        checks.number("load_rps", self.load_rps, at_least=0, at_most=HIGHEST_LOAD_RPS)
        for key in ("limit_cores", "limit_gpus"):
            if getattr(self, key) is not None:
                checks.number(key, getattr(self, key), at_least=0)
        table = self.programme.table
        for key, by_stage in (("variants", self.variants), ("replicas", self.replicas)):
            if by_stage is not None:
                checks.known("stage", by_stage, table.names, suffix=f" in {key}")
        for stage, names in (self.variants or {}).items():
            checks.known("variant", names, table.stages[table.names.index(stage)].variants, suffix=f" of {stage}")
            if not names:
                raise PolicyError(f"variants.{stage} is empty; allowed: any of its variants")
        if self.replicas is not None:
            checks.mapping("replicas", self.replicas, table.names)
            for stage, count in self.replicas.items():
                checks.integer(f"replicas.{stage}", count)


# Tolerance against a further replica due to rounding.
SLACK = 1e-9
# The wait for a batch that never fills: far beyond any SLA, but short enough to add up in nanoseconds.
LONGEST_WAIT_NS = 1_000_000 * NS
# Practically unbounded.
FREE = (1, 1 << 31)
ANY_TIME_NS = 1 << 62


class SolverError(PolicyError):
    """A solver cannot answer: it is not installed, or has no licence or one that is too small."""


Shape = tuple[int, int, int]
"""The cores and the GPUs that a replica has, and the number of replicas."""


@dataclass(frozen=True, slots=True)
class StageOptions:
    """One stage's options, in parallel lists. `is_bounded`: bounds on replicas change them.

    They are those for any inflow of a range: each of them takes at most the replicas and the time that it takes for any
    inflow in the range, so that its figures are exact for one inflow, and bounds for several. The `source` makes those
    for part of the range.
    """

    rows: Sequence[Row]
    replicas: list[int]
    latency_ns: list[int]
    cores: list[int]
    loss: list[int]
    accuracy: Sequence[int]
    is_bounded: bool = False
    inflows: Inflows = ONE_ITEM
    source: OptionSource | None = None

    def at(self, inflows: Inflows, within_ns: int = ANY_TIME_NS) -> StageOptions:
        """The options for part of the range; slower ones than `within_ns` may be left out."""
        if self.source is None or inflows == self.inflows:
            return self
        return self.source.options(inflows, within_ns)

    def cheapest(self, inflows: Inflows, within_ns: int) -> dict[str, Cheapest]:
        """Variant -> its least loss and its fewest cores for part of the range, within a time."""
        if self.source is not None and inflows != self.inflows:
            return self.source.cheapest(inflows, within_ns)
        least: dict[str, Cheapest] = {}
        for i, row in enumerate(self.rows):
            if self.latency_ns[i] <= within_ns:
                option = Cheapest(row.variant, self.loss[i], self.cores[i], self.accuracy[i])
                least[row.variant] = option.least(least.get(row.variant, option))
        return least

    def out_of_bounds(self, inflows: Inflows, within_ns: int) -> dict[str, Cheapest]:
        """As `cheapest`, of the options that the bounds on replicas exclude, if only a most is given; else of all."""
        return {} if self.source is None else self.source.cheapest(inflows, within_ns, out_of_bounds=True)

    def only(self, indices: Sequence[int]) -> StageOptions:
        """The options with these indices, in this order; for a single inflow."""
        return StageOptions(
            rows=[self.rows[i] for i in indices],
            replicas=[self.replicas[i] for i in indices],
            latency_ns=[self.latency_ns[i] for i in indices],
            cores=[self.cores[i] for i in indices],
            loss=[self.loss[i] for i in indices],
            accuracy=[self.accuracy[i] for i in indices],
            is_bounded=self.is_bounded,
            inflows=self.inflows,
        )

    def without(self, row: Row) -> StageOptions:
        """The options of all other rows, for every inflow."""
        others = self.only([i for i, another in enumerate(self.rows) if another != row])
        return replace(others, source=self.source and self.source.changed(lambda options: options.without(row)))

    def shaped(self, is_allowed: Callable[[Shape], bool]) -> StageOptions:
        """The options with an allowed shape. While there is a range of inflows, any number of replicas may be."""
        if self.source is not None and self.inflows.least != self.inflows.most:
            return replace(self, source=self.source.changed(lambda options: options.shaped(is_allowed)))
        return self.only([i for i in range(len(self.rows)) if is_allowed(self.shape(i))])

    def shape(self, i: int) -> Shape:
        """The shape of an option."""
        return self.rows[i].own_cores, self.rows[i].gpus, self.replicas[i]

    def by_cores(self) -> StageOptions:
        """The options with their cores as loss, for every inflow."""
        source = self.source and replace(self.source.changed(StageOptions.by_cores), is_by_cores=True)
        return replace(self, loss=self.cores, source=source)


class Cheapest(NamedTuple):
    """The least loss and the fewest cores of the options of a variant, which may be those of different ones."""

    variant: str
    loss: int
    cores: int
    accuracy: int

    def least(self, another: Cheapest) -> Cheapest:
        """The least of both."""
        return self._replace(loss=min(self.loss, another.loss), cores=min(self.cores, another.cores))


@dataclass(frozen=True, slots=True)
class OptionSource:
    """Makes the options of a stage with some variants for any inflows, and changes them by `changes` in turn."""

    demand: _Demand
    stage: int
    variants: Collection[str]
    changes: tuple[Callable[[StageOptions], StageOptions], ...] = ()
    is_by_cores: bool = False

    def options(self, inflows: Inflows, within_ns: int) -> StageOptions:
        """As `StageOptions.at`."""
        options = _stage_options(self.demand, self.stage, self.variants, inflows, within_ns)
        for change in self.changes:
            options = change(options)
        return options

    def changed(self, change: Callable[[StageOptions], StageOptions]) -> OptionSource:
        """The source with a further change."""
        return replace(self, changes=(*self.changes, change))

    def cheapest(self, inflows: Inflows, within_ns: int, *, out_of_bounds: bool = False) -> dict[str, Cheapest]:
        """As `StageOptions.cheapest` and `out_of_bounds`; changes may have removed the options."""
        least = _cheapest(self.demand, self.stage, self.variants, inflows, within_ns, out_of_bounds)
        if self.is_by_cores:
            return {variant: option._replace(loss=option.cores) for variant, option in least.items()}
        return least


@dataclass(frozen=True, slots=True)
class Knapsack:
    """The input of a solver, which finds the pick of least loss - `reward` x accuracy within the limits.

    The limits are on the latency of the slowest path [ns], the sum of cores, and the accuracy (at least). None (0 for
    the accuracy): no limit. The accuracy is the product of the stages', or the joint one of the `flow`. Each option of
    a pick is one for the inflow that follows from the variants picked before it. `bounded`: the best pick with the
    replicas that the bounds allow, if only picks with others have to be looked for.
    """

    stages: Sequence[StageOptions]
    flow: StageFlow
    sla_ns: int | None = None
    limit_cores: int | None = None
    reward: int = 0
    least_accuracy: int = 0
    bounded: Pick | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """The names of the present limits."""
        is_present = (self.sla_ns is not None, self.limit_cores is not None, self.least_accuracy > 0)
        return tuple(compress(LIMITS, is_present))

    def without(self, *names: str) -> Knapsack:
        """The knapsack without these limits."""
        return Knapsack(
            self.stages,
            self.flow,
            None if "sla" in names else self.sla_ns,
            None if "cores" in names else self.limit_cores,
            self.reward,
            0 if "accuracy" in names else self.least_accuracy,
            self.bounded,
        )

    def latency_ns(self, pick: Pick) -> int:
        """The planned latency [ns] of a pick."""
        return self.flow.latency_ns([stage.latency_ns[i] for stage, i in pick.chosen])

    def accuracy(self, pick: Pick) -> int:
        """The accuracy of a pick, if it is a product or a joint one."""
        terms = [stage.accuracy[i] for stage, i in pick.chosen]
        if self.flow.joint is None:
            return prod(terms)
        return self.flow.joint.accuracy(terms, [stage.rows[i].variant for stage, i in pick.chosen])

    def broken(self, pick: Pick) -> tuple[str, ...]:
        """The limits that a pick breaks."""
        late = self.sla_ns is not None and self.latency_ns(pick) > self.sla_ns
        large = self.limit_cores is not None and pick.cores > self.limit_cores
        poor = self.least_accuracy > 0 and self.accuracy(pick) < self.least_accuracy
        return tuple(compress(LIMITS, (late, large, poor)))

    def is_hopeless(self) -> bool:
        """Whether it is obviously infeasible: a stage has no option, or the best values of all stages break a limit.
        (Sufficient, not necessary.)"""
        return (
            not all(stage.rows for stage in self.stages)
            or (
                self.sla_ns is not None
                and self.flow.latency_ns([min(stage.latency_ns) for stage in self.stages]) > self.sla_ns
            )
            or (self.limit_cores is not None and sum([min(stage.cores) for stage in self.stages]) > self.limit_cores)
            or (self.flow.joint is None and prod([max(stage.accuracy) for stage in self.stages]) < self.least_accuracy)
        )


LIMITS = ("sla", "cores", "accuracy")


@dataclass(frozen=True, slots=True)
class Pick:
    """One option for each stage by index, its loss (less the reward), and the limits that mattered.

    `stages`: the options that the indices are of, for the one inflow that each stage has with this pick. Without a
    limit that is not in `binding`, the answer is the same. `free_loss` is the loss of the best pick without any limit,
    if the solver knows it.
    """

    stages: Sequence[StageOptions]
    indices: tuple[int, ...]
    loss: int
    binding: tuple[str, ...] = ()
    free_loss: int | None = None

    @property
    def chosen(self) -> Iterator[tuple[StageOptions, int]]:
        """Each stage's options, and the index of the chosen one."""
        return zip(self.stages, self.indices, strict=True)

    @property
    def sustained_rps(self) -> float:
        """The load that it sustains at all stages [rps]."""
        rates_rps = [
            stage.replicas[i] * stage.rows[i].throughput_rps / stage.inflows.least.factor
            for stage, i in self.chosen
            if stage.inflows.least.factor
        ]
        return min(rates_rps)

    @property
    def cores(self) -> int:
        """The cores of all stages."""
        return sum([stage.cores[i] for stage, i in self.chosen])


Solver = Callable[[Knapsack], Pick | None]
"""Finds the best pick of a knapsack; None if none keeps the limits. Raises SolverError if it cannot answer."""


def replicas_for(load_rps: float, throughput_rps: float) -> int:
    """The fewest replicas that sustain a load: max(1, ceil(load / h - 1e-9))."""
    return ceil(load_rps / throughput_rps - SLACK) or 1


def options(
    problem: Problem,
    candidates: Sequence[Collection[str]],
    *,
    sustain_rps: float | None = None,
    accuracy_matters: bool = True,
    replicas_bound: bool = True,
) -> tuple[StageOptions, ...]:
    """For each stage, the options with the `candidates` that sustain the load.

    With `sustain_rps`, they need to sustain only that, although batches fill at the load. Without `replicas_bound`,
    replicas are neither fixed nor limited, whatever the problem says.
    """
    demand = _Demand(
        problem, problem.load_rps if sustain_rps is None else sustain_rps, accuracy_matters, replicas_bound
    )
    inflows = problem.programme.table.flow.inflows(candidates)
    return tuple(
        [_stage_options(demand, k, variants, inflows[k], ANY_TIME_NS) for k, variants in enumerate(candidates)]
    )


class _Demand(NamedTuple):
    """What options have to do, and how they count (see `options`)."""

    problem: Problem
    sustained_rps: float
    accuracy_matters: bool
    replicas_bound: bool

    def columns(self, k: int, variants: Collection[str], inflows: Inflows) -> Columns:
        """The rows of a stage with some variants that may serve some inflows."""
        return self.problem.programme.table.stages[k].select(variants, self.problem.load_rps * inflows.most.factor <= 0)

    def waits_ns(self, k: int, inflows: Inflows) -> dict[int, int]:
        """Batch size -> the wait of a stage with some inflows [ns]; where no item may come, there may be none."""
        load_rps = self.problem.load_rps * inflows.most.factor if inflows.least.factor > 0 else 0.0
        return waits_ns(self.problem, k, self.problem.programme.table.stages[k].batches, load_rps)

    def replicas(self, k: int) -> tuple[int, int, int]:
        """The fixed number of replicas of a stage (0: none), the fewest and the most."""
        if not self.replicas_bound:
            return 0, *FREE
        return self.bounds(k)

    def bounds(self, k: int) -> tuple[int, int, int]:
        """As `replicas`, whether or not they bind."""
        name = self.problem.programme.table.names[k]
        fixed = self.problem.replicas[name] if self.problem.replicas else 0
        return (fixed, fixed, fixed) if fixed else (0, *self.problem.bounds(name))

    def is_bounded(self, k: int, columns: Columns, inflows: Inflows, least: Sequence[int]) -> bool:
        """Whether bounds on replicas change the options of a stage with some rows and inflows.

        `least`: the replicas that the rows need for the least inflow.
        """
        fixed, fewest, most = self.bounds(k)
        factor, burst = inflows.most
        counts = least if factor == inflows.least.factor else _counts(columns, self.sustained_rps * factor)
        if fixed or fewest > 1 or max(counts) > most:
            return True
        return burst > most and any(-(-burst // batch) > most for batch in columns.batch)


def _stage_options(
    demand: _Demand, k: int, variants: Collection[str], inflows: Inflows, within_ns: int
) -> StageOptions:
    """The options of a stage with some variants for a range of inflows; of bursts only those within a time."""
    problem, table = demand.problem, demand.problem.programme.table
    core_loss, burst = table.scales.core_loss, inflows.least.burst
    columns, waits = demand.columns(k, variants, inflows), demand.waits_ns(k, inflows)
    counts = _counts(columns, demand.sustained_rps * inflows.least.factor)
    is_bounded = demand.is_bounded(k, columns, inflows, counts)
    _, fewest, most = demand.replicas(k)
    if max(counts) > most:
        sustaining = [count <= most for count in counts]
        columns, counts = columns.where(sustaining), list(compress(counts, sustaining))
    if fewest > 1:
        counts = [count if count > fewest else fewest for count in counts]
    latency_ns = [value + waits[batch] for value, batch in zip(columns.latency_ns, columns.batch, strict=True)]
    if burst > 1:
        columns, counts, latency_ns = _for_bursts(columns, counts, latency_ns, (burst, most, within_ns))
    rows = columns.rows
    cores = list(map(mul, counts, columns.cores))
    bare = columns.loss if demand.accuracy_matters else columns.bare_loss
    loss = [value + used * core_loss for value, used in zip(bare, cores, strict=True)]
    at_hand = None if problem.current is None else problem.current.get(table.names[k])
    if at_hand is not None:
        switched_loss, changed_loss = table.scales.switched_loss, table.scales.changed_loss
        for i, row in enumerate(rows):
            if row.variant == at_hand.variant:
                loss[i] -= switched_loss + changed_loss if row.batch == at_hand.batch else switched_loss
    return StageOptions(
        rows=rows,
        replicas=counts,
        latency_ns=latency_ns,
        cores=cores,
        loss=loss,
        accuracy=columns.accuracy,
        is_bounded=is_bounded,
        inflows=inflows,
        source=OptionSource(demand, k, variants),
    )


def _cheapest(
    demand: _Demand, k: int, variants: Collection[str], inflows: Inflows, within_ns: int, out_of_bounds: bool
) -> dict[str, Cheapest]:
    """As `StageOptions.cheapest` and `out_of_bounds` of the options for some inflows, without making them."""
    problem, table = demand.problem, demand.problem.programme.table
    columns, waits = demand.columns(k, variants, inflows), demand.waits_ns(k, inflows)
    scales, burst = table.scales, inflows.least.burst
    sustained_rps = demand.sustained_rps * inflows.least.factor
    _, fewest, most = demand.replicas(k)
    if out_of_bounds:
        fixed, least, allowed = demand.bounds(k)
        fewest = allowed + 1 if not fixed and least == 1 else fewest
    at_hand = None if problem.current is None else problem.current.get(table.names[k])
    at_hand_variant, at_hand_batch = ("", 0) if at_hand is None else (at_hand.variant, at_hand.batch)
    bare_losses = columns.loss if demand.accuracy_matters else columns.bare_loss
    losses: dict[str, int] = {}
    fewest_cores: dict[str, int] = {}
    figures = zip(columns.batch, columns.throughput_rps, columns.cores, columns.latency_ns, bare_losses, strict=True)
    core_loss = scales.core_loss
    for row, (batch, throughput_rps, cores, service_ns, loss) in zip(columns.rows, figures, strict=True):
        spare_ns = within_ns - service_ns - waits[batch]
        if spare_ns < 0:
            continue
        count = ceil(sustained_rps / throughput_rps - SLACK)
        if count < fewest:
            count = fewest
        if burst > batch * count:
            count = max(count, _for_burst(burst, batch, service_ns, spare_ns))
        if count > most:
            continue
        variant, cores = row.variant, cores * count
        loss += cores * core_loss
        if variant == at_hand_variant:
            loss -= scales.switched_loss + (scales.changed_loss if batch == at_hand_batch else 0)
        if variant not in losses or loss < losses[variant]:
            losses[variant] = loss
        if variant not in fewest_cores or cores < fewest_cores[variant]:
            fewest_cores[variant] = cores
    terms = table.scales.terms[k]
    return {name: Cheapest(name, loss, fewest_cores[name], terms[name]) for name, loss in losses.items()}


def _counts(columns: Columns, sustained_rps: float) -> list[int]:
    """The fewest replicas of each row that sustain a load."""
    # As `replicas_for`, but inline: a large pipeline has hundreds of rows.
    return [ceil(sustained_rps / row_rps - SLACK) or 1 for row_rps in columns.throughput_rps]


def _for_burst(burst: int, batch: int, service_ns: int, spare_ns: int) -> int:
    """The fewest replicas that serve a burst in a time above that of one service; without time, for one service."""
    return -(-burst // (batch * (1 + max(spare_ns, 0) // service_ns)))


def _for_bursts(
    columns: Columns, fewest: Sequence[int], latency_ns: Sequence[int], limits: tuple[int, int, int]
) -> tuple[Columns, list[int], list[int]]:
    """The rows, replicas and latencies, with each number of replicas at which a burst takes fewer services.

    `limits`: the burst, the most replicas, and the time within which it is served. Numbers of replicas begin with the
    `fewest` of each row that are enough for that.
    """
    burst, most, within_ns = limits
    places, counts, late_ns = [], [], []
    figures = zip(columns.batch, columns.latency_ns, latency_ns, fewest, strict=True)
    for place, (batch, service_ns, least_ns, enough) in enumerate(figures):
        count = max(enough, _for_burst(burst, batch, service_ns, within_ns - least_ns))
        while count <= most:
            services = -(-burst // (batch * count))
            places.append(place)
            counts.append(count)
            late_ns.append(least_ns + (services - 1) * service_ns)
            if services == 1:
                break
            count = -(-burst // (batch * (services - 1)))
    return columns.at(places), counts, late_ns


def waits_ns(problem: Problem, stage: int, batches: Collection[int], load: float) -> dict[int, int]:
    """Batch size -> the longest wait at a stage [ns]: the wait of its join, plus (b - 1) / load for a batch to fill (0
    at zero load, and where no batch fills, as with language models). `stage` is an index.

    With `published_queue_defect`, the published code's term, whatever the batch: -|M_s| (|B| - 1) / load.
    """
    programme = problem.programme
    graph = programme.pipeline.graph
    joining = 0 if graph is None else round(graph.wait_s(programme.table.stages[stage].name) * NS)
    if load <= 0 or not programme.pipeline.stages[stage].fills_batches:
        return dict.fromkeys(batches, joining)
    if programme.published_queue_defect:
        loosened = -programme.table.published_wait_ns[stage]
        return dict.fromkeys(batches, -round(min(loosened / load, LONGEST_WAIT_NS)))
    return {batch: joining + round(min((batch - 1) * NS / load, LONGEST_WAIT_NS)) for batch in batches}
