"""Stages of language models behind the router in virtual time, on random chains and graphs in the oracle's format.

Their replicas make the steps of the emulated ones. No prompt is beyond all blocks: the router learns of that only by an
answer, when it may have given out more.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from math import isnan
from typing import Any

from ipa.live.serving.deadlines import Deadlines
from ipa.live.serving.request import Batch, Item, Request
from ipa.live.serving.stage_queue import DispatchOptions
from ipa.profiles import LanguageModel, StepTime
from ipa.sim import NEVER, rules
from ipa.sim.language_model import Scheduler, Sequence
from tests.live.serving.gateway_world import GatewayWorld, Replica
from tests.live.serving.graph_world import GraphWorld


def with_room(made: dict[str, Any]) -> dict[str, Any]:
    """The scenario with enough blocks for each request by itself."""
    language = []
    for stage, rows in zip(made["language"], made["token_rows"], strict=True):
        longest = max((prompt + output for prompt, output in rows or ()), default=0)
        variants = {
            name: each | {"blocks": max(each["blocks"], -(-longest // each["block_tokens"]))}
            for name, each in (stage or {}).items()
        }
        language.append(variants if stage else None)
    return made | {"language": language}


@dataclass(eq=False)
class _Texts:
    """What a replica has. `batches`: of each sequence, in order of coming."""

    scheduler: Scheduler
    batches: dict[Sequence, Batch] = field(default_factory=dict)
    is_stepping: bool = False


class _Texting(GatewayWorld):
    """What differs with language models."""

    def __init__(self, made: dict[str, Any], *given: Any) -> None:
        self._language: list[dict[str, Any] | None] = made["language"]
        self._texts: dict[Replica, _Texts] = {}
        self._sequences: list[dict[Request, Sequence]] = [{} for _ in made["stages"]]
        super().__init__(made, *given)

    def _row(self, request: Request) -> int:
        raise NotImplementedError

    def _dispatch(self) -> tuple[DispatchOptions, Deadlines | None]:
        options, deadlines = super()._dispatch()
        singly = [stage for stage, variants in enumerate(self._language) if variants]
        return DispatchOptions(options.drop, options.loses, singly=singly), deadlines

    def _most(self, stage: int, variant: str, cores: int) -> int:
        variants = self._language[stage]
        return int(variants[variant]["sequences"]) if variants else super()._most(stage, variant, cores)

    # ---- the router's host ----

    def start(self, batch: Batch) -> None:
        variants = self._language[batch.stage]
        if variants is None:
            super().start(batch)
            return
        (request,) = batch.requests
        replica = self.fleets[batch.stage].replicas[batch.replica.number]
        texts = self._texts.setdefault(replica, _Texts(Scheduler(_model(variants[replica.variant]))))
        sequence = Sequence(0, *self._scenario["token_rows"][batch.stage][self._row(request)])
        self._sequences[batch.stage][request] = sequence
        texts.scheduler.add(sequence)
        texts.batches[sequence] = batch
        replica.is_busy, replica.finish_s = True, NEVER

    def _after_event(self) -> None:
        """Replicas that have requests and make no step begin one, in order of number."""
        super()._after_event()
        for stage, fleet in enumerate(self.fleets):
            for replica in fleet.replicas:
                texts = self._texts.get(replica)
                if texts is not None and texts.batches and not texts.is_stepping:
                    texts.is_stepping = True
                    end_s = self._now_s + texts.scheduler.begin()
                    self._at(end_s, rules.COMPLETION, stage, self._step_end, stage, replica, texts)

    def _step_end(self, stage: int, replica: Replica, texts: _Texts) -> None:
        if not texts.batches:
            return  # it was removed with its requests
        texts.is_stepping = False
        first, last = texts.scheduler.end()
        for sequence in first:
            sequence.first_s = self._now_s
        coming: dict[int, list[Request]] = defaultdict(list)
        ended = [texts.batches.pop(sequence) for sequence in last]
        if not texts.batches:
            replica.is_busy, replica.finish_s = False, self._now_s
        for batch in ended:
            for child, items in self.router.go_on(batch, self._now_s):
                coming[child] += items
        hop_s = self._scenario["hop_s"]
        for child in sorted(coming):
            if hop_s == 0.0:
                self._deliver(child, coming[child])
            else:
                self._at(self._now_s + hop_s, rules.DELIVERY, child, self._deliver, child, coming[child])
        self.router.attempt(stage, self._now_s)

    def _lose(self, stage: int) -> None:
        super()._lose(stage)
        for replica in self.fleets[stage].replicas:
            if replica in self._texts and not replica.is_busy:
                self._texts[replica].batches.clear()

    # ---- the result, as the oracle gives it ----

    def tokens(self, stage: int, requests: list[Any]) -> list[dict[str, Any]] | None:
        """What was generated of each request, or item, of a stage; None at one without language models."""
        if self._language[stage] is None:
            return None
        told = []
        for request in requests:
            prompt, output = self._scenario["token_rows"][stage][self._row(request)]
            sequence = self._sequences[stage].get(request, Sequence(0, prompt, output))
            first_s = None if isnan(sequence.first_s) else sequence.first_s
            told.append({"input": prompt, "output": output, "generated": sequence.generated, "first": first_s})
        return told


class LanguageWorld(_Texting):
    """A chain."""

    def _row(self, request: Request) -> int:
        return int(request.name or 0)

    def _result(self, end_s: float) -> dict[str, Any]:
        stages = range(len(self._language))
        return super()._result(end_s) | {"tokens": [self.tokens(stage, self.requests) for stage in stages]}


class LanguageGraphWorld(_Texting, GraphWorld):
    """A graph, of `graph_runs` with the draws of a seed."""

    def _row(self, request: Request) -> int:
        assert isinstance(request, Item)
        return request.number_at_stage * len(self.requests) + request.number

    def _result(self, end_s: float) -> dict[str, Any]:
        tokens = [self.tokens(stage, list(came)) for stage, came in enumerate(self.came)]
        return super()._result(end_s) | {"tokens": tokens}


def _model(figures: dict[str, Any]) -> LanguageModel:
    step = StepTime(figures["base_s"], figures["per_token_s"], figures["per_cached_token_s"])
    sizes = (figures[key] for key in ("sequences", "blocks", "tokens_per_step", "block_tokens"))
    return LanguageModel(step, *sizes)
