"""Sweeps of fleets: a row for each point, seed and pipeline, and the fewest cores that are enough for all."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from ipa.studies import ScenarioError
from ipa.studies.fleets import least_budget_sentence, simulate_fleet, sweep_fleet
from ipa.studies.many import Running
from tests.command import ipa
from tests.studies.fleets.fleets import PROD, RESEARCH, fleet
from tests.studies.fleets.test_file import TWO, written

SHORT = {"window": "0:60", "scale": 3.0}


def test_the_table_has_what_the_runs_give_whatever_the_workers() -> None:
    base = fleet(5, {**PROD, **SHORT}, {**RESEARCH, **SHORT})
    points = [{"limit_cores": cores, "prod.priority": 2.0} for cores in (5, 6)]
    table = sweep_fleet(base, points, 2, Running(None, jobs=2))
    pd.testing.assert_frame_equal(table, sweep_fleet(base, points, 2, Running(None, jobs=1)))
    assert table[["limit_cores", "seed", "pipeline"]].to_numpy().tolist() == [
        [cores, seed + own, name] for cores in (5, 6) for seed in (1, 2) for own, name in ((0, "prod"), (1, "research"))
    ]
    run = simulate_fleet(base.with_values({**points[1], "prod.seed": 2, "research.seed": 3}))
    late = [each.summary["sla_violation_rate"] for each in run.runs.values()]
    assert table["sla_violation_rate"].tolist()[6:] == late


def test_a_point_that_cannot_be_run_is_told_before_anything_runs() -> None:
    with pytest.raises(ScenarioError, match=r"^limit_cores=2: limit_cores: 2 is less than the floors"):
        sweep_fleet(fleet(5), [{"limit_cores": 5}, {"limit_cores": 2}])


def test_the_fewest_cores_are_those_with_which_no_pipeline_is_late() -> None:
    rows = [
        (10, "water-filling", "a", 0.0),
        (10, "water-filling", "b", 0.02),
        (12, "water-filling", "a", 0.0),
        (12, "water-filling", "b", 0.01),
    ]
    rows += [(12, "quota", "a", 0.0), (12, "quota", "b", 0.004), (14, "quota", "a", 0.0), (14, "quota", "b", 0.0)]
    table = pd.DataFrame(rows, columns=["limit_cores", "sharing", "pipeline", "sla_violation_rate"])
    keys = ["limit_cores", "sharing"]
    assert least_budget_sentence(fleet(12), table, keys, 0.01) == (
        "The fewest cores with at most 1 % late requests of any pipeline: 12 with sharing=quota."
    )
    assert least_budget_sentence(fleet(12), table, keys, 0.03).endswith(": 10 with sharing=water-filling.")
    assert (
        least_budget_sentence(fleet(12), table[:2], keys, 0.01)
        == "No point keeps the late requests of every pipeline to 1 %."
    )
    assert least_budget_sentence(fleet(12), table, ["sharing"], 0.01) == ""
    assert least_budget_sentence(fleet(12), table, ["limit_cores"], 0.01).endswith(" any pipeline: 12.")


def test_the_command_writes_the_table_and_prints_its_means(tmp_path: Path) -> None:
    path, out = str(written(tmp_path, "limit_cores: 9\n" + TWO)), tmp_path / "out"
    arguments = ("--vary", "limit_cores=5,8", "--set", "scale=2", "--jobs", "1", "-q")
    result = ipa("sweep", path, *arguments, "--out", str(out))
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count(" a ") == result.stdout.count(" b ") == 2
    assert len(pd.read_parquet(out / "runs.parquet")) == 4
    again = ipa("sweep", path, *arguments[:-1], "--out", str(out))
    assert (again.exit_code, again.stdout) == (0, result.stdout)
    assert "0 runs in" in again.stderr
    assert "2 were there" in again.stderr
    told = ipa("sweep", path, *arguments, "--out", str(tmp_path / "other"), "--json")
    assert json.loads(told.stdout)["points"] == 2
    refused = ipa("sweep", path, *arguments, "--require", "late<=0.5", "--out", str(tmp_path / "third"))
    assert (refused.exit_code, "--require does not go with a fleet" in refused.stderr) == (2, True)
