"""Random graphs of stages in the oracle's format, the engines on them, and the first difference between two results."""

from __future__ import annotations

from math import isnan
from random import Random
from typing import Any

from ipa.profiles import Edge, Graph, Join, Pipeline, Stage
from ipa.sim.engines import create_engine
from ipa.sim.graph import collect_records
from ipa.sim.interface import Engine
from ipa.sim.records import OUTCOMES, Records
from tests import tiny
from tests.sim import engine_runs
from tests.sim.random_scenarios import Maker, ways, with_limit
from tests.sim.text_draws import with_draws

MOST_DRAWS = 4000
"""More batches than any random graph starts at a stage, and more replicas."""


def scenario(seed: int, *, dispatch: str = "central", drop: str = "request", kind: str = "plain") -> dict[str, Any]:
    """The graph of `seed` with the engines' draws in it, always the same; one in six is a chain written as a graph.

    `kind`: as of `test_engines.KINDS`.
    """
    rng = Random(f"graph {seed}")
    made = Maker(Random(seed), 2, (1, 2, 3, 4, 5, 6)).scenario()
    made |= ways(seed) | {"dispatch": dispatch, "drop": drop}
    if kind == "limited":
        made = with_limit(made, seed)
    stages = range(len(made["stages"]))
    if rng.random() < 1 / 6:
        made |= {"edges": [plain_edge(made, s - 1, s) for s in stages[1:]], "joins": {}}
    else:
        made["edges"] = _edges(made, rng)
        made["joins"] = {s: _join(rng) for s in stages if _parents(made, s) > 1 and rng.random() < 0.7}
    return with_draws(made, seed, MOST_DRAWS)


def _parents(made: dict[str, Any], stage: int) -> int:
    return sum(edge["child"] == stage for edge in made["edges"])


def _join(rng: Random) -> tuple[str, float]:
    return rng.choice([("all", 0.0), ("all", 0.0), ("any", 0.0), ("wait", rng.choice([0.25, 0.5, 1.0, 0.3]))])


def _edges(made: dict[str, Any], rng: Random) -> list[dict[str, Any]]:
    """Every stage but the first has one or more parents, or none now and then; some edges are conditions."""
    edges = []
    for child in range(1, len(made["stages"])):
        if rng.random() < 0.1:
            continue
        parents = rng.sample(range(child), min(child, rng.choice([1, 1, 2, 2, 3])))
        edges += [_random_edge(made, parent, child, rng) for parent in parents]
    rng.shuffle(edges)
    for parent in range(len(made["stages"])):
        own = [edge for edge in edges if edge["parent"] == parent]
        if len(own) > 1 and rng.random() < 0.4:
            weights = [rng.choice([1, 2, 3]) for _ in own]
            for edge, weight in zip(own, weights, strict=True):
                edge |= {"switch": "way", "share": weight / sum(weights)}
    return edges


def plain_edge(made: dict[str, Any], parent: int, child: int) -> dict[str, Any]:
    """An edge of a chain."""
    return {
        "parent": parent,
        "child": child,
        "items": dict.fromkeys(made["stages"][parent]["variants"], 1.0),
        "spread": 0.0,
        "persist_s": 0.0,
        "counts": {},
        "share": 1.0,
        "switch": "",
        "partial": False,
    }


def _random_edge(made: dict[str, Any], parent: int, child: int, rng: Random) -> dict[str, Any]:
    edge, variants = plain_edge(made, parent, child), made["stages"][parent]["variants"]
    edge["partial"] = rng.random() < 0.3
    if rng.random() < 0.25:
        edge["share"] = rng.choice([0.25, 0.5, 0.73])
    kind = rng.random()
    if kind < 0.4:
        return edge
    if kind < 0.55:
        return edge | {"counts": {name: tuple(rng.choices([0, 1, 2, 3], k=rng.randint(1, 6))) for name in variants}}
    return edge | {
        "items": {name: rng.choice([0.0, 0.3, 0.6, 1.0, 1.5, 2.0]) for name in variants},
        "spread": rng.choice([0.0, 0.0, 0.5, 0.9, 1.0, 1.6]),
        "persist_s": rng.choice([0.0, 0.5, 5.0]),
    }


def is_chain(made: dict[str, Any]) -> bool:
    """Whether each stage has one plain edge to the next, and nothing else."""
    plain = [plain_edge(made, stage, stage + 1) for stage in range(len(made["stages"]) - 1)]
    return bool(made["edges"] == plain and not made["joins"])


def with_accuracies(made: dict[str, Any], seed: int) -> dict[str, Any]:
    """The scenario with an accuracy for each variant, and with weights of its exits or without."""
    rng = Random(f"accuracies {seed}")
    stages = range(len(made["stages"]))
    ends = [stage for stage in stages if not any(edge["parent"] == stage for edge in made["edges"])]
    return made | {
        "accuracies": [{name: rng.uniform(0.3, 0.99) for name in stage["variants"]} for stage in made["stages"]],
        "exits": {end: rng.choice([0.5, 1.0, 3.0]) for end in ends} if rng.random() < 0.5 else {},
    }


def pipeline_of(made: dict[str, Any]) -> Pipeline:
    """What the accuracy of a scenario's requests depends on: that of each variant, the ways of the graph, its exits."""
    stages = tuple(
        Stage(
            str(place),
            "task",
            made["sla_s"],
            1.0,
            tuple(tiny.variant(name, accuracy, 1, {1: 1.0}) for name, accuracy in accuracies.items()),
        )
        for place, accuracies in enumerate(made["accuracies"])
    )
    edges = tuple(dict.fromkeys(Edge(str(edge["parent"]), str(edge["child"])) for edge in made["edges"]))
    exits = {str(stage): weight for stage, weight in made["exits"].items()}
    graph = Graph(edges, made["sla_s"], exits=exits)
    return Pipeline("tiny", "", stages, tiny.published(scale_only={}, switch_only_replicas={}), graph=graph)


def graph_of(made: dict[str, Any]) -> Graph:
    """The same as the values of a pipeline."""
    edges = tuple(Edge(**edge | {"parent": str(edge["parent"]), "child": str(edge["child"])}) for edge in made["edges"])
    joins = {str(stage): Join(kind, wait_s) for stage, (kind, wait_s) in made["joins"].items()}
    return Graph(edges, made["sla_s"], joins)


def run(made: dict[str, Any], seed: int, engine: str = "simpy") -> Records:
    """What an engine makes of a graph."""
    return collect_records(go(create_engine(engine, *engine_runs.parts(made, seed, graph_of(made))), made))


def go(built: Engine, made: dict[str, Any]) -> Engine:
    """Run an engine to its end with the scenario's decisions."""
    decisions = iter(made["decisions"])
    for _ in built.steps(iter([time_s for time_s, _ in made["decisions"]])):
        built.apply(engine_runs.configuration(next(decisions)[1]))
    return built


def difference(records: Records, oracle: dict[str, Any]) -> str | None:
    """The first thing in which an engine's records differ from a result of the oracle; None where all is equal."""
    for number, request in enumerate(oracle["requests"]):
        mine = _request(records, number)
        if mine != request:
            return f"request {number}: engine {mine}, oracle {request}"
    for position, (part, items) in enumerate(zip(records.items, oracle["items"], strict=True)):
        if len(part.request) != len(items):
            return f"stage {position}: engine {len(part.request)} items, oracle {len(items)}"
        for number, item in enumerate(items):
            mine = _item(part, number) | {"edge": item["edge"]}
            if mine != item:
                return f"stage {position}, item {number}: engine {mine}, oracle {item}"
    return engine_runs.replica_difference(records, oracle)


def _request(records: Records, number: int) -> dict[str, Any]:
    stage, end_s = int(records.dropped_stage[number]), float(records.end_s[number])
    return {
        "outcome": OUTCOMES[records.outcome[number]],
        "end": None if isnan(end_s) else end_s,
        "dropped_at": None if stage < 0 else stage,
    }


def _item(part: Records, number: int) -> dict[str, Any]:
    end_s, replica = float(part.end_s[number]), int(part.replica[0, number])
    found: dict[str, Any] = {
        "request": int(part.request[number]),
        "outcome": OUTCOMES[part.outcome[number]],
        "end": None if isnan(end_s) else end_s,
        "enqueue": float(part.enqueue_s[0, number]),
        "batch_id": None,
    }
    if replica >= 0:
        found |= {
            "start": float(part.start_s[0, number]),
            "replica": replica,
            "variant": part.replicas[0].variant[replica],
            "batch": int(part.batch_size[0, number]),
            "batch_id": int(part.batch[0, number]),
        }
        if not isnan(part.finish_s[0, number]):
            found["finish"] = float(part.finish_s[0, number])
    return found
