"""What a graph's gateway records becomes the records of a simulation: item by item those of the engine."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipa.live.collect import ItemCollector
from ipa.live.sending import broken_laws
from ipa.live.sent import Sent
from ipa.live.serving.counts import EndedRequests
from ipa.live.serving.request import WholeRequest
from tests.live.serving.graph_world import GraphWorld
from tests.sim import graph_runs


class Recording(GraphWorld):
    """Keeps the records that a gateway keeps."""

    def __init__(self, made: dict[str, Any], seed: int) -> None:
        self.kept = EndedRequests(10_000, [str(position) for position in range(len(made["stages"]))], 2**30)
        super().__init__(made, seed)

    def left(self, request: WholeRequest) -> None:
        self.kept.add(request)
        super().left(request)


@pytest.mark.parametrize("seed", range(12))
def test_records_are_those_of_the_engine(seed: int) -> None:
    made = graph_runs.scenario(seed)
    expected = graph_runs.run(made, seed)
    world = Recording(made, seed)
    world.run()
    collector = ItemCollector(None, expected.stages)  # type: ignore[arg-type]
    collector._begin("epoch")
    ended: list[dict[str, Any]] = []
    while page := world.kept.after(len(ended), 10_000)[1]:
        ended += page
    for record in ended:
        for row in collector._rows_of(int(record["id"]), record):
            collector._rows.extend(row)
    has_ended = np.isin(expected.request, [int(record["id"]) for record in ended])
    arrivals_s = expected.arrival_s[has_ended]
    count = len(arrivals_s)
    nobody, status = np.full(count, np.nan), np.full(count, 200)
    sent = Sent(
        expected.request[has_ended],
        arrivals_s,
        nobody,
        nobody,
        status,
        np.zeros(count, dtype=bool),
        np.full(count, "", dtype=object),
    )
    replicas = dict(zip(expected.stages, expected.replicas, strict=True))
    configured = dict(zip(expected.stages, expected.configured, strict=True))
    found = collector.records(sent, replicas, configured, expected.duration_s, expected.run_end_s)
    np.testing.assert_array_equal(found.outcome, expected.outcome[has_ended])
    np.testing.assert_array_equal(found.end_s, expected.end_s[has_ended])
    for mine, theirs in zip(found.items, expected.items, strict=True):
        own = np.isin(theirs.request, sent.request)
        for name in ("request", "outcome", "end_s", "arrival_s"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name)[own])
        served = theirs.outcome[own] == 0
        for name in ("enqueue_s", "start_s", "finish_s", "replica", "batch", "batch_size"):
            mine_of, theirs_of = getattr(mine, name)[0], getattr(theirs, name)[0][own]
            np.testing.assert_array_equal(mine_of[served], theirs_of[served])
    assert list(broken_laws(found, bool(has_ended.all()), set())) == []
