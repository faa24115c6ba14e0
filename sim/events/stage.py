"""One stage: a FIFO queue in front of replicas that serve batches.

What queues are items; in a chain, each is a request and has its number. An item has neither an object nor an event of
its own. The queue is a growing list of item numbers with a moving head. Arrivals are known in advance, so an entry's
list holds all of them from the start, and an arrival needs no event: the stage wakes when the next batch is full or
due, or at the first arrival that finds the head expired. Service is logged by batch and assigned to items at the end.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, nan
from typing import Any, NamedTuple, Protocol

from ipa.policies import StageConfiguration
from ipa.sim import rules, streams
from ipa.sim.events.environment import Environment
from ipa.sim.events.logs import BatchLog, DropLog
from ipa.sim.events.replica_set import Batch, ReplicaPool, RolloutResult, SimPyReplica, removal_order
from ipa.sim.interface import Batches, Drops, Held, Replicas, RoomLack, Seen, StepLog, TokenLog
from ipa.sim.model import RunInput
from ipa.sim.rules import COMPLETION, DELIVERY, NEVER, REPLICA, ROOM, TIMER


class Flow(Protocol):
    """What happens to items that leave a stage."""

    def served(self, stage: SimPyStage, items: Batch, variant: str, now_s: float) -> None:
        """Pass on a batch that this variant has served."""
        ...

    def lost(self, stage: SimPyStage, item: int, now_s: float) -> None:
        """End an item that has been dropped or has failed."""
        ...


class Later(NamedTuple):
    """A stage that items may still come to after another one; the other fields are as in `graph.After`."""

    stage: SimPyStage
    before: int
    besides: Sequence[int]
    wait_s: float


@dataclass(frozen=True, slots=True)
class RunContext:
    """What the stages of a run share.

    `arrivals_s`: a list, since Python reads its elements faster than those of an array.
    """

    run_input: RunInput
    env: Environment
    arrivals_s: list[float]
    flow: Flow


class SimPyStage:
    """A stage with central dispatch: a batch stays in the queue until an idle replica takes it."""

    # Attribute access is slow in objects with more than 30 attributes and no slots.
    __slots__ = (
        "_activation",
        "_batch",
        "_batch_timeout_s",
        "_completed",
        "_completion",
        "_drops_singly",
        "_duration_s",
        "_env",
        "_flow",
        "_full",
        "_full_latency_s",
        "_hop_s",
        "_lacks_room_since_s",
        "_limit_s",
        "_looked_s",
        "_loses",
        "_normals",
        "_room",
        "_scheduled_s",
        "_sla_s",
        "_timer",
        "_timer_s",
        "arrivals_s",
        "at_replicas",
        "batches",
        "completions",
        "configured",
        "delivery",
        "drops",
        "enqueued_s",
        "enqueued_sum_s",
        "head",
        "is_entry",
        "later",
        "left_sum_s",
        "model",
        "past",
        "position",
        "queue",
        "replicas",
        "room_lack",
    )

    def __init__(self, run: RunContext, position: int, configuration: StageConfiguration) -> None:
        env, world, seed = run.env, run.run_input.world, run.run_input.seed
        model = run.run_input.models[position]
        self._env = env
        self._completion = env.priority(COMPLETION, position)
        self._loses = world.removal == "lose"
        self._completed = self._on_end_of_batch if self._loses else self._on_completion  # bound once
        self.delivery = env.priority(DELIVERY, position)
        self._activation = env.priority(REPLICA, position)
        self._room = env.priority(ROOM, position)
        self._timer: float = env.priority(TIMER, position)
        self.position = position
        self.model = model
        self._duration_s = world.duration_s
        self._hop_s = world.hop_s
        self._limit_s = model.drop_limit_s  # by deadline: as of the latest attempt
        self._drops_singly = world.drop != "batch"
        self._sla_s = world.sla_s if world.drop == "deadline" else None
        self._flow = run.flow
        self.is_entry = False
        self.arrivals_s = run.arrivals_s  # by item: when its request arrived
        self.later: Sequence[Later] = ()  # the stages after this one, topologically; read by deadline
        self._normals = streams.standard_normals(streams.stream(seed, "service", position))
        self.queue: list[int] = []
        self.enqueued_s: list[float] = []
        self.head = 0
        self.at_replicas = 0  # eager dispatch: requests in batches that wait at a replica
        self.past = 0  # how many requests have left the front of these lists
        self.replicas = ReplicaPool(model, world, configuration)
        self.configured: list[tuple[float, int]] = []  # batch sizes, as (since when, size)
        self._adopt(configuration, 0.0)
        self.room_lack = RoomLack(0, 0.0)
        self._lacks_room_since_s = NEVER
        self._timer_s = NEVER
        self._scheduled_s = NEVER
        self._looked_s = -NEVER  # when its timer last made an attempt
        self.batches = BatchLog()
        self.drops = DropLog()
        self.completions = 0
        self.enqueued_sum_s = 0.0  # the sums of the times at which requests came
        self.left_sum_s = 0.0  # and left, for the law of the integral

    def _adopt(self, configuration: StageConfiguration, now_s: float) -> None:
        self.configured.append((now_s, configuration.batch))
        self._batch = configuration.batch
        self._batch_timeout_s = configuration.batch_timeout_s
        service = self.model.service[configuration.variant, configuration.cores]
        self._full = rules.dispatch_size(configuration.batch, service.max_batch)
        self._full_latency_s = service.latency_s[self._full]

    @property
    def configuration(self) -> StageConfiguration:
        return self.replicas.configuration

    # ---- events ----

    def receive(self, requests: Batch, now_s: float) -> None:
        """Enqueue these items in order, then attempt to dispatch."""
        size = len(requests)
        self.queue.extend(requests)
        self.enqueued_s.extend([now_s] * size)
        self.enqueued_sum_s += now_s * size
        self.attempt(now_s)

    def expect(self, arrivals_sum_s: float) -> None:
        """Make this an entry: requests 0, 1, ... are enqueued when they arrive."""
        self.is_entry = True
        self.queue = list(range(len(self.arrivals_s)))
        self.enqueued_s = list(self.arrivals_s)
        self.enqueued_sum_s = arrivals_sum_s
        if self.queue:
            self._wake_at(self.enqueued_s[0])

    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """Put a decision into effect: batch size and timeout at once, replicas by a rollout."""
        self._adopt(configuration, now_s)
        self._roll_out(configuration, now_s)
        self.attempt(now_s)

    def _on_ready(self, replica: SimPyReplica, now_s: float) -> None:
        """A replica's start-up ends; it may have been removed in the meantime."""
        if replica.removed_s == NEVER:
            replica.ready_s = now_s
            self._roll_out(self.configuration, now_s)
            self.attempt(now_s)

    def _on_room(self, _: object, now_s: float) -> None:
        """A removed replica is gone."""
        if self._lacks_room_since_s < NEVER:
            self._roll_out(self.configuration, now_s)
            self.attempt(now_s)

    def _roll_out(self, configuration: StageConfiguration, now_s: float) -> None:
        change = self.replicas.roll_out(configuration, now_s)
        if self.replicas.budgets:
            self._note_room(change, now_s)
        for replica in change.created:
            self._env.at(now_s + self.model.start_up_s[replica.variant], self._activation, self._on_ready, replica)
        if change.removed and self._loses:
            self._lose(change.removed, now_s)
        elif change.removed:
            self._take_back(change.removed)

    def _note_room(self, change: RolloutResult, now_s: float) -> None:
        """Count how often and how long the stage lacks room, and wait until what it has removed is gone."""
        if change.lacks_room and self._lacks_room_since_s == NEVER:
            self._lacks_room_since_s = now_s
            self.room_lack = RoomLack(self.room_lack.times + (now_s < self._duration_s), self.room_lack.lasted_s)
        elif not change.lacks_room:
            self.room_lack = self.room_lack_until(now_s)
            self._lacks_room_since_s = NEVER
        for replica in change.removed:
            gone_s = self.replicas.gone_s(replica)
            if now_s < gone_s < NEVER:
                self._env.at(gone_s, self._room, self._on_room)

    def held(self, resource: str, now_s: float) -> Held:
        """How much of a resource exists of the stage now, and may come to exist."""
        replicas = self.replicas
        return Held(replicas.taken(resource, now_s), replicas.current, replicas.budgets.get(resource, 0))

    def room_lack_until(self, now_s: float) -> RoomLack:
        """How often and how long the stage has lacked room for its replicas, within the run's duration."""
        lasts_s = max(min(now_s, self._duration_s) - self._lacks_room_since_s, 0.0)
        return RoomLack(self.room_lack.times, self.room_lack.lasted_s + lasts_s)

    def _lose(self, removed: list[SimPyReplica], now_s: float) -> None:
        """Fail the batches of removed replicas: those that wait there, and the one in service."""
        for replica in sorted(removed, key=removal_order):
            for batch in replica.waiting:
                self.at_replicas -= len(batch.requests)
                self._fail(batch.requests, NEVER, now_s)
            replica.waiting.clear()
            if replica.batch is not None:
                self._fail(replica.batch, replica.finish_s, now_s)
                self.drops.interrupted += len(replica.batch)
                replica.batch, replica.finish_s = None, now_s

    def _fail(self, requests: Batch, finish_s: float, now_s: float) -> None:
        self.drops.failed += len(requests)
        for request in requests:
            self._drop(request, now_s, finish_s)

    def _on_end_of_batch(self, replica: SimPyReplica, now_s: float) -> None:
        """Finish a batch, unless it failed with its replica."""
        if replica.batch is not None:
            self._on_completion(replica, now_s)

    def _on_completion(self, replica: SimPyReplica, now_s: float) -> None:
        requests = replica.batch or []
        size = len(requests)
        replica.batch = None
        self.completions += size
        self.left_sum_s += now_s * size
        self.replicas.put_idle(replica)
        self._flow.served(self, requests, replica.variant, now_s)
        if replica.waiting:
            self._serve_waiting(replica, now_s)
        self.attempt(now_s)

    def _on_timer(self, _: Any, now_s: float) -> None:
        if now_s == self._scheduled_s:
            self._scheduled_s = NEVER
        if now_s == self._timer_s:
            self._looked_s = now_s
            self.attempt(now_s)

    # ---- dispatch ----

    def attempt(self, now_s: float) -> None:
        """Start every batch that can start now. If the next one must wait, set the timer to the end of its wait."""
        self._timer_s = NEVER
        replicas = self.replicas
        while replicas.idle or replicas.idle_others:
            if self._waits(now_s):
                return
            replica = replicas.take_idle()
            requests = self._take(rules.dispatch_size(self._batch, replica.max_batch), now_s)
            if requests:
                self._start(replica, requests, now_s)
            else:
                replicas.put_idle(replica)

    def _waits(self, now_s: float) -> bool:
        """Whether the next batch must wait; if so, set the timer to the end of its wait, if there is one."""
        ready_s = self._next_batch_s(now_s)
        if ready_s <= now_s:
            return False
        if ready_s < NEVER:
            self._wake_at(ready_s if self._sla_s is None else self._look_again_s(ready_s, now_s))
        return True

    def _look_again_s(self, ready_s: float, now_s: float) -> float:
        """By deadline: now if requests that arrive now have not made an attempt yet, else `ready_s`."""
        if self.is_entry and self._looked_s != now_s:
            arrival = bisect_left(self.enqueued_s, now_s, self.head)
            if arrival < len(self.queue) and self.enqueued_s[arrival] == now_s:
                return now_s
        return ready_s

    def _next_batch_s(self, now_s: float) -> float:
        """Drop expired requests at the head, then say when the next batch may start: at `now_s`, later, or never."""
        queue, enqueued_s = self.queue, self.enqueued_s
        total = len(queue)
        if self._sla_s is not None:
            self._limit_s = rules.deadline_limit_s(self.model.drop_limit_s, self._sla_s, self._ahead_s())
        while True:
            head = self.head
            if head == total:
                return NEVER
            oldest_s = self.arrivals_s[queue[head]]
            if not (self._drops_singly and rules.is_expired(now_s, oldest_s, self._limit_s)):
                break
            if enqueued_s[head] > now_s:  # by deadline, even a future request can be past its limit
                break
            self._drop(queue[head], now_s)
            self.head = head + 1
        last = head + self._batch - 1
        full_s = enqueued_s[last] if last < total else NEVER
        if full_s <= now_s:
            return now_s
        due_s = rules.due_s(enqueued_s[head], self._batch_timeout_s)
        if not rules.must_wait(False, now_s, due_s):
            return now_s
        wake_s = full_s if full_s < due_s else due_s
        if self._sla_s is not None:
            # By deadline, any arrival may find that the head cannot finish in time.
            finder = bisect_right(enqueued_s, now_s, head)
            if finder < total and enqueued_s[finder] < wake_s:
                wake_s = enqueued_s[finder]
        elif self._drops_singly:
            # Of all arrivals, only the first after the head's expiry matters: its attempt drops the head.
            expiry_s = oldest_s + self._limit_s
            if expiry_s < wake_s:
                finder = bisect_right(enqueued_s, expiry_s, head)
                if finder < total and enqueued_s[finder] < wake_s:
                    wake_s = enqueued_s[finder]
        return wake_s

    def _ahead_s(self) -> float:
        """The expected time to the end of an item that leaves the queue now, by the slowest way."""
        ahead_s = [self._stay_s(self.at_replicas)]  # up to the end of this stage, and of each of `later`
        for stage, before, besides, wait_s in self.later:
            way_s = ahead_s[before]
            for place in besides:
                way_s = max(way_s, ahead_s[place])
            ahead_s.append(way_s + self._hop_s + wait_s + stage.stay_s())
        return max(ahead_s)

    def stay_s(self) -> float:
        """The expected stay of a request that comes now."""
        return self._stay_s(len(self.queue) - self.head + self.at_replicas)

    def _stay_s(self, waiting: int) -> float:
        return rules.stay_s(waiting, self.replicas.ready, self._full, self._full_latency_s)

    def _take(self, size: int, now_s: float) -> Batch:
        """Take up to `size` requests from the head of the queue, dropping those that have expired."""
        queue, enqueued_s, head = self.queue, self.enqueued_s, self.head
        if size == 1 and self._drops_singly:
            self.head = head + 1
            return [queue[head]]  # the caller has just checked that it is there and has not expired
        total = len(queue)
        end = head + size
        if end > total or enqueued_s[end - 1] > now_s:
            end = bisect_right(enqueued_s, now_s, head, min(end, total))
        requests = queue[head:end]
        self.head = end
        arrivals_s = self.arrivals_s
        if rules.is_expired(now_s, min([arrivals_s[request] for request in requests]), self._limit_s):
            if self._drops_singly:
                return self._sift(requests, size, now_s)
            for request in requests:
                self._drop(request, now_s)
            return []
        return requests

    def _sift(self, requests: Batch, size: int, now_s: float) -> Batch:
        """Drop the expired ones of `requests`, and fill up to `size` from the queue."""
        batch: Batch = []
        while True:
            for request in requests:
                if rules.is_expired(now_s, self.arrivals_s[request], self._limit_s):
                    self._drop(request, now_s)
                else:
                    batch.append(request)
            head = self.head
            waiting = bisect_right(self.enqueued_s, now_s, head)
            end = min(head + size - len(batch), waiting)
            if end == head:
                return batch
            requests = self.queue[head:end]
            self.head = end

    def _drop(self, request: int, now_s: float, finish_s: float = nan) -> None:
        self.drops.requests.append(request)
        self.drops.dropped_s.append(now_s)
        self.drops.finish_s.append(finish_s)
        self.left_sum_s += now_s
        self._flow.lost(self, request, now_s)

    def _start(self, replica: SimPyReplica, requests: Batch, now_s: float) -> None:
        size = len(requests)
        factor = 1.0 if replica.sigma is None else exp(replica.sigma[size] * next(self._normals) - replica.drift[size])
        finish_s = rules.finish_s(now_s, replica.latency_s[size], factor)
        replica.batch = requests
        replica.finish_s = finish_s
        log = self.batches
        log.requests.extend(requests)
        log.size.append(size)
        log.start_s.append(now_s)
        log.finish_s.append(finish_s)
        log.replica.append(replica.number)
        self._env.at(finish_s, self._completion, self._completed, replica)

    def _wake_at(self, time_s: float) -> None:
        """Set the stage's only timer; an event already scheduled for that time is used again."""
        self._timer_s = time_s
        if time_s != self._scheduled_s:
            self._scheduled_s = time_s
            self._env.at(time_s, self._timer, self._on_timer)

    # ---- overridden by eager dispatch ----

    def _serve_waiting(self, replica: SimPyReplica, now_s: float) -> None:
        """Start the batch that waits at a replica; with central dispatch none does."""
        raise NotImplementedError

    def _take_back(self, removed: list[SimPyReplica]) -> None:
        """Return the waiting batches of removed replicas to the queue; with central dispatch there are none."""

    # ---- what control steps and records read: sim.interface.EngineStage ----

    @property
    def enqueued(self) -> int:
        return self.past + len(self.queue)

    @property
    def dropped(self) -> int:
        return self.drops.dropped

    @property
    def failed(self) -> int:
        return self.drops.failed

    @property
    def interrupted(self) -> int:
        """How many of the failed requests were in service."""
        return self.drops.interrupted

    def seen(self, now_s: float) -> Seen:
        before, by_now = self._came(now_s)
        served, completions, drops = self.batches.served - self.interrupted, self.completions, self.drops
        waiting = rules.waiting(by_now, drops.dropped, served)
        dropped = drops.dropped - drops.failed
        return Seen(
            before, completions, dropped, waiting, served - completions, self.replicas.counts(now_s), drops.failed
        )

    def _came(self, now_s: float) -> tuple[int, int]:
        """How many requests came before now, and how many up to now."""
        if self.is_entry:
            return bisect_left(self.arrivals_s, now_s), bisect_right(self.arrivals_s, now_s)
        return self.enqueued, self.enqueued

    def batch_log(self, since: int = 0) -> Batches:
        return self.batches.since(since)

    def drop_log(self, since: int = 0) -> Drops:
        return self.drops.arrays(since)

    def replica_log(self) -> Replicas:
        return self.replicas.log()

    def token_log(self) -> TokenLog | None:
        return None

    def step_log(self, now_s: float) -> StepLog | None:
        return None
