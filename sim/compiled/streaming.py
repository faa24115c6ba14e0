"""The compiled engine with a window of requests: results are handed over as the run goes on, so memory stays bounded.

The kernel and its results are the same. The kernel stops before an arrival that is not in memory yet. Then everything
finished is handed over, the rest moves to the front of the arrays, and the next arrivals are appended. In the arrays,
requests, batches and places in a queue are numbered from the first one still there; outside, by their numbers in the
whole run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.policies import StageConfiguration
from ipa.sim.compiled.engine import CompiledEngine
from ipa.sim.compiled.memory import KernelMemory, RecordArray, ReplicaKinds
from ipa.sim.compiled.stage import CompiledStage
from ipa.sim.interface import Batches, Drops, Handover, Seen
from ipa.sim.model import FloatArray, IntArray, RunInput, StageModel
from ipa.sim.rules import COMPLETION

WINDOW = 2**16
"""How many requests fit into the window; it grows if more are present at once."""


class StreamedEngine(CompiledEngine):
    """The compiled engine in bounded memory; it hands over to `receive` what happens at the stages, piece by piece."""

    stages: tuple[StreamedStage, ...]

    def __init__(
        self,
        run_input: RunInput,
        initial: Mapping[str, StageConfiguration],
        receive: Callable[[Handover], object],
        window: int | None = None,
    ) -> None:
        self._window = WINDOW if window is None else window
        self._first = 0  # the number, in the whole run, of the first request in memory
        super().__init__(run_input, initial)
        self._receive = receive
        self._end = self._capacity()  # the number of the first request that is not in memory yet

    def _capacity(self) -> int:
        # The run begins with attempts at time 0, which need all requests that arrive then.
        at_start = int(self.arrivals_s.searchsorted(0.0, "right"))
        return min(max(self._window, at_start), len(self.arrivals_s))

    def _stage(self, position: int, layout: ReplicaKinds) -> StreamedStage:
        return StreamedStage(position, self.run_input.models[position], self._memory, layout, self.arrivals_s)

    def steps(self, control_times_s: Iterator[float]) -> Iterator[float]:
        """Run to the end and stop at each of the times, which must be ascending; yields each time."""
        yield from super().steps(control_times_s)
        self._hand_over(self.end_s)

    def _advance(self, time_s: float, rank: int) -> int:
        while self._end < len(self.arrivals_s) and (next_s := float(self.arrivals_s[self._end])) <= time_s:
            super()._advance(next_s, COMPLETION)
            self._hand_over(next_s)
            self._move_on()
            fresh = self.arrivals_s[self._end : self._first + self._memory.capacity]
            self._load(fresh, self._end - self._first)
            self._end += len(fresh)
        return super()._advance(time_s, rank)

    def _hand_over(self, before_s: float) -> None:
        for stage in self.stages:
            self._receive(stage.hand_over(before_s))

    def _move_on(self) -> None:
        """Discard requests that have ended, to make room for further ones."""
        in_memory = self._end - self._first
        present = [stage.move_on(self._waiting) for stage in self.stages]
        first = int(min((numbers.min() for numbers in present if len(numbers)), default=in_memory))
        _to_front(self._memory.arrivals_s, first, in_memory)
        for stage in self.stages:
            stage.renumber(first, in_memory, self._waiting)
        self._first += first
        if 2 * (in_memory - first) > self._memory.capacity:  # or moving requests would become most of the work
            self._double()


class _Past(NamedTuple):
    """How many things have left a stage's memory."""

    requests: int = 0  # of the whole run, whether or not this stage has seen them
    queued: int = 0
    served: int = 0
    batches: int = 0
    drops: int = 0


class StreamedStage(CompiledStage):
    """A stage that keeps only unfinished requests in memory; its counts are of the whole run."""

    def __init__(
        self,
        position: int,
        model: StageModel,
        memory: KernelMemory,
        layout: ReplicaKinds,
        arrivals_s: FloatArray,
    ) -> None:
        super().__init__(position, model, memory, layout)
        self._arrivals_s = arrivals_s
        self._past = _Past()
        self._handed = 0  # how many of the batches in memory have been handed over
        self._unread: Batches | None = None  # handed over but not read yet; None before the first read
        self._variant_of_option = memory.options["variant"] - layout.first_variants[position]

    # ---- what control steps and records read ----

    @property
    def enqueued(self) -> int:
        return len(self._arrivals_s) if self.position == 0 else self._past.queued + super().enqueued

    @property
    def dropped(self) -> int:
        return self._past.drops + super().dropped

    def seen(self, now_s: float) -> Seen:
        before, by_now, served, completions, drops, *failed = self._counts.tolist()
        past = self._past
        gone = past.queued if self.position else past.requests
        return self._seen_of(
            gone + before, gone + by_now, past.served + served, completions, past.drops + drops, *failed
        )

    def batch_log(self, since: int = 0) -> Batches:
        """The batches from number `since` on; earlier ones cannot be read afterwards."""
        log = fresh = self._batches(self._handed)
        if self._unread is not None:
            log = self._unread.followed_by(fresh)
        older = len(log.size) - len(fresh.size)
        number = self._past.batches + self._handed - older + np.arange(len(log.size))
        self._unread = log.where((number >= since) & (np.arange(len(log.size)) < older))
        return log.where(number >= since)

    def drop_log(self, since: int = 0) -> Drops:
        """The drops from number `since` on that have not been handed over yet."""
        log = super().drop_log(max(since - self._past.drops, 0))
        return log._replace(requests=log.requests + self._past.requests)

    # ---- the window ----

    def hand_over(self, before_s: float) -> Handover:
        """What has happened since the last handover."""
        fresh, drops = self._batches(self._handed), self.drop_log()
        options = self.memory.replicas["option"][self.position, : self._state["replicas"]]
        variant = self._variant_of_option[options][fresh.replica]
        self._past = self._past._replace(drops=self._past.drops + len(drops.requests))
        self._state["drops"] = 0
        self._handed = int(self._state["batches"])
        if self._unread is not None:
            self._unread = self._unread.followed_by(fresh)
        return Handover(self.position, before_s, fresh, variant, drops)

    def move_on(self, waiting: RecordArray | None) -> IntArray:
        """Move the requests still here to the front of the stage's arrays and return them."""
        memory, s, state = self.memory, self.position, self._state
        batches = self._leave_batches()
        # Batches that wait at a replica may return to the queue, so they need places before the head.
        at_replicas = self._at_replicas(waiting)
        gone, queued = int(state["head"]) - len(at_replicas), int(state["tail"]) - int(state["head"])
        for array in (memory.queue[s], memory.enqueued_s[s]):
            _to_front(array, gone, int(state["tail"]))
        state["head"], state["tail"] = len(at_replicas), len(at_replicas) + queued
        self._past = self._past._replace(queued=self._past.queued + gone)
        in_queue = memory.queue[s, len(at_replicas) : len(at_replicas) + queued]
        return np.concatenate([batches, at_replicas, in_queue])

    def renumber(self, first: int, end: int, waiting: RecordArray | None) -> None:
        """Renumber the requests in memory so that `first` becomes 0; those before it have ended."""
        memory, s, state = self.memory, self.position, self._state
        memory.queue[s, : state["tail"]] -= first
        memory.served[s, : state["served"]] -= first
        if waiting is not None:
            _to_front(waiting[s], first, end)
            replicas = memory.replicas[s, : state["replicas"]]
            for numbers in (waiting["behind"][s], waiting["next"][s], replicas["first"], replicas["last"]):
                numbers[numbers >= 0] -= first
        self._past = self._past._replace(requests=self._past.requests + first)

    def _batches(self, since: int) -> Batches:
        """The batches in memory, from place `since` on."""
        log = super().batch_log(since)
        requests = log.requests  # a copy
        requests += self._past.requests
        return log

    def _leave_batches(self) -> npt.NDArray[np.uint32]:
        """Discard the leading batches that have gone on to the next stage; returns the requests in the others."""
        memory, s, state = self.memory, self.position, self._state
        batches, delivered, finished = (int(state[name]) for name in ("batches", "delivered", "finished"))
        running = memory.replicas["batch"][s, : state["replicas"]]
        on_the_way = memory.finished[s, delivered:finished]
        first = int(min(running[running >= 0].min(initial=batches), on_the_way.min(initial=batches)))
        served = int(memory.batches["end"][s, first - 1]) if first else 0
        _to_front(memory.served[s], served, int(state["served"]))
        _to_front(memory.batches[s], first, batches)
        _to_front(memory.finished[s], delivered, finished)
        state["served"] -= served
        state["batches"] -= first
        state["finished"], state["delivered"] = finished - delivered, 0
        memory.batches["end"][s, : batches - first] -= served
        memory.finished[s, : finished - delivered] -= first
        running[running >= 0] -= first
        self._handed -= first
        self._past = self._past._replace(served=self._past.served + served, batches=self._past.batches + first)
        return memory.served[s, : state["served"]]

    def _at_replicas(self, waiting: RecordArray | None) -> npt.NDArray[np.int32]:
        """Eager dispatch: the requests in the batches that wait at the stage's replicas."""
        requests: list[int] = []
        if waiting is not None:
            for first in self.memory.replicas["first"][self.position, : self._state["replicas"]].tolist():
                batch = first
                while batch >= 0:
                    request = batch
                    while request >= 0:
                        requests.append(request)
                        request = int(waiting["behind"][self.position, request])
                    batch = int(waiting["next"][self.position, batch])
        return np.array(requests, dtype=np.int32)


def _to_front(array: npt.NDArray[Any], begin: int, end: int) -> None:
    array[: end - begin] = array[begin:end]
