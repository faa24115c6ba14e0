"""The compiled engine for runs that may mix variants: every lane of every stage is a row of the kernel's memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import streams
from ipa.sim.compiled.engine import CompiledEngine
from ipa.sim.compiled.jit import direct
from ipa.sim.compiled.kernel import OUT_OF_DRAWS, OUT_OF_ROOM
from ipa.sim.compiled.layout import Layout, layout_of
from ipa.sim.compiled.memory import EXISTING, Memory, RecordArray, allocate
from ipa.sim.compiled.mixed_kernel import (
    FINISHED,
    LANES,
    ROUTE,
    ROW,
    SETTLES,
    STAGE_OF_LANES,
    LaneMemory,
    advance_mixed,
)
from ipa.sim.compiled.stage import CompiledStage
from ipa.sim.interface import Handover
from ipa.sim.lanes import Lanes
from ipa.sim.merged import MergedStage
from ipa.sim.model import FloatArray, StageModel, World
from ipa.sim.rules import APPLICATION, NEVER


class CompiledLane(CompiledStage):
    """A lane in memory."""

    @property
    def served(self) -> int:
        return int(self._state["served"])

    @property
    def present(self) -> int:
        """How many requests wait or are served."""
        return int(self._state["present"])

    @property
    def is_free(self) -> bool:
        """Whether no replica is wanted."""
        return int(self._state["desired"]) == 0

    @property
    def ready(self) -> int:
        """How many of its replicas are ready."""
        existing = self.memory.numbers[self._row, EXISTING]
        ready_s = self.memory.replicas["ready_s"][self._row, existing[1 : 1 + existing[0]]]
        return int(np.count_nonzero(ready_s < NEVER))


class MixedStage(MergedStage):
    """A stage of lanes."""

    def __init__(
        self,
        position: int,
        model: StageModel,
        arrivals_s: FloatArray,
        configuration: StageConfiguration,
        memory: Memory,
        layout: Layout,
        lanes: LaneMemory,
        deadlines: RecordArray | None,
    ) -> None:
        super().__init__(position, model, arrivals_s, Lanes(configuration, len(model.start_up_s)))
        most = int(lanes.lanes[0]["most"])
        self._first_row = position * most
        self.lanes = [
            CompiledLane(position, model, memory, layout, self._first_row + number) for number in range(most)
        ][: len(self.plan.lanes)]
        self._state = lanes
        self._deadlines = deadlines

    @property
    def rows(self) -> Sequence[CompiledLane]:
        return self.lanes

    def replica_counts(self, now_s: float) -> Mapping[str, ReplicaCounts]:
        return self.lanes[0]._replica_counts()  # counted by variant over all lanes

    def start(self) -> None:
        """Make the initial configuration ready."""
        for lane, planned in zip(self.lanes, self.plan.lanes, strict=True):
            lane.start(planned.in_force)
        self._write()

    def configure(self, configuration: StageConfiguration, now_s: float, *, resizes: bool) -> None:
        """Note a decision that takes effect now, for the kernel to carry out."""
        self._note_free()
        self.plan.configure(configuration, [lane.ready for lane in self.lanes], [lane.present for lane in self.lanes])
        self._adopt(now_s)
        if resizes:
            for lane in self.lanes:
                lane.resize(now_s)

    def readied(self, row: int, ready: int, now_s: float) -> bool:
        """A replica of a cold lane is ready; whether the stage's lanes have to be rolled out."""
        self._note_free()
        settles = self.plan.readied(row - self._first_row, ready)
        if settles:
            self._adopt(now_s)
        else:
            self._write()
        return settles

    def _note_free(self) -> None:
        for number, lane in enumerate(self.lanes):
            if lane.is_free:
                self.plan.emptied(number)

    def _adopt(self, now_s: float) -> None:
        for number, (lane, planned) in enumerate(zip(self.lanes, self.plan.lanes, strict=True)):
            lane.configure(planned.in_force, now_s)
            self._state.rows["rolls"][self._first_row + number] = True
        self._write()

    def _write(self) -> None:
        for number, planned in enumerate(self.plan.lanes):
            row = self._state.rows[self._first_row + number]
            row["is_cold"] = planned.is_asked and not planned.is_warm
            row["closes"] = planned.is_closing
        table = self.plan.table
        self._state.stages[self.position]["routes"] = len(table)
        for place, (number, until) in enumerate(table):
            self._state.routes[self.position, place] = (self._first_row + number, until)
        if self._deadlines is not None:
            for number, (lane, planned) in enumerate(zip(self.lanes, self.plan.lanes, strict=True)):
                deadline = self._deadlines[self._first_row + number]
                deadline["full"], deadline["latency_s"] = lane.full_batch()
                deadline["gets_requests"] = planned.gets_requests


class MixedCompiledEngine(CompiledEngine):
    """The compiled engine with lanes. It hands over everything at the end."""

    stages: tuple[MixedStage, ...]

    def __init__(
        self,
        models: Sequence[StageModel],
        world: World,
        arrivals_s: FloatArray,
        initial: Mapping[str, StageConfiguration],
        seed: int,
        receive: Callable[[Handover], object] | None = None,
    ) -> None:
        self._receive = receive
        self._prepare(world, arrivals_s)
        layout = layout_of(models)
        most = max(len(model.start_up_s) for model in models)
        keys = [(position, lane) for position in range(len(models)) for lane in range(most)]
        self._normals = [streams.normal_blocks(streams.stream(seed, "service", *key)) for key in keys]
        self._start_up_factors = [
            streams.start_up_factors(seed, position, world.start_up_sigma, lane) for position, lane in keys
        ]
        is_eager = world.dispatch == "eager"
        self._memory, self._waiting = allocate(
            len(arrivals_s), len(keys), layout.rows, layout.service, layout.beside, layout.variants, is_eager=is_eager
        )
        self._lanes = _lane_memory(len(models), most, len(arrivals_s))
        for position in range(len(models)):
            self._lanes.draws[position] = streams.stream(seed, "mix", position).random(len(arrivals_s))
        self._write_world()
        self._deadlines = self._find_deadlines(models, most)
        self._kernel = direct(advance_mixed, 0.0, 0, self._memory, self._waiting, self._deadlines, self._lanes)
        self.stages = tuple(
            MixedStage(
                position, model, arrivals_s, initial[model.name], self._memory, layout, self._lanes, self._deadlines
            )
            for position, model in enumerate(models)
        )
        self._make_room(max(part.replicas for wanted in initial.values() for part in wanted.parts))
        for stage in self.stages:
            stage.start()
        self._memory.stages["timer_s"] = NEVER  # also of rows that are no lane
        self._memory.stages["draw"] = streams.BLOCK
        self._memory.stages["attempts"] = True
        self._memory.arrivals_s[:] = arrivals_s
        self._run["open"] = len(arrivals_s)

    def steps(self, control_times_s: Any) -> Any:
        """Run to the end, stopping at each of the times, which must rise; yields the time it stands at."""
        yield from super().steps(control_times_s)
        if self._receive is not None:
            for stage in self.stages:
                self._receive(stage.handover(self.end_s))

    def _configure(self, configuration: Mapping[str, StageConfiguration]) -> None:
        in_turn = self._deadlines is not None or self.world.interference
        for stage in self.stages:
            stage.configure(configuration[stage.model.name], self.now_s, resizes=self.world.resize == "in_place")
            self._applies_to[0] = len(self.stages)
            if in_turn:
                # A stage looks at the others before those that follow have their new configuration.
                self._advance(self.now_s, APPLICATION)

    def _advance(self, time_s: float, rank: int) -> int:
        while True:
            status = self._kernel(time_s, rank, self._memory, self._waiting, self._deadlines, self._lanes)
            if status == OUT_OF_DRAWS:
                self._draw()
            elif status == OUT_OF_ROOM:
                desired = int(self._memory.stages["desired"].max())
                self._make_room(max(self._memory.room, desired))
            elif status == SETTLES:
                self._settle()
            else:
                return status

    def _settle(self) -> None:
        state = self._lanes.lanes[0]
        row = int(state["row"])
        stage = self.stages[row // int(state["most"])]
        if stage.readied(row, int(state["ready"]), float(self._run["now_s"])):
            self._applies_to[0] = len(self.stages)

    def _use(self, memory: Memory) -> None:
        self._memory = memory
        for stage in self.stages:
            for lane in stage.lanes:
                lane.memory = memory


def _lane_memory(stages: int, most: int, requests: int) -> LaneMemory:
    lanes = np.zeros(1, LANES)
    lanes["most"] = most
    return LaneMemory(
        lanes=lanes,
        rows=np.zeros(stages * most, ROW),
        stages=np.zeros(stages, STAGE_OF_LANES),
        routes=np.zeros((stages, most), ROUTE),
        draws=np.empty((stages, requests)),
        finished=np.empty((stages, requests), FINISHED),
    )
