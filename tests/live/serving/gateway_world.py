"""The gateway's router in virtual time, on scenarios in the oracle's format and with results in it.

The router is the one that real gateways run. Its host is played here: replicas that take their profiled time, a heap
of events in the order of rule 8, and rollouts by `sim.rules.rollout`, which a real control plane does. `fleet` makes
what carries out the rollouts of a stage, so that another one can be put to the same test.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Protocol

from ipa.live.serving.deadlines import Deadlines
from ipa.live.serving.request import Batch, Request, RoutedReplica
from ipa.live.serving.router import Router
from ipa.live.serving.stage_queue import DispatchOptions
from ipa.policies import StageConfiguration
from ipa.sim import NEVER, rules
from tests.sim.stories import Seen


@dataclass(eq=False)
class Replica:
    """A replica's life; `finish_s` is the end of its latest batch."""

    number: int
    variant: str
    cores: int
    created_s: float
    ready_s: float | None = None
    removed_s: float | None = None
    finish_s: float = 0.0
    is_busy: bool = False


class Fleet(Protocol):
    """The replicas of one stage, all that there ever were, and its rollouts by rule 5."""

    replicas: list[Replica]

    def roll_out(self, wanted: StageConfiguration, now_s: float) -> list[Replica]:
        """One rollout step; the replicas that it created."""
        ...


class RuleFleet:
    """Rollouts by the rule function."""

    def __init__(self, max_surge: int | None, max_unavailable: int) -> None:
        self._max_surge = max_surge
        self._max_unavailable = max_unavailable
        self.replicas: list[Replica] = []

    def roll_out(self, wanted: StageConfiguration, now_s: float) -> list[Replica]:
        existing = [replica for replica in self.replicas if replica.removed_s is None]
        current = [each for each in existing if (each.variant, each.cores) == (wanted.variant, wanted.cores)]
        obsolete = [each for each in existing if each not in current]
        starting_obsolete = [each for each in obsolete if each.ready_s is None]
        ready_obsolete = [each for each in obsolete if each.ready_s is not None]
        starting = sum(each.ready_s is None for each in current)
        surge = rules.default_max_surge(wanted.replicas) if self._max_surge is None else self._max_surge
        step = rules.rollout(
            wanted.replicas, surge, self._max_unavailable,
            starting, len(starting_obsolete), len(current) - starting, len(ready_obsolete), wanted.replicas,
        )  # fmt: skip
        going = [
            *starting_obsolete,
            *sorted(current, key=_removal_order)[: step.remove_current],
            *sorted(ready_obsolete, key=_removal_order)[: step.remove_ready_obsolete],
        ]
        for replica in going:
            replica.removed_s = now_s
        first = len(self.replicas)
        created = [Replica(first + k, wanted.variant, wanted.cores, now_s) for k in range(step.create)]
        self.replicas += created
        return created


def _removal_order(replica: Replica) -> tuple[int, int]:
    return 0 if replica.ready_s is None else 2 if replica.is_busy else 1, -replica.number


class GatewayWorld:
    """The router's host in virtual time."""

    def __init__(self, scenario: dict[str, Any], fleet: Callable[[int | None, int], Fleet] = RuleFleet) -> None:
        self._scenario = scenario
        self._stages = scenario["stages"]
        self._stop_s: float = scenario["stop_s"]
        names = [str(position) for position in range(len(self._stages))]
        initial = [configuration_of(wanted) for wanted in scenario["initial"]]
        limits_s = [stage["drop_limit_s"] for stage in self._stages]
        self._loses = scenario.get("removal") == "lose"
        self.router = self._router(names, limits_s, dict(zip(names, initial, strict=True)))
        self._now_s = 0.0
        self._made = count()
        self._events: list[tuple[float, int, int, int, Callable[[], object]]] = []
        self._wakes = [0] * len(names)
        self._last_end_s = 0.0
        self.fleets = [fleet(scenario["max_surge"], scenario["max_unavailable"]) for _ in names]
        self._factors = [endless(scenario, "factors", position) for position in range(len(names))]
        self.requests = [self._request(str(n), arrival_s) for n, arrival_s in enumerate(scenario["arrivals"])]
        self._open = len(self.requests)
        self._wanted = initial
        for position, wanted in enumerate(initial):
            self._stand(position, wanted)
            self._list(position)
        for time_s, stages in scenario["decisions"]:
            for position, wanted_now in enumerate(stages):
                at_s = time_s + scenario["decision_delay_s"]
                self._at(at_s, rules.APPLICATION, position, self._apply, position, configuration_of(wanted_now))

    def _request(self, name: str, arrival_s: float) -> Request:
        return Request(name, arrival_s)

    def _router(self, names: list[str], limits_s: list[float], configuration: dict[str, StageConfiguration]) -> Router:
        options, deadlines = self._dispatch()
        return Router(names, limits_s, configuration, self, options, deadlines)

    def _dispatch(self) -> tuple[DispatchOptions, Deadlines | None]:
        scenario = self._scenario
        drop = scenario.get("drop", "request")
        deadlines = None
        if drop == "deadline":
            deadlines = Deadlines(scenario["sla_s"], self._latency_s, scenario["hop_s"])
        return DispatchOptions(drop, self._loses), deadlines

    def _stand(self, stage: int, wanted: StageConfiguration) -> None:
        """What is ready at the start."""
        for replica in self.fleets[stage].roll_out(wanted, 0.0):
            replica.ready_s = 0.0

    # ---- time (rules 8 and 9) ----

    def run(self) -> dict[str, Any]:
        coming = list(self.requests)
        while True:
            instants = [each.arrival_s for each in coming[:1]] + [event[0] for event in self._events[:1]]
            if not instants or min(instants) > self._end_s():
                break
            self._now_s = min(instants)
            # In the queue for every event of their instant; the attempt of their own ranks with the timers.
            while coming and coming[0].arrival_s == self._now_s:
                for stage in self._admit(coming.pop(0)):
                    self._at(self._now_s, rules.TIMER, stage, self.router.attempt, stage, self._now_s)
            while self._events and self._events[0][0] == self._now_s:
                heapq.heappop(self._events)[-1]()
                self._after_event()
        return self._result(self._end_s())

    def _admit(self, request: Request) -> Sequence[int]:
        """Let a request in; the stages that are to attempt."""
        self.router.admit(request, self._now_s)
        return self.router.flow.entries

    def _after_event(self) -> None:
        """What follows an event."""

    def _end_s(self) -> float:
        duration_s: float = self._scenario["duration_s"]
        bound_s: float = self._scenario.get("bound_s", 10 * self._scenario["sla_s"])
        return duration_s + bound_s if self._open else max(duration_s, self._last_end_s)

    def _at(self, time_s: float, rank: int, stage: int, what: Callable[..., object], *given: Any) -> None:
        do: Callable[[], object] = partial(what, *given)
        heapq.heappush(self._events, (time_s, rank, stage, next(self._made), do))

    def at_control_step(self, time_s: float, look: Callable[[float], None]) -> None:
        """Have a look at the moment of a control step."""
        self._at(time_s, rules.CONTROL, 0, look, time_s)

    def seen(self, now_s: float) -> list[Seen]:
        """How every stage stands, counts since the start; those arriving just now are not among the arrivals."""
        return [self._seen(stage, now_s) for stage in range(len(self._stages))]

    def _seen(self, stage: int, now_s: float) -> Seen:
        counts, queue = self.router.counts[stage], self.router.stages[stage]
        coming = sum(request.arrival_s == now_s for request in self.requests) if stage == 0 else 0
        lives = self.fleets[stage].replicas
        existing = [replica for replica in lives if replica.removed_s is None]
        return Seen(
            now_s,
            counts.arrivals - coming,
            counts.completions,
            counts.drops,
            len(queue.waiting),
            queue.in_service,
            starting=sum(replica.ready_s is None for replica in existing),
            ready=sum(replica.ready_s is not None for replica in existing),
            draining=sum(
                replica.removed_s is not None
                and (replica.is_busy or rules.gone_s(replica.removed_s, replica.finish_s, self._stop_s) > now_s)
                for replica in lives
            ),
            stage=stage,
        )

    # ---- the router's Host ----

    def start(self, batch: Batch) -> None:
        replica = self.fleets[batch.stage].replicas[batch.replica.number]
        latency_s = self._table(batch.stage, replica.variant, batch.replica.cores)[batch.size]
        replica.finish_s = rules.finish_s(self._now_s, latency_s, next(self._factors[batch.stage]))
        replica.is_busy = True
        self._at(replica.finish_s, rules.COMPLETION, batch.stage, self._complete, batch, replica)

    def wake(self, stage: int, at_s: float) -> None:
        self._wakes[stage] += 1
        if at_s < NEVER:
            self._at(at_s, rules.TIMER, stage, self._ring, stage, self._wakes[stage])

    def break_off(self, batch: Batch) -> None:
        raise AssertionError("no stage here is one of language models")

    def ended(self, request: Request) -> None:
        self._open -= 1
        self._last_end_s = self._now_s

    # ---- events ----

    def _ring(self, stage: int, number: int) -> None:
        if number == self._wakes[stage]:
            self.router.timer(stage, self._now_s)

    def _complete(self, batch: Batch, replica: Replica) -> None:
        if not replica.is_busy:
            return  # it was removed with its batch
        replica.is_busy = False
        hop_s = self._scenario["hop_s"]
        if hop_s == 0.0:
            self.router.finished(batch, self._now_s)
            return
        for stage, items in self.router.go_on(batch, self._now_s):
            self._at(self._now_s + hop_s, rules.DELIVERY, stage, self._deliver, stage, items)
        self.router.attempt(batch.stage, self._now_s)

    def _deliver(self, stage: int, items: Sequence[Request]) -> None:
        self.router.deliver(stage, items, self._now_s)

    def _apply(self, stage: int, wanted: StageConfiguration) -> None:
        self._wanted[stage] = wanted
        self.router.configure_stage(stage, wanted)
        self._roll_out(stage)

    def _activate(self, stage: int, replica: Replica) -> None:
        if replica.removed_s is None:
            replica.ready_s = self._now_s
            self._roll_out(stage)

    def _roll_out(self, stage: int) -> None:
        for replica in self.fleets[stage].roll_out(self._wanted[stage], self._now_s):
            start_up_s = self._stages[stage]["variants"][replica.variant]["start_up_s"]
            ready_s = self._now_s + start_up_s
            self._at(ready_s, rules.REPLICA, stage, self._activate, stage, replica)
        self._list(stage)
        if self._loses:
            self._lose(stage)
        self.router.attempt(stage, self._now_s)

    def _lose(self, stage: int) -> None:
        """A removed replica breaks off its batch."""
        replicas = [each for each in self.router.stages[stage].replicas if not each.is_listed]
        for batch in [batch for each in replicas for batch in each.serving]:
            replica = self.fleets[stage].replicas[batch.replica.number]
            replica.is_busy, replica.finish_s = False, self._now_s
            self.router.failed(batch, self._now_s, "is gone")

    def _list(self, stage: int) -> None:
        self.router.stages[stage].list_replicas(
            [
                RoutedReplica(
                    each.number,
                    each.variant,
                    self._most(stage, each.variant, each.cores),
                    cores=each.cores,
                )
                for each in self.fleets[stage].replicas
                if each.ready_s is not None and each.removed_s is None
            ]
        )

    def _most(self, stage: int, variant: str, cores: int) -> int:
        """The most requests that a replica takes."""
        return max(self._table(stage, variant, cores))

    def _table(self, stage: int, variant: str, cores: int) -> dict[int, float]:
        table: dict[int, float] = self._stages[stage]["variants"][variant]["latency_s"][cores]
        return table

    def _latency_s(self, stage: int, variant: str, cores: int) -> list[float]:
        return [0.0, *self._table(stage, variant, cores).values()]

    # ---- the result, as the oracle gives it ----

    def _result(self, end_s: float) -> dict[str, Any]:
        return {
            "requests": [request_told(request) for request in self.requests],
            "replicas": [[life(replica, self._stop_s, end_s) for replica in fleet.replicas] for fleet in self.fleets],
            "end_s": end_s,
        }


def simulate(scenario: dict[str, Any]) -> dict[str, Any]:
    """What the gateway makes of a scenario."""
    return GatewayWorld(scenario).run()


def configuration_of(wanted: dict[str, Any]) -> StageConfiguration:
    """A stage's configuration, as a scenario has it."""
    return StageConfiguration(**wanted)


def endless(scenario: dict[str, Any], key: str, position: int) -> Iterator[float]:
    factors = (scenario.get(key) or [[]] * (position + 1))[position]
    return (factors[n] if n < len(factors) else 1.0 for n in count())


def request_told(request: Request) -> dict[str, Any]:
    found: dict[str, Any] = {"outcome": request.outcome or "unfinished", "stages": []}
    if request.outcome in ("dropped", "failed"):
        found |= {"dropped_at": request.stage, "dropped_s": request.end_s}
    for visit in request.visits:
        row: dict[str, Any] = {"enqueue": visit.enqueue_s, "batch_id": None}
        if (batch := visit.batch) is not None:
            row |= {
                "start": batch.start_s,
                "replica": batch.replica.number,
                "variant": batch.replica.variant,
                "batch": batch.size,
                "batch_id": batch.number,
            }
            if visit.finish_s is not None:
                row["finish"] = visit.finish_s
        found["stages"].append(row)
    return found


def life(replica: Replica, stop_s: float, end_s: float) -> dict[str, Any]:
    gone_s = None
    if replica.removed_s is not None:
        gone_s = rules.gone_s(replica.removed_s, replica.finish_s, stop_s)
        gone_s = gone_s if gone_s <= end_s else None
    return {
        "id": replica.number,
        "variant": replica.variant,
        "cores": replica.cores,
        "created": replica.created_s,
        "ready": replica.ready_s,
        "removed": replica.removed_s,
        "gone": gone_s,
    }
