"""What a study keeps of a run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa.sim.records import Records, ReplicaRecords
from ipa.sim.summary import violated_seconds
from ipa.studies import simulate
from ipa.studies.many import TIMELINE, course_of, latency_edges_s
from ipa.studies.many.outcome import p99_of_seconds_s
from ipa.studies.many.study import schema
from ipa.studies.many.study.plan import trials

pytestmark = pytest.mark.usefixtures("here")


def test_a_second_counts_when_more_than_one_percent_of_its_requests_are_late() -> None:
    """Of 0, 1, 3, 100 and 200 requests: none; one late; none late; one late of 100 (its p99 is the 99th); 3 of 200."""
    arrived, in_time = np.array([0, 1, 3, 100, 200]), np.array([0, 0, 3, 99, 197])
    assert violated_seconds(arrived, in_time) == 2


def test_a_timeline_adds_up_to_the_summary() -> None:
    scenario = trials(schema.load(Path("study.yaml")), 1)[0].scenario.with_values(
        {"trace": "constant:30:43", "policy": "switch-only:2", "hop_s": 0.0, "records": "all"}
    )
    outcome = course_of(simulate(scenario))
    line = dict(zip(TIMELINE, outcome.timeline, strict=True))
    summary = outcome.summary
    widths_s = np.diff([*line["time_s"], 43.0])
    assert line["requests"].sum() == summary["requests"] == 43 * 30
    assert line["violations"].sum() == pytest.approx(summary["sla_violation_rate"] * summary["requests"])
    assert 0 < line["violated_seconds"].sum() == round(summary["sla_violation_seconds_rate"] * 43)
    for column, key in (("planned_cost_cores", "planned_cost_mean_cores"), ("cost_cores", "cost_mean_cores")):
        assert np.sum(line[column] * widths_s) / 43.0 == pytest.approx(summary[key])
    assert np.sum(line["planned_pas"] * widths_s) / 43.0 == pytest.approx(summary["planned_pas_mean"])
    assert outcome.latencies.sum() == summary["completed"]
    edges_s = latency_edges_s()
    median_bin = int(np.searchsorted(np.cumsum(outcome.latencies), summary["completed"] / 2))
    assert edges_s[median_bin - 1] <= summary["latency_p50_s"] <= edges_s[median_bin]
    assert sum(each.share for each in outcome.configurations) == pytest.approx(1.0)
    # A second is violated where its p99 is above the SLA, or that of a request which was not answered.
    in_time = outcome.seconds[: np.searchsorted(edges_s, summary["sla_s"])].sum()
    assert summary["arrived_seconds"] - in_time == line["violated_seconds"].sum()


def of_one_stage(**changes: Any) -> Records:
    """Four requests that arrive a second apart from 0 s; a single replica serves one after the other for 2 s each."""
    arrival_s, start_s = np.arange(4.0), np.array([0.0, 2.0, 4.0, 6.0])
    none, nothing = np.zeros(4, np.int64), np.full(1, np.nan)
    records = Records(
        stages=("a",),
        run_end_s=10.0,
        duration_s=10.0,
        request=np.arange(4),
        arrival_s=arrival_s,
        outcome=none,
        dropped_stage=none - 1,
        end_s=start_s + 2.0,
        enqueue_s=arrival_s[None],
        start_s=start_s[None],
        finish_s=start_s[None] + 2.0,
        replica=none[None],
        batch=np.arange(4)[None],
        batch_size=none[None] + 1,
        replicas=(ReplicaRecords(("v",), np.ones(1, np.int64), np.zeros(1), np.zeros(1), nothing, nothing),),
        integral_s=np.zeros(1),
        configured=(((0.0, 1),),),
    )
    return replace(records, **changes)


def test_the_p99_of_a_second_is_what_99_percent_of_its_requests_keep() -> None:
    """Of 3 requests it is the longest, infinite if that one was dropped; of 100 the second longest."""
    lasted_s = np.array([0.3, 0.1, 0.2])
    few = of_one_stage(arrival_s=np.zeros(3), end_s=lasted_s, outcome=np.zeros(3, np.int64))
    assert p99_of_seconds_s(few).tolist() == [0.3]
    dropped = replace(few, outcome=np.array([0, 1, 0]))
    assert p99_of_seconds_s(dropped).tolist() == [np.inf]
    arrival_s = np.repeat([0.0, 5.5], [100, 1])
    end_s = arrival_s + np.append(np.arange(1, 101) / 100, 7.0)
    many = of_one_stage(arrival_s=arrival_s, end_s=end_s, outcome=np.zeros(101, np.int64))
    assert p99_of_seconds_s(many).tolist() == [0.99, 7.0]
