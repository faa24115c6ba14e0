"""The worst hour of a run, and what its decisions could not keep, in numbers that can be checked by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ipa.policies import Decision, Entry, Goal
from ipa.sim import Planned
from ipa.sim.summary import worst_hour
from ipa.studies import find, simulate
from tests.tiny import configuration, observation, two_by_two


def test_hours_begin_with_the_run_and_the_last_one_ends_with_it() -> None:
    """Two hours and ten minutes, a request a second, of which those of the last hour's first ten minutes are late.

    These are seconds 4200 to 4800: 600 of 3600 in the hour from 3600, and in the last hour, which begins at 4200.
    """
    arrived, in_time = np.ones(7800, dtype=np.int64), np.ones(7800, dtype=np.int64)
    in_time[4200:4800] = 0
    assert worst_hour(arrived, in_time) == 600 / 3600
    in_time[7200:] = 0
    assert worst_hour(arrived, in_time) == 1200 / 3600  # the last hour has both


def test_a_run_of_less_than_an_hour_is_one_hour_and_hours_without_requests_do_not_count() -> None:
    assert worst_hour(np.array([3, 1]), np.array([2, 0])) == 0.5
    assert worst_hour(np.zeros(9000, dtype=np.int64), np.zeros(9000, dtype=np.int64)) == 0.0
    arrived = np.zeros(9000, dtype=np.int64)
    arrived[0] = 4
    assert worst_hour(arrived, arrived // 4) == 0.75


@pytest.mark.parametrize("records", ["all", "sample", "none"])
def test_the_summary_has_the_worst_hour_that_the_requests_have(records: str, tmp_path: Path) -> None:
    """Two hours at 2 rps, with a flood of a minute in the second."""
    counts_rps = [40 if 5000 <= second < 5060 else 2 for second in range(7200)]
    (tmp_path / "flood.csv").write_text("count\n" + "\n".join(map(str, counts_rps)))
    scenario = find("video", {"trace": str(tmp_path / "flood.csv"), "policy": "static:1,1", "sla_s": 0.6})
    table = simulate(scenario).tables["requests"]
    late = ~(table["latency_s"] <= 0.6)
    shares = late.groupby((table["arrival_s"] // 3600).astype(int)).mean()
    summary = simulate(scenario.with_values({"records": records})).summary
    assert summary["sla_violation_worst_hour_rate"] == pytest.approx(shares.max(), abs=1e-12)
    assert summary["sla_violation_rate"] == pytest.approx(late.mean(), abs=1e-12)
    assert shares.min() < summary["sla_violation_worst_hour_rate"]


@pytest.mark.parametrize("what", ["video", "traffic"])
def test_the_accuracy_of_each_stage_is_that_of_what_served(what: str) -> None:
    """Of a chain, the product for each request is its PAS; of a graph, items count."""
    run = simulate(find(what, {"trace": "bursty", "window": "300:500"}))
    by_stage = run.summary["stage_accuracy_mean"]
    table = run.tables["items" if what == "traffic" else "stages"]
    table = table[(table["replica"] >= 0) & table["request"].isin(completed(run.tables["requests"]))]
    variants = run.tables["replicas"].set_index(["stage", "replica"])["variant"]
    for stage, served in table.groupby("stage", observed=True):
        names = variants.loc[str(stage)].loc[served["replica"]]
        expected = 100.0 * np.mean([run.accuracies[str(stage)][name] for name in names])
        assert by_stage[stage] == pytest.approx(expected, abs=1e-9)
    assert simulate(run.scenario.with_values({"records": "none"})).summary["stage_accuracy_mean"] == by_stage


def completed(requests: pd.DataFrame) -> pd.Series[int]:
    return requests.loc[requests["outcome"] == "completed", "request"]


def test_figures_by_stage_are_json_in_a_table() -> None:
    from ipa.studies import Comparison

    run = simulate(find("video", {"trace": "constant:5:30"}))
    assert json.loads(Comparison((run,)).table["stage_accuracy_mean"][0]) == run.summary["stage_accuracy_mean"]


SMALL, LARGE = (
    configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)),
    configuration(a=("large", 1, 1, 2), b=("large", 1, 1, 2)),
)
"""2 cores, accuracy .3; 4 cores, accuracy .72."""


def counts(goal: Goal, *decisions: Decision, limit_cores: int | None = None) -> tuple[int, int, int, int, int]:
    seen = replace(observation(limit_cores=limit_cores), step=1)
    planned = Planned.of(two_by_two(), SMALL, [Entry(seen, each) for each in decisions], goal)
    return planned.decisions, planned.infeasible, planned.below_accuracy, planned.above_cores, planned.overloaded


def test_decisions_that_could_not_keep_the_goal_or_the_limit_are_counted_by_what_they_missed() -> None:
    small, large = Decision(SMALL, {}), Decision(LARGE, {})
    slow = Decision(SMALL, {}, rung="sla-excess", feasible=False)
    assert counts(Goal(), small, large, slow) == (3, 1, 0, 0, 1)
    assert counts(Goal("cost", accuracy_at_least=40.0), small, large, slow) == (3, 2, 2, 0, 1)
    assert counts(Goal("cost", stage_accuracy_at_least={"b": 70.0}), small, large) == (2, 1, 1, 0, 0)
    assert counts(Goal("accuracy", cores_at_most=3), small, large) == (2, 1, 0, 1, 0)
    assert counts(Goal("accuracy", cores_at_most=9), small, large, limit_cores=3) == (2, 1, 0, 1, 0)
    assert counts(Goal("cost", accuracy_at_least=40.0, cores_at_most=3), small, large) == (2, 2, 1, 1, 0)
