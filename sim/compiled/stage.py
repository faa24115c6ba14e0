"""A stage in the kernel's memory, as control steps and records read it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ipa.policies import ReplicaCounts, StageConfiguration
from ipa.sim import rules
from ipa.sim.compiled.memory import DRAINING, EXISTING, IDLE, KernelMemory, RecordArray, ReplicaKinds
from ipa.sim.interface import Batches, Drops, Held, Replicas, RoomLack, Seen, StepLog, TokenLog
from ipa.sim.model import CORES, GPUS, StageModel
from ipa.sim.rules import NEVER

_BUDGETS = {CORES: "budget_cores", GPUS: "budget_gpus"}


class CompiledStage:
    """An `EngineStage` of which the kernel's memory holds the state. Logs are copies, so that they outlive the run."""

    configuration: StageConfiguration

    def __init__(self, position: int, model: StageModel, memory: KernelMemory, layout: ReplicaKinds) -> None:
        self.position = position
        self.model = model
        self.configured: list[tuple[float, int]] = []
        self._written: StageConfiguration | None = None  # the configuration in memory
        self.memory = memory
        self._options = layout.options
        self._numbers = layout.numbers[position]
        first = layout.first_variants[position]
        self._variants = layout.variant_numbers[position]
        self._tally = memory.tally[first : first + len(self._variants)]
        self._tallied: list[list[int]] = []
        self._replicas: Mapping[str, ReplicaCounts] = {}  # of the counts in `_tallied`
        self._state = memory.stages[self.position]
        self._desired = memory.stages[["option", "variant", "batch", "desired", "batch_timeout_s"]][self.position :]
        self._counts = memory.counts[position]
        self._state["limit_s"] = model.drop_limit_s

    def start(self, configuration: StageConfiguration) -> None:
        """Make a configuration ready at the start."""
        self.configure(configuration, 0.0)
        count = configuration.replicas
        self._state["replicas"] = self._state["ready"] = count
        replicas = self.memory.replicas[self.position, :count]
        replicas["removed_s"] = NEVER
        replicas["option"] = self._state["option"]
        replicas["batch"] = replicas["first"] = -1
        for row in (EXISTING, IDLE):
            self.memory.numbers[self.position, row, : 1 + count] = [count, *range(count)]

    def configure(self, configuration: StageConfiguration, now_s: float) -> None:
        """Note a decision that takes effect now, for the kernel to carry out."""
        self.configured.append((now_s, configuration.batch))
        if configuration is self._written:
            return
        self.configuration = self._written = configuration
        variant = configuration.variant
        self._desired[0] = (  # at once: writing a single field takes longer than writing all together
            self._numbers[variant, configuration.cores],
            self._variants[variant],
            configuration.batch,
            configuration.replicas,
            configuration.batch_timeout_s,
        )

    def use(self, memory: KernelMemory) -> None:
        """Continue with another memory of the same content."""
        self.memory = memory

    def taken(self, resource: str, now_s: float) -> int:
        """What all replicas that exist take of a resource, draining ones too."""
        run, replicas, numbers = self.memory.run[0], self.memory.replicas[self.position], self.memory.numbers
        present, draining = (row[1 : 1 + row[0]] for row in (numbers[self.position, k] for k in (EXISTING, DRAINING)))
        if len(draining):
            removed_s = replicas["removed_s"][draining]
            busy_until_s = removed_s if run["loses"] else replicas["finish_s"][draining]
            gone_s = np.maximum(removed_s, busy_until_s) + run["stop_s"]
            present = np.concatenate([present, draining[gone_s > now_s]])
        return int(self.memory.options[resource][replicas["option"][present]].sum())

    def held(self, resource: str, now_s: float) -> Held:
        state, options = self._state, self.memory.replicas["option"][self.position]
        existing = self.memory.numbers[self.position, EXISTING]
        current = int(np.count_nonzero(options[existing[1 : 1 + existing[0]]] == state["option"]))
        return Held(self.taken(resource, now_s), current, int(state[_BUDGETS[resource]]))

    def set_budget(self, resource: str, most: int) -> None:
        """Let at most so much of a resource exist."""
        self._state[_BUDGETS[resource]] = most

    def room_lack_until(self, now_s: float) -> RoomLack:
        state, duration_s = self._state, float(self.memory.run[0]["duration_s"])
        lasts_s = max(min(now_s, duration_s) - float(state["lacks_since_s"]), 0.0) if state["lacks_room"] else 0.0
        return RoomLack(int(state["times_lacked"]), float(state["lacked_s"]) + lasts_s)

    def tell(self, deadlines: RecordArray) -> None:
        """By deadline: write the size and latency of a full batch of the configuration into `deadlines`."""
        desired, deadline = self.configuration, deadlines[self.position]
        service = self.model.service[desired.variant, desired.cores]
        full = rules.dispatch_size(desired.batch, service.max_batch)
        deadline["full"], deadline["latency_s"] = full, service.latency_s[full]

    # ---- what control steps and records read ----

    @property
    def is_entry(self) -> bool:
        return bool(self._state["is_entry"])

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
        """How many replicas of each variant the stage has in each state."""
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
        log = self.memory.batches[self.position, : self._state["batches"]]
        begin = int(log["end"][since - 1]) if since else 0
        log = log[since:]
        return Batches(
            requests=self.memory.served[self.position, begin : self._state["served"]].astype(np.int64),
            size=np.diff(log["end"], prepend=begin).astype(np.int64),
            start_s=log["start_s"].copy(),
            finish_s=log["finish_s"].copy(),
            replica=log["replica"].astype(np.int64),
        )

    def drop_log(self, since: int = 0) -> Drops:
        log = self.memory.drops[self.position, since : self._state["drops"]]
        return Drops(log["request"].astype(np.int64), log["dropped_s"].copy(), log["finish_s"].copy())

    def replica_log(self) -> Replicas:
        log = self.memory.replicas[self.position, : self._state["replicas"]]
        options = [self._options[number] for number in log["option"].tolist()]
        return Replicas(
            variant=tuple(option.variant for option in options),
            cores=np.array([option.cores for option in options], dtype=np.int64),
            created_s=log["created_s"].copy(),
            ready_s=log["ready_s"].copy(),
            removed_s=log["removed_s"].copy(),
            finish_s=log["finish_s"].copy(),
        )

    def token_log(self) -> TokenLog | None:
        return None

    def step_log(self, now_s: float) -> StepLog | None:
        return None
