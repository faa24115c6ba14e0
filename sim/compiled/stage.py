"""A stage in the kernel's memory, as control steps and records read it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import rules
from ipa.sim.compiled.layout import Layout
from ipa.sim.compiled.memory import EXISTING, IDLE, Memory
from ipa.sim.interface import Batches, Drops, Replicas, Seen
from ipa.sim.model import StageModel
from ipa.sim.resizes import Resize, Resizes
from ipa.sim.rules import NEVER


class CompiledStage:
    """One stage of a run: a `EngineStage`. What is read is copied, so that it outlives the run.

    `row`: where it is in memory, which for a lane is not at its stage's position.
    """

    configuration: StageConfiguration

    def __init__(
        self, position: int, model: StageModel, memory: Memory, layout: Layout, row: int | None = None
    ) -> None:
        self.position = position
        self._row = position if row is None else row
        self.model = model
        self.configured: list[tuple[float, int]] = []
        self._written: StageConfiguration | None = None  # the one in memory
        self._resizes: list[Resize] = []
        self.memory = memory
        self._options = layout.options
        self._numbers = layout.numbers[position]
        first = layout.first_variants[position]
        self._variants = layout.variant_numbers[position]
        self._tally = memory.tally[first : first + len(self._variants)]
        self._tallied: list[list[int]] = []
        self._replicas: Mapping[str, ReplicaCounts] = {}  # as of the latest look
        self._state = memory.stages[self._row]
        self._wanted = memory.stages[["option", "variant", "batch", "desired", "batch_timeout_s"]][self._row :]
        self._counts = memory.counts[self._row]
        self._state["limit_s"] = model.drop_limit_s
        self._state["timer_s"] = NEVER
        self._state["chosen"] = self._state["freed"] = -1

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
        self._wanted[0] = (  # in one go, as each field by itself takes longer than all of them
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

    def full_batch(self) -> tuple[int, float]:
        """A whole batch of the configured variant, and how long it takes."""
        wanted = self.configuration
        service = self.model.service[wanted.variant, wanted.cores]
        full = rules.dispatch_size(wanted.batch, service.max_batch)
        return full, service.latency_s[full]

    # ---- what control steps and records read ----

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
        """Of the failed, those in service."""
        return int(self._state["interrupted"])

    @property
    def enqueued_sum_s(self) -> float:
        return float(self._state["enqueued_sum_s"])

    @property
    def left_sum_s(self) -> float:
        return float(self._state["left_sum_s"])

    def seen(self, now_s: float) -> Seen:
        return self._seen_of(*self._counts.tolist())

    def _seen_of(
        self, before: int, by_now: int, served: int, completions: int, drops: int, failed: int, interrupted: int
    ) -> Seen:
        served -= interrupted
        waiting, replicas = rules.waiting(by_now, drops, served), self._replica_counts()
        return Seen(before, completions, drops - failed, waiting, served - completions, replicas, failed)

    def _replica_counts(self) -> Mapping[str, ReplicaCounts]:
        counts = self._tally.tolist()  # the kernel counted when it stopped, which is now
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

    def drop_log(self) -> Drops:
        log = self.memory.drops[self._row, : self._state["drops"]]
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
