"""Collects the gateway's records as requests end, and turns them into the simulator's records.

A row is that of a request or, in a graph of stages, that of one of its items.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.live.gateway_client import GatewayClient, visits_of
from ipa.live.sent import Sent
from ipa.profiles import LanguageModel, Pipeline
from ipa.sim import (
    COMPLETED,
    DROPPED,
    FAILED,
    OUTCOMES,
    UNFINISHED,
    FloatArray,
    IntArray,
    Records,
    ReplicaRecords,
    StepLog,
    TokenLog,
    records_of_items,
)

_PER_REQUEST = ("request", "outcome", "stage", "arrival_s", "end_s")
_PER_STAGE = ("enqueue_s", "start_s", "finish_s", "replica", "batch", "batch_size")
_OF_TEXT = ("input_tokens", "output_tokens", "first_token_s")
"""More of each stage, if any is one of language models."""
_WHOLE = ("replica", "batch", "batch_size", "input_tokens", "output_tokens")

_ENDED = (200, 502, 504)
"""The statuses of answers to admitted requests, besides 503 where no replica could serve them."""

NAN = float("nan")

BoolArray = npt.NDArray[np.bool_]


def language_models(pipeline: Pipeline) -> dict[str, dict[str, LanguageModel]]:
    """The stages of language models, and the model of each variant there."""
    return {
        stage.name: {
            variant.name: variant.language_model for variant in stage.variants if variant.language_model is not None
        }
        for stage in pipeline.stages
        if stage.tokens is not None
    }


@dataclass
class Collector:
    """Fetches records before the gateway's bounded buffer drops them; 8 bytes per value.

    A restarted gateway has a new epoch and numbers its records from the start again. `lost` counts requests that a
    gateway answered but whose record never came; `foreign`, requests that are not of the run's load. `retried`: the
    stages at which a batch failed and its requests were retried.
    """

    client: GatewayClient
    stages: Sequence[str]
    prefix: str = ""
    """The prefix of the ids of the run's load, before the number."""
    language: Mapping[str, Mapping[str, LanguageModel]] = field(default_factory=dict)
    """As of `language_models`."""
    lost: int = 0
    foreign: int = 0
    retried: set[str] = field(default_factory=set)
    _refused: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """By epoch: how many requests were refused, by reason."""
    _epoch: str | None = None
    _next: dict[str | None, int] = field(default_factory=dict)
    """By epoch, the number of the last record fetched; while one gateway replaces another, either may answer."""
    _per_stage: tuple[str, ...] = field(init=False)
    _batches: list[int] = field(default_factory=list)
    """Per stage, the offset of this epoch's batch numbers: earlier epochs have the lower ones."""
    _rows: array[float] = field(default_factory=lambda: array("d"))

    def __post_init__(self) -> None:
        self._per_stage = (*_PER_STAGE, *_OF_TEXT) if self.language else _PER_STAGE

    async def fetch(self) -> list[dict[str, Any]]:
        """Take the records of requests that have ended since the last call, and return them."""
        fresh: list[dict[str, Any]] = []
        while True:
            answer = await self.client.records(self._next.get(self._epoch, 0))
            if not answer["started"]:  # its clock is not the run's yet, and its records will restart
                return fresh
            if answer["epoch"] != self._epoch:
                self._begin(answer["epoch"])
                continue
            self._next[self._epoch] = answer["next"]
            self._refused[answer["epoch"]] = answer.get("refused", {})
            for record in answer["records"]:
                self.retried |= {stage for stage, visit in visits_of(record, self.stages) if visit.get("retried")}
                number = str(record["id"]).removeprefix(self.prefix)
                if f"{self.prefix}{number}" == record["id"] and number.isdecimal():
                    for row in self._rows_of(int(number), record):
                        self._rows.extend(row)
                else:
                    self.foreign += 1
            fresh += answer["records"]
            if not answer["records"]:
                return fresh

    @property
    def refused(self) -> dict[str, int]:
        return dict(sum(map(Counter, self._refused.values()), Counter()))

    def have(self, requests: IntArray) -> BoolArray:
        """For each request, by its number, whether its record has come."""
        return np.isin(requests, self._table()[:, 0].astype(np.int64))

    def _begin(self, epoch: str) -> None:
        self._epoch = epoch
        batches = self._table()[:, len(_PER_REQUEST) + _PER_STAGE.index("batch") :: len(self._per_stage)]
        self._batches = [int(numbers.max(initial=-1.0)) + 1 for numbers in batches.T]

    def _table(self) -> npt.NDArray[np.float64]:
        width = len(_PER_REQUEST) + len(self._per_stage) * len(self.stages)
        return np.array(self._rows, dtype=np.float64).reshape(-1, width)

    def _rows_of(self, request: int, record: Mapping[str, Any]) -> list[list[float]]:
        row = self._request(request, record)
        visits = record["stages"]
        for position in range(len(self.stages)):
            row += self._visit(position, visits[position] if position < len(visits) else {})
        return [row]

    def _request(self, request: int, record: Mapping[str, Any]) -> list[float]:
        ended_at = record["stage"]
        return [
            float(request),
            float(OUTCOMES.index(record["outcome"])),
            -1.0 if ended_at is None else float(self.stages.index(ended_at)),
            record["arrival_s"],
            record["end_s"],
        ]

    def _visit(self, position: int, visit: Mapping[str, Any]) -> list[float]:
        if visit.get("batch") is not None:
            visit = {**visit, "batch": visit["batch"] + self._batches[position]}
        return [_number(visit.get(key), key) for key in self._per_stage]

    def records(
        self,
        sent: Sent,
        replicas: Mapping[str, ReplicaRecords],
        configured: Mapping[str, Sequence[tuple[float, int]]],
        duration_s: float,
        run_end_s: float,
    ) -> Records:
        """The records of the requests that were sent, like those of a simulation.

        A request arrives at its scheduled time. Without a record, its outcome is what its client saw: completed (200),
        dropped (504, or 503 with Retry-After), failed (any other answer, or no connection), unfinished (no answer). It
        is lost if the answer shows that it had been admitted; when and where it was served is then unknown.
        """
        rows, where, outcome, end_s, ended_at = self._ends(sent)
        count = len(sent.request)
        has_record = np.isin(np.arange(count), where)
        per_stage = _spread(rows[:, len(_PER_REQUEST) :], where, count, (len(self.stages), self._per_stage))
        of_text = {key: per_stage.pop(key) for key in _OF_TEXT if key in per_stage}
        finish_s = per_stage["finish_s"]
        finish_s[-1, outcome != COMPLETED] = NAN
        of_client = ~has_record & (outcome == COMPLETED)
        finish_s[-1, of_client] = end_s[of_client]
        names = tuple(self.stages)
        dropped_stage = np.where(outcome == DROPPED, ended_at, -1)
        return Records(
            stages=names,
            run_end_s=run_end_s,
            duration_s=duration_s,
            request=sent.request,
            arrival_s=sent.scheduled_s,
            outcome=outcome,
            dropped_stage=dropped_stage,
            end_s=end_s,
            replicas=tuple(replicas[name] for name in names),
            integral_s=np.zeros(len(names)),
            configured=tuple(tuple(configured[name]) for name in names),
            reason=sent.reason,
            **per_stage,
            **self._texts(
                [{key: column[stage] for key, column in of_text.items()} for stage in range(len(names))],
                finish_s,
                replicas,
            ),
        )

    def _texts(
        self,
        of_text: Sequence[Mapping[str, npt.NDArray[Any]]],
        finish_s: FloatArray,
        replicas: Mapping[str, ReplicaRecords],
    ) -> dict[str, Any]:
        """By stage, what the language models say of their texts, as fields of records; `finish_s` has shape (stages,
        requests)."""
        if not self.language:
            return {}
        pairs = list(zip(self.stages, of_text, finish_s, strict=True))
        return {
            "tokens": tuple(_token_log(text, end_s) if name in self.language else None for name, text, end_s in pairs),
            "steps": tuple(
                _step_log(self.language[name], replicas[name]) if name in self.language else None
                for name in self.stages
            ),
        }

    def _ends(self, sent: Sent) -> tuple[npt.NDArray[np.float64], IntArray, IntArray, FloatArray, IntArray]:
        """The rows of sent requests and the index of each row's request; then, for all requests, outcome, end [s] and
        stage of the end."""
        rows = self._table()
        place = {int(request): index for index, request in enumerate(sent.request.tolist())}
        was_sent = np.array([int(row) in place for row in rows[:, 0]], dtype=bool)
        self.foreign += int(np.count_nonzero(~was_sent))
        rows = rows[was_sent]
        where = np.array([place[int(row)] for row in rows[:, 0]], dtype=np.int64)
        count = len(sent.request)
        has_record = np.zeros(count, dtype=bool)
        has_record[where] = True
        self.lost = int(np.count_nonzero(~has_record & (np.isin(sent.status, _ENDED) | sent.is_dropped)))
        outcome, end_s = sent.outcome, sent.end_s.copy()
        ended_at = np.full(count, -1, dtype=np.int64)
        outcome[where], end_s[where] = rows[:, 1].astype(np.int64), rows[:, 4]
        ended_at[where] = rows[:, 2].astype(np.int64)
        end_s[outcome == UNFINISHED] = NAN
        return rows, where, outcome, end_s, ended_at


def _number(value: float | None, key: str) -> float:
    if value is None:
        return -1.0 if key in _WHOLE else NAN
    return float(value)


def _token_log(text: Mapping[str, npt.NDArray[Any]], finish_s: FloatArray) -> TokenLog:
    """The tokens of a stage's requests: -1 where they are not known, and none generated unless all are."""
    has_finished = np.isfinite(finish_s)
    output: IntArray = text["output_tokens"]
    first_s = np.where(has_finished, np.minimum(text["first_token_s"], finish_s), NAN)
    return TokenLog(text["input_tokens"], output, np.where(has_finished, output, 0), first_s)


def _step_log(models: Mapping[str, LanguageModel], replicas: ReplicaRecords) -> StepLog:
    """The limits of a stage's replicas; how long their steps took, and what was in them, they do not say."""
    of_replicas = [models[variant] for variant in replicas.variant]
    limits = [(model.tokens_per_step, model.kv_blocks, model.sequences, model.block_tokens) for model in of_replicas]
    unknown = np.zeros(len(limits), dtype=np.int64)
    tokens, blocks, sequences, block_tokens = np.array(limits, dtype=np.int64).reshape(-1, 4).T
    return StepLog(np.full(len(limits), NAN), tokens, blocks, sequences, block_tokens, unknown, unknown, unknown)


def _spread(
    visits: npt.NDArray[np.float64],
    where: npt.NDArray[np.int64],
    count: int,
    stages_and_keys: tuple[int, tuple[str, ...]],
) -> dict[str, Any]:
    """The columns of each stage, shape (stages, requests)."""
    stages, keys = stages_and_keys
    columns: dict[str, Any] = {}
    for offset, key in enumerate(keys):
        whole = key in _WHOLE
        column = np.full((stages, count), -1 if whole else NAN, dtype=np.int64 if whole else np.float64)
        values = visits[:, offset :: len(keys)].T
        column[:, where] = values.astype(np.int64) if whole else values
        columns[key] = column
    return columns


# ---- in a graph ----


_PER_ITEM = ("stage", "place", "outcome", "end_s")
_AT = {name: len(_PER_REQUEST) + place for place, name in enumerate((*_PER_STAGE, *_PER_ITEM, *_OF_TEXT))}


class ItemCollector(Collector):
    """Like a `Collector`, for a graph."""

    def _rows_of(self, request: int, record: Mapping[str, Any]) -> list[list[float]]:
        rows = []
        for item in record["stages"]:
            stage = self.stages.index(item["stage"])
            ended = UNFINISHED if item["outcome"] is None else OUTCOMES.index(item["outcome"])
            visit = self._visit(stage, item)
            own = [float(stage), float(item["place"]), float(ended), item["end_s"]]
            text = len(_PER_STAGE)
            rows.append([*self._request(request, record), *visit[:text], *own, *visit[text:]])
        return rows

    def _table(self) -> npt.NDArray[np.float64]:
        width = len(_PER_REQUEST) + len(self._per_stage) + len(_PER_ITEM)
        return np.array(self._rows, dtype=np.float64).reshape(-1, width)

    def _begin(self, epoch: str) -> None:
        self._epoch = epoch
        rows = self._table()
        of_stages = (rows[rows[:, _AT["stage"]] == stage, _AT["batch"]] for stage in range(len(self.stages)))
        self._batches = [int(numbers.max(initial=-1.0)) + 1 for numbers in of_stages]

    def records(
        self,
        sent: Sent,
        replicas: Mapping[str, ReplicaRecords],
        configured: Mapping[str, Sequence[tuple[float, int]]],
        duration_s: float,
        run_end_s: float,
    ) -> Records:
        """The records of the requests that were sent, with those of their items, like those of a simulation."""
        rows, where, outcome, end_s, ended_at = self._ends(sent)
        parts = []
        for stage, name in enumerate(self.stages):
            own = rows[:, _AT["stage"]] == stage
            order = np.lexsort((rows[own, _AT["place"]], rows[own, _AT["enqueue_s"]]))
            stage_run = (replicas[name], tuple(configured[name]), duration_s, run_end_s)
            part = _of_stage(name, rows[own][order], sent, where[own][order], stage_run)
            parts.append(replace(part, **self._texts_at(name, rows[own][order], part)))
        dropped_stage = np.where(np.isin(outcome, (DROPPED, FAILED)), ended_at, -1)
        whole = records_of_items(parts, sent.request, sent.scheduled_s, (outcome, dropped_stage, end_s))
        return replace(whole, reason=sent.reason)

    def _texts_at(self, stage: str, rows: npt.NDArray[np.float64], part: Records) -> dict[str, Any]:
        if stage not in self.language:
            return {}
        text = {key: rows[:, _AT[key]].astype(np.int64 if key in _WHOLE else np.float64) for key in _OF_TEXT}
        steps = _step_log(self.language[stage], part.replicas[0])
        return {"tokens": (_token_log(text, part.finish_s[0]),), "steps": (steps,)}


StageRun = tuple[ReplicaRecords, tuple[tuple[float, int], ...], float, float]
"""A stage's replicas and configured batch sizes, the duration of the load and the end of the run [s]."""


def _of_stage(name: str, rows: npt.NDArray[np.float64], sent: Sent, where: IntArray, stage_run: StageRun) -> Records:
    """The records of a stage as if it were a chain of its own, with its items as the requests."""
    replicas, configured, duration_s, run_end_s = stage_run

    def whole(key: str) -> IntArray:
        return rows[:, _AT[key]].astype(np.int64)

    outcome = whole("outcome")
    end_s: FloatArray = np.where(outcome == UNFINISHED, NAN, rows[:, _AT["end_s"]])
    return Records(
        stages=(name,),
        run_end_s=run_end_s,
        duration_s=duration_s,
        request=sent.request[where],
        arrival_s=sent.scheduled_s[where],
        outcome=outcome,
        dropped_stage=np.where(outcome == DROPPED, 0, -1),
        end_s=end_s,
        enqueue_s=rows[None, :, _AT["enqueue_s"]],
        start_s=rows[None, :, _AT["start_s"]],
        finish_s=np.where(outcome == COMPLETED, rows[:, _AT["finish_s"]], NAN)[None, :],
        replica=whole("replica")[None, :],
        batch=whole("batch")[None, :],
        batch_size=whole("batch_size")[None, :],
        replicas=(replicas,),
        integral_s=np.zeros(1),
        configured=(configured,),
    )
