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

from ipa.policies import StageConfiguration, mix_of
from ipa.sim.model import IntArray
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
