"""The lanes of a stage: each is a queue with replicas of its own, and a draw says where a request goes (rule 11).

`ipa.sim.Lanes` decides which lane serves which variant, and when shares take effect. Without mixes, a stage has one
lane, and its queue gets everything.

`Deadlines` gives the age limit of a request at a stage, from the time that is expected ahead of it (rule 4). Its
figures are those of the model at the same instant, and the arithmetic is that of `ipa.sim.rules`, so the gateway drops
the requests that the simulator drops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from ipa.live.serving.request import Batch, Request, RoutedReplica
from ipa.live.serving.stage_queue import StageHost, StageQueue
from ipa.policies import StageConfiguration
from ipa.sim import Lanes, rules


class Draws(Protocol):
    """For each request, by its number, a draw from [0, 1)."""

    def __getitem__(self, number: int, /) -> float: ...


class StageLanes:
    """One stage; it is the host of its queues. `plan` says what is in force in each lane."""

    def __init__(
        self,
        host: StageHost,
        wanted: StageConfiguration,
        most: int,
        draws: Draws,
        queue: Callable[[StageHost, int], StageQueue],
    ) -> None:
        """`queue` makes the one of a lane; there are `most`, as many as the stage has variants."""
        self._host = host
        self._draws = draws
        self._started = 0
        self.queues = [queue(self, lane) for lane in range(most)]
        self.plan = Lanes(wanted, most)
        self._adopt()

    # ---- configuration ----

    def put_in_force(self, parts: Mapping[int, StageConfiguration], now_s: float) -> None:
        """Put these parts in force in these lanes, as if they had always been. Requests that wait in another lane stay
        there; if that has no replica, as when the lanes of replicas were not known, they move to these lanes."""
        self.plan.put_in_force(parts, self._present)
        self._adopt()
        for queue in self.queues:
            if queue.lane not in parts and queue.waiting and not queue.replicas:
                moved: dict[int, list[Request]] = {}
                for request in queue.hand_over(now_s):
                    request.lane = self.plan.lane_of(self._draws[request.number])
                    moved.setdefault(request.lane, []).append(request)
                for lane, requests in moved.items():
                    self.queues[lane].put_back(requests, now_s)
                self._free_if_empty(queue.lane)

    def configure(self, wanted: StageConfiguration) -> None:
        """A decision: batch sizes and timeouts are in force at once, shares when its variants are ready."""
        self.plan.configure(wanted, [queue.ready for queue in self.queues], self._present)
        self._adopt()

    @property
    def _present(self) -> list[int]:
        return [queue.present for queue in self.queues]

    def _adopt(self) -> None:
        for queue, lane in zip(self.queues, self.plan.lanes, strict=True):
            queue.configure(lane.wanted)

    @property
    def in_force(self) -> dict[int, StageConfiguration]:
        """The configuration in force by lane, without free lanes; its replicas are those desired at present."""
        return {number: lane.in_force for number, lane in enumerate(self.plan.lanes) if lane.desired}

    @property
    def batch(self) -> int:
        """The largest batch size of the lanes that get requests."""
        return max(queue.batch for queue in self.open)

    @property
    def batch_timeout_s(self) -> float:
        """The longest batch timeout of the lanes that get requests."""
        return max(queue.batch_timeout_s for queue in self.open)

    @property
    def is_plain(self) -> bool:
        """Whether all requests go to the first lane."""
        return [queue.lane for queue in self.open] == [0]

    @property
    def open(self) -> list[StageQueue]:
        """The queues of the lanes that get requests."""
        return [self.queues[number] for number, _ in self.plan.table]

    # ---- replicas ----

    @property
    def replicas(self) -> list[RoutedReplica]:
        return [replica for queue in self.queues for replica in queue.replicas]

    def list_replicas(self, listed: Mapping[tuple[int, str], Callable[[], RoutedReplica]]) -> bool:
        """Set the replicas that may take batches (see `Router.list_replicas`); returns whether shares take effect by
        that."""
        made = [(key, create()) for key, create in listed.items()]
        wanted = {(*key, replica.lane): replica for key, replica in made}
        known = {(replica.number, replica.url, replica.lane): replica for replica in self.replicas}
        for key, replica in known.items():
            replica.is_listed = key in wanted
            if replica.is_listed:
                replica.cores, replica.max_batch = wanted[key].cores, wanted[key].max_batch
        for queue in self.queues:
            kept = [replica for replica in queue.replicas if replica.is_listed or replica.batch is not None]
            kept += [new for key, new in wanted.items() if key not in known and new.lane == queue.lane]
            queue.replicas = sorted(kept, key=lambda replica: replica.number)
        return self.note_ready()

    def note_ready(self) -> bool:
        """Take note of how many replicas are ready; returns whether shares take effect by that."""
        settled = [self.plan.readied(queue.lane, queue.ready) for queue in self.queues]
        return any(settled)

    def listed_parts(self) -> dict[int, StageConfiguration]:
        """The parts that follow from the listed replicas alone: each lane that has some serves their variant in batches
        of 1, with a share of the requests by their number. Empty if all are in the first lane, and were."""
        of = {
            queue.lane: listed
            for queue in self.queues
            if (listed := [replica for replica in queue.replicas if replica.is_listed])
        }
        if self.is_plain and not of.keys() - {0}:
            return {}
        total = sum(map(len, of.values()))
        return {
            lane: StageConfiguration(each[0].variant, 1, len(each), 0.0, each[0].cores, len(each) / total)
            for lane, each in of.items()
        }

    @property
    def can_serve(self) -> bool:
        """Whether there is a replica that can take batches, now or when it has finished one."""
        return any(queue.can_serve for queue in self.queues)

    def outage_s(self, now_s: float) -> float:
        """For how long no replica could take batches, as far as `expire` has seen."""
        return min(queue.outage_s(now_s) for queue in self.queues)

    # ---- requests ----

    def enqueue(self, requests: Sequence[Request], now_s: float) -> Sequence[int]:
        """Requests arrive at this stage, in order; returns the lanes that get some, which are to attempt."""
        table = self.plan.table
        if len(table) == 1:
            lane = table[0][0]
            self.queues[lane].enqueue(requests, now_s)
            return (lane,)
        parts: dict[int, list[Request]] = {}
        for request in requests:
            parts.setdefault(self.plan.lane_of(self._draws[request.number]), []).append(request)
        for lane, part in parts.items():
            self.queues[lane].enqueue(part, now_s)
        return sorted(parts)

    def attempt(self, now_s: float, lanes: Iterable[int] | None = None) -> None:
        """Start every batch that can start now in these lanes (None: in all)."""
        for lane in range(len(self.queues)) if lanes is None else lanes:
            self.queues[lane].attempt(now_s)
            self._free_if_empty(lane)

    def timer(self, now_s: float) -> None:
        """The moment that `wake` asked for has come; it may ring a little early."""
        due = [queue.lane for queue in self.queues if queue.timer_s <= now_s]
        self.attempt(now_s, due or [min(self.queues, key=lambda queue: queue.timer_s).lane])

    def expire(self, now_s: float) -> None:
        """Drop expired requests, and all that wait in a lane where no replica has served for too long."""
        for queue in self.queues:
            queue.look(now_s)
            queue.expire(now_s)
            self._free_if_empty(queue.lane)

    def _free_if_empty(self, lane: int) -> None:
        if self.plan.lanes[lane].is_closing and not self.queues[lane].present:
            self.plan.emptied(lane)

    def restart(self, now_s: float) -> None:
        """Number batches from 0 again; no request may be waiting, and time may go back."""
        self._started = 0
        for queue in self.queues:
            queue.restart(now_s)

    # ---- state ----

    @property
    def length(self) -> int:
        return sum(queue.length for queue in self.queues)

    @property
    def in_service(self) -> int:
        return sum(queue.in_service for queue in self.queues)

    def running_s(self, now_s: float) -> float:
        """How long the batches in service have been running, in seconds x replicas."""
        return sum(queue.running_s(now_s) for queue in self.queues)

    def request_s(self, now_s: float) -> float:
        """The integral over time of the requests present [requests x seconds]; it never falls."""
        return sum(queue.request_s(now_s) for queue in self.queues)

    # ---- the queues' host ----

    def start(self, batch: Batch) -> None:
        batch.number = self._started
        self._started += 1
        self._host.start(batch)

    def dropped(self, request: Request, now_s: float) -> None:
        self._host.dropped(request, now_s)

    def wake(self, stage: int, _: float) -> None:
        self._host.wake(stage, min([queue.timer_s for queue in self.queues]))


LatencyTable = Callable[[int, str, int], Sequence[float]]
"""Of a stage (its position), a variant and cores: the seconds for a batch of each size; index 0 is unused."""


class Deadlines:
    """The stays expected at every stage of a pipeline with this SLA; a hop between stages takes `network_delay_s`."""

    def __init__(self, sla_s: float, latency_s: LatencyTable, network_delay_s: float = 0.0) -> None:
        self.sla_s = sla_s
        self._latency_s = latency_s
        self._network_delay_s = network_delay_s
        self._batches: dict[tuple[int, int], tuple[int, float]] = {}

    def configure(self, stage: int, lane: int, wanted: StageConfiguration) -> None:
        """Another configuration is in force in a lane of a stage."""
        latency_s = self._latency_s(stage, wanted.variant, wanted.cores)
        full = rules.dispatch_size(wanted.batch, len(latency_s) - 1)
        self._batches[stage, lane] = full, latency_s[full]

    def limit_s(self, stage: int, lane: int, limit_s: float, stages: Sequence[StageLanes]) -> float:
        """The age limit [s] of a request about to be served in a lane of a stage whose drop limit is `limit_s`. At
        later stages, the lane with the shortest stay now counts (rule 11)."""
        ahead_s = self._stay_s(stage, lane, 0, stages[stage].queues[lane].ready)
        for following in range(stage + 1, len(stages)):
            ahead_s = ahead_s + self._network_delay_s + self._shortest_s(following, stages[following].open)
        return rules.deadline_limit_s(limit_s, self.sla_s, ahead_s)

    def _shortest_s(self, stage: int, queues: Sequence[StageQueue]) -> float:
        if len(queues) == 1:
            return self._stay_s(stage, queues[0].lane, len(queues[0].waiting), queues[0].ready)
        return min(self._stay_s(stage, each.lane, len(each.waiting), each.ready) for each in queues)

    def _stay_s(self, stage: int, lane: int, waiting: int, ready: int) -> float:
        full, latency_s = self._batches[stage, lane]
        return rules.stay_s(waiting, ready, full, latency_s)
