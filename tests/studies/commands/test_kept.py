"""What runs have read is kept with them: a folder is asked again about that, whatever has changed since."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ipa import profiles
from ipa.studies import ScenarioError, find, read_run, read_study, simulate, write_run
from ipa.studies.many.sweeps import read_sweep
from ipa.studies.runs.inputs import content_of
from tests.command import POLICIES, SHORT, answer, contents, ipa, refusal
from tests.profiles.test_graph_file import ITEMS, changed

GROWING = """

class Growing(Hold):
    def decide(self, observation, memory):
        grown = {name: replace(each, replicas=self.level) for name, each in observation.configuration.items()}
        return Decision(configuration=grown, memory={})
"""
"""A policy that wants `level` replicas."""

RUN = ("mine.yaml", "--trace", "load.txt", "--policy", "my.py:Growing level=2")


@pytest.fixture(autouse=True)
def files(own: Path) -> Path:
    """A pipeline, a policy and a load of 5 requests in each of 30 s."""
    (own / "my.py").write_text(POLICIES + GROWING)
    (own / "load.txt").write_text("5\n" * 30)
    return own


SLOWER = {
    "mean_s: 0.1, p99_s: 0.1, throughput_rps: 10": "mean_s: 0.2, p99_s: 0.2, throughput_rps: 5",
    "mean_s: 0.15, p99_s: 0.15, throughput_rps: 12": "mean_s: 0.25, p99_s: 0.25, throughput_rps: 8",
}


def edit(folder: Path) -> None:
    """Another pipeline (0.2 s in place of 0.1 s), and another policy (three times the replicas)."""
    text = (folder / "mine.yaml").read_text()
    for before, after in SLOWER.items():
        text = text.replace(before, after)
    (folder / "mine.yaml").write_text(text)
    policy = (folder / "my.py").read_text().replace("replicas=self.level", "replicas=3 * self.level")
    (folder / "my.py").write_text(policy)


def summary(*command: object) -> dict[str, Any]:
    return {**answer(*command, "--json", "-q"), "wall_s": 0, "engine": ""}


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Equal but for the names of the policy's file."""
    return {**one, "wall_s": 0, "engine": ""} == {**other, "wall_s": 0, "engine": ""}


def figures(explained: dict[str, Any]) -> list[Any]:
    """Of each policy: its name, its figures, and those that it lost."""
    return [[each[key] for key in ("policy", "run", "difference")] for each in explained["policies"]]


def copy_of(folder: Path, name: str) -> str:
    (found,) = folder.glob(f"inputs/*/{name}")
    return str(found)


def test_a_run_is_asked_again_as_it_was_after_its_files_have_changed(files: Path) -> None:
    then = summary("simulate", *RUN, "--out", "results")
    edit(files)
    assert not same(summary("simulate", *RUN), then)
    assert same(summary("simulate", "results"), then)
    assert same(simulate(read_run("results").scenario).summary, then)
    for name in ("mine.yaml", "my.py"):
        (files / name).unlink()
    assert same(summary("simulate", "results"), then)
    noted = ipa("simulate", "results").stderr
    assert "Changed since the run: mine.yaml, my.py; the copy in results is used" in noted


def test_what_was_lost_is_explained_of_the_run_that_was(files: Path) -> None:
    assert ipa("simulate", *RUN, "--out", "results", "-q").exit_code == 0
    before = answer("explain", "results", "--json", "-q")
    edit(files)
    after = answer("explain", "results", "--json", "-q")
    assert figures(before) == figures(after)


def test_a_folder_is_asked_again_from_anywhere(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its pipeline and policy are in it, and it knows where its load was."""
    then = summary("simulate", *RUN, "--out", "results")
    elsewhere = files / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "load.txt").write_text("9\n" * 30)
    (elsewhere / "mine.yaml").write_text("another\n")
    monkeypatch.chdir(elsewhere)
    assert same(summary("simulate", "../results"), then)


def test_a_load_that_has_changed_is_refused_with_its_name(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert ipa("simulate", *RUN, "--out", "results", "-q").exit_code == 0
    (files / "load.txt").write_text("6\n" * 30)
    for command in ("explain", "simulate"):
        assert "trace load.txt: has changed: its sha256 is" in refusal(command, "results")
    with pytest.raises(ScenarioError, match=r"load\.txt: has changed"):
        simulate(read_run("results").scenario)
    assert ipa("simulate", "results", "--trace", "constant:5:30", "-q").exit_code == 0
    assert ipa("report", "results").exit_code == 0  # draws what was recorded, and needs no load
    (files / "load.txt").unlink()
    assert "load.txt" in refusal("simulate", "results")


def test_inputs_that_are_malformed_are_refused(files: Path) -> None:
    assert ipa("simulate", *RUN, "--out", "results", "-q").exit_code == 0
    path = files / "results" / "manifest.json"
    manifest = json.loads(path.read_text())
    malformed: list[Any] = [5, {"files": 5, "loads": {}}, {"files": {}}, {"files": {"a": {}}, "loads": {}}]
    for wrong in malformed:
        path.write_text(json.dumps({**manifest, "inputs": wrong}))
        assert "the key 'inputs' should hold the files and loads that were read" in refusal("simulate", "results")


def test_what_a_run_has_read_is_kept_even_if_it_changes_before_the_run_is_written(files: Path) -> None:
    run = simulate(find("mine.yaml", {"trace": "load.txt", "policy": "my.py:Growing level=2"}))
    edit(files)
    write_run(run, files / "late")
    assert same(summary("simulate", "late"), dict(run.summary))


def test_the_runs_of_a_comparison_share_their_copies_and_can_be_asked_and_extended(files: Path) -> None:
    policies = ("--policy", "my.py:Growing level=2", "--policy", "scale-only:low")
    command = ("compare", "mine.yaml", "--trace", "load.txt", *policies)
    then = answer(*command, "--seeds", 2, "--out", "both", "--json", "-q")
    assert len(list((files / "both" / "inputs").glob("*/*"))) == 2
    edit(files)
    for again in (
        answer("compare", "both", "--json", "-q"),
        answer("compare", "both", "--out", "both", "--json", "-q"),
    ):
        assert all(map(same, again, then))
    more = answer("compare", "both", "--seeds", 3, "--out", "both", "--json", "-q")
    assert [(each["policy"], each["seed"]) for each in more] == [
        (policy, seed) for policy in ("my.py:Growing level=2", "scale-only:low") for seed in (1, 2, 3)
    ]
    assert json.loads((files / "both" / "manifest.json").read_text())["fresh_runs"] == 2
    assert len(list((files / "both" / "inputs").glob("*/*"))) == 2
    now = answer(*command, "--seeds", 2, "--out", "both", "--json", "-q")  # of the files as they are now
    assert not any(map(same, now[:2], then[:2]))


def test_a_sweep_is_asked_again_with_the_files_that_it_had(files: Path) -> None:
    vary = ("--vary", 'policy="my.py:Growing level=2","my.py:Hold"', "--vary", "trace=load.txt,more.txt")
    (files / "more.txt").write_text("8\n" * 30)
    assert ipa("sweep", "mine.yaml", *vary, "--out", "swept", "-q").exit_code == 0
    then = [row["cost_mean_cores"] for _, _, row in read_sweep("swept")]
    edit(files)
    assert ipa("sweep", "swept", "--out", "new", "-q").exit_code == 0
    assert [row["cost_mean_cores"] for _, _, row in read_sweep("new")] == then
    assert [scenario.policy.title for _, scenario, _ in read_sweep("swept")] == [
        *["my.py:Growing level=2"] * 2, *["my.py:Hold"] * 2
    ]  # fmt: skip
    assert [simulate(scenario).summary["cost_mean_cores"] for _, scenario, _ in read_sweep("swept")] == then
    (files / "more.txt").write_text("9\n" * 30)
    assert "trace more.txt: has changed" in refusal("sweep", "swept", "--out", "newer")


@pytest.mark.long
def test_a_study_is_read_with_the_files_that_it_had(files: Path) -> None:
    (files / "study.yaml").write_text(
        "schema_version: 1\nkind: study\npipeline: mine.yaml\nworkloads: [load.txt]\nseeds: 1\n"
        "systems:\n  grown: {policy: 'my.py:Growing level=2'}\n  low: {policy: 'static:1'}\n"
    )
    assert ipa("study", "study.yaml", "--out", "studied", "-q").exit_code == 0
    (cell,) = [each for each in read_study("studied").findings[0].cells if each.system == "grown"]
    then = answer("explain", "studied", "--json", "-q")
    edit(files)
    (later,) = [each for each in read_study("studied").findings[0].cells if each.system == "grown"]
    assert profiles.load(later.scenario.pipeline) == profiles.load(copy_of(files / "studied", "mine.yaml"))
    assert (
        simulate(later.scenario).summary["cost_mean_cores"]
        == next(iter(cell.outcomes.values())).summary["cost_mean_cores"]
    )
    now = answer("explain", "studied", "--json", "-q")
    assert figures(now) == figures(then)
    (files / "load.txt").write_text("6\n" * 30)
    assert "trace load.txt: has changed" in refusal("report", "studied")


def test_a_copy_holds_what_a_file_names(tmp_path: Path) -> None:
    """The numbers of a graph's edges, and a model."""
    (tmp_path / "net.npz").write_bytes(b"weights")
    assert content_of(f"{tmp_path}/net.npz") == {"net.npz": b"weights"}
    (tmp_path / "cars.csv").write_text("small,nano\n4,2\n")
    (tmp_path / "tree.yaml").write_text(changed(f"{ITEMS}, from: bench", "counts: cars.csv"))
    assert b'counts: {"small": [4], "nano": [2]}' in content_of(f"{tmp_path}/tree.yaml")["tree.yaml"]


def test_files_that_only_share_a_name_with_a_value_are_no_inputs(files: Path) -> None:
    """Files called as a shipped pipeline, a policy, a load or the value of a key are not what a run reads."""
    for name in ("video", "ipa", "lognormal", "bursty", "holt"):
        (files / name).write_text("no input\n")
    assert ipa("simulate", "video", *SHORT, "--policy", "ipa predictor=holt", "--out", "plain", "-q").exit_code == 0
    manifest = json.loads((files / "plain" / "manifest.json").read_text())
    assert (manifest["files"], manifest["inputs"]) == ({}, {"files": {}, "loads": {}})
    assert not (files / "plain" / "inputs").exists()


def test_asking_a_folder_again_changes_nothing_in_it(files: Path) -> None:
    assert ipa("simulate", *RUN, "--out", "results", "-q").exit_code == 0
    edit(files)
    before = contents(files / "results")
    for command in ("simulate", "explain"):
        assert ipa(command, "results", "-q").exit_code == 0
    assert contents(files / "results") == before
    shutil.move(files / "results", files / "moved")
    assert ipa("simulate", "moved", "-q").exit_code == 0
