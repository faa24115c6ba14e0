"""One decision's problem for the optimiser, and the knapsack to which it reduces.

A multiple-choice knapsack has a list of options for each stage, of which a pick takes one. An option is a variant, a
batch size, and the replicas that sustain the load. Options are plain parallel lists, which any solver can turn into its
own arrays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import compress
from math import ceil, prod
from operator import mul
from typing import NamedTuple

from ipa.policies import checks
from ipa.policies.interface import Configuration, PolicyError
from ipa.policies.optimiser.flows import Flow, Inflow
from ipa.policies.optimiser.programme import Columns, Programme, Row
from ipa.policies.optimiser.scales import NS

HIGHEST_LOAD_RPS = 1e12


@dataclass(frozen=True)
class Problem:
    """One decision's problem.

    `variants` (stage -> candidates; a missing stage: all) is for policies that fix variants; `keep_variants`: they are
    required even if nothing is feasible with them. `replicas` (stage -> number) fixes the replicas. `failed` variants
    are left out as long as there are others. `current` is the present configuration, which is preferred among equals.

    Raises PolicyError if the load is NaN, infinite or negative, a stage or variant is unknown, or a number is out of
    range.
    """

    programme: Programme
    load_rps: float
    limit_cores: int | None = None
    variants: Mapping[str, Collection[str]] | None = None
    keep_variants: bool = True
    replicas: Mapping[str, int] | None = None
    failed: Mapping[str, Collection[str]] = field(default_factory=dict)
    current: Configuration | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """The cores of each node, into which replicas must fit; empty if nodes are not limited."""
        return self.programme.pipeline.limits.nodes

    @property
    def most_cores(self) -> int | None:
        """The most cores: the lower of the limit and those of all nodes; None: unlimited."""
        limits = [each for each in (self.core_limit, sum(self.nodes) or None) if each is not None]
        return min(limits, default=None)

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
        if self.limit_cores is not None:
            checks.number("limit_cores", self.limit_cores, at_least=0)
        table = self.programme.table
        for key, wanted in (("variants", self.variants), ("replicas", self.replicas)):
            if wanted is not None:
                checks.known("stage", wanted, table.names, of=f" in {key}")
        for stage, names in (self.variants or {}).items():
            checks.known("variant", names, table.stages[table.names.index(stage)].variants, of=f" of {stage}")
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


class SolverError(PolicyError):
    """A solver cannot answer: it is not installed, or has no licence or one that is too small."""


@dataclass(frozen=True, slots=True)
class StageOptions:
    """One stage's options; `cut`: how many were left out because they need too many replicas.

    `inflow` (in a graph): for each option the index of the inflow that it is for.
    """

    rows: Sequence[Row]
    replicas: list[int]
    latency_ns: list[int]
    cores: list[int]
    loss: list[int]
    accuracy: Sequence[int]
    cut: int
    inflow: Sequence[int] = ()

    def only(self, indices: Sequence[int]) -> StageOptions:
        """The options with these indices, in this order."""
        return StageOptions(
            rows=[self.rows[i] for i in indices],
            replicas=[self.replicas[i] for i in indices],
            latency_ns=[self.latency_ns[i] for i in indices],
            cores=[self.cores[i] for i in indices],
            loss=[self.loss[i] for i in indices],
            accuracy=[self.accuracy[i] for i in indices],
            cut=self.cut,
            inflow=[self.inflow[i] for i in indices] if self.inflow else (),
        )


@dataclass(frozen=True, slots=True)
class Knapsack:
    """The input of a solver, which finds the pick of least loss - `reward` x product of accuracies within the limits.

    The limits are on the sum of latencies [ns], the sum of cores, and the product of accuracies (at least). None (0 for
    the accuracy): no limit. With a `flow`, the latency is that of the longest path, the accuracy that of its `joint`,
    and all options of a pick have the inflows of one scene.
    """

    stages: Sequence[StageOptions]
    sla_ns: int | None = None
    limit_cores: int | None = None
    reward: int = 0
    least_accuracy: int = 0
    flow: Flow | None = None

    @property
    def limits(self) -> tuple[str, ...]:
        """The names of the present limits."""
        given = (self.sla_ns is not None, self.limit_cores is not None, self.least_accuracy > 0)
        return tuple(name for name, is_given in zip(LIMITS, given, strict=True) if is_given)

    def without(self, *names: str) -> Knapsack:
        """The knapsack without these limits."""
        return Knapsack(
            self.stages,
            None if "sla" in names else self.sla_ns,
            None if "cores" in names else self.limit_cores,
            self.reward,
            0 if "accuracy" in names else self.least_accuracy,
            self.flow,
        )

    def latency_ns(self, indices: Sequence[int]) -> int:
        """The planned latency [ns] of a pick."""
        latencies = [stage.latency_ns[i] for stage, i in zip(self.stages, indices, strict=True)]
        return sum(latencies) if self.flow is None else self.flow.longest_way(latencies)[0]

    def accuracy(self, indices: Sequence[int]) -> int:
        """The accuracy of a pick, if it is a product or the joint one of a graph."""
        chosen = list(zip(self.stages, indices, strict=True))
        terms = [stage.accuracy[i] for stage, i in chosen]
        if self.flow is None or self.flow.joint is None:
            return prod(terms)
        return self.flow.joint.accuracy(terms, [stage.rows[i].variant for stage, i in chosen])

    def factor(self, k: int, i: int) -> float:
        """The items per request that arrive at stage k for its option i: 1 in a chain."""
        return 1.0 if self.flow is None else self.flow.inflows[k][self.stages[k].inflow[i]].factor

    def broken(self, indices: Sequence[int]) -> tuple[str, ...]:
        """The limits that a pick breaks."""
        late = self.sla_ns is not None and self.latency_ns(indices) > self.sla_ns
        cores = [stage.cores[i] for stage, i in zip(self.stages, indices, strict=True)]
        large = self.limit_cores is not None and sum(cores) > self.limit_cores
        poor = self.least_accuracy > 0 and self.accuracy(indices) < self.least_accuracy
        return tuple(name for name, is_broken in zip(LIMITS, (late, large, poor), strict=True) if is_broken)

    def is_hopeless(self) -> bool:
        """Whether a chain is obviously infeasible: a stage has no option, or the best values of all stages break a
        limit. (Sufficient, not necessary.)"""
        return (
            not all(stage.rows for stage in self.stages)
            or (self.sla_ns is not None and sum(min(stage.latency_ns) for stage in self.stages) > self.sla_ns)
            or (self.limit_cores is not None and sum(min(stage.cores) for stage in self.stages) > self.limit_cores)
            or prod(max(stage.accuracy) for stage in self.stages) < self.least_accuracy
        )


LIMITS = ("sla", "cores", "accuracy")


@dataclass(frozen=True, slots=True)
class Pick:
    """One option for each stage by index, its loss (less the reward), and the limits that mattered.

    Without a limit that is not in `held`, the answer is the same. `free_loss` is the loss of the best pick without any
    limit, if the solver knows it.
    """

    indices: tuple[int, ...]
    loss: int
    held: tuple[str, ...] = ()
    free_loss: int | None = None


Solver = Callable[[Knapsack], Pick | None]
"""Finds the best pick of a knapsack; None if none keeps the limits. Raises SolverError if it cannot answer."""


def replicas_for(load_rps: float, throughput_rps: float) -> int:
    """The fewest replicas that sustain a load: max(1, ceil(load / h - 1e-9))."""
    return ceil(load_rps / throughput_rps - SLACK) or 1


def options(
    problem: Problem,
    wanted: Sequence[Collection[str]],
    *,
    sustain_rps: float | None = None,
    accuracy_matters: bool = True,
    replicas_bound: bool = True,
) -> tuple[StageOptions, ...]:
    """For each stage, the options with the `wanted` variants that sustain the load.

    With `sustain_rps`, they need to sustain only that, although batches fill at the load. Without `replicas_bound`,
    replicas are neither fixed nor limited, whatever the problem says.
    """
    table, load = problem.programme.table, problem.load_rps
    sustained = load if sustain_rps is None else sustain_rps
    asked = _Asked(problem, accuracy_matters, replicas_bound)
    if table.flow is not None:
        return tuple(
            _of_inflows(asked, k, wanted[k], load, sustained, inflows) for k, inflows in enumerate(table.flow.inflows)
        )
    return tuple(
        _stage_options(asked, k, stage.select(wanted[k], load <= 0), load, sustained)
        for k, stage in enumerate(table.stages)
    )


class _Asked(NamedTuple):
    problem: Problem
    accuracy_matters: bool
    replicas_bound: bool

    def replicas(self, stage: str) -> tuple[int, int, int]:
        """The fixed number of replicas (0: none), the fewest and the most."""
        if not self.replicas_bound:
            return 0, *FREE
        fixed = self.problem.replicas[stage] if self.problem.replicas else 0
        return fixed, *self.problem.bounds(stage)


def _stage_options(asked: _Asked, k: int, every: Columns, load_rps: float, sustained_rps: float) -> StageOptions:
    """The options from some rows of a stage that gets `load_rps` and must sustain `sustained_rps`."""
    problem, table = asked.problem, asked.problem.programme.table
    stage, core_loss = table.stages[k], table.scales.core_loss
    fixed, least, most = asked.replicas(stage.name)
    waits = waits_ns(problem, k, stage.batches, load_rps)
    chosen = every
    # As `replicas_for`, but inline: a large pipeline has hundreds of rows.
    counts = [ceil(sustained_rps / each - SLACK) or 1 for each in every.throughput_rps]
    if max(counts) > (fixed or most):
        sustaining = [count <= (fixed or most) for count in counts]
        chosen, counts = every.where(sustaining), list(compress(counts, sustaining))
    if fixed:
        counts = [fixed] * len(counts)
    elif least > 1:
        counts = [count if count > least else least for count in counts]
    rows = chosen.rows
    cores = list(map(mul, counts, chosen.cores))
    bare = chosen.loss if asked.accuracy_matters else chosen.bare_loss
    loss = [each + used * core_loss for each, used in zip(bare, cores, strict=True)]
    at_hand = None if problem.current is None else problem.current.get(stage.name)
    if at_hand is not None:
        switched_loss, changed_loss = table.scales.switched_loss, table.scales.changed_loss
        for i, row in enumerate(rows):
            if row.variant == at_hand.variant:
                loss[i] -= switched_loss + changed_loss if row.batch == at_hand.batch else switched_loss
    return StageOptions(
        rows=rows,
        replicas=counts,
        latency_ns=[each + waits[batch] for each, batch in zip(chosen.latency_ns, chosen.batch, strict=True)],
        cores=cores,
        loss=loss,
        accuracy=chosen.accuracy,
        cut=len(every.rows) - len(rows),
    )


def _of_inflows(
    asked: _Asked, k: int, wanted: Collection[str], load_rps: float, sustained_rps: float, inflows: Sequence[Inflow]
) -> StageOptions:
    """The options of a stage of a graph for each of its inflows."""
    stage, core_loss = asked.problem.programme.table.stages[k], asked.problem.programme.table.scales.core_loss
    fixed, _, most = asked.replicas(stage.name)
    made: list[tuple[Row, int, int, int, int, int, int]] = []
    cut = 0
    for place, (factor, burst) in enumerate(inflows):
        here = _stage_options(
            asked, k, stage.select(wanted, load_rps * factor <= 0), load_rps * factor, sustained_rps * factor
        )
        cut += here.cut
        for i, row in enumerate(here.rows):
            fewest = here.replicas[i]
            counts = [fewest] if fixed else _for_bursts(burst, row.batch, fewest)
            cut += sum(count > most for count in counts)
            for count in counts:
                if fixed or count <= most:
                    more = (count - fewest) * row.cores
                    services = -(-burst // (row.batch * count))
                    late_ns = here.latency_ns[i] + (services - 1) * row.latency_ns
                    loss = here.loss[i] + more * core_loss
                    made.append((row, count, late_ns, here.cores[i] + more, loss, here.accuracy[i], place))
    columns = [list(column) for column in zip(*made, strict=True)] or [[] for _ in range(7)]
    rows, replicas, latency_ns, cores, losses, accuracy, places = columns
    return StageOptions(rows, replicas, latency_ns, cores, losses, accuracy, cut, places)


def _for_bursts(burst: int, batch: int, fewest: int) -> list[int]:
    """The numbers of replicas, from `fewest` on, at which a burst takes fewer services than with one fewer."""
    counts = [fewest]
    for services in range(-(-burst // (batch * fewest)) - 1, 0, -1):
        count = -(-burst // (batch * services))
        if count > counts[-1]:
            counts.append(count)
    return counts


def waits_ns(problem: Problem, stage: int, batches: Collection[int], load: float) -> dict[int, int]:
    """Batch size -> the longest wait at a stage [ns]: the wait of its join, plus (b - 1) / load for a batch to fill (0
    at zero load). `stage` is an index.

    With `published_queue_defect`, the published code's term, whatever the batch: -|M_s| (|B| - 1) / load.
    """
    programme = problem.programme
    graph = programme.pipeline.graph
    joining = 0 if graph is None else round(graph.wait_s(programme.table.stages[stage].name) * NS)
    if load <= 0:
        return dict.fromkeys(batches, joining)
    if programme.published_queue_defect:
        loosened = -programme.table.published_wait_ns[stage]
        return dict.fromkeys(batches, -round(min(loosened / load, LONGEST_WAIT_NS)))
    return {batch: joining + round(min((batch - 1) * NS / load, LONGEST_WAIT_NS)) for batch in batches}
