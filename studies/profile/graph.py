"""The graph of a pipeline in words: edges with their factors, joins, paths, and the formula of its accuracy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from ipa.profiles import Edge, Join, Pipeline, default_rules

SPREAD_TOLERANCE = 0.1
"""The relative difference from the file's spread that is not worth a word."""

MOST_WAYS = 20
"""The most paths that are shown."""


@dataclass(frozen=True)
class EdgeLine:
    """An edge: its child and its parent (empty for an entry), what it carries, and the child's items per request with
    the lightest and with the most accurate variants."""

    stage: str
    after: str
    items: str
    join: str
    low: float
    high: float


@dataclass(frozen=True)
class WayLine:
    """A path from an entry to an exit, and the sum of `fastest_s` of its stages."""

    stages: tuple[str, ...]
    fastest_s: float


def edge_lines(pipeline: Pipeline) -> list[EdgeLine]:
    """The edges of a graph, by the stages that they lead to; empty for a chain."""
    graph = pipeline.graph
    if graph is None:
        return []
    per_request = items_per_request(pipeline)
    lines = []
    for stage in pipeline.stages:
        join = _join_in_words(graph.joins.get(stage.name))
        low, high = (per_request[end][stage.name] for end in ("low", "high"))
        edges: tuple[Edge | None, ...] = graph.into(stage.name) or (None,)
        for edge in edges:
            parent, items = (edge.parent, said_of_edge(edge)) if edge else ("", "")
            lines.append(EdgeLine(stage.name, parent, items, join, low, high))
    return lines


def items_per_request(pipeline: Pipeline) -> dict[str, Mapping[str, float]]:
    """Scale-only's choice of variants -> stage -> mean items per request."""
    ends = pipeline.defaults.scale_only
    return {end: default_rules.stage_loads_rps(pipeline, ends[end], 1.0) for end in ("low", "high")}


def fastest_s(pipeline: Pipeline) -> dict[str, float]:
    """Stage -> its least time [s]: the p99 of its fastest variant at batch 1, plus the wait of its join."""
    return {
        stage.name: min(variant.p99_s(1) for variant in stage.variants)
        + (pipeline.graph.wait_s(stage.name) if pipeline.graph else 0.0)
        for stage in pipeline.stages
    }


def way_lines(pipeline: Pipeline) -> list[WayLine]:
    """The slowest ways through a graph, at most `MOST_WAYS`, the slowest first; of a chain none."""
    if pipeline.graph is None:
        return []
    least_s = fastest_s(pipeline)
    ways = islice(pipeline.graph.ways(least_s), MOST_WAYS)
    return [WayLine(way, math.fsum(least_s[stage] for stage in way)) for way in ways]


def longest_way(pipeline: Pipeline, weights: Mapping[str, float], through: str = "") -> tuple[str, ...]:
    """The path with the largest sum of weights (stage -> weight), of those through a stage if one is named."""
    if pipeline.graph is None:
        return tuple(weights)
    heavy = {through: weights[through] + math.fsum(weights.values()) + 1.0} if through else {}
    return pipeline.graph.longest_way({**weights, **heavy})


def said_of_edge(edge: Edge) -> str:
    """What an edge carries, in words: items, spread, persistence, share and conditions."""
    items = _range([edge.mean(variant) for variant in _variants(edge)], 4)
    parts = [f"{items}, measured" if edge.counts else items]
    if edge.spread:
        actual_spread = other_spread(edge)
        parts.append(f"spread {edge.spread:g}{f' (in fact {actual_spread})' if actual_spread else ''}")
    if edge.persist_s:
        parts.append(f"persisting {edge.persist_s:g} s")
    if edge.share < 1.0:
        parts.append(f"for {100 * edge.share:g} %" + (f" (switch {edge.switch})" if edge.switch else ""))
    if edge.items_from:
        parts.append(f"from {edge.items_from}")
    if edge.when is not None:
        parts.append(f"when {edge.when}")
    if edge.partial:
        parts.append("may be dropped")
    return ", ".join(parts)


def other_spread(edge: Edge) -> str:
    """The spread that the items of an edge have, in words, if they are too few to have the file's; else empty."""
    spreads = [edge.spread_of(variant) for variant in _variants(edge) if edge.mean(variant)]
    if edge.spread == 0.0 or all(abs(spread - edge.spread) <= SPREAD_TOLERANCE * edge.spread for spread in spreads):
        return ""
    return _range(spreads)


def _variants(edge: Edge) -> Sequence[str]:
    """The variants of the parent for which the edge says its items apart; if for none, a name for all."""
    return list(edge.counts or (edge.items if isinstance(edge.items, Mapping) else ())) or [""]


def _range(values: Sequence[float], digits: int = 2) -> str:
    least, most = f"{min(values):.{digits}g}", f"{max(values):.{digits}g}"
    return least if least == most else f"{least} to {most} by variant"


def _join_in_words(join: Join | None) -> str:
    if join is None:
        return ""
    return f"{join.wait_s:g} s after the first" if join.kind == "wait" else join.kind


def accuracy_said(pipeline: Pipeline) -> str:
    """How the pipeline's accuracy is computed, in words."""
    graph = pipeline.graph
    if graph is None:
        return "what was measured of pairs" if pipeline.pair_accuracies else "the share that every stage gets right"
    if graph.accuracies:
        return "what was measured of combinations"
    exits = graph.exits or dict.fromkeys(graph.ends([stage.name for stage in pipeline.stages]), 1.0)
    weights = f", exits weighing {', '.join(f'{end} {weight:g}' for end, weight in exits.items())}"
    return "assumed: the product along each way" + (weights if len(exits) > 1 else "")


def graph_facts(pipeline: Pipeline) -> dict[str, str]:
    """Facts about a graph for beneath the tables of its stages; empty for a chain."""
    lines = edge_lines(pipeline)
    facts = {f"{line.after} → {line.stage}": line.items for line in lines if line.after}
    facts |= {f"join at {line.stage}": line.join for line in lines if line.join}
    return {**facts, "accuracy": accuracy_said(pipeline)} if lines else {}


def graph_as_dict(pipeline: Pipeline) -> dict[str, Any]:
    """The graph under the key `graph`, JSON-able; empty for a chain."""
    graph = pipeline.graph
    if graph is None:
        return {}
    graph_content = {
        "edges": [asdict(edge) for edge in graph.edges],
        "joins": {stage: asdict(join) for stage, join in graph.joins.items()},
        "ways": [asdict(line) for line in way_lines(pipeline)],
        "items_per_request": items_per_request(pipeline),
        "accuracy": accuracy_said(pipeline),
        "exits": dict(graph.exits),
        "combinations": [
            {"variants": dict(zip(pipeline.by_name, names, strict=True)), "value": value}
            for names, value in graph.accuracies.items()
        ],
    }
    return {"graph": graph_content}
