"""A stage of language models: each request goes to a replica by itself, where it joins and leaves a running batch.

For what queues, expires, comes and goes, it is a stage with central dispatch whose batches are single requests. It
differs in that a replica takes further ones while it is busy, and in what it then does: steps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from math import isnan, nan
from typing import Any

import numpy as np

from ipa.policies import StageConfiguration
from ipa.sim import rules
from ipa.sim.events.replica_set import SimPyReplica, removal_order
from ipa.sim.events.stage import RunContext, SimPyStage
from ipa.sim.interface import StepLog, TokenLog
from ipa.sim.language_model import Scheduler, Sequence, TokenRows
from ipa.sim.model import IntArray
from ipa.sim.rules import NEVER


@dataclass(slots=True)
class _Steps:
    """What a replica is doing. `batches`: item -> the number of its batch, of those that it has, in order of coming."""

    scheduler: Scheduler
    batches: dict[int, int] = field(default_factory=dict)
    since_s: float = nan  # when the step under way began; NaN: none is
    stepped_s: float = 0.0


class LanguageModelStage(SimPyStage):
    """A stage whose replicas serve several requests at once; a decision's batch is the most at one replica.

    `request_of`: in a graph, which request an item of a stage is of.
    """

    def __init__(
        self,
        run: RunContext,
        position: int,
        configuration: StageConfiguration,
        rows: TokenRows,
        request_of: Callable[[int, int], int] | None,
    ) -> None:
        self._steps: dict[int, _Steps] = {}  # by replica
        self._beginning: list[SimPyReplica] = []
        self._rows, self._request_of, self._requests = rows, request_of, len(run.run_input.arrivals_s)
        self._input, self._output = (tokens.tolist() for tokens in rows.of(position))
        self._sequences: dict[int, Sequence] = {}  # all that have come to a replica, by item
        self._row_of: list[int] = []  # in a graph, by item
        self._came_of: Counter[int] = Counter()  # in a graph, by request
        super().__init__(run, position, configuration)

    def _adopt(self, configuration: StageConfiguration, now_s: float) -> None:
        super()._adopt(configuration, now_s)
        self._at_once = configuration.batch
        self._batch, self._batch_timeout_s = 1, 0.0

    # ---- dispatch ----

    def attempt(self, now_s: float) -> None:
        """Give out every request that a replica has a place for, then let the replicas begin their steps."""
        self._timer_s = NEVER
        while (replica := self._next_replica()) is not None and not self._waits(now_s):
            for item in self._take(1, now_s):
                self._admit(item, replica, now_s)
        self._begin_steps(now_s)

    def _next_replica(self) -> SimPyReplica | None:
        """The ready replica with the fewest requests, the lowest number first; None if all have as many as they may."""
        chosen, fewest = None, self._at_once
        for replica in self.replicas.existing:
            if not replica.is_starting:
                count = len(replica.batch or ())
                most = rules.dispatch_size(self._at_once, self.model.language[replica.variant].sequences)
                if count < min(fewest, most):
                    chosen, fewest = replica, count
        return chosen

    def _admit(self, item: int, replica: SimPyReplica, now_s: float) -> None:
        """Let a request wait at a replica for its first step; it fails if the replica has too few blocks for it."""
        log, model = self.batches, self.model.language[replica.variant]
        steps, batch = self._steps_of(replica), len(log.size)
        log.requests.append(item)
        log.size.append(1)
        log.start_s.append(now_s)
        log.finish_s.append(NEVER)
        log.replica.append(replica.number)
        row = self._row(item)
        input_tokens, output_tokens = self._input[row], self._output[row]
        self._sequences[item] = sequence = Sequence(item, input_tokens, output_tokens)
        if not rules.fits(input_tokens, output_tokens, model.kv_blocks, model.block_tokens):
            log.finish_s[batch] = now_s
            self.drops.interrupted += 1
            self._fail([item], now_s, now_s)
            return
        if replica.batch is None:
            replica.batch, replica.finish_s = [], NEVER
            self._beginning.append(replica)
        replica.batch.append(item)
        steps.batches[item] = batch
        steps.scheduler.add(sequence)

    def _row(self, item: int) -> int:
        """The row of an item's tokens."""
        if self._request_of is None:
            return item
        while len(self._row_of) <= item:
            request = self._request_of(self.position, len(self._row_of))
            self._row_of.append(self._came_of[request] * self._requests + request)
            self._came_of[request] += 1
        row = self._row_of[item]
        if row >= len(self._input):
            columns = self._rows.of(self.position, 2 * (1 + row // self._requests))
            self._input, self._output = (tokens.tolist() for tokens in columns)
        return row

    # ---- steps ----

    def _steps_of(self, replica: SimPyReplica) -> _Steps:
        if replica.number not in self._steps:
            self._steps[replica.number] = _Steps(Scheduler(self.model.language[replica.variant]))
        return self._steps[replica.number]

    def _begin_steps(self, now_s: float) -> None:
        """Let the replicas that have just ended a step, or got their first request, begin one, in order of number."""
        for replica in sorted(self._beginning, key=lambda replica: replica.number):
            steps = self._steps[replica.number]
            steps.since_s = now_s
            end_s = now_s + steps.scheduler.begin()
            self._env.at(end_s, self._completion, self._completed, replica)
        self._beginning.clear()

    def _on_completion(self, replica: SimPyReplica, now_s: float) -> None:
        """End a step: requests whose last token it has made go on together."""
        steps = self._steps[replica.number]
        steps.stepped_s += now_s - steps.since_s
        steps.since_s = nan
        first, last = steps.scheduler.end()
        for sequence in first:
            sequence.first_s = now_s
        if last:
            self._finish(replica, [sequence.item for sequence in last], now_s)
        if replica.batch is not None:
            self._beginning.append(replica)
        self.attempt(now_s)

    def _finish(self, replica: SimPyReplica, items: list[int], now_s: float) -> None:
        assert replica.batch is not None
        log, batches = self.batches, self._steps[replica.number].batches
        for item in items:
            log.finish_s[batches.pop(item)] = now_s
            replica.batch.remove(item)
        if not replica.batch:
            replica.batch, replica.finish_s = None, now_s
            if replica.removed_s < NEVER and self.replicas.budgets:
                self._env.at(self.replicas.gone_s(replica), self._room, self._on_room)
        self.completions += len(items)
        self.left_sum_s += now_s * len(items)
        self._flow.served(self, items, replica.variant, now_s)

    def _lose(self, removed: list[SimPyReplica], now_s: float) -> None:
        """Fail the requests of removed replicas; their steps break off."""
        for replica in sorted(removed, key=removal_order):
            if replica.batch is not None:
                steps = self._steps[replica.number]
                for batch in steps.batches.values():
                    self.batches.finish_s[batch] = now_s
                self.drops.interrupted += len(replica.batch)
                self._fail(replica.batch, now_s, now_s)
                replica.batch, replica.finish_s = None, now_s
                steps.stepped_s += now_s - steps.since_s
                steps.since_s = nan

    # ---- what records read ----

    def token_log(self) -> TokenLog:
        if self._request_of is None:
            prompts, outputs = self._rows.of(self.position)
        else:
            requests = [self._request_of(self.position, item) for item in range(self.enqueued)]
            prompts, outputs = self._rows.of_items(self.position, np.array(requests, dtype=np.int64))
        generated, first_s = np.zeros(len(outputs), dtype=np.int64), np.full(len(outputs), nan)
        for item, sequence in self._sequences.items():
            generated[item], first_s[item] = sequence.generated, sequence.first_s
        return TokenLog(prompts, outputs, generated, first_s)

    def step_log(self, now_s: float) -> StepLog:
        every = [(self._steps_of(replica), self.model.language[replica.variant]) for replica in self.replicas.all]
        limits = [(model.tokens_per_step, model.kv_blocks, model.sequences, model.block_tokens) for _, model in every]
        schedulers = [steps.scheduler for steps, _ in every]
        most = [(scheduler.most_tokens, scheduler.most_blocks, scheduler.most_sequences) for scheduler in schedulers]
        under_way_s = [0.0 if isnan(steps.since_s) else now_s - steps.since_s for steps, _ in every]
        stepped_s = [steps.stepped_s + more_s for (steps, _), more_s in zip(every, under_way_s, strict=True)]
        return StepLog(np.array(stepped_s, dtype=np.float64), *_columns(limits, 4), *_columns(most, 3))


def _columns(rows: list[Any], width: int) -> list[IntArray]:
    return list(np.array(rows, dtype=np.int64).reshape(-1, width).T)
