"""The laws of the model, checked at the end of every run: on its records or, without records, on its totals.

A broken law is a bug in this program, never bad input.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import fsum
from typing import NamedTuple, Self

import numpy as np

from ipa.errors import Error
from ipa.sim import token_laws
from ipa.sim.interface import Engine
from ipa.sim.language_model import refused
from ipa.sim.model import FloatArray, IntArray, RunInput, in_words
from ipa.sim.records import COMPLETED, DROPPED, FAILED, UNFINISHED, Records, ReplicaRecords
from ipa.sim.rules import NEVER

_RELATIVE = 1e-9


class LawError(Error):
    """A run has broken a law of the model, so its results must not be used."""

    exit_code = 3


def check(records: Records, *, eager: bool, oldest_s: Sequence[float] | None = None) -> None:
    """Check a run's records. Raises LawError, naming each broken law, if they break any."""
    broken = list(violations(records, eager=eager, oldest_s=oldest_s))
    if broken:
        raise LawError("the simulation broke its own laws: " + "; ".join(broken))


def oldest_s(run_input: RunInput) -> list[float]:
    """The largest age [s] at which a request may start at each stage: the drop limit; by deadline, at most the SLA."""
    world = run_input.world
    most_s = NEVER if world.drop != "deadline" or world.sla_s is None else world.sla_s
    return [min(model.drop_limit_s, most_s) for model in run_input.models]


def violations(records: Records, *, eager: bool, oldest_s: Sequence[float] | None = None) -> Iterator[str]:
    """The laws that a run's records break, a sentence for each.

    `oldest_s` (None: unknown): the largest age at which a request may start at each stage. It is not checked with eager
    dispatch, where a request starts later than it leaves the queue.
    """
    if records.items:
        yield from _of_graph(records, eager, oldest_s)
        yield from limit_exceeded(records)
        return
    # Index arrays by stage first, then by request: indexing both at once takes three times as long.
    yield from _one_outcome_each(records)
    yield from _times_in_order(records)
    yield from limit_exceeded(records)
    magnitude_s = _magnitude_s(records)
    for stage, name in enumerate(records.stages):
        batches = _Batches.of(records, stage)
        has_tokens = bool(records.tokens) and records.tokens[stage] is not None
        if not _fail_with_replicas(records, stage, has_tokens):
            yield f"L12: at stage {name} a request failed otherwise than with the replica that held it"
        is_central = has_tokens or not eager
        if is_central and not _starts_in_queue_order(records, stage, batches):
            yield f"L3: at stage {name} a request started before one that was ahead of it"
        if is_central and not _sizes_in_force(records, stage, batches):
            yield f"L4: at stage {name} a batch is larger than the batch size in force"
        if is_central and oldest_s is not None and np.any(records.start_s[stage] > records.arrival_s + oldest_s[stage]):
            yield f"L13: at stage {name} a request started that was to be dropped"
        yield from _replicas_serve(records, stage, batches, has_tokens)
        if has_tokens:
            yield from token_laws.violations(records, stage, _left_s(records, stage))
        yield from cost_differs(records, stage)
        if not close(float(records.integral_s[stage]), _presence_s(records, stage), magnitude_s):
            yield f"L9: at stage {name} the requests present do not add up to the time spent there"


def _of_graph(records: Records, eager: bool, oldest_s: Sequence[float] | None) -> Iterator[str]:
    """As `violations`, for a graph: the laws of each stage, with items in place of requests, and of requests' ends."""
    for stage, part in enumerate(records.items):
        yield from violations(part, eager=eager, oldest_s=None if oldest_s is None else oldest_s[stage : stage + 1])
    last_s, is_open = np.full(len(records.request), -np.inf), np.zeros(len(records.request), dtype=bool)
    for part in records.items:
        ended, request = part.outcome != UNFINISHED, records.places(part)
        np.maximum.at(last_s, request[ended], part.end_s[ended])
        is_open[request[~ended]] = True
    completed, is_left = records.outcome == COMPLETED, np.isin(records.outcome, (DROPPED, FAILED))
    if np.any(is_open[completed]) or np.any(records.end_s[completed] != last_s[completed]):
        yield "L1: a request has not completed with its last item"
    lost = records.dropped_stage >= 0  # in a live run, a refused request has failed but at no stage
    if (
        np.any(lost & ~is_left)
        or np.any(~lost & (records.outcome == DROPPED))
        or np.any(records.end_s[lost] > last_s[lost])
    ):
        yield "L1: a request was dropped otherwise than with an item"
    if np.any(np.isfinite(records.end_s) != (records.outcome != UNFINISHED)):
        yield "L1: a request has an end but no outcome, or the other way"


class _Batches(NamedTuple):
    """The batches of a stage. `order`: the requests served there, batch after batch, in order of number within a batch;
    `first`: where each batch begins in `order`; `size`: its requests. `by_start` and `first_by_start` put places in
    `order` and batches in order of start: whole slices if they are already, as they should be."""

    order: IntArray
    first: IntArray
    size: IntArray
    by_start: IntArray | slice
    first_by_start: IntArray | slice

    @classmethod
    def of(cls, records: Records, stage: int) -> Self:
        """All batches of the stage."""
        served = np.flatnonzero(records.batch[stage] >= 0)
        order = served[np.argsort(records.batch[stage][served], kind="stable")]
        first = np.flatnonzero(np.diff(records.batch[stage][order], prepend=-1))
        size = np.diff(first, append=len(order))
        start_s = records.start_s[stage][order]
        if np.all(start_s[1:] >= start_s[:-1]):
            return cls(order, first, size, slice(None), slice(None))
        return cls(order, first, size, np.argsort(start_s, kind="stable"), np.argsort(start_s[first], kind="stable"))


def cost_differs(records: Records, stage: int) -> Iterator[str]:
    """Violations of L8, the cost of a stage."""
    name, replicas = records.stages[stage], records.replicas[stage]
    if not close(replica_core_s(replicas, records), existing_core_s(replicas, records)):
        yield f"L8: at stage {name} the cost differs from the integral of the replica timeline"


def limit_exceeded(records: Records) -> Iterator[str]:
    """Violations of L14: the cores and GPUs that exist, starting and draining ones included, never exceed the limits,
    or what was ready at the start if that is more."""
    for resource, limit in records.limits.items():
        units_by_stage = records.taken(resource)
        starts = zip(records.replicas, units_by_stage, strict=True)
        at_start = sum(int(units[replicas.ready_s == 0.0].sum()) for replicas, units in starts)
        most = most_at_once(
            [replicas.created_s for replicas in records.replicas],
            [_or_never(replicas.gone_s) for replicas in records.replicas],
            units_by_stage,
        )
        if most > max(limit, at_start):
            name = in_words(resource)
            yield f"L14: more {name} existed at once than the limit allows"


def most_at_once(created_s: Sequence[FloatArray], gone_s: Sequence[FloatArray], units: Sequence[IntArray]) -> int:
    """The most cores, or GPUs, that exist at any moment, of replicas with these times that take so many, by stage."""
    moments_s = np.concatenate([*created_s, *gone_s])
    changes = np.concatenate([*units, *(-stage_units for stage_units in units)])
    # At one moment, what goes makes room for what comes.
    existing_cores = np.cumsum(changes[np.lexsort((changes, moments_s))])
    return int(existing_cores.max(initial=0))


def _one_outcome_each(records: Records) -> Iterator[str]:
    finished = np.isfinite(records.finish_s[-1])
    outcome = records.outcome
    if not np.array_equal(outcome == COMPLETED, finished):
        yield "L1: completed is not the same as finished at the last stage"
    is_left = records.dropped_stage >= 0
    if np.any((outcome == DROPPED) & ~is_left) or np.any(is_left & (outcome != DROPPED) & (outcome != FAILED)):
        yield "L1: dropped is not the same as dropped at a stage"
    ended = np.isin(outcome, (COMPLETED, DROPPED, FAILED))
    if not np.array_equal(ended, np.isfinite(records.end_s)):
        yield "L1: a request has an end but no outcome, or the other way"
    if not np.all(ended | (outcome == UNFINISHED)):
        yield "L1: a request has none of the outcomes"


def _times_in_order(records: Records) -> Iterator[str]:
    enqueue_s, start_s, finish_s = records.enqueue_s, records.start_s, records.finish_s
    before = np.vstack([records.arrival_s[None, :], finish_s[:-1]])
    if np.any(enqueue_s < before) or np.any(start_s < enqueue_s) or np.any(finish_s < start_s):
        yield "L2: a request's times run backwards"
    if np.any(np.isfinite(start_s) & np.isnan(enqueue_s)):
        yield "L2: a request started where it was never enqueued"
    dropped = np.flatnonzero(records.outcome == DROPPED)
    if np.any(np.isfinite(start_s[records.dropped_stage[dropped], dropped])):
        yield "L2: a request was started where it was dropped"


def _starts_in_queue_order(records: Records, stage: int, batches: _Batches) -> bool:
    """Whether batches, in order of start, take requests in order of enqueue."""
    if not len(batches.order):
        return True
    enqueue_s = records.enqueue_s[stage][batches.order]
    if np.all(enqueue_s[1:] >= enqueue_s[:-1]):
        return True
    earliest = np.minimum.reduceat(enqueue_s, batches.first)
    latest = np.maximum.reduceat(enqueue_s, batches.first)
    return bool(np.all(earliest[1:] >= latest[:-1]))


def _fail_with_replicas(records: Records, stage: int, has_tokens: bool) -> bool:
    """Whether each request that failed at the stage did so when a replica was removed: its own, if it was served; or of
    a language model, when its replica refused it."""
    failed = np.flatnonzero((records.outcome == FAILED) & (records.dropped_stage == stage))
    if has_tokens:
        failed = failed[~refused(records, stage, failed)]
    removed_s, replica = records.replicas[stage].removed_s, records.replica[stage][failed]
    served, end_s = replica >= 0, records.end_s[failed]
    with_own = end_s[served] == removed_s[replica[served]]
    return bool(with_own.all() and np.isin(end_s[~served], removed_s).all())


def _left_s(records: Records, stage: int) -> FloatArray:
    """When each request left the stage, served or not; NaN if it did not."""
    return np.where(records.dropped_stage == stage, records.end_s, records.finish_s[stage])


def _replicas_serve(records: Records, stage: int, batches: _Batches, has_tokens: bool) -> Iterator[str]:
    name, replicas = records.stages[stage], records.replicas[stage]
    members = batches.order[batches.first]
    if np.any(batches.size != records.batch_size[stage][members]):
        yield f"L4: at stage {name} a batch does not have the members it says"
    members = members[batches.first_by_start]
    start_s, replica = records.start_s[stage][members], records.replica[stage][members]
    finish_s = _or_never(_left_s(records, stage)[members])
    order = np.argsort(replica.astype(np.min_scalar_type(len(replicas.variant))), kind="stable")
    same = replica[order][1:] == replica[order][:-1]
    if not has_tokens and np.any(same & (start_s[order][1:] < finish_s[order][:-1])):
        yield f"L4: at stage {name} a replica served two batches at once"
    ready_s = replicas.ready_s[replica]
    removed_s, gone_s = _or_never(replicas.removed_s)[replica], _or_never(replicas.gone_s)[replica]
    if not np.all((start_s >= ready_s) & (start_s <= removed_s) & (finish_s <= gone_s)):
        yield f"L4: at stage {name} a replica served before it was ready, after it was removed or when it was gone"


def replica_core_s(replicas: ReplicaRecords, records: Records) -> float:
    """The core-seconds of all replicas within the duration, each from its creation until it is gone."""
    until_s = np.minimum(_or_never(replicas.gone_s), records.duration_s)
    return fsum(replicas.cores * np.maximum(until_s - replicas.created_s, 0.0))


def existing_core_s(replicas: ReplicaRecords, records: Records) -> float:
    """The same figure as an integral over time of the existing cores, which change at creation and exit."""
    gone = np.isfinite(replicas.gone_s)
    moments = np.concatenate([replicas.created_s, replicas.gone_s[gone]])
    change = np.concatenate([replicas.cores, -replicas.cores[gone]])
    order = np.argsort(moments, kind="stable")
    edges_s = np.minimum(np.append(moments[order], np.inf), records.duration_s)
    return fsum(np.cumsum(change[order]) * np.diff(edges_s))


def _presence_s(records: Records, stage: int) -> float:
    """The sum over all requests of the time from enqueue to finish, drop or the end of the run."""
    came = np.isfinite(records.enqueue_s[stage])
    left_s = _left_s(records, stage)
    left_s = np.where(np.isnan(left_s), records.run_end_s, left_s)
    return float(np.sum((left_s - records.enqueue_s[stage])[came]))


def _magnitude_s(records: Records) -> float:
    """The magnitude of the sums whose difference the integral is."""
    return len(records.arrival_s) * records.run_end_s


def _sizes_in_force(records: Records, stage: int, batches: _Batches) -> bool:
    since_s, sizes = (np.array(column) for column in zip(*records.configured[stage], strict=True))
    requests = batches.order[batches.by_start]
    start_s, size = records.start_s[stage][requests], records.batch_size[stage][requests]
    last = _latest(np.searchsorted(start_s, since_s, side="left"), len(start_s))
    # Within one instant, a batch may start before or after a change, so both sizes are in force.
    first = np.maximum(_latest(np.searchsorted(start_s, since_s, side="right"), len(start_s)), 0)
    too_large = size > np.maximum(sizes[first], sizes[last])
    return not np.any(too_large & (last - first <= 1))


def _or_never(moments_s: FloatArray) -> FloatArray:
    """The moments, with infinity in place of NaN."""
    return np.where(np.isnan(moments_s), np.inf, moments_s)


def _latest(begins: IntArray, count: int) -> IntArray:
    """For each of `count` places, the index of the last element of `begins` that is at most the place; -1: none.

    `begins`: ascending places.
    """
    return np.cumsum(np.bincount(begins, minlength=count)[:count]) - 1


def close(a: float, b: float, magnitude: float = 0.0) -> bool:
    """Whether two figures are equal up to rounding; `magnitude`: that of the sums whose differences they are."""
    scale = max(abs(a), abs(b), 1.0)
    return abs(a - b) <= _RELATIVE * scale + 1e-12 * magnitude


@dataclass(slots=True)
class StageTotals:
    """Counts of requests in a stage's batches and drops, and the sums of the times of these events."""

    finished: int = 0
    finished_sum_s: float = 0.0
    delivered: int = 0  # to the next stage; at the last stage, all that have finished
    delivered_sum_s: float = 0.0
    dropped: int = 0
    dropped_sum_s: float = 0.0


def check_totals(stages: Sequence[StageTotals], records: Records, engine: Engine) -> None:
    """Check a run's totals; `records` hold all replicas. Raises LawError, naming each broken law, if they break any."""
    broken = list(violations_of_totals(stages, records, engine))
    if broken:
        raise LawError("the simulation broke its own laws: " + "; ".join(broken))


def violations_of_totals(stages: Sequence[StageTotals], records: Records, engine: Engine) -> Iterator[str]:
    """The broken laws, a sentence for each: the engine's figures must agree with its batches and drops."""
    came, came_sum_s = len(engine.arrivals_s), float(engine.arrivals_s.sum())
    magnitude_s = len(engine.arrivals_s) * records.run_end_s
    yield from limit_exceeded(records)
    for position, (total, state) in enumerate(zip(stages, engine.stages, strict=True)):
        name, present = records.stages[position], came - total.finished - total.dropped
        counted = (came, total.finished, total.dropped)
        if counted != (state.enqueued, state.completions, state.dropped) or present < 0:
            yield f"L1: at stage {name} the requests that came, finished and were dropped are not those of its batches"
        yield from cost_differs(records, position)
        presence_s = total.finished_sum_s + total.dropped_sum_s + present * records.run_end_s - came_sum_s
        if not close(float(records.integral_s[position]), presence_s, magnitude_s):
            yield f"L9: at stage {name} the requests present do not add up to the time spent there"
        came, came_sum_s = total.delivered, total.delivered_sum_s
