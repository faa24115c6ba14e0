"""The queue of a stage and the dispatch to its replicas, by the rules of the model.

There is no clock and no network here: every method is told the time, and a `StageHost` carries out what follows. So the
gateway runs it with real replicas, and the tests run it in virtual time with the simulator's stories.

Two things are not in the model.

Requests whose tensors differ in name, datatype or shape never share a batch. Nobody is overtaken for that, so a batch
ends where the kind changes; and once a request of another kind waits behind a batch, the batch cannot grow and counts
as full. The same holds for requests that have more bytes together than one message may have.

`expire`, which a gateway calls every few milliseconds: in the model, expired requests are dropped by the next attempt,
which may never come. A request that is dropped by `expire` gets its outcome at once but keeps its place until an
attempt would have dropped it, so that batches start at the same times with the same requests as without it
(`docs/serving.md`, Drops). At the head, its place no longer matters and is given up, unless the stages before this one
look at the length of the queue, as they do where requests are dropped by deadline.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from math import inf
from typing import Protocol

from ipa.live.serving.request import Batch, Request, RoutedReplica, Visit
from ipa.policies import StageConfiguration
from ipa.sim import NEVER, rules


class StageHost(Protocol):
    """Carries out a stage's decisions."""

    def start(self, batch: Batch) -> None:
        """Have the batch's replica serve it."""
        ...

    def dropped(self, request: Request, now_s: float) -> None:
        """A request has expired in the queue of its stage."""
        ...

    def wake(self, stage: int, at_s: float) -> None:
        """Have the stage attempt at that moment, which replaces any set before; NEVER: clear it."""
        ...


@dataclass(frozen=True)
class DispatchOptions:
    """How requests are dropped, and what a batch may be.

    `drop` is "request", "batch" or "deadline". `loses`: whether a batch fails for good with a replica that is no longer
    listed. `most_bytes`: the most that the requests of a batch may have together; None: any. `singly`: the stages of
    language models, by position. A replica there takes each request by itself, and has up to the batch size at once.
    """

    drop: str = "request"
    loses: bool = False
    most_bytes: int | None = None
    singly: Collection[int] = ()


class StageQueue:
    """A stage with central dispatch: a batch leaves the queue when an idle replica takes it."""

    def __init__(
        self,
        position: int,
        drop_limit_s: float,
        host: StageHost,
        wanted: StageConfiguration,
        options: DispatchOptions,
        deadline: tuple[float, Callable[[], float]] | None = None,
    ) -> None:
        """`deadline`: the SLA, and the age limit of a request at an attempt, which never exceeds it [s]."""
        sla_s = NEVER if deadline is None else deadline[0]
        self._limit_now_s = None if deadline is None else deadline[1]
        self.position = position
        self.is_singly = position in options.singly
        self.waiting: deque[Request] = deque()
        self.replicas: list[RoutedReplica] = []
        self.batches = 0
        self.in_service = 0
        self.timer_s = NEVER
        self._request_s, self._request_s_at_s = 0.0, 0.0  # the integral, and up to when it has been taken
        self._changes_of_kind = 0
        self._ended = 0  # how many of those waiting have their outcome already
        self._by_age: list[tuple[float, int, Request]] = []  # a heap of those waiting, and some that no longer are
        self._entries = count()
        self.without_since_s: float | None = None
        self._waiting_bytes = 0
        self._most_bytes = options.most_bytes
        self._drop_limit_s = self._limit_s = drop_limit_s  # the second: as of the latest attempt
        self.oldest_s = min(drop_limit_s, sla_s)  # whatever is older is dropped by any attempt
        self._drops_singly = options.drop != "batch"
        self._host = host
        self.configuration = wanted
        self._wakes = False  # whether it was to have no replica before, and the first has not come yet
        self.configure(wanted)

    @property
    def length(self) -> int:
        """How many requests wait for an outcome in the queue."""
        return len(self.waiting) - self._ended

    @property
    def present(self) -> int:
        """How many requests are here, waiting or in service."""
        return self.length + self.in_service

    @property
    def can_serve(self) -> bool:
        """Whether there is a replica that can take batches, now or when it has finished one."""
        return self.ready > 0

    @property
    def ready(self) -> int:
        """How many replicas can take batches, now or when they have finished one."""
        return sum(replica.can_serve for replica in self.replicas)

    def outage_s(self, now_s: float) -> float:
        """For how long no replica could take batches though some were to, as far as `expire` has seen."""
        return 0.0 if self.without_since_s is None else now_s - self.without_since_s

    def request_s(self, now_s: float) -> float:
        """The integral of `present` over time, up to now [requests x seconds]; it never falls."""
        return self._request_s + self.present * (now_s - self._request_s_at_s)

    def _integrate(self, now_s: float) -> None:
        """Take the integral up to now; to be called before `present` changes."""
        present = len(self.waiting) - self._ended + self.in_service  # as `present`, which this is called for most
        self._request_s += present * (now_s - self._request_s_at_s)
        self._request_s_at_s = now_s

    def restart(self, now_s: float) -> None:
        """Number batches and take the integral from 0 again; no request may be waiting, and time may go back."""
        self.waiting.clear()
        self._by_age.clear()
        self._ended = self._changes_of_kind = self._waiting_bytes = 0
        self.without_since_s = None
        self.batches = 0
        self._request_s, self._request_s_at_s = 0.0, now_s

    # ---- what happens to a stage; none of this attempts ----

    def enqueue(self, requests: Iterable[Request], now_s: float) -> None:
        self._integrate(now_s)
        for request in requests:
            request.stage = self.position
            request.tries = 0
            request.visits.append(Visit(now_s))
            self._insert(len(self.waiting), request)

    def put_back(self, requests: Sequence[Request], now_s: float) -> None:
        """Requests of a batch that failed return to the head, in order."""
        self._integrate(now_s)
        for request in reversed(requests):
            self._insert(0, request)

    def _insert(self, at: int, request: Request) -> None:
        """Have a request wait before the one that is the `at`-th now."""
        self._changes_of_kind += self._changes_at(at, request)
        self._waiting_bytes += request.size_bytes
        self.waiting.insert(at, request)
        heapq.heappush(self._by_age, (request.arrival_s, next(self._entries), request))

    def _changes_at(self, at: int, request: Request) -> int:
        """How many changes of kind a request adds between those that are before it and behind it."""
        before = self.waiting[at - 1].kind if at > 0 else request.kind
        behind = self.waiting[at].kind if at < len(self.waiting) else request.kind
        is_between = 0 < at < len(self.waiting)
        return int(before != request.kind) + int(request.kind != behind) - int(is_between and before != behind)

    def withdraw(self, request: Request, now_s: float) -> None:
        """Take a request out of the queue, if it is in it."""
        self._integrate(now_s)
        if request not in self.waiting:
            return
        at = self.waiting.index(request)
        del self.waiting[at]
        self._waiting_bytes -= request.size_bytes
        self._changes_of_kind -= self._changes_at(at, request)

    def configure(self, wanted: StageConfiguration) -> None:
        """Another batch size, timeout or preferred variant, in force at once."""
        self._wakes = wanted.replicas > 0 and (self._wakes or self.configuration.replicas == 0)
        self.configuration = wanted
        self.variant, self.batch_timeout_s = wanted.variant, wanted.batch_timeout_s
        self.batch, self._at_once = (1, wanted.batch) if self.is_singly else (wanted.batch, 1)

    def list_replicas(self, listed: Sequence[RoutedReplica]) -> None:
        """Set the replicas that may take batches; a number and a URL say which of them are there already. Those not
        listed finish what they have; those listed with other cores take them with their next batch."""
        wanted = {(replica.number, replica.url): replica for replica in listed}
        known = {(replica.number, replica.url): replica for replica in self.replicas}
        for key, replica in known.items():
            replica.is_listed = key in wanted
            if replica.is_listed:
                replica.cores, replica.max_batch = wanted[key].cores, wanted[key].max_batch
        remaining = [replica for replica in self.replicas if replica.is_listed or replica.serving]
        new = [replica for key, replica in wanted.items() if key not in known]
        self.replicas = sorted([*remaining, *new], key=lambda replica: replica.number)
        self._wakes = self._wakes and not self.can_serve

    def release(self, batch: Batch, now_s: float) -> None:
        """The replica of a batch is done with it, successfully or not."""
        self._integrate(now_s)
        batch.replica.serving.remove(batch)
        self.in_service -= batch.size
        if not (batch.replica.is_listed or batch.replica.serving):
            self.replicas.remove(batch.replica)

    def _is_waiting(self, request: Request) -> bool:
        return request.stage == self.position and request.outcome is None and request.visits[-1].batch is None

    def expire(self, now_s: float) -> None:
        """Drop expired requests, wherever they are in the queue; see the module's docstring.

        If the stage has lost all replicas that can take batches for as long as its drop limit, drop all that wait: one
        cannot be expected in time. The first after it was to have none comes when it has started, as in the model.
        """
        self._integrate(now_s)
        if self.can_serve or self._wakes or self.configuration.replicas == 0:
            self.without_since_s = None
        elif self.without_since_s is None:
            self.without_since_s = now_s
        is_hopeless = self.outage_s(now_s) >= self._drop_limit_s
        while self._by_age:
            arrival_s, _, request = self._by_age[0]
            if self._is_waiting(request):
                if not (is_hopeless or rules.is_expired(now_s, arrival_s, self.oldest_s)):
                    break
                self._ended += 1
                self._host.dropped(request, now_s)
            heapq.heappop(self._by_age)
        gives_up_places = is_hopeless or (self._drops_singly and self._limit_now_s is None)
        while gives_up_places and self.waiting and self.waiting[0].outcome is not None:
            self._pop()

    def running_s(self, now_s: float) -> float:
        """How long the batches in service have been running, in seconds x batches."""
        return sum(now_s - batch.start_s for replica in self.replicas for batch in replica.serving)

    # ---- dispatch ----

    def attempt(self, now_s: float) -> None:
        """Start every batch that can start now; if one has to wait, set the timer to when it is due (rule 2)."""
        self._integrate(now_s)
        had_timer, self.timer_s = self.timer_s < NEVER, NEVER
        while self.waiting and (replica := self._next_free()) is not None:
            if self._limit_now_s is not None:
                self._limit_s = self._limit_now_s()
            while self._drops_singly and self.waiting and self._is_expired(self.waiting[0], now_s):
                self._drop(self._pop(), now_s)
            if not self.waiting:
                break
            due_s = rules.due_s(self.waiting[0].enqueue_s, self.batch_timeout_s)
            if rules.must_wait(self._is_full(), now_s, due_s):
                self.timer_s = due_s
                break
            requests = self._take(rules.dispatch_size(self.batch, replica.max_batch), now_s)
            if requests:
                self._start(replica, requests, now_s)
        if had_timer or self.timer_s < NEVER:
            self._host.wake(self.position, self.timer_s)

    def _next_free(self) -> RoutedReplica | None:
        """The replica to use next, of those with room: one of the configured variant if possible, or of language models
        one with the fewest requests; lowest number first."""
        chosen, least = None, (inf, False)
        for replica in self.replicas:  # in order of number
            rank = len(replica.serving), not self.is_singly and replica.variant != self.variant
            if rank < least and replica.can_serve and self._has_room(replica):
                if rank == (0, False):
                    return replica
                chosen, least = replica, rank
        return chosen

    def _has_room(self, replica: RoutedReplica) -> bool:
        return len(replica.serving) < (rules.dispatch_size(self._at_once, replica.max_batch) if self.is_singly else 1)

    def _is_full(self) -> bool:
        is_alone = self.waiting[0].tries > 0
        has_no_room = self._changes_of_kind > 0 or self._is_too_much(self._waiting_bytes)
        return is_alone or len(self.waiting) >= self.batch or has_no_room

    def _is_too_much(self, size_bytes: int) -> bool:
        return self._most_bytes is not None and size_bytes > self._most_bytes

    def _is_expired(self, request: Request, now_s: float) -> bool:
        return rules.is_expired(now_s, request.arrival_s, self._limit_s)

    def _drop(self, request: Request, now_s: float) -> None:
        if request.outcome is None:
            self._host.dropped(request, now_s)

    def _take(self, size: int, now_s: float) -> list[Request]:
        """Up to `size` requests of one kind from the head, in order; what has expired is dropped, not taken."""
        taken: list[Request] = []
        taken_bytes = 0
        while self.waiting and len(taken) < size:
            if self._drops_singly and self._is_expired(self.waiting[0], now_s):
                self._drop(self._pop(), now_s)
            elif taken and (
                taken[0].kind != self.waiting[0].kind or self._is_too_much(taken_bytes + self.waiting[0].size_bytes)
            ):
                break
            else:
                taken.append(self._pop())
                taken_bytes += taken[-1].size_bytes
        if not self._drops_singly and self._is_expired(min(taken, key=_arrival_s), now_s):
            for request in taken:
                self._drop(request, now_s)
            return []
        return taken

    def _pop(self) -> Request:
        request = self.waiting.popleft()
        self._ended -= request.outcome is not None
        self._changes_of_kind -= bool(self.waiting) and self.waiting[0].kind != request.kind
        self._waiting_bytes -= request.size_bytes
        return request

    def _start(self, replica: RoutedReplica, requests: Sequence[Request], now_s: float) -> None:
        batch = Batch(self.batches, self.position, replica, requests, now_s)
        self.batches += 1
        self.in_service += batch.size
        replica.serving.append(batch)
        replica.batches += 1
        for request in requests:
            request.visits[-1].batch = batch
        self._host.start(batch)


def _arrival_s(request: Request) -> float:
    return request.arrival_s
