"""The folder of a validation: what is finished there is not run again."""

from __future__ import annotations

import json
from pathlib import Path
from platform import node

import pytest

from ipa.studies import Scenario, ScenarioError
from ipa.studies.validation.experiment import Experiment, RunLive, design
from ipa.studies.validation.run import conduct, read_validation
from tests.command import contents
from tests.studies.validation.worlds import BASE, world

pytestmark = pytest.mark.usefixtures("elsewhere")


def name_of(fresh: Path) -> str:
    """The name that a folder will have once it is whole: `live-1` of `.live-1.host-4711.part`."""
    return fresh.name.removeprefix(".").partition(f".{node()}-")[0]


@pytest.fixture
def counted() -> tuple[Experiment, RunLive, list[str]]:
    """A short world, and the names of the folders that it has been asked to write."""
    experiment, run_live = world(BASE.with_values({"window": "100:140"}))
    asked: list[str] = []

    def run_counted(scenario: Scenario, folder: Path) -> None:
        asked.append(name_of(folder))
        run_live(scenario, folder)

    return experiment, run_counted, asked


def test_what_is_finished_is_not_run_again(counted: tuple[Experiment, RunLive, list[str]], tmp_path: Path) -> None:
    experiment, run_live, asked = counted
    first = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    assert asked == ["calibration", "live-1"]
    assert conduct(experiment, run_live, tmp_path / "out", repeats=1).as_dict() == first.as_dict()
    conduct(experiment, run_live, tmp_path / "out", repeats=3)
    assert asked == ["calibration", "live-1", "live-2", "live-3"]
    assert read_validation(tmp_path / "out").as_dict() == json.loads((tmp_path / "out" / "validation.json").read_text())


def test_an_interrupt_leaves_what_is_finished(counted: tuple[Experiment, RunLive, list[str]], tmp_path: Path) -> None:
    experiment, run_live, asked = counted

    def interrupted(scenario: Scenario, folder: Path) -> None:
        run_live(scenario, folder)
        if name_of(folder) == "live-2":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        conduct(experiment, interrupted, tmp_path / "out", repeats=2)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        ".lock",
        "calibration",
        "live-1",
        "manifest.json",
    ]
    with pytest.raises(ScenarioError, match="holds no validation"):
        read_validation(tmp_path / "elsewhere")
    conduct(experiment, run_live, tmp_path / "out", repeats=2)
    assert asked == ["calibration", "live-1", "live-2", "live-2"]


def test_two_validations_at_once_are_not_mixed(counted: tuple[Experiment, RunLive, list[str]], tmp_path: Path) -> None:
    """Neither in a new folder nor in one where the first run is finished; each run is made once."""
    experiment, run_live, asked = counted

    def with_second(scenario: Scenario, folder: Path) -> None:
        with pytest.raises(ScenarioError, match="another command is making its runs"):
            conduct(experiment, run_live, tmp_path / "out", repeats=1)
        run_live(scenario, folder)

    conduct(experiment, with_second, tmp_path / "out", repeats=1)
    assert asked == ["calibration", "live-1"]


def test_a_folder_of_another_validation_is_left_alone(
    counted: tuple[Experiment, RunLive, list[str]], tmp_path: Path
) -> None:
    experiment, run_live, _ = counted
    conduct(experiment, run_live, tmp_path / "out", repeats=1)
    before = contents(tmp_path)
    other = design(BASE.with_values({"window": "100:140", "seed": 2}))
    with pytest.raises(ScenarioError, match="holds a validation of another scenario: seed 1, now 2"):
        conduct(other, run_live, tmp_path / "out", repeats=1)
    assert contents(tmp_path) == before
