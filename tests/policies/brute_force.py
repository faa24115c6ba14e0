"""The optimiser's answer by trying everything, from the wording of the rules alone.

Only the stated resolutions are shared with the product: latencies count in whole nanoseconds (one
is forgiven per stage), raw accuracies to 1e-9, weights as the decimals they are written as.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from math import ceil, prod

from ipa.policies.optimiser import Problem
from ipa.profiles import Stage, Variant


@dataclass(frozen=True)
class Option:
    variant: str
    batch: int
    replicas: int
    cores: int
    latency_ns: int
    accuracy: Fraction
    throughput_rps: float
    variant_stays: bool
    batch_stays: bool
    place: int


@dataclass(frozen=True)
class Candidate:
    options: tuple[Option, ...]
    objective: Fraction
    latency_ns: int
    a_core_counts: bool

    @property
    def cores(self) -> int:
        return sum(option.cores for option in self.options)

    @property
    def order(self) -> tuple[object, ...]:
        """Lower is better: objective, fewest other variants, fewest cores, smallest batches, fewest changes, first.

        Where a core does not count in the objective, the fewest come before the variants.
        """
        ways = (self.switched, self.cores) if self.a_core_counts else (self.cores, self.switched)
        return (-self.objective, *ways, *self.last)

    @property
    def switched(self) -> int:
        """How many stages get another variant."""
        return sum(not option.variant_stays for option in self.options)

    @property
    def last(self) -> tuple[object, ...]:
        """What decides between plans that are equal in objective, cores and changes of variants."""
        changed = sum(not (option.variant_stays and option.batch_stays) for option in self.options)
        return sum(option.batch for option in self.options), changed, [option.place for option in self.options]

    @property
    def sustained_rps(self) -> float:
        return min(option.replicas * option.throughput_rps for option in self.options)

    @property
    def choice(self) -> list[tuple[str, int, int]]:
        return [(option.variant, option.batch, option.replicas) for option in self.options]


def optimum(problem: Problem) -> Candidate | None:
    """The best of all configurations that keep every constraint."""
    feasible = [c for c in sustaining(problem) if keeps_sla(problem, c)]
    return min(feasible, key=lambda c: c.order, default=None)


def least_excess(problem: Problem) -> Candidate | None:
    """Of the configurations that sustain the load, the fastest; of these, the best."""
    candidates = list(sustaining(problem))
    return min(candidates, key=lambda c: (c.latency_ns, *c.order), default=None)


def most_throughput(problem: Problem) -> Candidate | None:
    """Of all configurations within cores and replicas, the greatest throughput up to the load."""
    load = problem.load_rps
    every = [c for c in candidates(problem, _any_replicas) if within_cores(problem, c)]
    if not every:
        return None
    greatest = min(load, max(c.sustained_rps for c in every))
    best = [c for c in every if c.sustained_rps >= greatest * (1 - 1e-9)]
    return min(best, key=lambda c: (c.latency_ns, *c.order))


def sustaining(problem: Problem) -> Iterator[Candidate]:
    """The configurations within cores and replicas that sustain the load, just so."""
    return (c for c in candidates(problem, _fewest_replicas) if within_cores(problem, c))


def keeps_sla(problem: Problem, candidate: Candidate) -> bool:
    stages = len(problem.programme.pipeline.stages)
    return candidate.latency_ns <= round(problem.programme.target_s * 1e9) + stages


def within_cores(problem: Problem, candidate: Candidate) -> bool:
    enough = problem.limit_cores is None or candidate.cores <= problem.limit_cores
    return enough and finds_nodes(candidate, problem.programme.pipeline.limits.node_cores)


def finds_nodes(candidate: Candidate, nodes: object) -> bool:
    """First fit, replica by replica: the largest first, each on the first node that has as many cores left."""
    replicas = [option.cores // option.replicas for option in candidate.options for _ in range(option.replicas)]
    return finds_room(replicas, nodes)


def finds_room(replicas: list[int], nodes: object) -> bool:
    """The same for replicas of so many cores."""
    if not isinstance(nodes, tuple):
        return True
    left = list(nodes)
    for cores in sorted(replicas, reverse=True):
        with_room = [i for i, free in enumerate(left) if free >= cores]
        if not with_room:
            return False
        left[with_room[0]] -= cores
    return True


ReplicaRule = Callable[[Problem, str, float], list[int]]


def candidates(problem: Problem, replicas: ReplicaRule) -> Iterator[Candidate]:
    programme = problem.programme
    alpha, beta, gamma = (Fraction(str(weight)) for weight in (programme.alpha, programme.beta, programme.gamma))
    beta *= Fraction(str(programme.pipeline.limits.price_per_core))
    stages = programme.pipeline.stages
    for options in product(*(list(stage_options(problem, stage, replicas)) for stage in stages)):
        accuracies = [option.accuracy for option in options]
        accuracy = prod(accuracies) if programme.accuracy == "product" else sum(accuracies)
        if programme.accuracy == "pairs":
            measured = programme.pipeline.pair_accuracies[options[0].variant][options[1].variant]
            accuracy = max(Fraction(round(measured * 10**9), 10**9), Fraction(str(programme.accuracy_floor)))
        if programme.accuracy == "average":
            accuracy = accuracy / Fraction(len(stages))
        cores = sum(option.cores for option in options)
        batch = sum(option.batch for option in options)
        latency_ns = sum(option.latency_ns for option in options)
        yield Candidate(options, alpha * accuracy - beta * cores - gamma * batch, latency_ns, beta > 0)


def stage_options(problem: Problem, stage: Stage, replicas: ReplicaRule) -> Iterator[Option]:
    programme, load = problem.programme, problem.load_rps
    kept = (problem.current or {}).get(stage.name)
    place = 0
    for variant in stage.variants:
        if problem.variants and variant.name not in problem.variants.get(stage.name, variant.name):
            continue
        for batch in variant.batches():
            place += 1
            if batch > programme.batch_cap or (load == 0 and batch > 1):
                continue
            latency_s = getattr(variant, f"{programme.statistic}_s")(batch)
            wait_s = (batch - 1) / load if load else 0.0
            share = min(programme.throughput_share, programme.pipeline.limits.utilisation)
            throughput = variant.throughput_rps(batch) * share
            for count in replicas(problem, stage.name, throughput):
                yield Option(
                    variant=variant.name,
                    batch=batch,
                    replicas=count,
                    cores=count * variant.base_cores,
                    latency_ns=round(latency_s * 1e9) + round(wait_s * 1e9),
                    accuracy=accuracy_term(problem, stage, variant),
                    throughput_rps=throughput,
                    variant_stays=kept is not None and kept.variant == variant.name,
                    batch_stays=kept is not None and kept.batch == batch,
                    place=place,
                )


def accuracy_term(problem: Problem, stage: Stage, variant: Variant) -> Fraction:
    programme = problem.programme
    if programme.accuracy_scale == "raw":
        term = Fraction(round(variant.accuracy * 10**9), 10**9)
    elif len({other.accuracy for other in stage.variants}) == 1:
        term = Fraction(1)
    else:
        levels = {other.accuracy for other in stage.variants}
        below = sum(level < variant.accuracy for level in levels)
        term = Fraction(below, len(levels) - 1)
    return max(term, Fraction(str(programme.accuracy_floor)))


def _fewest_replicas(problem: Problem, stage: str, throughput_rps: float) -> list[int]:
    needed = max(1, ceil(problem.load_rps / throughput_rps - 1e-9))
    if problem.replicas is not None:
        return [problem.replicas[stage]] if needed <= problem.replicas[stage] else []
    least, most = _bounds(problem, stage)
    return [max(least, needed)] if needed <= most else []


def _any_replicas(problem: Problem, stage: str, _throughput_rps: float) -> list[int]:
    if problem.replicas is not None:
        return [problem.replicas[stage]]
    least, most = _bounds(problem, stage)
    return list(range(least, most + 1))


def _bounds(problem: Problem, stage: str) -> tuple[int, int]:
    limits = problem.programme.pipeline.limits
    most = min(limits.max_replicas.get(stage, 10**9), problem.programme.max_replicas)
    return limits.min_replicas.get(stage, 1), most
