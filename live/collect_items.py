"""Collects the records of requests in a graph of stages: a row for each of their items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa.live.collect import _PER_REQUEST, _PER_STAGE, NAN, Collector
from ipa.live.sent import Sent
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
    records_of_items,
)

_PER_ITEM = ("stage", "place", "outcome", "end_s")
_AT = {name: len(_PER_REQUEST) + place for place, name in enumerate((*_PER_STAGE, *_PER_ITEM))}


class ItemCollector(Collector):
    """Like a `Collector`, for a graph."""

    def _rows_of(self, request: int, record: Mapping[str, Any]) -> list[list[float]]:
        rows = []
        for item in record["stages"]:
            stage = self.stages.index(item["stage"])
            ended = UNFINISHED if item["outcome"] is None else OUTCOMES.index(item["outcome"])
            own = [float(stage), float(item["place"]), float(ended), item["end_s"]]
            rows.append([*self._request(request, record), *self._visit(stage, item), *own])
        return rows

    def _table(self) -> npt.NDArray[np.float64]:
        return np.array(self._rows, dtype=np.float64).reshape(-1, len(_PER_REQUEST) + len(_AT))

    def _begin(self, epoch: str) -> None:
        self._epoch = epoch
        rows = self._table()
        of_stages = (rows[rows[:, _AT["stage"]] == stage, _AT["batch"]] for stage in range(len(self.stages)))
        self._batches = [int(each.max(initial=-1.0)) + 1 for each in of_stages]

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
            about = (replicas[name], tuple(configured[name]), duration_s, run_end_s)
            parts.append(_of_stage(name, rows[own][order], sent, where[own][order], about))
        dropped_stage = np.where(np.isin(outcome, (DROPPED, FAILED)), ended_at, -1)
        return records_of_items(parts, sent.request, sent.scheduled_s, (outcome, dropped_stage, end_s))


About = tuple[ReplicaRecords, tuple[tuple[float, int], ...], float, float]
"""A stage's replicas and configured batch sizes, the duration of the load and the end of the run [s]."""


def _of_stage(name: str, rows: npt.NDArray[np.float64], sent: Sent, where: IntArray, about: About) -> Records:
    """The records of a stage as if it were a chain of its own, with its items as the requests."""
    replicas, configured, duration_s, run_end_s = about

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
