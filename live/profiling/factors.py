"""How many items a request puts on each edge of a graph, by `items_from` and `when` of a model's outputs."""

from __future__ import annotations

from collections.abc import Sequence

from ipa.live.errors import LiveError
from ipa.live.profiling.values import Target
from ipa.live.serving import GraphTensors, Tensor, TensorError
from ipa.profiles import Edge, Pipeline


def edges_from(pipeline: Pipeline | None, stage: str) -> list[Edge]:
    """The edges out of a stage that its models' outputs decide, with the default edge of a switch."""
    edges = () if pipeline is None or pipeline.graph is None else pipeline.graph.out_of(stage)
    switches = {edge.switch for edge in edges if edge.switch and edge.when}
    return [edge for edge in edges if edge.items_from or edge.when or edge.switch in switches]


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
