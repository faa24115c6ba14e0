"""The router of a graph in virtual time, on random graphs in the oracle's format and with results in it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ipa.live.serving.graph_flow import GraphRouting
from ipa.live.serving.request import Arrival, Item, Request, WholeRequest
from ipa.live.serving.router import Router
from ipa.policies import StageConfiguration
from ipa.sim import OUTCOMES, rules
from tests.live.serving.gateway_world import GatewayWorld, request_told
from tests.sim.graph_runs import graph_of


class GraphWorld(GatewayWorld):
    """A scenario of `graph_runs` with the draws of that seed."""

    def __init__(self, made: dict[str, Any], seed: int) -> None:
        self._seed = seed
        self.came: list[list[Item]] = [[] for _ in made["stages"]]
        super().__init__(made)

    def _router(self, names: list[str], limits_s: list[float], configuration: dict[str, StageConfiguration]) -> Router:
        hop_s: float = self._scenario["hop_s"]
        options, deadlines = self._dispatch()
        self._flow = GraphRouting(names, self, self, graph_of(self._scenario), (self._seed, hop_s))
        made = _Noting(names, limits_s, configuration, self, options, deadlines, self._flow)
        made.came = self.came
        return made

    def _request(self, name: str, arrival_s: float) -> Request:
        return WholeRequest(name, arrival_s)

    # ---- the router's host ----

    def ended(self, request: Request) -> None:
        """The run goes on until its last item has ended."""

    def left(self, request: WholeRequest) -> None:
        super().ended(request)

    def later(self, stage: int, at_s: float) -> None:
        self._at(at_s, rules.DELIVERY, stage, self._enter, stage, at_s)

    def _enter(self, stage: int, at_s: float) -> None:
        self._flow.enter(stage, at_s, self._now_s)

    def carried(self, item: Item, edge: int, drawn: Callable[[], int]) -> Sequence[Any]:
        return [None] * drawn()

    def prepare(self, item: Item, arrived: Sequence[Arrival]) -> str:
        return ""

    # ---- the result, as the oracle gives it ----

    def _result(self, end_s: float) -> dict[str, Any]:
        return {
            **super()._result(end_s),
            "requests": [self._told(each) for each in self.requests if isinstance(each, WholeRequest)],
            "items": [[item_told(each) for each in came] for came in self.came],
        }

    def _told(self, whole: WholeRequest) -> dict[str, Any]:
        """Of items lost at one moment, the router tells the first that it meets; the model that of the first stage."""
        outcome, at, end_s = whole.outcome or "unfinished", None, whole.end_s if whole.outcome else None
        if outcome in ("dropped", "failed"):
            lost = [
                each
                for each in whole.items
                if each.outcome in ("dropped", "failed")
                and not self._flow.routes.forgives(each.stage, each.edge)
                and each.end_s == whole.end_s
            ]
            assert (whole.stage, outcome) in [(each.stage, each.outcome) for each in lost]
            first = min(lost, key=lambda each: (each.stage, OUTCOMES.index(str(each.outcome))))
            outcome, at = str(first.outcome), first.stage
        return {"outcome": outcome, "end": end_s, "dropped_at": at}


class _Noting(Router):
    """Notes the order in which items come to stages."""

    came: list[list[Item]]

    def enqueue(self, stage: int, items: Sequence[Request], now_s: float) -> None:
        self.came[stage] += [item for item in items if isinstance(item, Item)]
        super().enqueue(stage, items, now_s)


def item_told(item: Item) -> dict[str, Any]:
    told = request_told(item)
    return {
        "request": item.number,
        "edge": item.edge,
        "outcome": told["outcome"],
        "end": item.end_s if item.outcome else None,
        **told["stages"][-1],
    }
