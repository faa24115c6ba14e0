"""The records of a graph: of the items at each stage, and of the requests to which they belong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol, TypeGuard

import numpy as np

from ipa.sim import records
from ipa.sim.graph.routes import Routes
from ipa.sim.interface import Engine, EngineStage
from ipa.sim.model import FloatArray, IntArray
from ipa.sim.records import (
    COMPLETED,
    DROPPED,
    FAILED,
    UNFINISHED,
    Records,
    Visits,
    integral_s,
    replica_records,
    tokens_of,
)

OF_VISITS = ("enqueue_s", "start_s", "finish_s", "replica", "batch", "batch_size")
"""The arrays of `Records` with a row for each stage."""


class ItemLog(NamedTuple):
    """The items of a stage in order of coming: request, edge and time of enqueue; shape (items,)."""

    request: IntArray
    edge: IntArray
    enqueue_s: FloatArray


class GraphEngine(Engine, Protocol):
    """One run of a graph of stages. The members of batches and drops are items, by their places in `item_log`."""

    @property
    def routes(self) -> Routes: ...

    def item_log(self, position: int, since: int = 0) -> ItemLog:
        """The items of a stage from number `since` on, in the order in which they came."""
        ...

    def on_the_way(self) -> IntArray:
        """The requests of the items that are on their way to a stage."""
        ...


def has_items(engine: Engine) -> TypeGuard[GraphEngine]:
    """Whether the engine's stages form a graph; in a chain, items are requests."""
    return getattr(engine, "routes", None) is not None


def collect_records(engine: Engine) -> Records:
    """The records of a finished run whose engine has kept everything, of a chain or of a graph."""
    return collect_items(engine) if has_items(engine) else records.collect_records(engine)


def collect_items(engine: GraphEngine) -> Records:
    """The records of a finished run of a graph, with `items` for each stage."""
    logs = [engine.item_log(position) for position in range(len(engine.stages))]
    parts = tuple(_stage_records(engine, stage, log) for stage, log in zip(engine.stages, logs, strict=True))
    request = np.arange(len(engine.arrivals_s))
    whole = records_of_items(parts, request, engine.arrivals_s, _ends(engine, parts, logs))
    return replace(whole, **records.limit_of(engine))


def records_of_items(
    parts: Sequence[Records], request: IntArray, arrival_s: FloatArray, ends: tuple[IntArray, IntArray, FloatArray]
) -> Records:
    """The records of a graph's requests with those of each stage's items as `items`.

    `ends`: outcome, stage where dropped (-1: none) and end [s] of each request; shape (requests,) each.
    """
    outcome, dropped_stage, end_s = ends
    none_s, none = np.zeros((len(parts), 0)), np.zeros((len(parts), 0), dtype=np.int64)
    return Records(
        stages=tuple(part.stages[0] for part in parts),
        run_end_s=parts[0].run_end_s,
        duration_s=parts[0].duration_s,
        request=request,
        arrival_s=arrival_s,
        outcome=outcome,
        dropped_stage=dropped_stage,
        end_s=end_s,
        enqueue_s=none_s,
        start_s=none_s,
        finish_s=none_s,
        replica=none,
        batch=none,
        batch_size=none,
        replicas=tuple(part.replicas[0] for part in parts),
        integral_s=np.concatenate([part.integral_s for part in parts]),
        configured=tuple(part.configured[0] for part in parts),
        items=tuple(parts),
    )


def records_of_none(engine: Engine) -> Records:
    """The records of a finished run's replicas, without those of any request or item of its graph."""
    whole = records.records_of_none(engine)
    nothing = {name: getattr(whole, name)[:1] for name in OF_VISITS}
    parts = zip(whole.stages, whole.replicas, whole.integral_s.tolist(), whole.configured, strict=True)
    return replace(
        whole,
        items=tuple(
            replace(
                whole,
                stages=(name,),
                replicas=(replicas,),
                integral_s=np.array([present_s]),
                configured=(sizes,),
                **nothing,
            )
            for name, replicas, present_s, sizes in parts
        ),
    )


def _stage_records(engine: GraphEngine, stage: EngineStage, log: ItemLog) -> Records:
    """The records of a stage as those of a chain of one stage, with items in place of requests."""
    visits = Visits.none_yet(1, len(log.request))
    visits.enter(0, stage.batch_log(), stage.drop_log(), 0)
    end_s, finish_s = engine.end_s, visits.finish_s
    finish_s[finish_s > end_s] = np.nan
    completed = np.isfinite(finish_s[0])
    outcome = np.where(visits.failed, FAILED, np.where(visits.dropped_stage >= 0, DROPPED, UNFINISHED))
    outcome[completed] = COMPLETED
    visits.end_s[completed] = finish_s[0, completed]
    return Records(
        stages=(stage.model.name,),
        run_end_s=end_s,
        duration_s=engine.world.duration_s,
        request=log.request,
        arrival_s=engine.arrivals_s[log.request],
        outcome=outcome,
        dropped_stage=visits.dropped_stage,
        end_s=visits.end_s,
        enqueue_s=log.enqueue_s[None, :],
        start_s=visits.start_s,
        finish_s=finish_s,
        replica=visits.replica,
        batch=visits.batch,
        batch_size=visits.batch_size,
        replicas=(replica_records(stage, end_s, engine.world.stop_s),),
        integral_s=np.array([integral_s(stage, end_s)]),
        configured=(tuple(stage.configured),),
        **tokens_of([stage], end_s),
    )


def _ends(
    engine: GraphEngine, parts: Sequence[Records], logs: Sequence[ItemLog]
) -> tuple[IntArray, IntArray, FloatArray]:
    """Each request's outcome, the stage where it was dropped or failed, and its end. A request ends with the first lost
    item that it cannot do without, else with its last item."""
    count = len(engine.arrivals_s)
    last_s, is_open = np.full(count, -np.inf), np.zeros(count, dtype=bool)
    lost_s, lost_at, failed = np.full(count, np.inf), np.full(count, -1), np.zeros(count, dtype=bool)
    is_open[engine.on_the_way()] = True
    for position, (part, log) in enumerate(zip(parts, logs, strict=True)):
        ended = part.outcome != UNFINISHED
        is_open[log.request[~ended]] = True
        np.maximum.at(last_s, log.request[ended], part.end_s[ended])
        lost = np.flatnonzero((part.dropped_stage >= 0) & ~engine.routes.forgiven(position, log.edge))
        first = lost[np.lexsort((part.outcome[lost], part.end_s[lost]))][::-1]  # reversed: the earliest is written last
        request = log.request[first]
        times_s, at, has_failed = lost_s.copy(), lost_at.copy(), failed.copy()
        times_s[request], at[request], has_failed[request] = part.end_s[first], position, part.outcome[first] == FAILED
        earlier = times_s < lost_s
        lost_s, lost_at = np.where(earlier, times_s, lost_s), np.where(earlier, at, lost_at)
        failed = np.where(earlier, has_failed, failed)
    is_lost = lost_at >= 0
    outcome = np.where(is_lost, np.where(failed, FAILED, DROPPED), np.where(is_open, UNFINISHED, COMPLETED))
    end_s = np.where(is_lost, lost_s, np.where(is_open, np.nan, last_s))
    return outcome.astype(np.int64), lost_at.astype(np.int64), end_s
