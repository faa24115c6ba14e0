"""Comparisons: the same bytes from one process or two, and after an interrupt; nothing finished is ever lost."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.studies import Scenario, ScenarioError, compare, find, read_comparison
from ipa.studies.many import Running, by_policy, conduct
from tests.command import POLICIES, SHORT, answer, ipa, kept_files, refusal, start, tables

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
    runs = read_comparison(here / "both").runs
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
    files = kept_files(here / "both")["scale-only:low", 1]
    assert files == {name: content for name, content in tables(here / "alone").items() if name in files}
    assert len(files) == 5
    assert ipa("simulate", "both", "--policy", "scale-only:low", "--seed", 1, "--out", "again").exit_code == 0
    assert tables(here / "again") == tables(here / "alone")


@pytest.mark.parametrize("records", ["all", "sample", "none"])
def test_without_tables_the_latencies_of_all_seeds_are_the_same(records: str) -> None:
    """A command that neither writes nor draws keeps no tables."""
    one = find("video", {"trace": "constant:5:30", "records": records})
    whole, bare = (
        by_policy(conduct([one], 2, Running(None, 1), without_tables=without_tables).runs)[0]
        for without_tables in (False, True)
    )
    pooled = [group.merged_latency_s((0.0, 0.5, 0.99)) for group in (whole, bare)]
    texts = [repr(None if quantiles is None else quantiles.tolist()) for quantiles in pooled]
    assert texts[0] == texts[1]
    assert (pooled[0] is None) == (records == "none")
    assert [{**run.summary, "wall_s": 0} for run in bare.runs] == [{**run.summary, "wall_s": 0} for run in whole.runs]


def test_every_policy_is_checked_before_any_runs(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipa.studies.many.making.simulate", pytest.fail)
    assert "did you mean 'low'" in refusal("compare", "video", "--policy", "ipa", "--policy", "scale-only:lwo")
    message = refusal("compare", "video", "--policy", "ipa", "--policy", "static:1", "--out", "new", "--jobs", 1)
    assert "whole numbers, one per stage" in message


# ---- the same bytes ----


def test_l6_one_process_and_two_give_the_same_bytes(here: Path) -> None:
    command = ("compare", "video", *TWO, "--seeds", 2, "-q")
    for jobs in (1, 2):
        summaries = answer(*command, "--jobs", jobs, "--out", f"jobs{jobs}", "--json")
        assert [each["seed"] for each in summaries] == [1, 2, 1, 2]
    assert tables(here / "jobs1") == tables(here / "jobs2")
    assert kept_files(here / "jobs1") == kept_files(here / "jobs2")
    assert [len(files) for files in kept_files(here / "jobs1").values()] == [5] * 4


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


def until(is_so: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Wait for something, as long as the process lives."""
    while not is_so():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize(("jobs", "number", "seeds"), [(1, signal.SIGINT, 4), (2, signal.SIGTERM, 16)])
def test_an_interrupted_comparison_keeps_what_is_finished_and_goes_on(
    here: Path, jobs: int, number: signal.Signals, seeds: int
) -> None:
    """SIGINT or SIGTERM comes in the midst of seed 3. Workers finish what they have at hand, no more.

    Two workers have at most twelve seeds then: six chunks of one, one of two after the first of these, and one of four
    after the second.
    """
    (here / "my.py").write_text(WAITS)
    load = (*SHORT, "--set", "engine=simpy")
    command = ("compare", "video", "--policy", "my.py:Waits", *load, "--seeds", seeds, "-q", "--jobs", jobs, "--out")
    process = start(*command, "both")
    until((here / "waiting").exists, process)
    until(lambda: kept_files(here / "both"), process)
    process.send_signal(number)
    if jobs == 2:  # a worker is not torn from its run; whatever it answers comes to the parent after the signal
        (here / "go").touch()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert output == ""
    assert errors == "Error: interrupted; finished runs are kept in both: repeat the command to resume\n"

    left = kept_files(here / "both")
    # Seed 1 was a chunk of its own; with two workers, seed 3 was at hand, and not all of the others.
    assert ("my.py:Waits", 1) in left
    assert (("my.py:Waits", 3) in left) == (jobs == 2)
    assert len(left) < seeds
    assert "the comparison is not finished" in refusal("report", "both")

    (here / "go").touch()
    alone = (*command[:-3], "--out")  # in one process, this one: quicker, and the same bytes
    result = ipa(*alone, "both")
    assert "Results: both" in result.stdout, result.stderr
    assert json.loads((here / "both" / "manifest.json").read_text())["fresh_runs"] == seeds - len(left)
    result = ipa(*alone, "whole")
    assert "Results: whole" in result.stdout
    assert tables(here / "both") == tables(here / "whole")
    assert kept_files(here / "both") == kept_files(here / "whole")


def test_an_interrupt_without_a_folder_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ipa.studies.many.making.simulate", interrupted)
    result = ipa("compare", "video", *TWO, "--jobs", 1)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "Error: interrupted; no run is kept\n")


# ---- a second command ----


def test_two_comparisons_at_once_are_not_mixed(here: Path) -> None:
    """Neither into a new folder nor into one that holds a comparison."""
    scenario = Scenario(pipeline="video", trace="constant:5:20")

    def second() -> None:
        with pytest.raises(ScenarioError, match="another command is making its runs"):
            compare(scenario, ["rate", "ipa"], folder=here / "out", jobs=1)

    for _ in range(2):
        compare(scenario, ["rate"], folder=here / "out", jobs=1, progress=lambda _: nullcontext(lambda _: second()))


def test_the_same_command_again_runs_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared(*TWO, "--out", "both")
    before = tables(here), kept_files(here / "both")
    monkeypatch.setattr("ipa.studies.many.making.simulate", pytest.fail)
    compared(*TWO, "--out", "both")
    assert (tables(here), kept_files(here / "both")) == before


def test_more_policies_and_seeds_are_added(here: Path) -> None:
    compared(*TWO, "--out", "both")
    more = ("--policy", "switch-only", *TWO, "--seeds", 2)
    compared(*more, "--out", "both")
    assert json.loads((here / "both" / "manifest.json").read_text())["fresh_runs"] == 4
    compared(*more, "--out", "whole")
    assert tables(here / "both") == tables(here / "whole")
    assert kept_files(here / "both") == kept_files(here / "whole")
    assert len(read_comparison(here / "both").runs) == 6


@pytest.mark.parametrize(
    "command",
    [
        ("--policy", "ipa", *SHORT),
        (*TWO, "--seed", 2),
        (*TWO, "--set", "hop_s=0.5"),
        (*TWO[:4], "--trace", "constant:6:30"),
    ],
)
def test_a_command_for_other_runs_loses_none(here: Path, command: tuple[object, ...]) -> None:
    """The table has the runs of the last command; those of the first are there when it is repeated."""
    compared(*TWO, "--out", "both")
    before = tables(here)
    other = ipa("compare", "video", *command, "--out", "both")
    assert re.search(r"[12] more runs? (is|are) in both/finished.sqlite, .* not in both/runs.parquet", other.stderr)
    compared(*TWO, "--out", "both")
    assert json.loads((here / "both" / "manifest.json").read_text())["fresh_runs"] == 0
    assert tables(here) == before


def test_a_store_of_another_layout_is_refused(here: Path) -> None:
    assert ipa("compare", "video", *TWO, *SHORT, "--out", "new").exit_code == 0
    with sqlite3.connect(here / "new" / "finished.sqlite") as store:
        store.execute("PRAGMA user_version = 3")
    store.close()
    assert "finished.sqlite: is of another version; give a new folder" in refusal("report", "new")
