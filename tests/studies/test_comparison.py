"""Comparisons: the same bytes from one process or two, and after an interrupt; nothing finished is ever lost."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import Scenario, ScenarioError, compare, find, results
from ipa.studies.many.comparison import run_all, with_seeds
from ipa.studies.many.systems import choose
from tests.command import POLICIES, SHORT, answer, contents, ipa, refusal, start, tables

TWO = ("--policy", "ipa", "--policy", "scale-only:low", *SHORT)


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def compared(*args: object) -> None:
    result = ipa("compare", "video", *args)
    assert result.exit_code == 0, result.stderr


# ---- what is run ----


def test_each_policy_runs_with_each_seed_on_the_same_requests(here: Path) -> None:
    compared(*TWO, "--seeds", 2, "--out", "both")
    runs = results.read_runs(here / "both")
    told = [(run.summary["policy"], run.summary["seed"]) for run in runs]
    assert told == [("ipa", 1), ("ipa", 2), ("scale-only:low", 1), ("scale-only:low", 2)]
    arrivals = [run.tables["requests"]["arrival_s"].tolist() for run in runs]
    assert arrivals[0] == arrivals[2]
    assert arrivals[1] == arrivals[3]
    assert arrivals[0] != arrivals[1]
    assert pd.read_parquet(here / "both" / "runs.parquet")[["policy", "seed"]].to_records(index=False).tolist() == told


def test_a_run_of_a_comparison_is_that_of_the_simulation(here: Path) -> None:
    compared(*TWO, "--out", "both")
    assert ipa("simulate", "video", *SHORT, "--policy", "scale-only:low", "--out", "alone").exit_code == 0
    assert tables(here / "both" / "scale-only_low-1") == tables(here / "alone")


def test_every_policy_is_checked_before_any_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.many.comparison.simulate", pytest.fail)
    assert "did you mean 'low'" in refusal("compare", "video", "--policy", "ipa", "--policy", "scale-only:lwo")
    message = refusal("compare", "video", "--policy", "ipa", "--policy", "static:1", "--out", "new", "--jobs", 1)
    assert "whole numbers, one per stage" in message


# ---- the same bytes ----


def test_l6_one_process_and_two_give_the_same_bytes(here: Path) -> None:
    command = ("compare", "video", *TWO, "--seeds", 2, "-q")
    process = start(*command, "--jobs", 2, "--out", "jobs2", "--json")
    alone = answer(*command, "--jobs", 1, "--out", "jobs1", "--json")
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    for summaries in (alone, json.loads(output)):
        assert [each["seed"] for each in summaries] == [1, 2, 1, 2]
    assert tables(here / "jobs1") == tables(here / "jobs2")
    assert len(tables(here / "jobs1")) == 4 * 6 + 1


WAITS = (
    POLICIES
    + """

from pathlib import Path
from time import sleep


class Waits(Hold):
    # At step 2 of the seeds from 3 on it waits until the file `go` is there.
    def decide(self, observation, memory):
        if observation.seed >= 3 and observation.step == 2 and not Path("go").exists():
            Path("waiting").touch()
            while not Path("go").exists():
                sleep(0.01)
        return super().decide(observation, memory)
"""
)


def until(path: Path, process: subprocess.Popen[str]) -> None:
    """Wait for a file, as long as the process lives."""
    while not path.exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(("jobs", "number"), [(1, signal.SIGINT), (2, signal.SIGTERM)])
def test_an_interrupted_comparison_keeps_what_is_finished_and_goes_on(
    here: Path, jobs: int, number: signal.Signals
) -> None:
    """Seeds 1 to 8; SIGINT or SIGTERM comes in the midst of seed 3. Workers finish what they have at hand, no more."""
    (here / "my.py").write_text(WAITS)
    load = (*SHORT, "--set", "engine=simpy")
    command = ("compare", "video", "--policy", "my.py:Waits", *load, "--seeds", 8, "-q", "--jobs", jobs, "--out")
    process = start(*command, "both")
    until(here / "waiting", process)
    for seed in (1, 2):
        until(here / "both" / f"my.py_Waits-{seed}", process)
    process.send_signal(number)
    if jobs == 2:  # a worker is not torn from its run; the parent has cancelled the others long before it ends
        time.sleep(1.0)
        (here / "go").touch()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ""
    assert errors == "Error: interrupted; finished runs are kept in both: repeat the command to resume\n"

    left = sorted(path.name for path in (here / "both").iterdir() if path.name != ".lock")
    # Two workers have begun seeds 3 and 4, and the pool has one more than their number at hand: 5, 6 and 7.
    assert set(left) <= {"inputs", "manifest.json", *(f"my.py_Waits-{seed}" for seed in (1, 2, 3, 4, 5, 6, 7))}
    assert {"my.py_Waits-1", "my.py_Waits-2"} <= set(left)
    assert ("my.py_Waits-3" in left) == (jobs == 2)
    for name in left[2:]:
        assert len(contents(here / "both" / name)) == 7
    finished = {name: tables(here / "both" / name) for name in left[2:]}
    first_manifest = (here / "both" / "my.py_Waits-1" / "manifest.json").read_bytes()
    assert "the comparison is not finished" in refusal("report", "both")

    (here / "go").touch()
    alone = (*command[:-3], "--out")  # in one process, this one: quicker, and the same bytes
    result = ipa(*alone, "both")
    assert "Results: both" in result.stdout, result.stderr
    result = ipa(*alone, "whole")
    assert "Results: whole" in result.stdout
    assert tables(here / "both") == tables(here / "whole")
    assert (here / "both" / "my.py_Waits-1" / "manifest.json").read_bytes() == first_manifest
    assert {name: tables(here / "both" / name) for name in finished} == finished


def test_an_interrupt_without_a_folder_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ipa.studies.many.comparison.simulate", interrupted)
    result = ipa("compare", "video", *TWO, "--jobs", 1)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: interrupted; no run is kept\n")


# ---- a second command ----


def test_two_comparisons_at_once_are_not_mixed(here: Path) -> None:
    """Neither into a new folder nor into one that holds a comparison."""
    scenario = Scenario(pipeline="video", trace="constant:5:20")

    def second() -> None:
        with pytest.raises(ScenarioError, match="another command is making its runs"):
            compare(scenario, ["rate", "ipa"], folder=here / "out", jobs=1)

    compare(scenario, ["rate"], folder=here / "out", jobs=1, on_finished=second)
    compare(scenario, ["rate"], folder=here / "out", jobs=1, on_finished=second)


def test_the_same_command_again_runs_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(*TWO, "--out", "both")
    before = contents(here)
    monkeypatch.setattr("ipa.studies.many.comparison.simulate", pytest.fail)
    compared(*TWO, "--out", "both")
    assert contents(here) == before


def test_more_policies_and_seeds_are_added(here: Path) -> None:
    compared(*TWO, "--out", "both")
    before = contents(here / "both" / "ipa-1")
    more = ("--policy", "switch-only", *TWO, "--seeds", 2)
    compared(*more, "--out", "both")
    compared(*more, "--out", "whole")
    assert tables(here / "both") == tables(here / "whole")
    assert contents(here / "both" / "ipa-1") == before
    assert len(results.read_runs(here / "both")) == 6


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (("--policy", "ipa", *SHORT), "holds the run scale-only_low-1, which is not among those asked for"),
        ((*TWO, "--seed", 2), "holds the run ipa-1, which is not among those asked for"),
        ((*TWO, "--set", "hop_s=0.5"), "ipa-1 is of another scenario: hop_s 0.0, now 0.5"),
        ((*TWO, "--set", "policy.beta=9"), 'policy {"name": "ipa"}, now {"name": "ipa", "beta": 9}'),
        ((*TWO[:4], "--trace", "constant:6:30"), 'trace "constant:5:30", now "constant:6:30"'),
    ],
)
def test_what_would_leave_out_or_change_a_finished_run_is_refused(
    here: Path, command: tuple[object, ...], text: str
) -> None:
    compared(*TWO, "--out", "both")
    assert text in refusal("compare", "video", *command, "--out", "both")


def test_a_file_that_has_changed_since_is_noticed(here: Path) -> None:
    (here / "my.py").write_text(POLICIES)
    command = ("--policy", "my.py:Hold", *SHORT, "--out", "both")
    compared(*command)
    (here / "my.py").write_text(POLICIES.replace("level=1", "level=2"))
    assert "my.py_Hold-1 is of another content of my.py" in refusal("compare", "video", *command)


def test_a_damaged_run_is_refused_before_anything_runs(here: Path) -> None:
    compared(*TWO, "--out", "both")
    (here / "both" / "ipa-1" / "manifest.json").write_text("{")
    assert "both/ipa-1/manifest.json:1: not valid JSON" in refusal("compare", "video", *TWO, "--out", "both")


def test_a_run_is_no_place_for_a_comparison(here: Path) -> None:
    assert ipa("simulate", "video", *SHORT, "--out", "run").exit_code == 0
    assert "run: already holds results" in refusal("compare", "video", *TWO, "--out", "run")


def test_results_come_in_the_order_of_the_scenarios() -> None:
    chosen = with_seeds(choose(find("video", {"trace": "constant:5:20", "seed": 4}), ["switch-only", "ipa"]), 2)
    told = []
    runs = run_all(chosen, jobs=1, on_finished=lambda: told.append(1))
    assert [(run.summary["policy"], run.summary["seed"]) for run in runs] == [
        *(("switch-only", 4), ("switch-only", 5)),
        *(("ipa", 4), ("ipa", 5)),
    ]
    assert len(told) == 4
