"""Tuning from the wishes to the scenario: what is found, that the same is found again, and that nothing is lost."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa import studies
from ipa.errors import Error
from ipa.studies import Scenario, ScenarioError, Tuned, tune
from ipa.studies.many.tuning.run import failed
from ipa.studies.many.tuning.tuned import TriedSetting
from tests.command import PIPELINE, answer, ipa, refusal, start

pytest.importorskip("optuna")

POLICY = '''
from ipa.policies import Decision, PolicyError, StageConfiguration


class Level:
    """As many replicas as its level, of 10 rps each; 7 is none that can be had, 9 and 10 none that can be run."""

    ranges = {"level": "1:8:1"}

    def __init__(self, pipeline, level=8, unused=0.0):
        if level == 7:
            raise PolicyError(f"level={level} is no good")
        self.level = level

    def decide(self, observation, memory):
        if self.level > 8:
            raise PolicyError(f"level={self.level} is no good")
        return Decision({"sort": StageConfiguration("small", 1, self.level, 0.0, 1)}, {})
'''
WISHES: dict[str, Any] = {"minimise": "cost_mean_cores", "limits": ["sla_violation_rate<=0.01"]}
FEW = 4


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(PIPELINE)
    Path("my.py").write_text(POLICY)
    return tmp_path


def scenario(**keys: Any) -> Scenario:
    """25 requests a second for 20 seconds: three replicas of 10 rps are needed, and enough."""
    given = {"pipeline": "mine.yaml", "policy": "my.py:Level", "trace": "constant:25:20", "engine": "simpy"}
    return Scenario(**given | keys)


def levels(tuned: Tuned) -> list[int]:
    return [setting.values["policy.level"] for setting in tuned.settings]


# ---- what is found ----


def test_the_cheapest_setting_within_the_limit_is_found_and_judged_on_other_seeds() -> None:
    found = tune(scenario(), **WISHES, trials=16, windows=FEW, jobs=1)
    best = found.best
    assert best.values == {"policy.level": 3}
    assert found.scenario.policy.parameters == {"level": 3}
    assert best.keeps_limits == (True, True)
    cost = {gain.outcome: gain for gain in best.test}["cost_mean_cores"]
    assert (cost.defaults, cost.tuned) == (8.0, 3.0)
    assert cost.percent is not None
    assert cost.percent.mean == cost.percent.low == cost.percent.high == pytest.approx(-62.5)


def test_where_nothing_is_better_the_defaults_stay() -> None:
    found = tune(scenario(), maximise="pas_mean", trials=4, windows=FEW, jobs=1)
    assert found.best.number is None
    assert found.scenario == scenario()


def test_where_no_setting_keeps_the_limits_the_one_that_breaks_them_least_is_told() -> None:
    wishes: dict[str, Any] = {"minimise": "sla_violation_rate", "limits": ["cost_mean_cores<=0.5"]}
    found = tune(scenario(), **wishes, vary=["policy.level=1,2,6"], trials=8, windows=FEW, jobs=1)
    assert found.best.values == {"policy.level": 1}
    assert found.best.keeps_limits == (False, False)


def test_the_limits_of_a_goal_count_beside_those_of_the_command() -> None:
    """A goal that is varied sets none."""
    goal = "{min: cost, accuracy_at_least: {object-detection: 60}, cores_at_most: 9, late_at_most: 2 %}"
    tuned = ("video", "--trace", "constant:8:60", "--trials", 1, "--windows", 2, "--json", "-q")
    slo = ("--slo", "sla_violation_worst_hour_rate<=1 %")
    printed = answer("tune", *tuned, "--goal", goal, "--vary", "policy.load_margin=0:20 %", *slo)
    assert printed["aim"] == "minimise cost_mean_cores"
    assert printed["limits"] == [
        "sla_violation_worst_hour_rate<=0.01",
        "stage_accuracy_mean.object-detection>=60",
        "cost_mean_cores<=9",
        "sla_violation_worst_hour_rate<=0.02",
    ]
    gains = {gain["outcome"]: gain["tuned"] for gain in printed["best"]["test"]}
    assert gains["stage_accuracy_mean.object-detection"] >= 60
    assert printed["best"]["keeps_limits"] == {"train": True, "test": True}
    other = answer("tune", *tuned, "--vary", "policy.goal={min: cost},{max: accuracy}", "--minimise", "dropped")
    assert (other["aim"], other["limits"]) == ("minimise dropped", [])


@pytest.mark.parametrize(
    "options",
    [
        ("--policy", "oracle"),
        ("--policy", "ipa predictor=oracle", "--vary", "policy.load_margin=0:1"),
        ("--vary", "policy.predictor=reactive,oracle"),
        ("--vary", "policy=ipa,oracle"),
    ],
)
def test_what_knows_the_load_to_come_is_no_choice(options: tuple[str, ...]) -> None:
    text = "knows the load to come, which is a bound and no choice"
    assert text in refusal("tune", "video", "--trace", "constant:8:60", "--minimise", "cost_mean_cores", *options)


def test_a_setting_that_cannot_be_run_is_kept_with_its_error_and_the_rest_go_on() -> None:
    found = tune(scenario(), **WISHES, vary=["policy.level=6:7:1"], trials=8, windows=FEW, jobs=1)
    failed = [setting for setting in found.settings if setting.error]
    assert failed
    assert {setting.values["policy.level"] for setting in failed} == {7}
    rows = found.table[found.table["error"] != ""]
    assert len(rows) == len(failed)
    assert "level=7 is no good" in rows["error"].iloc[0]


def test_where_no_setting_could_be_run_the_reasons_are_told_the_commonest_first() -> None:
    with pytest.raises(Error) as raised:
        tune(scenario(), **WISHES, vary=["policy.level=9,10"], trials=5, windows=FEW, jobs=1)
    assert raised.value.exit_code == 1
    first, *reasons = str(raised.value).splitlines()
    assert first == "none of 5 settings could be run; give other ranges with --vary, or mend the reason:"
    found = [re.fullmatch(r"  (\d) of them, policy.level=(\d+): .*level=(\d+) is no good", line) for line in reasons]
    (most, one, same), (least, other, again) = [each.groups() for each in found if each]
    assert (one, other) == (same, again)
    assert {one, other} == {"9", "10"}
    assert int(most) + int(least) == 5
    assert most > least


def test_of_many_reasons_and_settings_a_few_are_named() -> None:
    settings = [TriedSetting(each, {"hop_s": each / 4}, error="common") for each in range(5)]
    settings += [TriedSetting(each, {"hop_s": 9.0}, error=f"rare {each}") for each in range(6)]
    assert str(failed(settings)).splitlines()[1:] == [
        "  5 of them, hop_s=0; hop_s=0.25; hop_s=0.5 and 2 more: common",
        *(f"  1 of them, hop_s=9: rare {each}" for each in range(4)),
        "  and 2 more reasons",
    ]


@pytest.mark.parametrize("vary", [(), ("policy.level",)])
def test_a_default_range_that_cannot_be_used_is_named_with_the_way_to_give_another(vary: tuple[str, ...]) -> None:
    Path("my.py").write_text(POLICY.replace("1:8:1", "8:1"))
    with pytest.raises(ScenarioError) as raised:
        tune(scenario(), **WISHES, vary=vary, trials=4, windows=FEW, jobs=1)
    assert str(raised.value) == (
        "policy.level: the default range of policy my.py:Level cannot be used: range '8:1': should begin below its "
        "end; give one with --vary policy.level=FROM:TO"
    )


def test_a_choice_that_no_run_can_have_is_refused_before_anything_runs() -> None:
    with pytest.raises(ScenarioError, match=r"--vary policy.level: level=7 is no good"):
        tune(scenario(), **WISHES, vary=["policy.level=3,7"], trials=8, windows=FEW, jobs=1)


def test_keys_that_only_go_together_may_be_varied_together() -> None:
    """Its windows are a parameter of a predictor, which another key names."""
    predictors = ["policy.predictor.name=mean,max", "policy.predictor.windows=3,5"]
    given = Scenario(pipeline="mine.yaml", trace="constant:20:60")
    assert tune(given, minimise="changes", vary=predictors, trials=2, windows=FEW, jobs=1).settings


def test_any_key_of_the_scenario_can_be_varied() -> None:
    found = tune(scenario(), **WISHES, vary=["policy.level", "interval_s=5:20"], trials=2, windows=FEW, jobs=1)
    assert set(found.settings[0].values) == {"policy.level", "interval_s"}
    value = found.settings[0].values["interval_s"]
    assert value == float(f"{value:.4g}")


# ---- the same again ----


def kept(folder: Path) -> dict[str, bytes]:
    """What was found, as it was written; the manifest and the file of the runs have times in them."""
    timed = ("finished.sqlite", "manifest.json")
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name not in timed}


def test_the_same_seed_finds_the_same_whatever_the_number_of_workers(here: Path) -> None:
    for jobs in (1, 2):
        tune(scenario(), **WISHES, trials=10, windows=FEW, jobs=jobs, folder=here / str(jobs))
    assert kept(here / "1") == kept(here / "2")
    other = tune(scenario(seed=2), **WISHES, trials=10, windows=FEW, jobs=1)
    assert levels(other) != pd.read_parquet(here / "1" / "runs.parquet")["policy.level"].tolist()


@pytest.mark.parametrize("ended", [3, 10])
def test_a_tuning_that_was_interrupted_goes_on_as_if_it_had_not_been(here: Path, ended: int) -> None:
    whole = tune(scenario(), **WISHES, trials=10, windows=FEW, jobs=1, folder=here / "whole")
    count = 0

    def interrupt() -> None:
        nonlocal count
        count += 1
        if count == ended:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(scenario(), **WISHES, trials=10, windows=FEW, jobs=1, folder=here / "cut", on_finished=interrupt)
    again = tune(scenario(), **WISHES, trials=10, windows=FEW, jobs=1, folder=here / "cut")
    assert levels(again) == levels(whole)
    assert kept(here / "cut") == kept(here / "whole")


def test_runs_that_have_finished_are_not_run_again(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tune(scenario(), **WISHES, trials=8, windows=FEW, jobs=1, folder=here / "out")
    with monkeypatch.context() as patched:
        patched.setattr("ipa.studies.many.making.simulate", pytest.fail)
        tune(scenario(), **WISHES, trials=8, windows=FEW, jobs=1, folder=here / "out")
    tune(scenario(), **WISHES, trials=16, windows=FEW, jobs=1, folder=here / "out")
    assert len(pd.read_parquet(here / "out" / "runs.parquet").query("part == 'train'")["trial"].unique()) == 17


@pytest.mark.long
def finished(store: Path) -> int:
    """How many runs are kept in a file, if it is there."""
    try:
        with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
            return int(connection.execute("SELECT count(*) FROM runs").fetchone()[0])
    except sqlite3.Error:
        return 0


@pytest.mark.long
def test_a_killed_command_loses_only_runs_in_flight_and_ctrl_c_ends_in_order(here: Path) -> None:
    command = ["tune", "mine.yaml", "--policy", "my.py:Level", "--trace", "constant:25:20", "--set", "engine=simpy"]
    command += ["--minimise", "cost_mean_cores", "--slo", "sla_violation_rate<=0.01", "--windows", "4"]
    command += ["--trials", "16", "--jobs", "2", "--out"]
    assert ipa(*command, "whole").exit_code == 0
    store = here / "cut" / "finished.sqlite"
    for sent in (signal.SIGKILL, signal.SIGINT):
        before = finished(store)
        process = start(*command, "cut")
        while process.poll() is None and finished(store) < before + 12:
            time.sleep(0.01)
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
        if sent == signal.SIGINT and process.returncode != 0:
            assert process.returncode == 1
            assert "interrupted; finished runs are kept in cut: repeat the command to resume" in said
    assert ipa(*command, "cut").exit_code == 0
    assert kept(here / "cut") == kept(here / "whole")


def test_two_tunings_at_once_are_not_mixed(here: Path) -> None:
    def second() -> None:
        with pytest.raises(ScenarioError, match="another command is making its runs"):
            tune(scenario(), **WISHES, trials=2, windows=FEW, jobs=1, folder=here / "out")

    tune(scenario(), **WISHES, trials=1, windows=FEW, jobs=1, folder=here / "out", on_finished=second)


def test_the_folder_of_a_tuning_is_of_nothing_else(here: Path) -> None:
    """Another question uses the runs that are there, and what is found is that of the last one."""
    tune(scenario(), **WISHES, trials=2, windows=FEW, jobs=1, folder=here / "out")
    tune(scenario(), maximise="pas_mean", trials=2, windows=FEW, jobs=1, folder=here / "out")
    alone = tune(scenario(), maximise="pas_mean", trials=2, windows=FEW, jobs=1)
    assert json.loads((here / "out" / "found.json").read_text()) == json.loads(json.dumps(alone.as_dict()))
    for command in ("report", "explain"):
        assert "out: holds a tuning, whose best setting is out/best.yaml" in refusal(command, "out")
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("mine")
    with pytest.raises(ScenarioError, match="contains other files"):
        tune(scenario(), **WISHES, trials=2, windows=FEW, jobs=1, folder=here / "mine")


# ---- what is told ----


def test_the_scenario_is_ready_to_run_as_it_is_printed(here: Path) -> None:
    result = ipa(
        *("tune", "mine.yaml", "--policy", "my.py:Level", "--trace", "constant:25:20", "--set", "engine=simpy"),
        *("--minimise", "cost_mean_cores", "--slo", "sla_violation_rate<=0.01", "--windows", 2, "--trials", 16),
        *("--jobs", 1, "--out", "out"),
    )
    assert result.exit_code == 0
    Path("best.yaml").write_text(result.stdout)
    assert result.stdout == (here / "out" / "best.yaml").read_text()
    assert "#   cost_mean_cores         8.000      3.000  -62.5 % [-62.5, -62.5]\n" in result.stdout
    assert "# 95 % intervals of changes. With few windows, skewed figures " in result.stdout
    assert studies.load("best.yaml").policy.parameters == {"level": 3}
    assert answer("simulate", "best.yaml", "--json")["cost_mean_cores"] == 3.0


def test_the_table_has_a_row_a_run(here: Path) -> None:
    found = tune(scenario(), **WISHES, trials=16, windows=FEW, jobs=1, folder=here / "out")
    table = pd.read_parquet(here / "out" / "runs.parquet")
    assert table.columns[:6].tolist() == ["trial", "part", "policy.level", "window_start_s", "window_end_s", "seed"]
    assert table.query("trial == -1 and part == 'train'")["seed"].tolist() == [1, 2, 3, 4]
    assert table.query("trial == -1 and part == 'test'")["seed"].tolist() == list(range(5, 13))
    best = table[(table["trial"] == found.best.number) & (table["part"] == "test")]
    assert best["cost_mean_cores"].tolist() == [3.0] * 8
    pd.testing.assert_frame_equal(table, found.table)


def test_without_optuna_the_command_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "optuna", None)
    with pytest.raises(ScenarioError, match=r"pip install '.\[tune\]' in the checkout"):
        tune(scenario(), **WISHES, trials=1, windows=FEW, jobs=1)
