"""A stage in the kernel's memory, as control steps and records read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import rules
from ipa.sim.compiled.lanes import LaneMemory
from ipa.sim.compiled.memory import EXISTING, IDLE, Layout, Memory, RecordArray
from ipa.sim.interface import Batches, Drops, Replicas, Resize, Resizes, Seen
from ipa.sim.lanes import MergedStage
from ipa.sim.model import RunInput, StageModel
from ipa.sim.rules import NEVER


class CompiledStage:
    """One row of the memory: a stage with one lane, which is an `EngineStage`, or one of a stage's lanes.

    Logs are copies, so that they outlive the run.
    """

    configuration: StageConfiguration

    def __init__(
        self, position: int, model: StageModel, memory: Memory, layout: Layout, row: int | None = None
    ) -> None:
        """`row`: its row of the memory; default: its position."""
        self.position = position
        self._row = position if row is None else row
        self.model = model
        self.configured: list[tuple[float, int]] = []
        self._written: StageConfiguration | None = None  # the configuration in memory
        self._resizes: list[Resize] = []
        self.memory = memory
        self._options = layout.options
        self._numbers = layout.numbers[position]
        first = layout.first_variants[position]
        self._variants = layout.variant_numbers[position]
        self._tally = memory.tally[first : first + len(self._variants)]
        self._tallied: list[list[int]] = []
        self._replicas: Mapping[str, ReplicaCounts] = {}  # of the counts in `_tallied`
        self._state = memory.stages[self._row]
        self._wanted = memory.stages[["option", "variant", "batch", "desired", "batch_timeout_s"]][self._row :]
        self._counts = memory.counts[position]
        self._state["limit_s"] = model.drop_limit_s

    def start(self, configuration: StageConfiguration) -> None:
        """Make a configuration ready at the start."""
        self.configure(configuration, 0.0)
        count = configuration.replicas
        self._state["replicas"] = self._state["ready"] = count
        replicas = self.memory.replicas[self._row, :count]
        replicas["removed_s"] = NEVER
        replicas["option"] = self._state["option"]
        replicas["batch"] = replicas["first"] = -1
        for row in (EXISTING, IDLE):
            self.memory.numbers[self._row, row, : 1 + count] = [count, *range(count)]

    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """Note a decision that takes effect now, for the kernel to carry out."""
        self.configured.append((now_s, configuration.batch))
        if configuration is self._written:
            return
        self.configuration = self._written = configuration
        variant = configuration.variant
        self._wanted[0] = (  # at once: writing a single field takes longer than writing all together
            self._numbers[variant, configuration.cores],
            self._variants[variant],
            configuration.batch,
            configuration.replicas,
            configuration.batch_timeout_s,
        )

    def resize(self, now_s: float) -> None:
        """Give the configured cores to existing replicas of the configured variant."""
        wanted, existing = self.configuration, self.memory.numbers[self._row, EXISTING]
        for number in existing[1 : 1 + existing[0]].tolist():
            replica = self.memory.replicas[self._row, number]
            option = self._options[replica["option"]]
            if option.variant == wanted.variant and option.cores != wanted.cores:
                replica["option"] = self._state["option"]
                self._resizes.append(Resize(number, now_s, option.cores, wanted.cores))

    def use(self, memory: Memory) -> None:
        """Continue with another memory of the same content."""
        self.memory = memory

    def tell(self, deadlines: RecordArray) -> None:
        """By deadline: write the size and latency of a full batch of the configuration into `deadlines`."""
        wanted, deadline = self.configuration, deadlines[self._row]
        service = self.model.service[wanted.variant, wanted.cores]
        full = rules.dispatch_size(wanted.batch, service.max_batch)
        deadline["full"], deadline["latency_s"] = full, service.latency_s[full]

    # ---- what control steps and records read ----

    @property
    def is_entry(self) -> bool:
        return self.position == 0

    @property
    def enqueued(self) -> int:
        return int(self._state["tail"])

    @property
    def completions(self) -> int:
        return int(self._state["completions"])

    @property
    def dropped(self) -> int:
        return int(self._state["drops"])

    @property
    def failed(self) -> int:
        return int(self._state["failed"])

    @property
    def interrupted(self) -> int:
        """How many of the failed requests were in service."""
        return int(self._state["interrupted"])

    @property
    def enqueued_sum_s(self) -> float:
        return float(self._state["enqueued_sum_s"])

    @property
    def left_sum_s(self) -> float:
        return float(self._state["left_sum_s"])

    def seen(self, now_s: float) -> Seen:
        return self._seen_of(*self._counts.tolist())  # counted by the kernel when it stopped, which is now

    def _seen_of(
        self, before: int, by_now: int, served: int, completions: int, drops: int, failed: int, interrupted: int
    ) -> Seen:
        served -= interrupted
        waiting, replicas = rules.waiting(by_now, drops, served), self._replica_counts()
        return Seen(before, completions, drops - failed, waiting, served - completions, replicas, failed)

    def _replica_counts(self) -> Mapping[str, ReplicaCounts]:
        """How many replicas of each variant the stage has in each state, over all its lanes."""
        counts = self._tally.tolist()
        if counts != self._tallied:
            self._tallied = counts
            self._replicas = {
                variant: ReplicaCounts(*states)
                for variant, states in zip(self._variants, counts, strict=True)
                if any(states)
            }
        return self._replicas

    def batch_log(self, since: int = 0) -> Batches:
        log = self.memory.batches[self._row, : self._state["batches"]]
        begin = int(log["end"][since - 1]) if since else 0
        log = log[since:]
        return Batches(
            requests=self.memory.served[self._row, begin : self._state["served"]].astype(np.int64),
            size=np.diff(log["end"], prepend=begin).astype(np.int64),
            start_s=log["start_s"].copy(),
            finish_s=log["finish_s"].copy(),
            replica=log["replica"].astype(np.int64),
        )

    def drop_log(self, since: int = 0) -> Drops:
        log = self.memory.drops[self._row, since : self._state["drops"]]
        return Drops(log["request"].astype(np.int64), log["dropped_s"].copy(), log["finish_s"].copy())

    def replica_log(self) -> Replicas:
        log = self.memory.replicas[self._row, : self._state["replicas"]]
        options = [self._options[number] for number in log["option"].tolist()]
        resizes = Resizes.of(self._resizes)
        return Replicas(
            variant=tuple(option.variant for option in options),
            cores=resizes.at_creation(np.array([option.cores for option in options], dtype=np.int64)),
            created_s=log["created_s"].copy(),
            ready_s=log["ready_s"].copy(),
            removed_s=log["removed_s"].copy(),
            finish_s=log["finish_s"].copy(),
            resizes=resizes,
        )


class MixedStage(MergedStage):
    """A stage with several lanes. Its first row is its position times the most lanes that a stage has."""

    def __init__(
        self,
        given: RunInput,
        position: int,
        initial: StageConfiguration,
        memory: Memory,
        layout: Layout,
        lanes: LaneMemory,
    ) -> None:
        super().__init__(given, position, initial)
        self._first = position * lanes.routes.shape[1]
        self._memory = lanes
        self._state = memory.stages[self._first : self._first + len(self.plan.lanes)]
        self._lanes = [
            CompiledStage(position, self.model, memory, layout, self._first + number)
            for number in range(len(self.plan.lanes))
        ]

    @property
    def rows(self) -> Sequence[CompiledStage]:
        return self._lanes

    def seen(self, now_s: float) -> Seen:
        return self._lanes[0].seen(now_s)  # the kernel counts over all lanes

    def start(self, configuration: StageConfiguration) -> None:
        """Make the initial configuration of the plan ready."""
        for lane, planned in zip(self._lanes, self.plan.lanes, strict=True):
            lane.start(planned.in_force)
        self._write()

    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """Note a decision that takes effect now, for the kernel to carry out."""
        self._note_free()
        self.plan.configure(configuration, self._state["ready"].tolist(), self._state["present"].tolist())
        self._adopt(now_s)

    def settle(self, row: int, now_s: float) -> bool:
        """Note that a cold lane has all its replicas ready; returns whether the stage must be rolled out."""
        self._note_free()
        number = row - self._first
        settles = self.plan.readied(number, int(self._state["ready"][number]))
        if settles:
            self._adopt(now_s)
        else:
            self._write()
        return settles

    def resize(self, now_s: float) -> None:
        for lane in self._lanes:
            lane.resize(now_s)

    def tell(self, deadlines: RecordArray) -> None:
        for number, (lane, planned) in enumerate(zip(self._lanes, self.plan.lanes, strict=True), self._first):
            lane.tell(deadlines)
            deadlines["gets_requests"][number] = planned.gets_requests

    def use(self, memory: Memory) -> None:
        for lane in self._lanes:
            lane.use(memory)

    def _note_free(self) -> None:
        for number, desired in enumerate(self._state["desired"].tolist()):
            if not desired:
                self.plan.emptied(number)

    def _adopt(self, now_s: float) -> None:
        for lane, planned in zip(self._lanes, self.plan.lanes, strict=True):
            lane.configure(planned.in_force, now_s)
        self._write()

    def _write(self) -> None:
        """Write the plan into the kernel's memory."""
        for number, planned in enumerate(self.plan.lanes, self._first):
            self._memory.rows[number] = (planned.is_asked and not planned.is_warm, planned.is_closing)
        for place, (number, until) in enumerate(self.plan.table):
            self._memory.routes[self.position, place] = (self._first + number, until)
