"""The lanes of a stage: how a mix of variants is put into effect, and to which lane a request goes (rule 11).

A lane is a queue with replicas, served and rolled out as a stage of one variant is. What a decision asks of a stage is
its *parts*, one for each variant, and each gets a lane. The rule is written once (`Lanes`) for both engines and the
gateway. Control steps and records read a stage of several lanes as one (`MergedStage`).
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
    """One lane: what is wanted of it, and how many replicas are desired for now (0: it is free).

    `is_asked`: whether the latest decision has a part for it. `is_warm`: whether it has had all its replicas ready.
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
        """Whether it only serves what it still has; it is free as soon as no request is there."""
        return self.desired > 0 and not self.is_asked and not self.gets_requests


class Lanes:
    """The lanes of one stage. `most`: how many there are, as many as the stage has variants."""

    def __init__(self, initial: StageConfiguration, most: int) -> None:
        """`initial`: what stands ready at the start."""
        self.configuration = initial
        unused = replace(initial.parts[0], replicas=0, share=1.0)
        self.lanes = [Lane(unused) for _ in range(most)]
        self._asked: list[int] = []
        self.table: tuple[tuple[int, float], ...] = ()
        """The lanes that get requests, each with the sum of the shares up to it; infinity for the last."""
        self.stand(dict(enumerate(initial.parts)))

    def stand(self, parts: Mapping[int, StageConfiguration], present: Sequence[int] = ()) -> None:
        """These parts are in force in these lanes, as if they always had been.

        `present`: how many requests each lane has (empty: none has any). A lane that has some and no part closes.
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
        """A decision takes effect; `ready` replicas and `present` requests of each lane."""
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
                places[part.variant] = asked_before[0]  # one variant follows another: a rollout as by rule 5
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
        """Another replica of a lane is ready, `ready` in all; whether the decision now takes effect as a whole."""
        lane = self.lanes[number]
        if lane.is_warm or not lane.is_asked or ready < lane.desired:
            return False
        lane.is_warm = True
        return self._settle_if_warm()

    def emptied(self, number: int) -> None:
        """A closing lane has no more requests, and is free."""
        self.lanes[number].desired = 0

    def lane_of(self, draw: float) -> int:
        """The lane of a request with a draw from [0, 1)."""
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
        """The shares hold from now on, and lanes may shrink; those that are no longer asked for close."""
        for lane in self.lanes:
            lane.gets_requests = lane.is_asked
            if lane.is_asked:
                lane.desired = lane.wanted.replicas
        sums = list(accumulate(self.lanes[number].wanted.share for number in self._asked))
        sums[-1] = NEVER
        self.table = tuple(zip(self._asked, sums, strict=True))


class LaneLogs(NamedTuple):
    """Of which lane each replica of a stage is, by number, and the batch sizes in force at each lane."""

    lane: IntArray
    configured: tuple[tuple[tuple[float, int], ...], ...]


class MergedStage:
    """An `EngineStage` made of lanes; the engines add what drives it.

    Batches are numbered by start and replicas by creation; of equal ones, those of the lower lane come first.
    """

    def __init__(self, given: RunInput, position: int, initial: StageConfiguration) -> None:
        self.position = position
        self.model = given.models[position]
        self.plan = Lanes(initial, len(self.model.start_up_s))
        self._arrivals_s = given.arrivals_s
        self._read: list[int] = []

    @property
    def rows(self) -> Sequence[EngineStage]:
        """The lanes in the engine."""
        raise NotImplementedError

    def seen(self, now_s: float) -> Seen:
        """What a control step at `now_s`, where the engine stands, sees of the stage."""
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
        """All batches in order (since 0); else those that no earlier call has given, which come after it."""
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
        """Which replica is of which lane, and what was in force there."""
        logs = [row.replica_log() for row in self.rows]
        lane = np.repeat(np.arange(len(logs)), [len(log.variant) for log in logs])
        return LaneLogs(lane[_by_creation(logs)], tuple(tuple(row.configured) for row in self.rows))

    def _numbers(self) -> list[IntArray]:
        """For each lane, the number at the stage of each of its replicas."""
        logs = [row.replica_log() for row in self.rows]
        order = _by_creation(logs)
        number = np.empty(len(order), dtype=np.int64)
        number[order] = np.arange(len(order))
        return np.split(number, np.cumsum([len(log.variant) for log in logs])[:-1])


def _by_creation(logs: Sequence[Replicas]) -> IntArray:
    """The replicas of all lanes, lane after lane, in order of creation."""
    return np.argsort(np.concatenate([log.created_s for log in logs]), kind="stable")


def _by_start(logs: Sequence[Batches]) -> Batches:
    """The batches of all lanes in order of their start."""
    requests, size, start_s, finish_s, replica = (np.concatenate(column) for column in zip(*logs, strict=True))
    order = np.argsort(start_s, kind="stable")
    first = (np.cumsum(size) - size)[order]
    size = size[order]
    member = np.arange(len(requests)) + np.repeat(first - (np.cumsum(size) - size), size)
    return Batches(requests[member], size, start_s[order], finish_s[order], replica[order])
