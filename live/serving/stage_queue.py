"""One stage of a pipeline: its FIFO queue and the dispatch to its replicas, by the rules of the model.

No clock and no network in here: every method is told the time, and what follows from it is handed to a `World`. So
the gateway runs it with real replicas, and the tests run it in virtual time with the stories of the simulator.

One thing the model does not know: requests whose tensors differ in name, datatype or shape never share a batch. The
queue stays first in, first out, so a batch ends where the kind changes; and a batch that one of another kind waits
behind cannot grow any more, so it counts as full.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from ipa.sim import NEVER, rules


class Visit:
    """A request at one stage: when it came, and the batch that served it last."""

    __slots__ = ("batch", "enqueue_s", "finish_s")

    def __init__(self, enqueue_s: float) -> None:
        self.enqueue_s = enqueue_s
        self.batch: Batch | None = None
        self.finish_s: float | None = None


class Request:
    """One request on its way through the pipeline; `kind` and `data` are those at its present stage.

    `outcome` is None while it is on its way. `tries` counts the batches it was in at this stage that failed.
    """

    __slots__ = (
        "arrival_s",
        "data",
        "end_s",
        "kind",
        "name",
        "on_end",
        "outcome",
        "problem",
        "stage",
        "tries",
        "visits",
    )

    def __init__(self, name: str | None, arrival_s: float, kind: Any = None, data: Any = None) -> None:
        self.name = name
        self.arrival_s = arrival_s
        self.kind = kind
        self.data = data
        self.stage = 0
        self.tries = 0
        self.visits: list[Visit] = []
        self.outcome: str | None = None
        self.end_s = 0.0
        self.problem = ""
        self.on_end: Any = None

    @property
    def enqueue_s(self) -> float:
        """When it came to its present stage."""
        return self.visits[-1].enqueue_s


class Replica:
    """A replica as the dispatch sees it.

    Listed: the control plane wants it to serve. Suspended: its last batch failed and it has not answered ready since.
    """

    __slots__ = (
        "batch",
        "batches",
        "failures",
        "is_listed",
        "is_suspended",
        "max_batch",
        "model",
        "number",
        "url",
        "variant",
    )

    def __init__(self, number: int, variant: str, max_batch: int, url: str = "", model: str = "") -> None:
        self.number = number
        self.variant = variant
        self.max_batch = max_batch
        self.url = url
        self.model = model or variant
        self.batch: Batch | None = None
        self.batches = 0
        self.failures = 0
        self.is_listed = True
        self.is_suspended = False

    @property
    def is_idle(self) -> bool:
        """Whether it may take a batch now."""
        return self.batch is None and self.is_listed and not self.is_suspended


class Batch:
    """The `number`-th batch started at a stage."""

    __slots__ = ("number", "replica", "requests", "size", "stage", "start_s")

    def __init__(self, number: int, stage: int, replica: Replica, requests: Sequence[Request], start_s: float) -> None:
        self.number = number
        self.stage = stage
        self.replica = replica
        self.requests = requests
        self.size = len(requests)
        self.start_s = start_s


class World(Protocol):
    """What carries out what a stage decides."""

    def start(self, batch: Batch) -> None:
        """Have the batch's replica serve it."""
        ...

    def dropped(self, request: Request, now_s: float) -> None:
        """A request has expired in the queue of its stage."""
        ...

    def wake(self, stage: int, at_s: float) -> None:
        """Have the stage attempt at that moment, and at no moment set before; NEVER: at none."""
        ...


class StageQueue:
    """A stage with central dispatch: a batch leaves the queue when an idle replica takes it."""

    def __init__(
        self, position: int, drop_limit_s: float, world: World, variant: str, batch: int, batch_timeout_s: float,
        *, drops_singly: bool = True,
    ) -> None:  # fmt: skip
        self.position = position
        self.waiting: deque[Request] = deque()
        self.replicas: list[Replica] = []
        self.batches = 0
        self.in_service = 0
        self.timer_s = NEVER
        self._changes_of_kind = 0
        self._limit_s = drop_limit_s
        self._drops_singly = drops_singly
        self._world = world
        self.variant, self.batch, self.batch_timeout_s = variant, batch, batch_timeout_s

    # ---- what happens to a stage; none of it attempts ----

    def enqueue(self, requests: Iterable[Request], now_s: float) -> None:
        """Requests come to this stage, in order."""
        for request in requests:
            request.stage = self.position
            request.tries = 0
            request.visits.append(Visit(now_s))
            self._changes_of_kind += bool(self.waiting) and self.waiting[-1].kind != request.kind
            self.waiting.append(request)

    def put_back(self, requests: Sequence[Request]) -> None:
        """Requests of a batch that failed return to the head, in order."""
        for request in reversed(requests):
            self._changes_of_kind += bool(self.waiting) and self.waiting[0].kind != request.kind
            self.waiting.appendleft(request)

    def withdraw(self, request: Request) -> bool:
        """Take a request out of the queue; False where it is not in it."""
        try:
            self.waiting.remove(request)
        except ValueError:
            return False
        kinds = [each.kind for each in self.waiting]
        self._changes_of_kind = sum(kind != before for kind, before in zip(kinds[1:], kinds, strict=False))
        return True

    def configure(self, variant: str, batch: int, batch_timeout_s: float) -> None:
        """Another batch size, timeout or preferred variant, in force at once."""
        self.variant, self.batch, self.batch_timeout_s = variant, batch, batch_timeout_s

    def release(self, batch: Batch) -> None:
        """A batch's replica is done with it, well or not."""
        batch.replica.batch = None
        self.in_service -= batch.size
        if not batch.replica.is_listed:
            self.replicas.remove(batch.replica)

    def running_s(self, now_s: float) -> float:
        """How long the batches in service have been running, in seconds x replicas."""
        return sum(now_s - replica.batch.start_s for replica in self.replicas if replica.batch is not None)

    # ---- dispatch ----

    def attempt(self, now_s: float) -> None:
        """Start every batch that can start now; where one has to wait, set the timer to when it is due (rule 2)."""
        self.timer_s = NEVER
        while (replica := self._next_idle()) is not None:
            if self._drops_singly:
                self._drop_expired_head(now_s)
            if not self.waiting:
                break
            due_s = rules.due_s(self.waiting[0].enqueue_s, self.batch_timeout_s)
            if rules.must_wait(self._is_full(), now_s, due_s):
                self.timer_s = due_s
                break
            requests = self._take(rules.dispatch_size(self.batch, replica.max_batch), now_s)
            if requests:
                self._start(replica, requests, now_s)
        self._world.wake(self.position, self.timer_s)

    def _next_idle(self) -> Replica | None:
        """The idle replica to serve next: of the configured variant if there is one, lowest number first."""
        chosen = None
        for replica in self.replicas:  # in order of number
            if replica.is_idle:
                if replica.variant == self.variant:
                    return replica
                chosen = chosen or replica
        return chosen

    def _is_full(self) -> bool:
        return len(self.waiting) >= self.batch or self._changes_of_kind > 0

    def _is_expired(self, request: Request, now_s: float) -> bool:
        return rules.is_expired(now_s, request.arrival_s, self._limit_s)

    def _drop_expired_head(self, now_s: float) -> None:
        while self.waiting and self._is_expired(self.waiting[0], now_s):
            self._world.dropped(self._pop(), now_s)

    def _take(self, size: int, now_s: float) -> list[Request]:
        """Up to `size` requests of one kind from the head, in order; what has expired is dropped, not taken."""
        taken: list[Request] = []
        while self.waiting and len(taken) < size:
            if self._drops_singly and self._is_expired(self.waiting[0], now_s):
                self._world.dropped(self._pop(), now_s)
            elif taken and taken[0].kind != self.waiting[0].kind:
                break
            else:
                taken.append(self._pop())
        if not self._drops_singly and self._is_expired(min(taken, key=_arrival_s), now_s):
            for request in taken:
                self._world.dropped(request, now_s)
            return []
        return taken

    def _pop(self) -> Request:
        request = self.waiting.popleft()
        self._changes_of_kind -= bool(self.waiting) and self.waiting[0].kind != request.kind
        return request

    def _start(self, replica: Replica, requests: Sequence[Request], now_s: float) -> None:
        batch = Batch(self.batches, self.position, replica, requests, now_s)
        self.batches += 1
        self.in_service += batch.size
        replica.batch = batch
        replica.batches += 1
        for request in requests:
            request.visits[-1].batch = batch
        self._world.start(batch)


def _arrival_s(request: Request) -> float:
    return request.arrival_s
