"""From what the gateway and the load generator say to the simulator's records: every request in exactly one outcome."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from math import isnan, nan
from typing import Any

import numpy as np
import pytest

from ipa.live.collect import Collector
from ipa.live.sending import broken_laws
from ipa.live.sent import UNANSWERED, UNREACHABLE, Sent
from ipa.live.stage_replicas import StageReplicas
from ipa.policies import StageConfiguration
from ipa.sim import Records, requests_table, stages_table
from ipa.sim.summary import totals_of
from tests.tiny import two_by_two

PIPELINE = two_by_two()


class Says:
    """A gateway's control API with some records, two a page."""

    def __init__(self, *records: dict[str, Any]) -> None:
        self.epoch, self.is_started = "first", True
        self._records = records

    async def records(self, after: int, limit: int = 2) -> dict[str, Any]:
        page = self._records[after : after + 2]
        said = {"epoch": self.epoch, "started": self.is_started}
        return {**said, "next": after + len(page), "lost": 0, "records": list(page)}

    def begin_anew(self, epoch: str, *records: dict[str, Any], is_started: bool = True) -> None:
        """It has been killed, and another is in its place."""
        self.epoch, self.is_started, self._records = epoch, is_started, records


def visit(enqueue_s: float, start_s: float | None = None, finish_s: float | None = None, batch: int = 0) -> Any:
    served = {"batch": batch, "batch_size": 1, "replica": 0, "variant": "small"}
    nothing = dict.fromkeys(served)
    times = {"enqueue_s": enqueue_s, "start_s": start_s, "finish_s": finish_s}
    return {**times, **(nothing if start_s is None else served)}


def ended(name: object, outcome: str, end_s: float, *visits: Any, stage: str | None = None) -> dict[str, Any]:
    arrival_s = visits[0]["enqueue_s"]
    return {
        "id": name,
        "arrival_s": arrival_s,
        "end_s": end_s,
        "outcome": outcome,
        "stage": stage,
        "stages": list(visits),
    }


def sent(*statuses: int) -> Sent:
    """Requests due at 0, 1, 2, ..., answered half a second later, if at all."""
    due_s = np.arange(len(statuses), dtype=np.float64)
    status = np.array(statuses)
    answered_s = np.where(status == UNANSWERED, nan, due_s + 0.5)
    retry, reason = np.zeros(len(statuses), dtype=bool), np.full(len(statuses), "", dtype=object)
    return Sent(np.arange(len(statuses)), due_s, due_s + 0.001, answered_s, status, retry, reason)


def collected(gateway: Says, load: Sent) -> tuple[Collector, Records]:
    collector = Collector(gateway, ("a", "b"))  # type: ignore[arg-type]
    asyncio.run(collector.fetch())
    return collector, records_of(collector, load)


def records_of(collector: Collector, load: Sent) -> Records:
    replicas = {}
    for name in ("a", "b"):
        stage = StageReplicas(name, StageConfiguration("small", 1, 1, 0.0, 1))
        stage.create(0.0).ready_s = 0.0
        replicas[name] = stage
    configured = {"a": [(0.0, 1)], "b": [(0.0, 1)]}
    timelines = {name: stage.records() for name, stage in replicas.items()}
    return collector.records(load, timelines, configured, 10.0, 12.0)


SERVED = (visit(0.01, 0.02, 0.12), visit(0.12, 0.13, 0.23))
EVERY_WAY = (
    ended("0", "completed", 0.23, *SERVED),
    ended("2", "dropped", 2.9, visit(2.01, 2.02, 2.12, 1), visit(2.12), stage="b"),
    ended("1", "failed", 3.0, visit(1.01, 2.3, None, 2), stage="a"),
    ended("3", "unfinished", 9.0, visit(3.01), stage="a"),
)


def test_every_request_has_the_outcome_that_the_gateway_says() -> None:
    _, records = collected(Says(*EVERY_WAY), sent(200, 502, 504, 504))
    table = requests_table(PIPELINE, records).set_index("request")
    assert table["outcome"].tolist() == ["completed", "failed", "dropped", "unfinished"]
    assert table["arrival_s"].tolist() == [0.0, 1.0, 2.0, 3.0]  # when they were due, not when the gateway had them
    assert table["latency_s"][0] == 0.23
    assert table["accuracy"][0] == pytest.approx(0.5 * 0.6)
    assert table["dropped_stage"].tolist()[2] == "b"
    assert table["dropped_stage"].isna().tolist() == [True, True, False, True]
    assert [isnan(end_s) for end_s in table["end_s"]] == [False, False, False, True]


def test_stages_say_how_far_each_came() -> None:
    _, records = collected(Says(*EVERY_WAY), sent(200, 502, 504, 504))
    table = stages_table(records)
    assert list(zip(table["request"], table["stage"], strict=True)) == [
        (0, "a"),
        (0, "b"),
        (1, "a"),
        (2, "a"),
        (2, "b"),
        (3, "a"),
    ]
    assert table["batch"].tolist() == [0, 0, 2, 1, -1, -1]
    # The second was tried again after its replica had died, when the third had overtaken it.
    assert list(broken_laws(records, is_whole=True, retried={"a"})) == []


def test_of_a_request_without_a_record_the_load_generator_tells() -> None:
    """No answer: unfinished. Refused, or no connection: failed. Answered, but the record was lost: as answered."""
    collector, records = collected(Says(EVERY_WAY[0]), sent(200, UNANSWERED, 503, UNREACHABLE, 200, 504, 502))
    table = requests_table(PIPELINE, records)
    assert table["outcome"].tolist()[1:] == ["unfinished", "failed", "failed", "completed", "dropped", "failed"]
    assert table["latency_s"].tolist()[4] == 0.5  # as its client saw it
    assert isnan(table["accuracy"][4])
    assert (records.end_s[2], records.end_s[5]) == (2.5, 5.5)
    assert collector.lost == 3  # the last ones: they were inside, and nothing else is known of them
    assert set(stages_table(records)["request"]) == {0}
    totals = totals_of(PIPELINE, records, sla_s=1.0)
    assert (totals.completed, totals.dropped, totals.failed, totals.unfinished) == (2, 1, 3, 1)
    assert totals.accuracy_sum / totals.completed == pytest.approx(0.5 * 0.6)  # of those of which it is known
    assert list(broken_laws(records, is_whole=False, retried=())) == []


def served(number: int, batch: int) -> dict[str, Any]:
    """Completed in a second of its own."""
    at_s = float(number)
    visits = (visit(at_s + 0.01, at_s + 0.02, at_s + 0.12, batch), visit(at_s + 0.12, at_s + 0.13, at_s + 0.23, batch))
    return ended(str(number), "completed", at_s + 0.23, *visits)


def test_of_a_gateway_that_was_started_anew_all_records_come_and_only_what_the_old_one_kept_is_lost() -> None:
    """0 and 1 have come of the old gateway; 2 it has answered, and died; 3 to 6 are the new one's, 3 before its clock
    was set."""
    gateway = Says(served(0, 0), served(1, 1))
    collector = Collector(gateway, ("a", "b"))  # type: ignore[arg-type]
    asyncio.run(collector.fetch())
    gateway.begin_anew("second", {**served(3, 0), "arrival_s": 0.5}, is_started=False)
    assert asyncio.run(collector.fetch()) == []
    gateway.begin_anew("third", served(4, 0), served(5, 1), served(6, 2))
    assert [each["id"] for each in asyncio.run(collector.fetch())] == ["4", "5", "6"]
    records = records_of(collector, sent(*[200] * 7))
    outcomes = requests_table(PIPELINE, records)["outcome"].tolist()
    assert outcomes == ["completed"] * 7
    assert collector.lost == 2
    # The new gateway numbers its batches from 0, and these are others.
    assert records.batch.tolist() == [[0, 1, -1, -1, 2, 3, 4]] * 2
    assert list(broken_laws(records, is_whole=False, retried=())) == []


def test_records_that_were_fetched_before_the_gateway_dropped_them_are_not_lost() -> None:
    gateway = Says(served(0, 0), served(1, 1))
    whole = gateway.records

    async def records(after: int, limit: int = 2) -> dict[str, Any]:
        return {**await whole(after, limit), "lost": 2}

    gateway.records = records  # type: ignore[method-assign]
    collector, _ = collected(gateway, sent(200, 200))
    assert collector.lost == 0


def test_requests_of_others_are_counted_and_stand_in_no_table() -> None:
    others = (ended(None, "completed", 0.2, *SERVED), ended("me", "completed", 0.2, *SERVED))
    collector, records = collected(Says(*others, ended("77", "completed", 0.2, *SERVED), EVERY_WAY[0]), sent(200))
    assert (collector.foreign, len(records.request)) == (3, 1)


def overtaken(*, is_retried: bool) -> tuple[dict[str, Any], dict[str, Any]]:
    """Request 1 was served at stage a before request 0, which came first."""
    late = {**visit(0.01, 1.7, 1.8, 1), "retried": is_retried}
    return (
        ended("1", "completed", 1.4, visit(1.01, 1.1, 1.2, 0), visit(1.2, 1.3, 1.4, 0)),
        ended("0", "completed", 1.9, late, visit(1.8, 1.8, 1.9, 1)),
    )


def test_a_record_that_breaks_a_law_is_told() -> None:
    collector, records = collected(Says(*overtaken(is_retried=False)), sent(200, 200))
    assert collector.retried == set()
    told = [*broken_laws(records, is_whole=True, retried=collector.retried)]
    assert told == ["L3: at stage a a request started before one that was ahead of it"]


def test_a_batch_that_is_tried_again_may_be_overtaken_at_its_stage_alone() -> None:
    """Its replica need not have died: a network that breaks one connection is enough."""
    collector, records = collected(Says(*overtaken(is_retried=True)), sent(200, 200))
    assert collector.retried == {"a"}
    assert [*broken_laws(records, is_whole=True, retried=collector.retried)] == []
    assert any("L3: at stage a" in law for law in broken_laws(records, is_whole=True, retried={"b"}))


def test_the_last_answer_of_a_replica_that_was_killed_may_come_after_its_end() -> None:
    """It was on its way; of one that was asked to end, and so had no batch, that would be a defect."""
    late = ended("0", "completed", 0.4, visit(0.01, 0.02, 0.3), visit(0.3, 0.31, 0.4))
    collector, records = collected(Says(late), sent(200))
    replicas = records.replicas[0]

    def laws_of(removed_s: float, gone_s: float) -> list[str]:
        of_a = replace(replicas, removed_s=np.array([removed_s]), gone_s=np.array([gone_s]))
        ends = replace(records, replicas=(of_a, records.replicas[1]))
        return [*broken_laws(ends, is_whole=True, retried=collector.retried)]

    assert laws_of(0.2, 0.2) == []
    (law,) = laws_of(0.1, 0.2)
    assert law == "L4: at stage a a replica served before it was ready, after it was removed or when it was gone"


def test_a_replica_may_go_after_a_batch_without_an_answer() -> None:
    """Its connection broke, so it was idle, and asked to end; a batch that began after that would be a defect."""
    failed = ended("0", "failed", 0.4, visit(0.01, 0.1), stage="a")
    collector, records = collected(Says(failed), sent(502))

    def laws_of(removed_s: float) -> list[str]:
        of_a = replace(records.replicas[0], removed_s=np.array([removed_s]), gone_s=np.array([0.6]))
        ends = replace(records, replicas=(of_a, records.replicas[1]))
        return [*broken_laws(ends, is_whole=True, retried=collector.retried)]

    assert laws_of(0.5) == []
    assert laws_of(0.05) == [
        "L4: at stage a a replica served before it was ready, after it was removed or when it was gone"
    ]


def test_a_replica_that_serves_on_after_a_batch_without_an_answer_breaks_no_law() -> None:
    """Request 0's batch failed at stage b, where its replica served request 1 later; two at once are still told."""
    failed = ended("0", "failed", 0.9, visit(0.01, 0.1, 0.2), visit(0.2, 0.3), stage="b")

    def laws_of(start_s: float) -> list[str]:
        later = ended("1", "completed", 1.6, visit(1.01, 1.1, 1.2, 1), visit(1.2, 1.3, 1.6, 1))
        third = ended("2", "completed", 2.6, visit(2.01, 2.02, 2.03, 2), visit(2.03, start_s, 2.6, 2))
        first, second = later["stages"]
        late = {**later, "end_s": 2.5, "stages": [first, {**second, "finish_s": 2.5}]}
        _, records = collected(Says(failed, late, third), sent(502, 200, 200))
        return [law for law in broken_laws(records, is_whole=True, retried=()) if law.startswith("L4")]

    assert laws_of(2.5) == []
    assert laws_of(2.4) == ["L4: at stage b a replica served two batches at once"]
