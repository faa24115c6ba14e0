"""Random problems whose stages form a graph, small enough to try everything, or of any size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from random import Random

from ipa.policies import StageConfiguration
from ipa.policies.optimiser import Problem, Programme, solve
from ipa.profiles import Defaults, Edge, Graph, Join, Limits, Pipeline, Stage
from tests.policies import random_problems
from tests.tiny import variant


def small(seed: int) -> Problem:
    """The problem of `seed`, always the same: two to four stages, with all that a graph may have."""
    rng = Random(seed)
    size = rng.choice((2, 3, 3, 4))
    stages = tuple(_stage(rng, name, most=3 if size < 4 else 2) for name in "abcd"[:size])
    graph = _graph(rng, stages, sla_s=rng.choice((0.2, 0.4, 0.6, 1.0, 2.0)))
    limits = Limits()
    if rng.random() < 0.15:
        limits = Limits(node_cores=tuple(rng.choice((2, 4)) for _ in range(rng.randint(2, 5))))
    if rng.random() < 0.2:
        limits = replace(limits, min_replicas={"a": 2}, max_replicas={"a": 4, "b": 3})
    pipeline = Pipeline("graph", "", stages, Defaults(alpha=1.0, load_margin=0.0), limits=limits, graph=graph)
    names = [stage.name for stage in pipeline.stages]
    return Problem(
        Programme(
            pipeline,
            alpha=rng.choice((0.0, 1.0, 10.0, 40.0)),
            beta=rng.choice((0.0, 0.5, 1.0)),
            gamma=rng.choice((0.0, 1e-6, 0.1)),
            accuracy=rng.choice(("product", "product", "product", "sum", "average")),
            accuracy_scale="raw" if graph.accuracies else rng.choice(("raw", "raw", "rank")),
            accuracy_floor=rng.choice((0.0, 0.0, 0.6)),
            max_replicas=rng.choice((2, 4, 6)) if size < 4 else 2,
            goal=rng.choice((None, None, None, {"max": "accuracy"}, {"min": "cost"})),
        ),
        load_rps=float(rng.choice((0, 1, 3, 5, 9, 15))),
        limit_cores=rng.choice((None, None, 6, 10, 16)),
        replicas={name: rng.randint(1, 4) for name in names} if rng.random() < 0.15 else None,
        variants={"b": [stages[1].variants[0].name]} if rng.random() < 0.15 else None,
        current=_at_hand(Random(f"at hand {seed}"), stages),
    )


def deciding(seed: int) -> Problem:
    """The problem of `seed`, always the same: three or four stages, each of which decides how many items go on.

    With what ranges of inflows are hardest on: bursts, items that may not come, nodes, bounds on replicas.
    """
    rng = Random(f"deciding {seed}")
    stages = tuple(_stage(rng, name, most=2) for name in "abcd"[: rng.choice((3, 3, 4))])
    edges = []
    for k, stage in enumerate(stages[1:], 1):
        for parent in rng.sample(stages[:k], min(k, rng.choice((1, 1, 2)))):
            names = [each.name for each in parent.variants]
            if rng.random() < 0.5:
                edges.append(Edge(parent.name, stage.name, items={n: rng.choice((0.0, 0.5, 2.0, 4.0)) for n in names}))
            else:
                counts = {name: tuple(rng.choices((0, 1, 3, 6), k=4)) for name in names}
                edges.append(Edge(parent.name, stage.name, counts=counts, share=rng.choice((1.0, 0.4))))
    most = {stage.name: rng.choice((1, 2, 3)) for stage in stages}
    limits = Limits(
        max_replicas=most, min_replicas={stage.name: rng.choice((1, 1, most[stage.name])) for stage in stages}
    )
    if rng.random() < 0.5:
        limits = replace(limits, node_cores=tuple(rng.choice((2, 3, 4)) for _ in range(rng.randint(2, 4))))
    graph = Graph(tuple(edges), rng.choice((0.3, 0.5, 0.8, 1.5)))
    programme = Programme(
        Pipeline("deciding", "", stages, Defaults(alpha=1.0, load_margin=0.0), limits=limits, graph=graph),
        alpha=rng.choice((1.0, 10.0, 40.0)),
        beta=rng.choice((0.0, 0.5, 1.0)),
        gamma=1e-6,
        accuracy=rng.choice(("product", "sum")),
    )
    return Problem(programme, float(rng.choice((0, 1, 3, 6))), rng.choice((None, 6, 10)), current=_at_hand(rng, stages))


def _at_hand(rng: Random, stages: Sequence[Stage]) -> dict[str, StageConfiguration] | None:
    """A configuration of some variant at each stage; for some problems none."""
    variants = {stage.name: rng.choice(stage.variants) for stage in stages}
    at_hand = {
        name: StageConfiguration(each.name, rng.choice(each.batches()), rng.randint(1, 3), 0.0, each.base_cores)
        for name, each in variants.items()
    }
    return at_hand if rng.random() < 0.8 else None


def tight(seed: int, stages: int, variants: int, batches: int, accuracy: str = "product") -> Problem:
    """The problem of `seed`, always the same, of any size; its SLA is too short for what would be best without one.

    Each stage but the first comes after one or two of those before it. From half of the stages that have some after
    them, how many items go on depends on the variant.
    """
    rng = Random(f"graph {seed} {stages} {variants} {batches}")
    made = [random_problems.stage(rng, f"s{k}", variants, batches) for k in range(stages)]
    edges = [
        _counted_edge(rng, parent, stage.name)
        for k, stage in enumerate(made)
        for parent in rng.sample(made[:k], min(k, rng.choice((1, 1, 2))))
    ]
    joined = [s.name for s in made if len({edge.parent for edge in edges if edge.child == s.name}) > 1]
    joins = {name: Join("all") for name in joined if rng.random() < 0.5}
    pipeline = Pipeline(
        "random", "", tuple(made), Defaults(alpha=1.0, load_margin=0.0), graph=Graph(tuple(edges), 1e4, joins)
    )
    weight = 2 if accuracy == "product" else stages
    programme = Programme(
        pipeline, alpha=rng.choice((5.0, 20.0, 50.0, 200.0)) * weight, beta=0.5, gamma=1e-6, accuracy=accuracy
    )
    free = Problem(programme, float(rng.randint(3, 30)))
    spent_s = solve(free).latency_s
    least_s = solve(replace(free, programme=replace(programme, sla_s=1e-6))).latency_s
    sla_s = least_s + rng.uniform(0.02, 0.6) * (spent_s - least_s)
    tightened = replace(free, programme=replace(programme, sla_s=sla_s))
    # Whatever the load, these are computed once, and not to be timed.
    assert tightened.programme.table.sla_ns
    assert tightened.programme.drop_limits
    return tightened


def large(seed: int, stages: int, deciding: int) -> Problem:
    """The problem of `seed`, always the same: many stages, each after one or two near it; some decide how many items go
    on."""
    rng = Random(f"large {seed}")
    made = [random_problems.stage(rng, f"s{k}", 3, 3) for k in range(stages)]
    counting = set(rng.sample(range(stages - 1), deciding))
    edges = []
    for k in range(1, stages):
        for parent in rng.sample(range(max(0, k - 4), k), min(k, rng.choice((1, 1, 2)))):
            items = {each.name: 0.8 + 0.2 * i for i, each in enumerate(made[parent].variants)}
            edges.append(Edge(f"s{parent}", f"s{k}", items=items if parent in counting else rng.choice((1.0, 0.7))))
    joins = {f"s{k}": Join("all") for k in range(stages) if sum(edge.child == f"s{k}" for edge in edges) > 1}
    graph = Graph(tuple(edges), 2.0 + 0.05 * stages, joins)
    pipeline = Pipeline("large", "", tuple(made), Defaults(alpha=1.0, load_margin=0.0), graph=graph)
    return Problem(Programme(pipeline, alpha=40.0, beta=0.5, gamma=1e-6, accuracy="product"), 10.0)


def _counted_edge(rng: Random, parent: Stage, child: str) -> Edge:
    """An edge whose items, on average 0.5 to 6, do or do not depend on the variant: more accurate ones find more."""
    few = rng.uniform(0.5, 2.0)
    names = [each.name for each in parent.variants]
    if rng.random() < 0.5:
        return Edge(parent.name, child, items=few, share=rng.choice((1.0, 0.7)))
    return Edge(parent.name, child, items={name: few * (1 + 0.5 * i) for i, name in enumerate(names)}, spread=0.5)


def _stage(rng: Random, name: str, most: int) -> Stage:
    variants = []
    for i in range(rng.randint(1, most)):
        seconds = rng.choice((0.04, 0.05, 0.08, 0.1)) * (1 + i)
        batches = {1: seconds, 2: round(seconds * rng.uniform(1.3, 1.9), 3)}
        if rng.random() < 0.3:
            del batches[2]
        variants.append(variant(f"{name}{i}", round(rng.uniform(0.4, 0.99), 3), 1 + i * rng.randint(0, 1), batches))
    return Stage(name, "task", 0.3, 1.0, tuple(variants))


def _graph(rng: Random, stages: Sequence[Stage], sla_s: float) -> Graph:
    pairs = [(parent, stage.name) for k, stage in enumerate(stages) for parent in stages[:k] if rng.random() < 0.65]
    edges = [_edge(rng, parent, child) for parent, child in pairs]
    joins = {}
    for stage in stages:
        if len([edge for edge in edges if edge.child == stage.name]) > 1 and rng.random() < 0.5:
            kind = rng.choice(("all", "any", "wait"))
            joins[stage.name] = Join(kind, 0.01 if kind == "wait" else 0.0)
    graph = Graph(tuple(edges), sla_s, joins)
    if rng.random() < 0.3:
        ends = graph.ends([stage.name for stage in stages])
        graph = replace(graph, exits={name: rng.choice((1.0, 2.0, 0.5)) for name in ends})
    if rng.random() < 0.2:
        combinations = product(*([each.name for each in stage.variants] for stage in stages))
        graph = replace(graph, accuracies={names: round(rng.random(), 3) for names in combinations})
    return graph


def _edge(rng: Random, parent: Stage, child: str) -> Edge:
    names = [each.name for each in parent.variants]
    kind = rng.choice(("plain", "number", "by variant", "counts", "share"))
    if kind == "number":
        return Edge(parent.name, child, items=rng.choice((0.4, 1.5, 2.0, 3.0)), spread=rng.choice((0.0, 0.5, 1.0)))
    if kind == "by variant":
        return Edge(parent.name, child, items={name: rng.choice((0.0, 0.5, 1.0, 2.0, 2.5)) for name in names})
    if kind == "counts":
        return Edge(parent.name, child, counts={name: tuple(rng.choices((0, 1, 2, 4), k=5)) for name in names})
    return Edge(parent.name, child, share=rng.choice((0.3, 0.7)) if kind == "share" else 1.0)
