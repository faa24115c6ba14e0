"""The oracle where stages form a graph (rule 11): items in place of requests, one object each.

A scenario has these keys more than a chain's, with stages by position, every one after those that lead to it:

- edges: {"parent", "child", "items": {variant: mean}, "spread", "persist_s", "counts": {variant: numbers} or {},
  "share", "switch", "partial"}, in the order of the file
- joins: {stage: ("all" | "any" | "wait", wait_s)}
- item_key: the 64 bits of which all keys are made; edge_normals: per edge, a standard normal number for each request

The result has, in place of the visits of requests:

- requests: {"outcome", "end", "dropped_at"}, None for what did not happen
- items: per stage, in order of enqueue, {"request", "edge", "outcome", "end"} and the visit
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb, exp, factorial, floor, inf, lgamma, log, nextafter, prod, sqrt
from statistics import NormalDist
from typing import Any

from tests.sim.oracle import DELIVERY, Batch, Replica, Request, Simulation, Stage, replica_result

BITS = 2**64
OUTCOMES = ("completed", "dropped", "failed", "unfinished")


def simulate(scenario: dict[str, Any]) -> dict[str, Any]:
    """Run `scenario` to its end."""
    return GraphSimulation(scenario).run()


def mixed(key: int, number: int) -> int:
    """SplitMix64: the next number but `number` of the generator whose state is `key`."""
    z = (key + (number + 1) * 0x9E3779B97F4A7C15) % BITS
    z = (z ^ z // 2**30) * 0xBF58476D1CE4E5B9 % BITS
    z = (z ^ z // 2**27) * 0x94D049BB133111EB % BITS
    return z ^ z // 2**31


@dataclass(eq=False)
class Item(Request):
    """One item of a request; `end`: when it was served or dropped."""

    request: int = -1
    stage: int = -1
    edge: int = -1
    key: int = 0
    end: float | None = None


@dataclass
class Numbers:
    """How many items an edge carries."""

    edge: dict[str, Any]
    latent: list[float] = field(default_factory=list)

    def of(self, request: int, variant: str) -> int:
        place = NormalDist().cdf(self.latent[request])
        if self.edge["counts"]:
            counts = sorted(self.edge["counts"][variant])
            return int(counts[min(int(place * len(counts)), len(counts) - 1)])
        mean, spread = self.edge["items"][variant], self.edge["spread"]
        if spread == 0:
            return int(floor(mean) + (place > 1 - (mean - floor(mean))))
        number, below = 0, chance_of(0, mean, spread)
        while below < place and number < 1000:
            number += 1
            below += chance_of(number, mean, spread)
        return number


def chance_of(number: int, mean: float, spread: float) -> float:
    if mean == 0:
        return float(number == 0)
    if spread < 1:
        trials = max(floor(mean) + (mean > floor(mean)), round(mean / (1 - spread)))
        chance = mean / trials
        return float(comb(trials, number) * chance**number * (1 - chance) ** (trials - number)) * (number <= trials)
    if spread == 1:
        return exp(-mean) * mean**number / factorial(number)
    size = mean / (spread - 1)
    log_ways = lgamma(number + size) - lgamma(size) - lgamma(number + 1)
    return exp(log_ways + size * log(1 / spread) + number * log(1 - 1 / spread))


class GraphSimulation(Simulation):
    def __init__(self, scenario: dict[str, Any]) -> None:
        self.edges: list[dict[str, Any]] = scenario["edges"]
        self.joins: dict[int, tuple[str, float]] = scenario["joins"]
        self.item_key: int = scenario["item_key"]
        super().__init__(scenario)
        stages = range(len(self.stages))
        self.entries = [s for s in stages if not any(edge["child"] == s for edge in self.edges)]
        self.numbers = [
            Numbers(edge, latent(normals, self.requests, edge["persist_s"]))
            for edge, normals in zip(self.edges, scenario["edge_normals"], strict=True)
        ]
        self.items: list[list[Item]] = [[] for _ in self.requests]  # by request
        self.came: list[list[Item]] = [[] for _ in self.stages]  # by stage, in order of enqueue
        self.entering: dict[tuple[int, float], list[Item]] = {}
        self.open = 0
        for number in range(len(self.requests)):
            for entry in self.entries:
                self.whole(number, entry)

    def upstream(self, stage: int) -> set[int]:
        parents = {edge["parent"] for edge in self.edges if edge["child"] == stage}
        return parents.union(*(self.upstream(parent) for parent in parents))

    # ---------------------------------------------------------------- items

    def item(self, request: int, stage: int, edge: int, key: int) -> Item:
        """An item on its way to a stage."""
        made = Item(self.requests[request].arrival, request=request, stage=stage, edge=edge, key=key)
        self.items[request].append(made)
        self.open += 1
        return made

    def whole(self, request: int, stage: int) -> Item:
        """A request as one item: at an entry, or as a join makes it."""
        return self.item(request, stage, -1, mixed(mixed(self.item_key, request), stage))

    def arrive(self, requests: list[Request]) -> list[Stage]:
        numbers = [self.requests.index(request) for request in requests]
        for entry in self.entries:
            items = [next(each for each in self.items[n] if each.stage == entry) for n in numbers]
            self.enqueue(self.stages[entry], list(items))
        return [self.stages[entry] for entry in self.entries]

    def enqueue(self, stage: Stage, requests: list[Request]) -> None:
        super().enqueue(stage, requests)
        for item in requests:
            assert isinstance(item, Item)
            self.came[stage.index].append(item)

    def close(self, request: Request, outcome: str) -> None:
        assert isinstance(request, Item)
        request.end = self.now
        super().close(request, outcome)
        if outcome != "completed":
            self.gather(request)

    # ---------------------------------------------------------------- from stage to stage

    def completion(self, stage: Stage, replica: Replica) -> None:
        batch = replica.serving
        if self.loses and batch is None:
            return
        assert batch is not None
        replica.serving = None
        stage.present -= len(batch.requests)
        if replica.removed is not None:
            self.leave(stage, replica)
        for item in batch.requests:
            item.visits[-1]["finish"] = self.now
            self.close(item, "completed")
        self.go_on(stage, batch, replica.variant)
        if replica.waiting:
            self.start(stage, replica, replica.waiting.pop(0))
        self.attempt(stage)

    def go_on(self, stage: Stage, batch: Batch, variant: str) -> None:
        coming: dict[int, list[Request]] = {}
        for parent in batch.requests:
            assert isinstance(parent, Item)
            for number, edge in enumerate(self.edges):
                if edge["parent"] == stage.index and self.takes(parent, number):
                    for k in range(self.numbers[number].of(parent.request, variant)):
                        self.send(parent, number, mixed(mixed(parent.key, number), k), coming)
        for parent in batch.requests:
            self.gather(parent)
        for child in sorted(coming):
            following = self.stages[child]
            if self.hop_s > 0:
                self.at(self.now + self.hop_s, DELIVERY, following, self.delivery, following, coming[child])
            else:
                self.delivery(following, coming[child])

    def ahead_s(self, stage: Stage) -> float:
        """Rule 4 by deadline: the slowest of all ways from here to an exit."""
        return max(
            self.way_s(self.stay_s(stage, []), way)
            for exit_ in range(len(self.stages))
            for whole in ways_to(exit_, self.edges)
            for way in [whole[place + 1 :] for place, each in enumerate(whole) if each == stage.index]
        )

    def way_s(self, ahead_s: float, way: tuple[int, ...]) -> float:
        """The time up to the end of a way, of which `ahead_s` passes before it."""
        for index in way:
            kind, wait_s = self.joins.get(index, ("", 0.0))
            later = self.stages[index]
            ahead_s = ahead_s + self.hop_s + (wait_s if kind == "wait" else 0.0) + self.stay_s(later, later.queue)
        return ahead_s

    def takes(self, parent: Item, number: int) -> bool:
        """A condition: a draw of the item; edges of one switch share that of the first."""
        edge = self.edges[number]
        switch = [
            n for n, e in enumerate(self.edges) if e["parent"] == edge["parent"] and e["switch"] == edge["switch"]
        ]
        if not edge["switch"]:
            switch = [number]
        draw = mixed(parent.key, len(self.edges) + switch[0]) // 2**11 / 2**53
        below = 0.0
        for each in switch:
            above = below + self.edges[each]["share"]
            if edge["switch"] and each == switch[-1]:
                above = 1.0
            if each == number:
                return bool(below <= draw < above)
            below = above
        raise AssertionError

    def send(self, parent: Item, number: int, key: int, coming: dict[int, list[Request]]) -> None:
        child = self.edges[number]["child"]
        kind, wait_s = self.joins.get(child, ("", 0.0))
        if kind == "":
            coming.setdefault(child, []).append(self.item(parent.request, child, number, key))
        elif kind != "all" and not any(each.stage == child for each in self.items[parent.request]):
            joined = self.whole(parent.request, child)
            if kind == "any":
                coming.setdefault(child, []).append(joined)
            else:
                self.enter_at(child, self.now + self.hop_s + wait_s, joined)

    def gather(self, ended: Request) -> None:
        """Join all: whatever of the request is upstream of the stage has ended, with nothing lost."""
        assert isinstance(ended, Item)
        for stage, (kind, _) in sorted(self.joins.items()):
            own = self.items[ended.request]
            before = [each for each in own if each.stage in self.upstream(stage)]
            if kind != "all" or ended not in before or any(each.stage == stage for each in own):
                continue
            if all(each.end is not None and not self.loses_request(each) for each in before):
                last = max(self.noticed(each) for each in before)
                self.enter_at(stage, last + self.hop_s, self.whole(ended.request, stage))

    def noticed(self, item: Item) -> float:
        """When a stage that joins learns that an item has ended: a drop, without a hop, comes after all else."""
        assert item.end is not None
        return nextafter(item.end, inf) if item.outcome != "completed" and self.hop_s == 0 else item.end

    def loses_request(self, item: Item) -> bool:
        if item.outcome not in ("dropped", "failed"):
            return False
        into = [edge["partial"] for edge in self.edges if edge["child"] == item.stage]
        return not (self.edges[item.edge]["partial"] if item.edge >= 0 else bool(into) and all(into))

    def enter_at(self, stage: int, moment: float, item: Item) -> None:
        if (stage, moment) not in self.entering:
            self.entering[stage, moment] = []
            self.at(moment, DELIVERY, self.stages[stage], self.enter, stage, moment)
        self.entering[stage, moment].append(item)

    def enter(self, stage: int, moment: float) -> None:
        items = sorted(self.entering.pop((stage, moment)), key=lambda each: each.request)
        self.delivery(self.stages[stage], [*items])

    # ---------------------------------------------------------------- the result

    def result(self) -> dict[str, Any]:
        return {
            "requests": [self.request_result(items) for items in self.items],
            "items": [[item_result(each) for each in came] for came in self.came],
            "replicas": [[replica_result(each) for each in stage.replicas] for stage in self.stages],
            "queue_integral": [stage.integral for stage in self.stages],
            "end_s": self.now,
        }

    def request_result(self, items: list[Item]) -> dict[str, Any]:
        lost = [each for each in items if self.loses_request(each)]
        if lost:
            first = min(lost, key=lambda each: (each.end, each.stage, OUTCOMES.index(each.outcome)))
            return {"outcome": first.outcome, "end": first.end, "dropped_at": first.stage}
        ends = [each.end for each in items if each.end is not None]
        if len(ends) < len(items):
            return {"outcome": "unfinished", "end": None, "dropped_at": None}
        return {"outcome": "completed", "end": max(ends), "dropped_at": None}


def accuracies(scenario: dict[str, Any], result: dict[str, Any]) -> list[float]:
    """The accuracy of each request of a result, from that of each variant and the weight of each exit.

    The scenario has two more keys: `accuracies`, stage -> variant -> accuracy, and `exits`, stage -> weight.
    """
    stages, edges = range(len(scenario["stages"])), scenario["edges"]
    found = []
    serving = [result["replicas"][stage][0]["variant"] for stage in stages]
    for request in range(len(scenario["arrivals"])):
        score = 1.0
        for stage in stages:
            own = [item for item in result["items"][stage] if item["request"] == request]
            serving[stage] = next((item["variant"] for item in own if "variant" in item), serving[stage])
            if own:
                score *= sum(item["outcome"] not in ("dropped", "failed") for item in own) / len(own)
        of_stage = [scenario["accuracies"][stage][serving[stage]] for stage in stages]
        exits = scenario["exits"] or {s: 1.0 for s in stages if not any(edge["parent"] == s for edge in edges)}
        reached = 0.0
        for exit_, weight in exits.items():
            products = [prod(of_stage[stage] for stage in way) for way in ways_to(exit_, edges)]
            reached += weight * sum(products) / len(products)
        found.append(score * reached / sum(exits.values()))
    return found


def ways_to(stage: int, edges: list[dict[str, Any]]) -> list[tuple[int, ...]]:
    """Every way from an entry to a stage."""
    parents = {edge["parent"] for edge in edges if edge["child"] == stage}
    return [(*way, stage) for parent in sorted(parents) for way in ways_to(parent, edges)] or [(stage,)]


def latent(normals: list[float], requests: list[Request], persist_s: float) -> list[float]:
    found: list[float] = []
    for number, normal in enumerate(normals):
        if persist_s == 0 or number == 0:
            found.append(normal)
            continue
        rho = exp(-(requests[number].arrival - requests[number - 1].arrival) / persist_s)
        found.append(rho * found[-1] + sqrt(1 - rho * rho) * normal)
    return found


def item_result(item: Item) -> dict[str, Any]:
    (visit,) = item.visits
    return {"request": item.request, "edge": item.edge, "outcome": item.outcome, "end": item.end} | visit
