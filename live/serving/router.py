"""The router: requests pass the stages of a pipeline, and each ends in exactly one outcome.

Its queues hold items. In a chain these are the requests themselves, and the `flow` takes each batch on to the next
stage; that of a graph, which makes several items of a request, is in `graph_flow`.

Like the stage queues it owns, it is told the time and touches no network; `Host` is what it asks of the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import floor
from typing import Protocol

from ipa.live.serving.counts import NewestLatencies
from ipa.live.serving.deadlines import Deadlines
from ipa.live.serving.request import Batch, Request, RoutedReplica, Visit
from ipa.live.serving.stage_queue import DispatchOptions, StageHost, StageQueue
from ipa.policies import Configuration, StageConfiguration
from ipa.sim import COMPLETED, DROPPED, FAILED, OUTCOMES, UNFINISHED, Routes, parents_and_waits, rules

MOST_TRIES = 2
"""A request is given up when so many of its batches have failed at a stage: it is retried once, alone."""
GONE = "its client has gone"
MOST_PROBLEM = 1000
"""How many characters of why a request failed its client and the records get."""


class Host(Protocol):
    """Carries out the router's decisions."""

    def start(self, batch: Batch) -> None:
        """Have the batch's replica serve it; later call `finished` or `failed`."""
        ...

    def wake(self, stage: int, at_s: float) -> None:
        """Call `timer(stage)` at that moment, which replaces any set before; NEVER: do not call it."""
        ...

    def ended(self, request: Request) -> None:
        """A request has its outcome."""
        ...

    def break_off(self, batch: Batch) -> None:
        """Have the batch's replica serve it no longer, as its only request has ended; nothing follows."""
        ...


class Routing(Protocol):
    """Where items go: into the first stages, from a served batch into the next ones, and out.

    `entries`: the stages that requests enter. `routes`: those of a graph; None for a chain. `carried`: by edge of a
    graph, how many items it has carried.
    """

    @property
    def entries(self) -> Sequence[int]: ...

    @property
    def routes(self) -> Routes | None: ...

    @property
    def carried(self) -> Sequence[int]: ...

    def connect(self, router: Router) -> None:
        """Begin with this router."""
        ...

    def restart(self) -> None:
        """Count afresh."""
        ...

    def admit(self, request: Request, now_s: float) -> None:
        """Put a request in the queues of the entries."""
        ...

    def served(self, batch: Batch, items: Sequence[Request], now_s: float) -> Sequence[tuple[int, Sequence[Request]]]:
        """These items of a batch have been served; returns what enters later stages, by stage."""
        ...

    def ended(self, item: Request, outcome: int, now_s: float) -> None:
        """An item is dropped or has failed."""
        ...

    def is_served(self, request: Request) -> bool:
        """Whether anything of a request is in service."""
        ...

    def end_all(self, request: Request, outcome: int, now_s: float) -> Sequence[Batch]:
        """End all that a request has inside; returns the batches that it is in."""
        ...

    def left(self, request: Request) -> None:
        """Nothing of a request is inside any longer."""
        ...


class ChainRouting:
    """Each batch goes on whole to the next stage, and its requests end with the last one."""

    entries: Sequence[int] = (0,)
    routes = None
    carried: Sequence[int] = ()

    def connect(self, router: Router) -> None:
        self._router = router

    def restart(self) -> None:
        pass

    def admit(self, request: Request, now_s: float) -> None:
        self._router.enqueue(0, (request,), now_s)

    def served(self, batch: Batch, items: Sequence[Request], now_s: float) -> Sequence[tuple[int, Sequence[Request]]]:
        following = batch.stage + 1
        if following < len(self._router.stages):
            return [(following, items)] if items else ()
        for request in items:
            self._router.tell(request, COMPLETED, now_s)
            self._router.left(request)
        return ()

    def ended(self, item: Request, outcome: int, now_s: float) -> None:
        self._router.tell(item, outcome, now_s)
        self._router.left(item)

    def is_served(self, request: Request) -> bool:
        return request.visits[-1].batch is not None

    def end_all(self, request: Request, outcome: int, now_s: float) -> Sequence[Batch]:
        batch = self._router.withdraw(request, now_s)
        if outcome == DROPPED:
            self._router.counts[request.stage].drops += 1
        return () if batch is None else (batch,)

    def left(self, request: Request) -> None:
        pass


@dataclass(slots=True)
class StageCounts:
    """A stage's totals so far, in requests; `busy_s` in seconds x replicas, of batches that have ended."""

    arrivals: int = 0
    completions: int = 0
    drops: int = 0
    failures: int = 0
    busy_s: float = 0.0


@dataclass(slots=True)
class StageNow(StageCounts):
    """A stage at one moment: its totals, and how many requests wait and are in service.

    `request_s` is in seconds x requests; in `busy_s`, batches in service count so far.
    """

    queue_length: int = 0
    in_service: int = 0
    request_s: float = 0.0


class Router(StageHost):
    """The stages of one pipeline. Stages count items; the pipeline counts requests, which are `inside` until nothing of
    them is left there.

    `whole_second` is the last whole second that has ended, as the number of seconds until its end, and
    `at_whole_second` the exact state of the stages at that end: see `pass_seconds`. `latencies` are of the completed
    requests, `stage_latencies` of those in finished batches.
    """

    def __init__(
        self,
        names: Sequence[str],
        drop_limits_s: Sequence[float],
        configuration: Configuration,
        host: Host,
        options: DispatchOptions = DispatchOptions(),  # noqa: B008 - frozen
        deadlines: Deadlines | None = None,
        flow: Routing | None = None,
    ) -> None:
        """Dropping by deadline needs `deadlines`. Raises ValueError if one is given without the other. `flow`: that of
        the pipeline; None: of a chain."""
        if (options.drop == "deadline") != (deadlines is not None):
            raise ValueError(f"drop {options.drop!r} and deadlines={deadlines!r} do not go together")
        self.names = tuple(names)
        self._host = host
        self.flow = ChainRouting() if flow is None else flow
        self._deadlines = deadlines
        self._loses = options.loses
        self.stages: list[StageQueue] = []
        if deadlines is not None:
            deadlines.connect(*parents_and_waits(self.flow.routes, len(self.names)))
        for position, (name, limit_s) in enumerate(zip(names, drop_limits_s, strict=True)):
            deadline = None
            if deadlines is not None:
                deadlines.configure(position, configuration[name])
                deadline = deadlines.sla_s, partial(deadlines.limit_s, position, limit_s, self.stages)
            self.stages.append(StageQueue(position, limit_s, self, configuration[name], options, deadline))
        self._count_afresh()
        self.flow.connect(self)
        self.inside = 0
        self.whole_second = 0
        self.at_whole_second = self._states(0.0)

    def restart(self, now_s: float) -> None:
        """Count afresh, and number batches from 0: a stage's k-th batch takes the k-th draw of its service times."""
        self._count_afresh()
        self.flow.restart()
        for stage in self.stages:
            stage.restart(now_s)
        self.whole_second = floor(now_s)
        self.at_whole_second = self._states(now_s)

    def _count_afresh(self) -> None:
        self._arrived = 0
        self.counts = [StageCounts() for _ in self.names]
        self.latencies, self.stage_latencies = NewestLatencies(), [NewestLatencies() for _ in self.names]

    def state(self, stage: int, now_s: float) -> StageNow:
        """The state of a stage; `now_s` may be any moment since its last change."""
        counts, queue = self.counts[stage], self.stages[stage]
        return StageNow(
            counts.arrivals,
            counts.completions,
            counts.drops,
            counts.failures,
            counts.busy_s + queue.running_s(now_s),
            queue.length,
            queue.in_service,
            queue.request_s(now_s),
        )

    def pass_seconds(self, now_s: float) -> None:
        """Keep the state of the stages at the end of the last whole second.

        To be called before anything changes: until then the state is that of that moment, so no timer is needed.
        """
        second = floor(now_s)
        if second > self.whole_second:
            self.whole_second = second
            self.at_whole_second = self._states(float(second))

    def _states(self, now_s: float) -> list[StageNow]:
        return [self.state(position, now_s) for position in range(len(self.stages))]

    # ---- requests ----

    def arrive(self, request: Request, now_s: float) -> None:
        self.admit(request, now_s)
        for stage in self.flow.entries:
            self.stages[stage].attempt(now_s)

    def admit(self, request: Request, now_s: float) -> None:
        """Let a request in; the caller makes the attempts that follow at the entries."""
        self.pass_seconds(now_s)
        self.inside += 1
        request.number = self._arrived
        self._arrived += 1
        self.flow.admit(request, now_s)

    def enqueue(self, stage: int, items: Sequence[Request], now_s: float) -> None:
        """Items arrive at a stage, in order; the caller makes the attempt that follows."""
        self.pass_seconds(now_s)
        counts = self.counts[stage]
        for place, item in enumerate(items, start=counts.arrivals):
            item.place = place
        counts.arrivals += len(items)
        self.stages[stage].enqueue(items, now_s)

    def timer(self, stage: int, now_s: float) -> None:
        """The moment that `wake` asked for has come; it may ring a little early."""
        self.attempt(stage, now_s)

    def expire(self, now_s: float) -> None:
        """Drop the expired requests at every stage, and all that wait where no replica has served for too long."""
        self.pass_seconds(now_s)
        for stage in self.stages:
            stage.expire(now_s)

    def finished(self, batch: Batch, now_s: float) -> None:
        """A batch is done: what goes on enters the next stages, which attempt; then its own stage does."""
        for stage, items in self.go_on(batch, now_s):
            self.deliver(stage, items, now_s)
        self.stages[batch.stage].attempt(now_s)

    def go_on(self, batch: Batch, now_s: float) -> Sequence[tuple[int, Sequence[Request]]]:
        """Take note of a finished batch; returns the items that enter later stages a hop from now, by stage."""
        return self.flow.served(batch, self._alive(batch, now_s), now_s)

    def deliver(self, stage: int, items: Sequence[Request], now_s: float) -> None:
        """Items enter a stage, which attempts; those that cannot be served fail at once."""
        able = [item for item in items if not item.problem]
        if able:
            self.enqueue(stage, able, now_s)
        if len(able) < len(items):
            for item in items:
                if item.problem:
                    self.counts[stage].arrivals += 1
                    item.visits.append(Visit(now_s))
                    self.fail(item, now_s, item.problem)
        if able:
            self.stages[stage].attempt(now_s)

    def _alive(self, batch: Batch, now_s: float) -> list[Request]:
        """Take note of a finished batch at its stage; returns those of its requests that have not ended."""
        self.pass_seconds(now_s)
        counts = self.counts[batch.stage]
        counts.completions += batch.size
        counts.busy_s += now_s - batch.start_s
        self.stages[batch.stage].release(batch, now_s)
        for request in batch.requests:
            request.visits[-1].finish_s = now_s
            self.stage_latencies[batch.stage].add(request.enqueue_s, now_s)
        return [request for request in batch.requests if request.outcome is None]

    def failed(self, batch: Batch, now_s: float, problem: str, *, served: bool = True, again: bool = True) -> None:
        """A replica has failed a batch and is suspended; `served` False: the batch never reached it.

        The requests return to the head of the queue, in order, and are tried singly, so that one which fails every
        batch fails alone; those that fail for the second time, or have expired meanwhile, are given up. `again` False:
        the replica is not to blame, and a request that was alone is given up at once.
        """
        self.pass_seconds(now_s)
        queue = self.stages[batch.stage]
        is_lost = self._loses and not batch.replica.is_listed
        batch.replica.failures += 1
        batch.replica.is_suspended |= again  # another of its batches may have failed
        self._release(batch, now_s)
        returning = []
        for request in batch.requests:
            if request.outcome is not None:
                continue
            request.tries += served
            is_late = served and rules.is_expired(now_s, request.arrival_s, queue.oldest_s)
            if not (is_lost or is_late) and (again or batch.size > 1) and request.tries < MOST_TRIES:
                if served:
                    request.kind = object()  # a kind of its own
                request.visits[-1].batch = None
                request.visits[-1].is_retried = True
                returning.append(request)
            else:
                self.fail(request, now_s, problem)
        queue.put_back(returning, now_s)
        queue.attempt(now_s)

    def fail(self, request: Request, now_s: float, problem: str) -> None:
        request.problem = problem[:MOST_PROBLEM]
        self.counts[request.stage].failures += 1
        self.flow.ended(request, FAILED, now_s)

    def dropped(self, request: Request, now_s: float) -> None:
        self.counts[request.stage].drops += 1
        self.flow.ended(request, DROPPED, now_s)

    def give_up(self, request: Request, now_s: float, why: str = "") -> None:
        """Give up a request that has been inside for longer than the bound; `why`: for another reason."""
        if request.outcome is None:
            batches = self.flow.end_all(request, UNFINISHED, now_s)
            for batch in batches:
                request.problem = why or f"replica {batch.replica.number} ({batch.replica.variant}) has not answered"
            self.tell(request, UNFINISHED, now_s)
            self.left(request)
            self._break_off(batches, now_s)

    def leave(self, request: Request, now_s: float) -> None:
        """Drop a request whose client has gone; one in service, which its replica finishes unless it is a language
        model, stays unfinished."""
        if request.outcome is None:
            request.problem = GONE
            outcome = UNFINISHED if self.flow.is_served(request) else DROPPED
            batches = self.flow.end_all(request, outcome, now_s)
            self.tell(request, outcome, now_s)
            self.left(request)
            self._break_off(batches, now_s)

    def _break_off(self, batches: Sequence[Batch], now_s: float) -> None:
        """Language models generate no further for a request that has ended."""
        for batch in batches:
            if self.stages[batch.stage].is_singly:
                self._host.break_off(batch)
                self._release(batch, now_s)
                self.stages[batch.stage].attempt(now_s)

    def _release(self, batch: Batch, now_s: float) -> None:
        """The replica of a batch is done with it, without a result."""
        self.counts[batch.stage].busy_s += now_s - batch.start_s
        self.stages[batch.stage].release(batch, now_s)

    def withdraw(self, item: Request, now_s: float) -> Batch | None:
        """Take an item out of the queue of its stage; returns the batch that it is in instead, if any."""
        self.pass_seconds(now_s)
        self.stages[item.stage].withdraw(item, now_s)
        return item.visits[-1].batch

    def tell(self, request: Request, outcome: int, now_s: float) -> None:
        """The one place where a request gets its outcome."""
        assert request.outcome is None, "a request has ended twice"
        request.outcome = OUTCOMES[outcome]
        request.end_s = now_s
        if outcome == COMPLETED:
            self.latencies.add(request.arrival_s, now_s)
        self._host.ended(request)

    def left(self, request: Request) -> None:
        """Nothing of a request is inside any longer."""
        self.inside -= 1
        self.flow.left(request)

    # ---- control ----

    @property
    def unserved(self) -> list[str]:
        """The stages without a replica that can take batches."""
        return [name for name, stage in zip(self.names, self.stages, strict=True) if not stage.can_serve]

    @property
    def configuration(self) -> Configuration:
        """What is wanted at each stage."""
        return {name: stage.configuration for name, stage in zip(self.names, self.stages, strict=True)}

    def configure(self, configuration: Configuration, now_s: float) -> None:
        """A decision takes effect: batch size, timeout and preferred variant at once, changed or not."""
        self.pass_seconds(now_s)
        for position, name in enumerate(self.names):
            self.configure_stage(position, configuration[name])
            self.stages[position].attempt(now_s)

    def configure_stage(self, stage: int, wanted: StageConfiguration) -> None:
        """Another configuration of one stage is in force; the caller makes the attempt that follows."""
        self.stages[stage].configure(wanted)
        if self._deadlines is not None:
            self._deadlines.configure(stage, wanted)

    def resume(self, stage: int, replica: RoutedReplica, now_s: float) -> None:
        """A suspended replica has answered ready."""
        replica.is_suspended = False
        self.attempt(stage, now_s)

    def attempt(self, stage: int, now_s: float) -> None:
        """Start every batch of a stage that can start now, after something changed."""
        self.pass_seconds(now_s)
        self.stages[stage].attempt(now_s)

    # ---- the stages' host ----

    def start(self, batch: Batch) -> None:
        self._host.start(batch)

    def wake(self, stage: int, at_s: float) -> None:
        self._host.wake(stage, at_s)
