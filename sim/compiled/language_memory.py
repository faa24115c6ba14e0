"""The memory of stages of language models: the tokens of requests, and what each replica is doing in steps.

Only runs with such a stage have it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ipa.sim.compiled.memory import RecordArray, ReplicaKinds, record
from ipa.sim.language_model import TokenRows
from ipa.sim.model import StageModel

SEQUENCE = record(
    first_s="f8",  # when it had its first token, where `generated` is above 0
    batch="u4",  # its number among the batches started
    row="u4",  # of its tokens, in a graph
    due="i4",  # tokens still to be computed before the next one comes out
    computed="i4",
    generated="i4",
    output="i4",
    blocks="i4",
    room="i4",  # the tokens that its blocks hold
    tokens="i4",  # what the step under way computes of it
    step="i4",  # the step of its stage that ended it
)
STEPS = record(
    since_s="f8",  # when the step under way began
    stepped_s="f8",  # how long those before took
    is_stepping="?",
    running="i8",  # how many requests run, in order of admission, and how many of them take part in the step
    scheduled="i8",
    waiting="i8",  # how many wait for admission
    used_blocks="i8",
    plain="i8",  # how many more steps are *plain*: each request gets one token, and none ends or gives way
    lag="i8",  # how many of those have ended that are not written in the requests yet
    is_plain="?",  # whether the step under way is one
    cached="i8",  # tokens computed of all that run, where the next step is plain
    most_tokens="i8",  # of any step
    most_blocks="i8",
    most_sequences="i8",
)
LANGUAGE = record(
    is_language="?",
    at_once="i8",  # the decision's batch: the most requests at a replica
    counted="u4",  # in a graph: items that have a row
    lacks_rows="?",
    steps="i4",  # steps that have ended requests
    beginning="i8",  # how many replicas begin a step at the end of this attempt
)
MODEL = record(
    base_s="f8",
    per_token_s="f8",
    per_cached_token_s="f8",
    budget="i8",
    sequences="i8",
    blocks="i8",
    block_tokens="i8",
)
RUNNING, WAITING = range(2)
"""The rows of `order`."""


class LanguageMemory(NamedTuple):
    """The arrays: S stages, N requests or places for items, R replicas, at most M requests at one."""

    stages: RecordArray  # LANGUAGE (S,)
    models: RecordArray  # MODEL (options,)
    rows: npt.NDArray[np.int32]  # (S, rounds x requests, 2): input and output tokens
    came: npt.NDArray[np.uint32]  # (S, requests): in a graph, the items that have a row
    sequences: RecordArray  # SEQUENCE (S, N)
    replicas: RecordArray  # STEPS (S, R)
    order: npt.NDArray[np.uint32]  # (S, R, 2, M): the requests that run, and those that wait for admission
    beginning: npt.NDArray[np.uint32]  # (S, R): the replicas that begin a step
    ended: npt.NDArray[np.uint32]  # (S, M): the requests that a step ends

    def with_room(self, room: int) -> LanguageMemory:
        """The same with room for `room` replicas at every stage."""
        names = ("replicas", "order", "beginning")
        return self._replace(**{name: _longer(getattr(self, name), room) for name in names})

    def with_capacity(self, items: int) -> LanguageMemory:
        """The same with so many places for items at each stage."""
        return self._replace(sequences=_longer(self.sequences, items))

    def with_rows(self, rows: TokenRows) -> LanguageMemory:
        """The same with twice the rows."""
        requests = self.came.shape[1]
        with_rows = self._replace(rows=_rows(self.stages, rows, 2 * self.rows.shape[1], requests))
        self.stages["lacks_rows"] = False
        return with_rows


def _longer(array: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """An array with more places along its second axis."""
    longer = np.zeros((array.shape[0], length, *array.shape[2:]), array.dtype)
    longer[:, : array.shape[1]] = array
    return longer


def allocate_language(
    models: Sequence[StageModel], layout: ReplicaKinds, rows: TokenRows, requests: int, capacity: int
) -> LanguageMemory | None:
    """The memory of a run at its start; None if no stage is of language models."""
    if not any(model.language for model in models):
        return None
    stages = np.zeros(len(models), LANGUAGE)
    stages["is_language"] = [bool(model.language) for model in models]
    figures = np.zeros(len(layout.options), MODEL)
    for number, option in enumerate(layout.options):
        if models[option.stage].language:
            model = models[option.stage].language[option.variant]
            step = (model.step.base_s, model.step.per_token_s, model.step.per_cached_token_s)
            figures[number] = (*step, model.tokens_per_step, model.sequences, model.kv_blocks, model.block_tokens)
    most = int(figures["sequences"].max())
    return LanguageMemory(
        stages=stages,
        models=figures,
        rows=_rows(stages, rows, requests, requests),
        came=np.zeros((len(models), requests), np.uint32),
        sequences=np.zeros((len(models), capacity), SEQUENCE),
        replicas=np.zeros((len(models), 0), STEPS),
        order=np.zeros((len(models), 0, 2, most), np.uint32),
        beginning=np.zeros((len(models), 0), np.uint32),
        ended=np.zeros((len(models), most), np.uint32),
    )


def _rows(stages: RecordArray, rows: TokenRows, count: int, requests: int) -> npt.NDArray[np.int32]:
    table = np.zeros((len(stages), count, 2), np.int32)
    for position in np.flatnonzero(stages["is_language"]).tolist():
        for column, tokens in enumerate(rows.of(position, count // requests if requests else 1)):
            table[position, :, column] = tokens[:count]
    return table
