"""The lanes of a stage: how a mix of variants takes effect, and to which lane a request goes (rule 11).

A lane is a queue with replicas, served and rolled out like a stage of one variant. A decision consists of *parts*, one
for each variant of a stage, and each part gets a lane. The rule is written once (`Lanes`) for both engines and the
gateway. Control steps and records read a stage with several lanes as one (`MergedStage`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from ipa.policies import StageConfiguration, mix_of
from ipa.sim.interface import Batches, Drops, EngineStage, Replicas, Resizes, Seen
from ipa.sim.model import IntArray, RunInput
from ipa.sim.rules import NEVER


@dataclass(slots=True)
class Lane:
    """One lane: its configuration as decided, and the number of replicas desired for now (0: the lane is free).

    `is_asked`: whether the latest decision has a part for it. `is_warm`: whether all its replicas have been ready.
    `gets_requests`: whether new requests go to it.
    """

    wanted: StageConfiguration
    desired: int = 0
    is_asked: bool = False
    is_warm: bool = False
    gets_requests: bool = False

    @property
    def in_force(self) -> StageConfiguration:
        """Its configuration with the number of replicas desired for now."""
        return replace(self.wanted, replicas=self.desired)

    @property
    def is_closing(self) -> bool:
        """Whether it only serves the requests that it still has; without any, it becomes free."""
        return self.desired > 0 and not self.is_asked and not self.gets_requests


class Lanes:
    """The lanes of one stage. `most`: their number, which is that of the stage's variants."""

    def __init__(self, initial: StageConfiguration, most: int) -> None:
        """`initial`: the configuration that is ready at the start."""
        self.configuration = initial
        unused = replace(initial.parts[0], replicas=0, share=1.0)
        self.lanes = [Lane(unused) for _ in range(most)]
        self._asked: list[int] = []
        self.table: tuple[tuple[int, float], ...] = ()
        """The lanes that get requests, each with the cumulative share up to and including it; infinity for the last."""
        self.put_in_force(dict(enumerate(initial.parts)))

    def put_in_force(self, parts: Mapping[int, StageConfiguration], present: Sequence[int] = ()) -> None:
        """Put these parts into force in these lanes at once, as if they had always been.

        `present`: the requests in each lane (empty: none). A lane with requests but without a part closes.
        """
        self.configuration = mix_of(list(parts.values()))
        self._asked = []
        for number, lane in enumerate(self.lanes):
            lane.is_asked = False
            lane.desired = max(lane.desired, 1) if present and present[number] else 0
        for number, part in parts.items():
            self._ask(number, part, part.replicas)
            self.lanes[number].is_warm = True
        self._settle()

    def configure(self, wanted: StageConfiguration, ready: Sequence[int], present: Sequence[int]) -> None:
        """Put a decision into effect. `ready` replicas and `present` requests: by lane."""
        was_mix, asked_before = self.configuration.is_mix, self._asked
        for number, lane in enumerate(self.lanes):
            if lane.is_closing and not present[number]:
                lane.desired = 0
        of_variant = {lane.wanted.variant: number for number, lane in enumerate(self.lanes) if lane.desired}
        for lane in self.lanes:
            lane.is_asked = False
        self.configuration, self._asked = wanted, []
        fresh: list[StageConfiguration] = []
        places: dict[str, int] = {}
        for part in wanted.parts:
            if part.variant in of_variant:
                places[part.variant] = of_variant[part.variant]
            elif not was_mix and not wanted.is_mix:
                places[part.variant] = asked_before[0]  # one variant replaces another: a rollout by rule 5
            else:
                fresh.append(part)
        free = (number for number, lane in enumerate(self.lanes) if not lane.desired)
        places |= {part.variant: number for part, number in zip(fresh, free, strict=False)}
        for part in wanted.parts:
            number = places[part.variant]
            lane = self.lanes[number]
            lane.is_warm = lane.is_warm and lane.desired > 0
            self._ask(number, part, max(lane.desired, part.replicas) if lane.is_warm else part.replicas)
            lane.is_warm = lane.is_warm or ready[number] >= lane.desired
        self._settle_if_warm()
        for number, lane in enumerate(self.lanes):
            if lane.is_closing and not present[number]:
                lane.desired = 0

    def readied(self, number: int, ready: int) -> bool:
        """Note that a lane has another ready replica, `ready` in all; returns whether the decision now takes effect."""
        lane = self.lanes[number]
        if lane.is_warm or not lane.is_asked or ready < lane.desired:
            return False
        lane.is_warm = True
        return self._settle_if_warm()

    def emptied(self, number: int) -> None:
        """Note that a closing lane has no more requests: it is free."""
        self.lanes[number].desired = 0

    def lane_of(self, draw: float) -> int:
        """The lane of a request with this draw, in [0, 1)."""
        return next(number for number, until in self.table if draw < until)

    def _ask(self, number: int, part: StageConfiguration, desired: int) -> None:
        lane = self.lanes[number]
        lane.wanted, lane.desired, lane.is_asked = part, desired, True
        self._asked.append(number)

    def _settle_if_warm(self) -> bool:
        if not all(self.lanes[number].is_warm for number in self._asked):
            return False
        self._settle()
        return True

    def _settle(self) -> None:
        """Apply the shares and the numbers of replicas from now on; lanes without a part close."""
        for lane in self.lanes:
            lane.gets_requests = lane.is_asked
            if lane.is_asked:
                lane.desired = lane.wanted.replicas
        sums = list(accumulate(self.lanes[number].wanted.share for number in self._asked))
        sums[-1] = NEVER
        self.table = tuple(zip(self._asked, sums, strict=True))


class LaneLogs(NamedTuple):
    """The lane of each replica of a stage, by number, and the batch sizes in force in each lane."""

    lane: IntArray
    configured: tuple[tuple[tuple[float, int], ...], ...]


class MergedStage:
    """An `EngineStage` made of lanes; the engines' subclasses run it.

    Batches are numbered by start, replicas by creation; ties go to the lower lane.
    """

    def __init__(self, given: RunInput, position: int, initial: StageConfiguration) -> None:
        self.position = position
        self.model = given.models[position]
        self.plan = Lanes(initial, len(self.model.start_up_s))
        self._arrivals_s = given.arrivals_s
        self._read: list[int] = []

    @property
    def rows(self) -> Sequence[EngineStage]:
        """The engine's stages of the lanes."""
        raise NotImplementedError

    def seen(self, now_s: float) -> Seen:
        """What a control step at `now_s`, the engine's current time, sees of the stage."""
        raise NotImplementedError

    # ---- what control steps and records read: sim.interface.EngineStage ----

    @property
    def is_entry(self) -> bool:
        return self.position == 0

    @property
    def configuration(self) -> StageConfiguration:
        return self.plan.configuration

    @property
    def configured(self) -> Sequence[tuple[float, int]]:
        return self.rows[0].configured

    @property
    def enqueued(self) -> int:
        return len(self._arrivals_s) if self.position == 0 else sum(row.enqueued for row in self.rows)

    @property
    def completions(self) -> int:
        return sum(row.completions for row in self.rows)

    @property
    def dropped(self) -> int:
        return sum(row.dropped for row in self.rows)

    @property
    def enqueued_sum_s(self) -> float:
        if self.position == 0:
            return float(self._arrivals_s.sum())
        return sum(row.enqueued_sum_s for row in self.rows)

    @property
    def left_sum_s(self) -> float:
        return sum(row.left_sum_s for row in self.rows)

    def batch_log(self, since: int = 0) -> Batches:
        """All batches in order of start if `since` is 0, else those that no earlier call has returned."""
        read = self._read if since else [0] * len(self.rows)
        logs = [row.batch_log(first) for row, first in zip(self.rows, read, strict=True)]
        self._read = [first + len(log.size) for first, log in zip(read, logs, strict=True)]
        numbers = self._numbers()
        return _by_start([log._replace(replica=of[log.replica]) for log, of in zip(logs, numbers, strict=True)])

    def drop_log(self, since: int = 0) -> Drops:
        logs = [row.drop_log() for row in self.rows]
        order = np.argsort(np.concatenate([log.dropped_s for log in logs]), kind="stable")[since:]
        return Drops(*(np.concatenate(column)[order] for column in zip(*logs, strict=True)))

    def replica_log(self) -> Replicas:
        logs = [row.replica_log() for row in self.rows]
        order = _by_creation(logs)
        numbers = self._numbers()
        resizes = [
            (log.resizes.time_s, number, of[log.resizes.replica], log.resizes.cores_before, log.resizes.cores)
            for number, (log, of) in enumerate(zip(logs, numbers, strict=True))
        ]
        times_s, _, replicas, before, after = zip(*resizes, strict=True)
        in_time = np.argsort(np.concatenate(times_s), kind="stable")
        variants = [variant for log in logs for variant in log.variant]
        return Replicas(
            tuple(variants[place] for place in order.tolist()),
            np.concatenate([log.cores for log in logs])[order],
            np.concatenate([log.created_s for log in logs])[order],
            np.concatenate([log.ready_s for log in logs])[order],
            np.concatenate([log.removed_s for log in logs])[order],
            np.concatenate([log.finish_s for log in logs])[order],
            Resizes(*(np.concatenate(column)[in_time] for column in (replicas, times_s, before, after))),
        )

    def lane_logs(self) -> LaneLogs:
        """The lane of each replica, and the batch sizes in force in each lane."""
        logs = [row.replica_log() for row in self.rows]
        lane = np.repeat(np.arange(len(logs)), [len(log.variant) for log in logs])
        return LaneLogs(lane[_by_creation(logs)], tuple(tuple(row.configured) for row in self.rows))

    def _numbers(self) -> list[IntArray]:
        """For each lane, the numbers of its replicas at the stage."""
        logs = [row.replica_log() for row in self.rows]
        order = _by_creation(logs)
        number = np.empty(len(order), dtype=np.int64)
        number[order] = np.arange(len(order))
        return np.split(number, np.cumsum([len(log.variant) for log in logs])[:-1])


def _by_creation(logs: Sequence[Replicas]) -> IntArray:
    """The order of creation of the replicas of all lanes, as indices into the lanes' joined logs."""
    return np.argsort(np.concatenate([log.created_s for log in logs]), kind="stable")


def _by_start(logs: Sequence[Batches]) -> Batches:
    """The batches of all lanes in order of their start."""
    requests, size, start_s, finish_s, replica = (np.concatenate(column) for column in zip(*logs, strict=True))
    order = np.argsort(start_s, kind="stable")
    first = (np.cumsum(size) - size)[order]
    size = size[order]
    member = np.arange(len(requests)) + np.repeat(first - (np.cumsum(size) - size), size)
    return Batches(requests[member], size, start_s[order], finish_s[order], replica[order])
