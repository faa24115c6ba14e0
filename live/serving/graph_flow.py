"""The flow of a graph: a request becomes items, which go on along the edges when they are served (rule 11).

How many items an edge carries follows from the replica's outputs, as far as the host can tell, or else is drawn as in
simulation: keyed by the seed, the edge and the request's number.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from math import inf, nextafter
from typing import Any, Protocol

import numpy as np

from ipa.live.serving.request import Arrival, Batch, Item, Path, Request, WholeRequest
from ipa.live.serving.router import Host, Router
from ipa.profiles import Graph
from ipa.sim import COMPLETED, DROPPED, FAILED, NO_EDGE, OUTCOMES, Routes, Way
from ipa.sim import draws as item_draws


class GraphHost(Host, Protocol):
    """Carries out the decisions of a router and of the flow of its graph."""

    def later(self, stage: int, at_s: float) -> None:
        """Call `enter(stage, at_s)` at that moment, as a delivery."""
        ...

    def left(self, request: WholeRequest) -> None:
        """The last item of a request has ended; the request has its outcome."""
        ...


class ItemData(Protocol):
    """The data that items pass on."""

    def carried(self, item: Item, edge: int, drawn: Callable[[], int]) -> Sequence[Any] | None:
        """The data of each item that a served item puts on an edge; if the number is drawn, it is `drawn()`. None: its
        request would exceed its limits, and has a `problem`."""
        ...

    def prepare(self, item: Item, arrived: Sequence[Arrival]) -> str:
        """Give an item the data that came for it; returns what is wrong with them, empty if nothing is."""
        ...


class GraphRouting:
    """A request is an item at each entry, and ends with its last item or one that it cannot do without."""

    def __init__(
        self,
        names: Sequence[str],
        host: GraphHost,
        data: ItemData,
        graph: Graph,
        seed_and_hop: tuple[int, float] = (0, 0.0),
    ) -> None:
        """`names`: of the stages. `seed_and_hop`: the seed of the draws, and how long items are on their way between
        stages [s]."""
        seed, self._hop_s = seed_and_hop
        self._names = tuple(names)
        self._host, self._data = host, data
        self.routes = Routes(graph, names, np.empty(0), seed)
        self.entries = self.routes.entries
        self._places = [item_draws.Places(seed, number, edge.persist_s) for number, edge in enumerate(graph.edges)]
        self.restart()

    def connect(self, router: Router) -> None:
        self._router = router

    def restart(self) -> None:
        self._entering: dict[tuple[int, float], list[Item]] = {}
        self.carried = [0] * len(self.routes.edges)
        for places in self._places:
            places.restart()

    # ---- requests ----

    def admit(self, request: Request, now_s: float) -> None:
        assert isinstance(request, WholeRequest)
        ones = self.routes.carries_one
        request.places = [
            0.0 if one else places.next(request.arrival_s) for one, places in zip(ones, self._places, strict=True)
        ]
        request.left = {
            stage: sum(entry in self.routes.upstream[stage] for entry in self.entries)
            for stage in self.routes.gathering
        }
        items = [self._item(request, entry) for entry in self.entries]
        for item in items:
            self._data.prepare(item, ())  # what the client has sent
            self._router.enqueue(item.stage, (item,), now_s)

    def _item(self, whole: WholeRequest, stage: int, path: Path = (), key: int | None = None) -> Item:
        """Add an item of a request on its way to a stage; without a key, it is the request's only one there."""
        item = Item(
            name=whole.name,
            arrival_s=whole.arrival_s,
            kind=whole.kind,
            size_bytes=whole.size_bytes,
            number=whole.number,
            stage=stage,
            whole=whole,
            key=self.routes.key(stage, whole.number) if key is None else key,
            edge=NO_EDGE if key is None else path[-1][0],
            path=path,
        )
        whole.items.append(item)
        whole.open += 1
        return item

    def is_served(self, request: Request) -> bool:
        assert isinstance(request, WholeRequest)
        return any(item.visits and item.visits[-1].batch for item in request.items if item.outcome is None)

    def end_all(self, request: Request, outcome: int, now_s: float) -> list[Batch]:
        """As `Flow`; the request is then at the stage of its last item."""
        assert isinstance(request, WholeRequest)
        batches = []
        for item in [each for each in request.items if each.outcome is None]:
            request.stage = item.stage
            batch = self._router.withdraw(item, now_s) if item.visits else None
            if batch is not None:
                batches.append(batch)
            elif item.visits and outcome == DROPPED:
                self._router.counts[item.stage].drops += 1
            self._end_item(item, outcome, now_s)
        request.open = 0
        return batches

    def left(self, request: Request) -> None:
        assert isinstance(request, WholeRequest)
        self._host.left(request)

    # ---- from stage to stage ----

    def served(self, batch: Batch, items: Sequence[Request], now_s: float) -> list[tuple[int, list[Item]]]:
        served = [item for item in items if isinstance(item, Item)]
        coming: dict[int, list[Item]] = defaultdict(list)
        came: dict[int, list[WholeRequest]] = defaultdict(list)
        for item in served:
            for way in self.routes.ways[batch.stage]:
                join = self.routes.joins[way.child]
                for entering in self._put_on(item, way, batch.replica.variant, now_s):
                    came[way.child].append(item.whole)
                    if join is None or join.kind != "wait":
                        coming[way.child].append(entering)
        for item in served:
            self._end_item(item, COMPLETED, now_s)
        self._gather(batch.stage, [item.whole for item in served], came, now_s)
        for item in served:
            self._close(item, now_s)
        return sorted(coming.items())

    def _put_on(self, item: Item, way: Way, variant: str, now_s: float) -> list[Item]:
        """The items that an item puts on an edge and that enter the next stage; of several that join there, only the
        first."""
        sent = self._data.carried(item, way.number, lambda: self._drawn(item, way, variant))
        if sent is None:
            self._lose(item, FAILED, now_s)
            item.whole.lost |= {*self.routes.gathering}
            return []
        self.carried[way.number] += len(sent)
        join, whole, entering = self.routes.joins[way.child], item.whole, []
        key = item_draws.key_of(item.key, way.number) if sent else 0
        for number, data in enumerate(sent):
            arrival = Arrival((*item.path, (way.number, number)), data)
            if join is None:
                made = self._item(whole, way.child, arrival.path, item_draws.key_of(key, number))
                made.problem = self._data.prepare(made, (arrival,))
                entering.append(made)
                continue
            whole.arrived.setdefault(way.child, []).append(arrival)
            if join.kind == "all" or way.child in whole.joined:
                continue
            whole.joined.add(way.child)
            made = self._item(whole, way.child)
            if join.kind == "any":
                made.problem = self._data.prepare(made, (arrival,))
            else:
                self._enter_at(made, now_s + self._hop_s + join.wait_s)
            entering.append(made)
        return entering

    def _drawn(self, item: Item, way: Way, variant: str) -> int:
        """The drawn number of items that an item puts on an edge."""
        if not (way.is_sure or way.low <= item_draws.uniform(item_draws.key_of(item.key, way.drawn)) < way.high):
            return 0
        if self.routes.carries_one[way.number]:
            return 1
        place = np.array([item.whole.places[way.number]])
        return int(item_draws.numbers_of_items(self.routes.edges[way.number], variant, place)[0])

    # ---- joins ----

    def _gather(
        self, stage: int, ended: Sequence[WholeRequest], came: Mapping[int, list[WholeRequest]], end_s: float
    ) -> None:
        """Items of these requests have ended at a stage, and others come to stages: requests that are then complete at
        a stage that joins all enter it."""
        coming = dict(came)
        for target in self.routes.gathering:
            upstream = self.routes.upstream[target]
            if stage not in upstream:
                continue
            for child, wholes in coming.items():
                if child in upstream:
                    for whole in wholes:
                        whole.left[target] += 1
            joined = []
            for whole in ended:
                whole.left[target] -= 1
                whole.last_s[target] = max(whole.last_s.get(target, 0.0), end_s)
                if whole.left[target] == 0 and target not in whole.lost:
                    joined.append(whole)
                    self._enter_at(self._item(whole, target), whole.last_s[target] + self._hop_s)
            coming[target] = joined

    def _enter_at(self, item: Item, moment_s: float) -> None:
        """Let an item that joins enter its stage together with all others that do so at that moment."""
        at = item.stage, moment_s
        if at not in self._entering:
            self._entering[at] = []
            self._host.later(*at)
        self._entering[at].append(item)

    def enter(self, stage: int, at_s: float, now_s: float) -> None:
        """The moment set by `later` has come: requests enter as one item each, in their order."""
        entering = [item for item in self._entering.pop((stage, at_s), ()) if item.outcome is None]
        for item in entering:
            item.problem = self._data.prepare(item, item.whole.arrived.pop(stage, ()))
        if entering:
            self._router.deliver(stage, sorted(entering, key=lambda item: item.number), now_s)

    # ---- ends ----

    def ended(self, item: Request, outcome: int, now_s: float) -> None:
        """An item is dropped or fails: so does its request at this moment, unless it may go on without the item."""
        assert isinstance(item, Item)
        whole = item.whole
        self._end_item(item, outcome, now_s)
        if not self.routes.forgives(item.stage, item.edge):
            whole.lost |= {target for target in self.routes.gathering if item.stage in self.routes.upstream[target]}
            if whole.outcome is None:
                whole.problem = item.problem
                self._lose(item, outcome, now_s)
        elif whole.outcome is None:
            why = f": {item.problem}" if item.problem else ""
            whole.missing.append(f"{self._names[item.stage]} {item.called}".rstrip() + f" {item.outcome}{why}")
        # The consequences of a drop come after everything else of its instant.
        self._gather(item.stage, [whole], {}, now_s if self._hop_s > 0.0 else nextafter(now_s, inf))
        self._close(item, now_s)

    def _lose(self, item: Item, outcome: int, now_s: float) -> None:
        whole = item.whole
        if whole.outcome is None:
            whole.stage, whole.lost_item = item.stage, item.called
            self._router.tell(whole, outcome, now_s)

    def _close(self, item: Item, now_s: float) -> None:
        """An item has ended, with all its consequences; the last one ends its request."""
        whole = item.whole
        whole.open -= 1
        if whole.open == 0:
            if whole.outcome is None:
                self._router.tell(whole, COMPLETED, now_s)
            self._router.left(whole)

    def _end_item(self, item: Item, outcome: int, now_s: float) -> None:
        assert item.outcome is None, "an item has ended twice"
        item.outcome, item.end_s = OUTCOMES[outcome], now_s
        item.data = None
