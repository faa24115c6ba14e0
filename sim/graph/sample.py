"""Records of a sample of a graph's requests and of the slowest ones, and where the time of all completed ones went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from ipa.profiles import Pipeline
from ipa.sim.aggregates import exact_sum
from ipa.sim.graph.items import OF_VISITS
from ipa.sim.interface import BoolArray
from ipa.sim.intervals import IntervalCounts
from ipa.sim.model import FloatArray, IntArray, World
from ipa.sim.records import COMPLETED, DROPPED, FAILED, Records
from ipa.sim.sample import Counted, slowest
from ipa.sim.tables import served_accuracy

_OF_REQUESTS = ("request", "arrival_s", "outcome", "dropped_stage", "end_s")


def sample_of(
    pipeline: Pipeline, records: Records, world: World, sample: IntArray, most: int
) -> tuple[Records, Counted]:
    """Of the records of all requests, those of a sample and of the `most` slowest of two kinds, and the counts of all.

    The kinds are those of `sample.Sampling`.
    """
    counts = IntervalCounts(records.arrival_s, records.stages, world, pipeline.sla_s)
    counts.take_items(records)
    took_s = records.end_s - records.arrival_s
    has_records = np.zeros(len(took_s), dtype=bool)
    has_records[sample] = True
    for outcomes in ((COMPLETED,), (DROPPED, FAILED)):
        ended = np.flatnonzero(np.isin(records.outcome, outcomes))
        has_records[ended[slowest(ended, took_s[ended], most)]] = True
    of_items = [has_records[part.request] for part in records.items]
    parts = [_chosen(part, chosen) for part, chosen in zip(records.items, of_items, strict=True)]
    counted = Counted(
        intervals=counts.intervals(),
        sample=sample,
        accuracy=served_accuracy(pipeline, records)[has_records],
        filled_s=tuple(_filled_s(part)[chosen] for part, chosen in zip(records.items, of_items, strict=True)),
        spent_s=spent_s(records),
    )
    return replace(_chosen(records, has_records), items=tuple(parts)), counted


def _chosen(records: Records, chosen: BoolArray) -> Records:
    """The records of the chosen requests or items."""
    of_requests = {name: getattr(records, name)[chosen] for name in _OF_REQUESTS}
    of_visits = {} if records.items else {name: getattr(records, name)[:, chosen] for name in OF_VISITS}
    tokens = tuple(log and log.where(chosen) for log in records.tokens)
    return replace(records, **of_requests, **of_visits, tokens=tokens)


def _filled_s(part: Records) -> FloatArray:
    """When the last item of each item's batch was enqueued; NaN where it was not served."""
    batch, filled_s = part.batch[0], np.full(len(part.request), np.nan)
    served = batch >= 0
    last_s = np.full(int(batch.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(last_s, batch[served], part.enqueue_s[0, served])
    filled_s[served] = last_s[batch[served]]
    return filled_s


def spent_s(records: Records) -> FloatArray:
    """The time that all completed requests spent on their critical path, by stage and `sample.KINDS`; (stages, kinds).

    The path leads back from the item with which a request ended, to that of its items at an earlier stage which had
    ended last when this one came, and so on. A hop is all that lies between them. An item that was dropped, without
    which its request went on, waited until then.
    """
    request, stage, moments_s = _ended(records.items)
    enqueue_s, left_s = moments_s[0], moments_s[-1]
    began_s, is_on_path = records.arrival_s[request], np.zeros(len(request), dtype=bool)
    until_s = np.where(records.outcome == COMPLETED, records.end_s, -np.inf)  # by request: it ended at or before this,
    before = np.full(len(until_s), len(records.stages))  # at a stage before this one,
    following = np.full(len(until_s), -1)  # and led to this item
    while True:
        (earlier,) = np.nonzero((left_s <= until_s[request]) & (stage < before[request]))
        latest = earlier[np.diff(request[earlier], append=-1) != 0]
        if not len(latest):
            break
        is_on_path[latest] = True
        of_request, has_following = request[latest], following[request[latest]] >= 0
        began_s[following[of_request][has_following]] = left_s[latest][has_following]
        until_s[:] = -np.inf
        until_s[of_request], before[of_request], following[of_request] = enqueue_s[latest], stage[latest], latest
    return np.array(
        [
            [
                exact_sum((end_s - begin_s)[is_on_path & (stage == position)])
                for begin_s, end_s in pairwise([began_s, *moments_s])
            ]
            for position in range(len(records.stages))
        ]
    )


def _ended(parts: Sequence[Records]) -> tuple[IntArray, IntArray, list[FloatArray]]:
    """All items that have ended, by request, then by end: request, stage, and the moments that part its time there."""
    columns = []
    for position, part in enumerate(parts):
        enqueue_s, start_s, filled_s = part.enqueue_s[0], part.start_s[0], _filled_s(part)
        filled_s = np.where(np.isnan(filled_s), enqueue_s, filled_s)
        start_s = np.where(np.isnan(start_s), part.end_s, start_s)
        ended = np.isfinite(part.end_s)
        stage = np.full(len(ended), position)
        columns.append([column[ended] for column in (part.request, stage, enqueue_s, filled_s, start_s, part.end_s)])
    request, stage, *moments_s = (np.concatenate(column) for column in zip(*columns, strict=True))
    order = np.lexsort((stage, moments_s[-1], request))
    return request[order], stage[order], [moments[order] for moments in moments_s]
