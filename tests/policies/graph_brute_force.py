"""The optimiser's answer for a graph by trying everything, from the wording of the rules alone.

As `tests.policies.brute_force`, with which it shares the resolutions of the product and what an accuracy counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil, prod, sqrt

from ipa.policies.optimiser import Problem
from ipa.profiles import Edge, Graph, Variant
from tests.policies.brute_force import accuracy_term, finds_room


@dataclass(frozen=True)
class Plan:
    """Stage -> (variant, batch, replicas), and what it comes to. `places`: those of its options in their stages."""

    choice: Mapping[str, tuple[str, int, int]]
    objective: Fraction
    cores: int
    batches: int
    switched: int
    changes: int
    places: tuple[int, ...]
    latency_ns: int
    sustained_rps: float
    accuracy: Fraction
    a_core_counts: bool

    @property
    def order(self) -> tuple[object, ...]:
        """Lower is better, as in `brute_force`."""
        ways = (self.switched, self.cores) if self.a_core_counts else (self.cores, self.switched)
        return (-self.objective, *ways, *self.last)

    @property
    def last(self) -> tuple[object, ...]:
        """What decides between plans that are equal in objective, cores and changes of variants."""
        return self.batches, self.changes, self.places


def optimum(problem: Problem) -> Plan | None:
    """The best of all plans that keep every constraint."""
    kept = (plan for plan in sustaining(problem) if plan.latency_ns <= sla_ns(problem))
    return min(kept, key=lambda plan: plan.order, default=None)


def least_excess(problem: Problem) -> Plan | None:
    """Of the plans that sustain the load, the fastest; of these, the best."""
    return min(sustaining(problem), key=lambda plan: (plan.latency_ns, *plan.order), default=None)


def most_throughput_rps(problem: Problem) -> float | None:
    """The greatest load, up to the problem's, that any plan within cores and replicas sustains."""
    return max((min(problem.load_rps, plan.sustained_rps) for plan in plans(problem)), default=None)


def sla_ns(problem: Problem) -> int:
    return round(problem.programme.target_s * 1e9) + len(problem.programme.pipeline.stages)


def sustaining(problem: Problem) -> Iterator[Plan]:
    return (plan for plan in plans(problem) if plan.sustained_rps >= problem.load_rps * (1 - 1e-9))


def plans(problem: Problem) -> Iterator[Plan]:
    """All plans within cores, nodes and replicas; of replicas, up to those with which a burst takes one service."""
    pipeline = problem.programme.pipeline
    assert pipeline.graph is not None
    for variants in product(*([(s.name, v) for v in s.variants] for s in pipeline.stages)):
        if any(v.name not in (problem.variants or {}).get(name, [v.name]) for name, v in variants):
            continue
        served = dict(variants)
        names = {name: v.name for name, v in served.items()}
        factors = pipeline.graph.factors(list(names), names)
        bursts = _bursts(pipeline.graph, names)
        accuracy = _accuracy(problem, served)
        options = [list(_options(problem, name, v, factors[name], bursts[name])) for name, v in served.items()]
        for chosen in product(*options):
            plan = _plan(problem, served, accuracy, chosen)
            enough = problem.limit_cores is None or plan.cores <= problem.limit_cores
            if enough and finds_room(
                [served[name].base_cores for name in names for _ in range(plan.choice[name][2])],
                pipeline.limits.node_cores,
            ):
                yield plan


Option = tuple[str, int, int, int, float]
"""Variant, batch, replicas, latency [ns], load sustained [rps]."""


def _options(problem: Problem, stage: str, variant: Variant, factor: float, burst: int) -> Iterator[Option]:
    programme = problem.programme
    rate_rps = problem.load_rps * factor
    assert programme.pipeline.graph is not None
    join = programme.pipeline.graph.joins.get(stage)
    joining_ns = round(join.wait_s * 1e9) if join is not None and join.kind == "wait" else 0
    for batch in variant.batches() if rate_rps else [1]:
        throughput_rps = variant.throughput_rps(batch) * programme.throughput_share
        wait_s = (batch - 1) / rate_rps if rate_rps else 0.0
        needed = max(1, ceil(rate_rps / throughput_rps - 1e-9))
        least, most = _bounds(problem, stage)
        counts = range(least, max(least, min(most, max(needed, ceil(burst / batch)))) + 1)
        if problem.replicas is not None:
            counts = range(problem.replicas[stage], problem.replicas[stage] + 1)
        for count in counts:
            services = ceil(burst / (batch * count))
            latency_ns = services * round(variant.p99_s(batch) * 1e9) + round(wait_s * 1e9) + joining_ns
            yield variant.name, batch, count, latency_ns, count * throughput_rps / factor if factor else float("inf")


def _bounds(problem: Problem, stage: str) -> tuple[int, int]:
    limits = problem.programme.pipeline.limits
    most = min(limits.max_replicas.get(stage, 10**9), problem.programme.max_replicas)
    return min(limits.min_replicas.get(stage, 1), most), most


def _plan(problem: Problem, served: Mapping[str, Variant], accuracy: Fraction, chosen: tuple[Option, ...]) -> Plan:
    programme = problem.programme
    graph = programme.pipeline.graph
    assert graph is not None
    alpha, beta, gamma = (Fraction(str(weight)) for weight in (programme.alpha, programme.beta, programme.gamma))
    choice = {name: option[:3] for name, option in zip(served, chosen, strict=True)}
    latencies = {name: option[3] for name, option in zip(served, chosen, strict=True)}
    cores = sum(served[name].base_cores * count for name, (_, _, count) in choice.items())
    batches = sum(batch for _, batch, _ in choice.values())
    current = problem.current or {}
    at_hand = {name: (stage.variant, stage.batch) for name, stage in current.items()}
    switched = sum(name not in at_hand or at_hand[name][0] != choice[name][0] for name in served)
    switching = alpha if programme.wanted.aim == "cost" else 0
    return Plan(
        choice=choice,
        objective=alpha * accuracy - beta * cores - gamma * batches - switching * switched,
        cores=cores,
        batches=batches,
        switched=switched,
        changes=sum(at_hand.get(name) != choice[name][:2] for name in served),
        places=tuple(_place(problem, name, *choice[name][:2]) for name in served),
        latency_ns=max(sum(latencies[name] for name in way) for way in graph.ways(dict.fromkeys(served, 0.0))),
        sustained_rps=min(option[4] for option in chosen),
        accuracy=accuracy,
        a_core_counts=beta > 0,
    )


def _place(problem: Problem, stage: str, variant: str, batch: int) -> int:
    every = [(v.name, b) for v in problem.programme.pipeline.stage(stage).variants for b in v.batches()]
    return every.index((variant, batch))


def _accuracy(problem: Problem, served: Mapping[str, Variant]) -> Fraction:
    """By the rule: of a combination measured, or the exits' weighted mean of the mean product along their ways."""
    programme, graph = problem.programme, problem.programme.pipeline.graph
    assert graph is not None
    terms = {name: accuracy_term(problem, programme.pipeline.stage(name), v) for name, v in served.items()}
    if programme.accuracy != "product":
        total = sum(terms.values(), Fraction(0))
        return total / len(terms) if programme.accuracy == "average" else total
    if graph.accuracies:
        measured = graph.accuracies[tuple(v.name for v in served.values())]
        return max(Fraction(round(measured * 10**9), 10**9), Fraction(str(programme.accuracy_floor)))
    of_end: dict[str, list[Fraction]] = {}
    for way in graph.ways(dict.fromkeys(served, 0.0)):
        of_end.setdefault(way[-1], []).append(prod((terms[name] for name in way), start=Fraction(1)))
    weights = {name: Fraction(str(weight)) for name, weight in (graph.exits or dict.fromkeys(of_end, 1)).items()}
    means = [weight * sum(of_end[name]) / len(of_end[name]) for name, weight in weights.items()]
    return sum(means, Fraction(0)) / sum(weights.values())


def _bursts(graph: Graph, variants: Mapping[str, str]) -> dict[str, int]:
    """The items that one request puts at each stage at once, in about 95 % of cases at most."""
    found: dict[str, int] = {}
    for stage in variants:
        into = [edge for edge in graph.edges if edge.child == stage]
        came = sum(_of_edge(edge, found[edge.parent], variants[edge.parent]) for edge in into)
        found[stage] = 1 if not into or stage in graph.joins else max(came, 1)
    return found


def _of_edge(edge: Edge, items: int, variant: str) -> int:
    going = items if edge.share == 1 else items * edge.share + 1.645 * sqrt(items * edge.share * (1 - edge.share))
    if edge.counts:
        counts = sorted(edge.counts[variant])
        each = float(next(c for c in counts if sum(other <= c for other in counts) >= 0.95 * len(counts)))
    else:
        mean = edge.items if isinstance(edge.items, float | int) else edge.items[variant]
        each = mean + 1.645 * sqrt(edge.spread * mean)
    return min(items, ceil(going - 1e-9)) * ceil(each - 1e-9)
