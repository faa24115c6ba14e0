"""How many items each sample puts on each edge of a graph, by `items_from` and `when` of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ipa.live.errors import LiveError
from ipa.live.profiling.measuring import Session
from ipa.live.profiling.values import Numbers, Target
from ipa.live.serving import GraphTensors, Tensor, TensorError
from ipa.profiles import Edge, Pipeline


def edges_from(pipeline: Pipeline | None, stage: str) -> list[Edge]:
    """The edges out of a stage that its models' outputs decide, with the default edge of a switch."""
    edges = () if pipeline is None or pipeline.graph is None else pipeline.graph.out_of(stage)
    switches = {edge.switch for edge in edges if edge.switch and edge.when}
    return [edge for edge in edges if edge.items_from or edge.when or edge.switch in switches]


async def numbers_of(session: Session, pipeline: Pipeline) -> list[Numbers]:
    """The items that each sample puts on each edge that outputs decide. Raises ProbeError, and LiveError as
    `items_on`."""
    target = session.target
    found = [
        items_on(pipeline, target, await session.probe.serve(request, 1, session.cores))
        for request in session.samples.in_order
    ]
    return [
        Numbers(target.stage, target.variant, edge.child, said_of(edge), tuple(items[edge.child] for items in found))
        for edge in edges_from(pipeline, target.stage)
    ]


def items_on(pipeline: Pipeline, target: Target, outputs: Sequence[Tensor]) -> dict[str, int]:
    """Next stage -> the number of items that an item with these outputs puts on the edge, as in a gateway.

    Raises LiveError for outputs that do not determine it.
    """
    assert pipeline.graph is not None
    try:
        onward = GraphTensors(pipeline).onward(list(pipeline.by_name).index(target.stage), outputs)
    except TensorError as error:
        raise LiveError(f"{target.stage}/{target.variant}: {error}") from None
    return {pipeline.graph.edges[number].child: len(items) for number, items in onward.items() if items is not None}


def said_of(edge: Edge) -> str:
    """What of the outputs decides, in words: `crops where score > 0.5`."""
    parts = [edge.items_from, f"where {edge.when}" if edge.items_from and edge.when else str(edge.when or "")]
    return " ".join(filter(None, parts)) or f"the rest of {edge.switch}"


# ---- statistics ----

SURE = 2.0
"""A correlation above this many of its standard errors counts as above 0."""
MOST_LAGS = 20


def spread_of(items: Sequence[int]) -> float:
    """The variance of numbers of items over their mean; 0 where there are none."""
    mean = float(np.mean(items))
    return float(np.var(items)) / mean if mean else 0.0


def persist_s_of(items: Sequence[int], apart_s: float) -> float:
    """How fast numbers of successive requests become independent [s]: their correlation is exp(-time / this); 0: at
    once.

    It follows from the slope of a straight line through the logarithms of the autocorrelations of the ranks' normal
    scores, at the first lags where these are surely above 0. Rounding to whole numbers lowers them all, but does not
    change the slope.
    """
    from scipy.stats import norm, rankdata

    count = len(items)
    if len(set(items)) < 2:
        return 0.0
    scores = norm.ppf((rankdata(items) - 0.5) / count)
    scores -= scores.mean()
    total = float(scores @ scores)
    logs: list[float] = []
    for lag in range(1, min(MOST_LAGS, count // 4) + 1):
        correlation = float(scores[:-lag] @ scores[lag:]) / total
        if correlation <= SURE / np.sqrt(count):
            break
        logs.append(float(np.log(correlation)))
    if not logs:
        return 0.0
    slope = float(np.polyfit(np.arange(1, len(logs) + 1), logs, 1)[0]) if len(logs) > 2 else logs[-1] / len(logs)
    return apart_s / -slope if slope < 0.0 else 0.0
