"""What a study keeps of a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipa.sim.totals import violated_seconds
from ipa.studies import simulate
from ipa.studies.study import schema
from ipa.studies.study.outcome import TIMELINE, latency_edges_s, outcome_of
from ipa.studies.study.plan import trials

pytestmark = pytest.mark.usefixtures("here")


def test_a_second_counts_when_more_than_one_percent_of_its_requests_are_late() -> None:
    """Of 0, 1, 3, 100 and 200 requests: none; one late; none late; one late of 100 (its p99 is the 99th); 3 of 200."""
    arrived, in_time = np.array([0, 1, 3, 100, 200]), np.array([0, 0, 3, 99, 197])
    assert violated_seconds(arrived, in_time) == 2


def test_a_timeline_adds_up_to_the_summary() -> None:
    scenario = trials(schema.load(Path("study.yaml")), 1)[0].scenario.with_values(
        {"trace": "constant:30:43", "policy": "switch-only:2", "hop_s": 0.0, "records": "all"}
    )
    outcome = outcome_of(simulate(scenario))
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
