"""The oracle where stages are of language models (rule 13): requests, or items, join and leave a running batch.

A scenario has these keys more, with stages by position:

- language: per stage None, or variant -> {"base_s", "per_token_s", "per_cached_token_s", "sequences", "blocks",
  "tokens_per_step", "block_tokens"}
- token_rows: per stage None, or (input, output) tokens of row after row, as many as are needed

The result has one more: tokens, per stage None, or for each of its requests or items in order of number (a graph's: of
enqueue) {"input", "output", "generated", "first"}.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from math import ceil
from typing import Any

from tests.sim.graph_oracle import GraphSimulation, Item
from tests.sim.oracle import COMPLETION, Batch, Replica, Request, Simulation, Stage


def simulate(scenario: dict[str, Any]) -> dict[str, Any]:
    """Run `scenario`, a chain or a graph, to its end."""
    return (TokenGraph if "edges" in scenario else TokenChain)(scenario).run()


@dataclass(eq=False)
class Sequence:
    """A request at a replica."""

    request: Request
    prompt: int
    output: int
    computed: int = 0
    generated: int = 0
    blocks: int = 0
    first: float | None = None

    @property
    def to_compute(self) -> int:
        return self.prompt + self.generated - self.computed


@dataclass(eq=False)
class Engine:
    """What a replica does: `waiting` and `running` in order of admission, and what the step under way computes."""

    figures: dict[str, Any]
    waiting: list[Sequence] = field(default_factory=list)
    running: list[Sequence] = field(default_factory=list)
    scheduled: list[tuple[Sequence, int]] | None = None
    gave_way: int = 0  # how often a request did

    @property
    def free_blocks(self) -> int:
        return int(self.figures["blocks"]) - sum(each.blocks for each in self.running)

    def takes_blocks(self, sequence: Sequence, tokens: int) -> bool:
        more = ceil((sequence.computed + tokens) / self.figures["block_tokens"]) - sequence.blocks
        if more > self.free_blocks:
            return False
        sequence.blocks += more
        return True

    def schedule(self) -> float:
        """Begin a step; returns how long it takes."""
        budget, scheduled, gave_way = self.figures["tokens_per_step"], [], False
        for sequence in list(self.running):
            if sequence not in self.running or budget == 0:
                break
            tokens = min(sequence.to_compute, budget)
            while sequence in self.running and not self.takes_blocks(sequence, tokens):
                last = self.running.pop()
                last.computed = last.blocks = 0
                self.waiting.insert(0, last)
                self.gave_way += 1
                gave_way = True
            if sequence in self.running:
                scheduled.append((sequence, tokens))
                budget -= tokens
        while self.waiting and not gave_way and budget > 0 and len(self.running) < self.figures["sequences"]:
            tokens = min(self.waiting[0].to_compute, budget)
            if not self.takes_blocks(self.waiting[0], tokens):
                break
            self.running.append(self.waiting.pop(0))
            scheduled.append((self.running[-1], tokens))
            budget -= tokens
        self.scheduled = scheduled
        read = sum(sequence.computed + 1 for sequence, tokens in scheduled if tokens == 1)
        computed = sum(tokens for _, tokens in scheduled)
        figures = self.figures
        took_s: float = figures["base_s"] + figures["per_token_s"] * computed + figures["per_cached_token_s"] * read
        return took_s

    def carry_out(self, now: float) -> list[Sequence]:
        """End the step; returns those that have all their tokens."""
        assert self.scheduled is not None
        ended = []
        for sequence, tokens in self.scheduled:
            sequence.computed += tokens
            if sequence.to_compute == 0:
                sequence.generated += 1
                if sequence.first is None:
                    sequence.first = now
                if sequence.generated == sequence.output:
                    ended.append(sequence)
        self.running = [each for each in self.running if each not in ended]
        self.scheduled = None
        return ended


class Tokens(Simulation):
    """What differs at such a stage; a replica that has requests serves them as one `Batch`, in order of coming."""

    def __init__(self, scenario: dict[str, Any]) -> None:
        self.language: list[dict[str, Any] | None] = scenario["language"]
        self.token_rows: list[list[tuple[int, int]] | None] = scenario["token_rows"]
        self.engines: dict[Replica, Engine] = {}
        self.sequences: dict[Request, dict[int, Sequence]] = {}
        self.left_over: dict[int, tuple[Replica, list[Request]]] = {}  # by stage, while a step's requests go on
        super().__init__(scenario)

    def row(self, stage: Stage, request: Request) -> int:
        raise NotImplementedError

    def attempt(self, stage: Stage) -> None:
        language = self.language[stage.index]
        if language is None:
            super().attempt(stage)
            return
        if stage.index in self.left_over:
            replica, requests = self.left_over.pop(stage.index)
            replica.serving = Batch(0, requests) if requests else None
        stage.timer += 1
        while (place := self.place(stage)) is not None:
            while not self.drop_batches and stage.queue and self.expired(stage, stage.queue[0]):
                self.drop(stage, stage.queue.pop(0))
            if not stage.queue:
                break
            request = stage.queue.pop(0)
            if self.expired(stage, request):
                self.drop(stage, request)
            else:
                self.give(stage, place, request)
        for replica in stage.replicas:
            if replica.serving is not None and self.engines[replica].scheduled is None:
                end = self.now + self.engines[replica].schedule()
                self.at(end, COMPLETION, stage, self.step_end, stage, replica)

    def place(self, stage: Stage) -> Replica | None:
        """The ready replica that gets the next request."""

        def at_once(replica: Replica) -> int:
            return len(replica.serving.requests) if replica.serving else 0

        def may_take(replica: Replica) -> bool:
            language = self.language[stage.index] or {}
            return at_once(replica) < min(stage.configuration["batch"], language[replica.variant]["sequences"])

        free = [replica for replica in stage.replicas if replica.is_ready and may_take(replica)]
        return min(free, key=lambda replica: (at_once(replica), replica.number), default=None)

    def give(self, stage: Stage, replica: Replica, request: Request) -> None:
        prompt, output = (self.token_rows[stage.index] or [])[self.row(stage, request)]
        figures = (self.language[stage.index] or {})[replica.variant]
        sequence = Sequence(request, prompt, output)
        self.sequences.setdefault(request, {})[stage.index] = sequence
        request.visits[-1] |= {
            "start": self.now,
            "replica": replica.number,
            "variant": replica.variant,
            "batch": 1,
            "batch_id": stage.started,
        }
        stage.started += 1
        if ceil((prompt + output - 1) / figures["block_tokens"]) > figures["blocks"]:
            self.drop(stage, request, "failed")
            return
        if replica.serving is None:
            replica.serving = Batch(0, [])
        replica.serving.requests.append(request)
        self.engines.setdefault(replica, Engine(figures)).waiting.append(sequence)

    def step_end(self, stage: Stage, replica: Replica) -> None:
        if replica.serving is None:  # removed with its requests
            return
        ended = [sequence.request for sequence in self.engines[replica].carry_out(self.now)]
        if not ended:
            self.attempt(stage)
            return
        self.left_over[stage.index] = replica, [each for each in replica.serving.requests if each not in ended]
        replica.serving = Batch(0, ended)
        self.completion(stage, replica)

    def leave(self, stage: Stage, replica: Replica) -> None:
        if not (stage.index in self.left_over and self.left_over[stage.index][1]):
            super().leave(stage, replica)

    def tokens_of(self, stage: Stage, requests: list[Any]) -> list[dict[str, Any]] | None:
        if self.language[stage.index] is None:
            return None
        found = []
        for request in requests:
            prompt, output = (self.token_rows[stage.index] or [])[self.row(stage, request)]
            sequence = self.sequences.get(request, {}).get(stage.index, Sequence(request, prompt, output))
            generated = {"generated": sequence.generated, "first": sequence.first}
            found.append({"input": prompt, "output": output} | generated)
        return found


class TokenChain(Tokens):
    def row(self, stage: Stage, request: Request) -> int:
        return self.requests.index(request)

    def result(self) -> dict[str, Any]:
        return super().result() | {"tokens": [self.tokens_of(stage, self.requests) for stage in self.stages]}


class TokenGraph(Tokens, GraphSimulation):
    def row(self, stage: Stage, request: Request) -> int:
        assert isinstance(request, Item)
        came = Counter[int]()
        for each in self.came[stage.index]:
            if each is request:
                break
            came[each.request] += 1
        return came[request.request] * len(self.requests) + request.request

    def result(self) -> dict[str, Any]:
        return super().result() | {"tokens": [self.tokens_of(s, list(self.came[s.index])) for s in self.stages]}
