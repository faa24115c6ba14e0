"""Stages with several lanes, for runs that mix variants: each lane is a stage of its own, and a draw chooses one.

Here an arrival is an event, since its lane depends on the shares in force at that moment.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import rules, streams
from ipa.sim.events.eager import EagerStage
from ipa.sim.events.replica_set import Batch, SimPyReplica
from ipa.sim.events.stage import SimPyStage, Surroundings
from ipa.sim.interface import Seen, arrived
from ipa.sim.lanes import MergedStage
from ipa.sim.rules import COMPLETION, DELIVERY

_MOST_LANES = 1024
"""More lanes than any stage has; the lane's number orders a stage's timers of the same instant."""


class _Lane(SimPyStage):
    """A lane with central dispatch."""

    stage: MixedStage
    number: int

    @property
    def present(self) -> int:
        """How many requests wait or are being served."""
        return self.enqueued - self.completions - self.dropped

    def _on_ready(self, replica: SimPyReplica, now_s: float) -> None:
        if self.replicas.activate(replica, now_s):
            self._roll_out(self.configuration, now_s)
            self.stage.readied(self, now_s)
            self.attempt(now_s)

    def attempt(self, now_s: float) -> None:
        super().attempt(now_s)
        if self.present == 0 and self.stage.plan.lanes[self.number].is_closing:
            self.stage.plan.emptied(self.number)
            self._roll_out(replace(self.configuration, replicas=0), now_s)

    def enqueue(self, request: int, now_s: float) -> None:
        """Enqueue an arrival; the attempt that follows it ranks with the timers."""
        self.queue.append(request)
        self.enqueued_s.append(now_s)
        self._wake_at(now_s)


class _EagerLane(_Lane, EagerStage):
    """A lane with eager dispatch."""


class MixedStage(MergedStage):
    """A stage with several lanes."""

    def __init__(self, around: Surroundings, position: int, initial: StageConfiguration) -> None:
        given = around.given
        super().__init__(given, position, initial)
        self._env = around.env
        self.delivery = around.env.priority(DELIVERY, position)
        self.next: MixedStage | None = None
        self._draws = streams.stream(given.seed, "mix", position).random(len(given.arrivals_s)).tolist()
        kind = _EagerLane if given.world.dispatch == "eager" else _Lane
        self.lanes = [kind(around, position, lane.in_force, number) for number, lane in enumerate(self.plan.lanes)]
        for number, lane in enumerate(self.lanes):
            lane.stage, lane.number = self, number
            lane._timer += number / _MOST_LANES

    @property
    def rows(self) -> Sequence[_Lane]:
        return self.lanes

    def follow_with(self, following: MixedStage) -> None:
        """Send finished batches on to another stage."""
        self.next = following
        for lane in self.lanes:
            lane.next = following  # type: ignore[assignment]  # it has what a lane calls of a stage

    def _replica_counts(self, now_s: float) -> Mapping[str, ReplicaCounts]:
        """How many replicas of each variant are in each state."""
        by_lane = [lane.replicas.counts(now_s) for lane in self.lanes]
        found = {}
        for variant in self.model.start_up_s:
            counts = [each[variant] for each in by_lane if variant in each]
            if counts:
                found[variant] = ReplicaCounts(
                    sum(each.starting for each in counts),
                    sum(each.ready for each in counts),
                    sum(each.draining for each in counts),
                )
        return found

    def stay_s(self) -> float:
        """The expected stay of a request that comes now, in the lane where it is shortest."""
        return min(
            lane.stay_s() for lane, planned in zip(self.lanes, self.plan.lanes, strict=True) if planned.gets_requests
        )

    def seen(self, now_s: float) -> Seen:
        before = by_now = sum(lane.enqueued for lane in self.lanes)
        if self.position == 0:
            before, by_now = arrived(self._arrivals_s, now_s)
        served = sum(lane.batches.served - lane.interrupted for lane in self.lanes)
        failed = sum(lane.failed for lane in self.lanes)
        completions, dropped = self.completions, self.dropped
        waiting = rules.waiting(by_now, dropped, served)
        replicas = self._replica_counts(now_s)
        return Seen(before, completions, dropped - failed, waiting, served - completions, replicas, failed)

    # ---- events ----

    def expect(self, _: float) -> None:
        """Make this the first stage."""
        self._arriving = self._env.priority(COMPLETION) - 1  # before all other events of the instant
        self._coming = self._arrivals_s.tolist()
        self._next = 0
        self._await_arrival()

    def _await_arrival(self) -> None:
        if self._next < len(self._coming):
            self._env.at(self._coming[self._next], self._arriving, self._on_arrival)

    def _on_arrival(self, _: Any, now_s: float) -> None:
        while self._next < len(self._coming) and self._coming[self._next] == now_s:
            self.lanes[self.plan.lane_of(self._draws[self._next])].enqueue(self._next, now_s)
            self._next += 1
        self._await_arrival()

    def receive(self, requests: Batch, now_s: float) -> None:
        """Enqueue the requests of a finished batch in order, each in its lane."""
        parts: list[Batch] = [[] for _ in self.lanes]
        for request in requests:
            parts[self.plan.lane_of(self._draws[request])].append(request)
        for lane, part in zip(self.lanes, parts, strict=True):
            if part:
                lane.receive(part, now_s)

    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """Put a decision into effect."""
        ready, present = [lane.replicas.ready for lane in self.lanes], [lane.present for lane in self.lanes]
        self.plan.configure(configuration, ready, present)
        self._roll_out(now_s)

    def readied(self, lane: _Lane, now_s: float) -> None:
        """Handle a replica of a lane that has become ready."""
        if self.plan.readied(lane.number, lane.replicas.ready):
            self._roll_out(now_s)

    def _roll_out(self, now_s: float) -> None:
        for lane, planned in zip(self.lanes, self.plan.lanes, strict=True):
            lane.configure(planned.in_force, now_s)
