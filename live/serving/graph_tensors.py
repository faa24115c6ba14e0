"""The tensors of items in a graph: from the outputs of one stage to the inputs of the next, and into the answer.

An emulated model has no outputs of its own, so the items that it serves keep the client's tensors, and the numbers of
items are drawn.

Where a request has no item, a tensor of no rows stands in a join or in the answer. The pipeline file or the metadata of
the stage's models say which, never what another request had there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ipa.live.serving.admission import Share
from ipa.live.serving.batch_service import Job, batch_bytes
from ipa.live.serving.protocol import EMULATED, MOST_ELEMENTS, ProtocolError
from ipa.live.serving.replica_clients import declared
from ipa.live.serving.request import Arrival, Batch, Item, Path
from ipa.live.serving.tensors import Tensor, TensorError, cut, kind, mapped, of_array, to_array
from ipa.profiles import DATATYPES, Edge, Pipeline

MOST_ITEMS = 1000
"""How many items a request may become, unless a gateway is told otherwise."""
ITEM_BYTES = 1024
"""The bytes that an item counts beyond its tensors."""


@dataclass(slots=True)
class WholeJob(Job):
    """The gateway's data of a request in a graph; `tensors` are the client's.

    `share` counts the memory that it holds; if its client is answered before its last item has ended, `resources` keep
    that counted until then. `sent_bytes`: the size of the tensors of its items. `ends`: the outputs of items that go no
    further.
    """

    share: Share | None = None
    resources: ExitStack | None = None
    sent_bytes: int = 0
    is_emulated: bool = False
    ends: dict[int, list[tuple[Path, Sequence[Tensor]]]] = field(default_factory=dict)


@dataclass(slots=True)
class ItemJob(Job):
    """The gateway's data of an item. Once it has been served, `onward` has by edge the tensors of each item that it
    becomes; None there: as many as are drawn."""

    onward: Mapping[int, Sequence[Sequence[Tensor]] | None] = field(default_factory=dict)


class GraphTensors:
    """The tensors of a pipeline whose stages form a graph; a request may become `most_items` items."""

    def __init__(self, pipeline: Pipeline, most_items: int = MOST_ITEMS) -> None:
        assert pipeline.graph is not None
        self._stages = pipeline.stages
        self._names = [stage.name for stage in pipeline.stages]
        self._graph = pipeline.graph
        self._most_items = most_items
        edges = list(enumerate(self._graph.edges))
        self._out = [[(number, edge) for number, edge in edges if edge.parent == name] for name in self._names]
        self._several = dict(zip(self._names, self._may_get_several(), strict=True))
        self.entries = [self._names.index(name) for name in self._graph.entries(self._names)]
        self.ends = [
            position
            for position, edges_out in enumerate(self._out)
            if all(edge.when is not None and not edge.items_from for _, edge in edges_out)
        ]
        """The stages whose outputs are in the answer."""
        self._nothing = {
            position: [Tensor(name, form.datatype, (0, *form.shape[1:]), b"") for name, form in stage.outputs.items()]
            for position, stage in enumerate(self._stages)
            if stage.outputs
        }
        """By stage, its outputs without rows, as far as they are known."""
        self.described_by_models = [stage for stage in self._may_be_missing() if stage not in self._nothing]
        """The stages whose models have to describe their outputs: requests may have none there, and the pipeline file
        does not describe them."""

    # ---- what stands for nothing ----

    def _may_be_missing(self) -> Iterator[int]:
        """The stages whose outputs a join or an answer may lack, though it should have them."""
        may_get_none: dict[str, bool] = {}
        for name in self._names:
            into, join = self._graph.into(name), self._graph.joins.get(name)
            none = [edge.may_carry_none or may_get_none[edge.parent] for edge in into]
            may_get_none[name] = bool(into) and all(none) and (join is None or join.kind != "all")
        for position, name in enumerate(self._names):
            joined = [
                edge.may_carry_none or may_get_none[name] or self._graph.joins[edge.child].kind != "all"
                for _, edge in self._out[position]
                if edge.child in self._graph.joins
            ]
            is_end = position in self.ends and self._several[name]
            if any(joined) or (is_end and (may_get_none[name] or bool(self._out[position]))):
                yield position

    def describe(self, stage: int, metadata: Mapping[str, Any]) -> str:
        """Take over the outputs that a model of a stage describes; returns what is missing to know what stands for
        nothing there, empty if nothing is."""
        outputs = declared(metadata, "outputs")
        without_rows = [tensor for output in outputs if (tensor := _without_rows(output)) is not None]
        if outputs and len(without_rows) == len(outputs):
            self._nothing[stage] = without_rows
        if stage in self._nothing or metadata.get("platform") == EMULATED:
            return ""
        unclear = next((output for output in outputs if _without_rows(output) is None), None)
        which = "its outputs" if unclear is None else f"its output {unclear['name']!r}"
        return (
            f"stage {self._names[stage]!r}: requests may have no item there, and the metadata of its model do not give "
            f"datatype and shape of {which}; give them in the pipeline file, as outputs of the stage: "
            "{y: {datatype: FP32, shape: [-1, 4]}}"
        )

    def _nothing_carried(self, edge: Edge) -> Sequence[Tensor]:
        """What an edge would carry, without rows, as far as it is known."""
        parent = self._names.index(edge.parent)
        outputs = self._nothing.get(parent, ())
        if not edge.items_from:
            return outputs
        rows_of, inputs = self._stages[parent].output_rows, self._stages[self._names.index(edge.child)].inputs.values()
        rows = rows_of.get(edge.items_from, 1)
        return [output for output in outputs if rows_of.get(output.name, 1) == rows or output.name in inputs]

    # ---- the graph ----

    def _may_get_several(self) -> Iterator[bool]:
        several: dict[str, bool] = {}
        for name in self._names:
            into = self._graph.into(name)
            may_come = len(into) > 1 or any(edge.may_carry_several or several[edge.parent] for edge in into)
            several[name] = may_come and name not in self._graph.joins
            yield several[name]

    # ---- outputs of served items ----

    def served(self, batch: Batch, parts: Sequence[Sequence[Tensor]], is_emulated: bool) -> None:
        """The items of a batch have these outputs. Raises TensorError for outputs that do not say where they go."""
        onward = [{} if is_emulated else self.onward(batch.stage, part) for part in parts]
        for item, part, sent in zip(batch.requests, parts, onward, strict=True):
            if item.data is None or not isinstance(item, Item):
                continue  # its request has been given up
            job: ItemJob = item.data
            job.tensors, job.onward = part, sent
            whole: WholeJob = item.whole.data
            whole.is_emulated |= is_emulated
            goes_on = any(sent.values()) if sent else bool(self._out[batch.stage])
            if batch.stage in self.ends and not goes_on:
                whole.ends.setdefault(batch.stage, []).append((item.path, part))

    def onward(self, stage: int, outputs: Sequence[Tensor]) -> dict[int, Sequence[Sequence[Tensor]] | None]:
        """By edge out of a stage, the tensors of each item that an item with these outputs becomes; None: as many as
        are drawn. Raises TensorError for outputs that do not determine them."""
        items_by_edge: dict[int, Sequence[Sequence[Tensor]] | None] = {}
        is_decided: dict[str, bool] = {}  # of each switch that asks conditions, whether an edge has been taken
        for number, edge in self._out[stage]:
            asks = edge.switch and any(other.when for _, other in self._out[stage] if other.switch == edge.switch)
            if edge.items_from:
                items_by_edge[number] = self._rows(stage, edge, outputs)
            elif not (edge.when or asks):
                items_by_edge[number] = None
            else:
                holds = not is_decided.get(edge.switch, False) and (edge.when is None or _holds(edge, outputs))
                items_by_edge[number] = [outputs] if holds else []
                if asks:
                    is_decided[edge.switch] = is_decided.get(edge.switch, False) or holds
        for switch, is_taken in is_decided.items():
            if not is_taken:
                raise TensorError(f"its outputs take no edge of the switch {switch!r}")
        return items_by_edge

    def _rows(self, stage: int, edge: Edge, outputs: Sequence[Tensor]) -> list[Sequence[Tensor]]:
        """The rows of an output as items, each with the same row of the outputs that are declared to have as many."""
        declared = self._stages[stage].output_rows
        rows = declared.get(edge.items_from, 1)
        shape = _named(outputs, edge.items_from, f"whose rows are the items of {edge.child!r} by `items_from`").shape
        if not shape:
            raise TensorError(f"output {edge.items_from!r} has no rows; `items_from` asks for one of each item")
        count = shape[0]
        inputs = self._stages[self._names.index(edge.child)].inputs.values()
        shared = [output for output in outputs if declared.get(output.name, 1) != rows]
        ones = [1] * min(count, self._most_items + 1)  # cut only as many as show that there are too many
        cuts = [cut(output, ones) for output in outputs if declared.get(output.name, 1) == rows]
        for_child = [output for output in shared if output.name in inputs]
        items = [[*parts, *for_child] for parts in zip(*cuts, strict=True)]
        if edge.when is None or count > self._most_items:
            return [*items]
        return [item for item in items if _holds(edge, [*item, *shared])]

    def carried(self, item: Item, edge: int, drawn: Callable[[], int]) -> Sequence[Any] | None:
        """The tensors of each item that a served item puts on an edge, None for those of the client. None instead of
        all: the request would exceed its limits; its `problem` and its job say so."""
        job: ItemJob = item.data
        whole: WholeJob = item.whole.data
        new_items: Sequence[Any] | None = None if not job.onward else job.onward[edge]
        if new_items is None:
            new_items = [job.tensors if job.onward else None] * drawn()
        to, items = self._graph.edges[edge].child, len(item.whole.items) + len(new_items)
        if items > self._most_items:
            problem = f"its {len(new_items)} items for {to!r} make more than {self._most_items}"
            item.whole.problem, whole.status = problem, 413
            return None
        if job.onward:
            whole.sent_bytes += sum(len(tensor.data) for tensors in new_items for tensor in tensors)
        if whole.share is not None:
            own_bytes = 2 * sum(len(tensor.data) for tensor in whole.tensors)
            try:
                whole.share.hold(own_bytes + whole.sent_bytes + ITEM_BYTES * items)
            except ProtocolError as error:
                item.whole.problem, whole.status = f"no room for its {len(new_items)} items for {to!r}: {error}", 503
                return None
        return new_items

    # ---- inputs of items ----

    def prepare(self, item: Item, arrived: Sequence[Arrival]) -> str:
        """Give an item the tensors that came for it; returns what is wrong with them, empty if nothing is."""
        whole: WholeJob = item.whole.data
        try:
            tensors = self._inputs(item, [arrival for arrival in arrived if arrival.data is not None])
        except TensorError as error:
            return str(error)
        item.data = ItemJob(tensors, whole.parameters, whole.done, whole.request_id, whole.traceparent, owner=whole)
        item.kind = kind(tensors, whole.parameters)
        item.size_bytes = batch_bytes(tensors)
        return ""

    def _inputs(self, item: Item, arrived: Sequence[Arrival]) -> Sequence[Tensor]:
        whole: WholeJob = item.whole.data
        stage, name = item.stage, self._names[item.stage]
        if stage in self.entries or (whole.is_emulated and not arrived):
            return whole.tensors
        inputs = self._stages[stage].inputs
        if name not in self._graph.joins:
            return mapped(arrived[0].data, inputs, name)
        arrived_tensors: dict[str, list[Tensor]] = {}
        for arrival in sorted(arrived, key=lambda arrival: (arrival.path[-1][0], arrival.path)):
            for tensor in arrival.data:
                arrived_tensors.setdefault(tensor.name, []).append(tensor)
        edges = self._graph.into(name)
        nothing = {tensor.name: [tensor] for edge in reversed(edges) for tensor in self._nothing_carried(edge)}
        names = inputs or {source: source for source in [*arrived_tensors, *nothing]}
        parts = {to: arrived_tensors.get(source, nothing.get(source, [])) for to, source in names.items()}
        if missing := [to for to, of_input in parts.items() if not of_input]:
            raise TensorError(f"nothing came for the input {missing[0]!r} of {name!r}, and no model says what it has")
        if not parts:
            raise TensorError(f"nothing came for {name!r}")
        return [one_after_another(of_input)._replace(name=to) for to, of_input in parts.items()]

    # ---- the answer ----

    def answer(self, job: WholeJob) -> list[Tensor]:
        """The outputs of the items that went no further, item after item, in the order of the edges and rows. Raises
        TensorError if they cannot be joined."""
        outputs: list[Tensor] = []
        for stage in self.ends:
            parts = [part for _, part in sorted(job.ends.get(stage, ()), key=lambda end: end[0])]
            for name in dict.fromkeys(tensor.name for part in parts for tensor in part):
                of_name = [tensor for part in parts for tensor in part if tensor.name == name]
                outputs += self._answered(stage, one_after_another(of_name), [part.shape[0] for part in of_name])
            if not parts and self._several[self._names[stage]]:
                for nothing in self._nothing.get(stage, ()):
                    outputs += self._answered(stage, nothing, [])
        return outputs

    def _answered(self, stage: int, tensor: Tensor, rows: Sequence[int]) -> list[Tensor]:
        """A tensor of the answer, and how many rows each item has in it if there may be several."""
        named = tensor._replace(name=self.answered_name(stage, tensor.name))
        if not self._several[self._names[stage]]:
            return [named]
        return [named, of_array(f"{named.name}.counts", np.array(rows, dtype=np.int64))]

    def answered_name(self, stage: int, name: str) -> str:
        return f"{self._names[stage]}.{name}" if len(self.ends) > 1 else name


def _named(outputs: Sequence[Tensor], name: str, what: str) -> Tensor:
    named = next((output for output in outputs if output.name == name), None)
    if named is None:
        raise TensorError(f"no output {name!r}, {what}; outputs: {', '.join(output.name for output in outputs)}")
    return named


def _holds(edge: Edge, outputs: Sequence[Tensor]) -> bool:
    """Whether an item with these outputs takes an edge. Raises TensorError if the outputs do not determine it."""
    condition = edge.when
    assert condition is not None
    tensor = _named(outputs, condition.output, f"which `when: {condition}` asks for")
    values = to_array(tensor).reshape(-1)
    if len(values) != 1:
        text = f"output {tensor.name!r} has {len(values)} values; `when: {condition}` asks for one of each item"
        raise TensorError(text)
    value = values[0]
    try:
        return condition.holds(value.decode(errors="replace") if isinstance(value, bytes) else float(value))
    except TypeError:
        raise TensorError(
            f"output {tensor.name!r} is {tensor.datatype}; `when: {condition}` compares another"
        ) from None


def one_after_another(parts: Sequence[Tensor]) -> Tensor:
    """Tensors of one name joined along axis 0. Raises TensorError if their datatypes or other axes differ."""
    first = parts[0]
    for part in parts:
        if (part.datatype, part.shape[1:]) != (first.datatype, first.shape[1:]):
            kinds = " and ".join(f"{tensor.datatype} {list(tensor.shape)}" for tensor in (first, part))
            raise TensorError(f"{first.name!r} cannot be joined along axis 0: {kinds}")
    rows = sum(part.shape[0] for part in parts)
    return first._replace(shape=(rows, *first.shape[1:]), data=b"".join([part.data for part in parts]))


def _without_rows(described: Mapping[str, Any]) -> Tensor | None:
    """An output that metadata describe, without rows; None unless they give its datatype and all axes but the first."""
    datatype, shape = described.get("datatype"), described.get("shape")
    if datatype not in DATATYPES or not isinstance(shape, list) or not shape:
        return None
    if not all(type(size) is int and 0 <= size <= MOST_ELEMENTS for size in shape[1:]):
        return None
    return Tensor(described["name"], datatype, (0, *shape[1:]), b"")
