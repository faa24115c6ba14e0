"""The requests of one replica of a language model, step by step: vLLM's scheduler without what the model leaves out.

It knows no clock: `begin` chooses what the next step computes and says how long that takes, `end` carries it out.
"""

from __future__ import annotations

from collections import deque
from math import nan

from ipa.profiles import LanguageModel
from ipa.sim import rules


class Sequence:
    """A request at a replica.

    `due`: tokens still to be computed before the next one comes out, those of the prompt or the last one. `room`: the
    tokens that its blocks hold. `tokens`: what the step under way computes of it. `first_s`: when it had its first
    token (NaN: it has none yet), which the caller notes.
    """

    __slots__ = ("blocks", "computed", "due", "first_s", "generated", "item", "output_tokens", "room", "tokens")

    def __init__(self, item: int, input_tokens: int, output_tokens: int) -> None:
        self.item = item
        self.output_tokens = output_tokens
        self.due = input_tokens
        self.computed = self.generated = self.blocks = self.room = self.tokens = 0
        self.first_s = nan


class Scheduler:
    """What waits and runs at a replica, in the order of admission.

    `most_tokens`, `most_blocks` and `most_sequences`: the most of any step so far, for the laws.
    """

    def __init__(self, model: LanguageModel) -> None:
        step = model.step
        self._figures = (step.base_s, step.per_token_s, step.per_cached_token_s)
        self._budget, self._sequences = model.tokens_per_step, model.sequences
        self._block_tokens = model.block_tokens
        self._blocks = self._free_blocks = model.kv_blocks
        self._waiting: deque[Sequence] = deque()
        self._running: list[Sequence] = []
        self._scheduled = 0  # how many of the running, from the first on, take part in the step under way
        self.most_tokens = self.most_blocks = self.most_sequences = 0

    def add(self, sequence: Sequence) -> None:
        """Let a request wait for admission, behind the others."""
        self._waiting.append(sequence)

    def begin(self) -> float:
        """Choose what a step computes; returns how long it takes [s]. There must be a request."""
        budget, running = self._budget, self._running
        place, cached, has_preempted = 0, 0, False
        while place < len(running) and budget > 0:
            sequence = running[place]
            tokens = sequence.due if sequence.due < budget else budget
            if sequence.computed + tokens > sequence.room:
                while not self._has_taken_blocks(sequence, tokens):
                    has_preempted = True
                    if self._preempt_last() is sequence:
                        break
                if place == len(running):
                    break
            sequence.tokens = tokens
            budget -= tokens
            cached += sequence.computed + 1 if tokens == 1 else 0
            place += 1
        waiting = self._waiting
        while waiting and budget > 0 and len(running) < self._sequences and not has_preempted:
            sequence = waiting[0]
            tokens = sequence.due if sequence.due < budget else budget
            if not self._has_taken_blocks(sequence, tokens):
                break
            running.append(waiting.popleft())
            sequence.tokens = tokens
            budget -= tokens
            cached += sequence.computed + 1 if tokens == 1 else 0
            place += 1
        self._scheduled = place
        tokens = self._budget - budget
        self.most_tokens = max(self.most_tokens, tokens)
        self.most_blocks = max(self.most_blocks, self._blocks - self._free_blocks)
        self.most_sequences = max(self.most_sequences, len(running))
        return rules.step_s(*self._figures, tokens, cached)

    def end(self) -> tuple[list[Sequence], list[Sequence]]:
        """Carry out the step: the requests that have their first token by it, and those that have their last one."""
        first: list[Sequence] = []
        last: list[Sequence] = []
        for sequence in self._running[: self._scheduled]:
            sequence.computed += sequence.tokens
            if sequence.due > sequence.tokens:
                sequence.due -= sequence.tokens
                continue
            sequence.due = 1
            sequence.generated += 1
            if sequence.generated == 1:
                first.append(sequence)
            if sequence.generated == sequence.output_tokens:
                last.append(sequence)
        for sequence in last:
            self._running.remove(sequence)
            self._free_blocks += sequence.blocks
        return first, last

    def _has_taken_blocks(self, sequence: Sequence, tokens: int) -> bool:
        """Give a request the blocks that it needs for so many more tokens, if that many are free."""
        missing = rules.blocks_for(sequence.computed + tokens, self._block_tokens) - sequence.blocks
        if missing > self._free_blocks:
            return False
        self._free_blocks -= missing
        sequence.blocks += missing
        sequence.room += missing * self._block_tokens
        return True

    def _preempt_last(self) -> Sequence:
        """Let the request admitted last give way: it waits before all others and is computed anew."""
        last = self._running.pop()
        self._free_blocks += last.blocks
        last.due += last.computed
        last.computed = last.blocks = last.room = 0
        self._waiting.appendleft(last)
        return last

    def remove(self, sequence: Sequence) -> None:
        """Let a request go that has not ended, between two steps."""
        if sequence in self._running:
            self._running.remove(sequence)
            self._free_blocks += sequence.blocks
        else:
            self._waiting.remove(sequence)
