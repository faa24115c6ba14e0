"""Which policy the commands that run live have where none is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from ipa.errors import Error
from ipa.policies import create
from ipa.profiles import load
from ipa.studies import Scenario
from ipa.studies.scenario.choices import LIVE_POLICY
from tests.command import ipa

pytest.importorskip("aiohttp")

SAID = f"Policy: {LIVE_POLICY}, the default of live mode; --policy names another"

COMMANDS = (("live", "run"), ("live", "run", "--backend", "kubernetes", "--no-load"), ("validate",), ("live", "up"))


class TakenError(Error):
    """A command has come to its scenario."""


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[Scenario]:
    """The scenarios that commands would have run."""
    found: list[Scenario] = []

    def take(scenario: Scenario, *_: Any, **__: Any) -> None:
        found.append(scenario)
        raise TakenError("taken")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ipa.studies.runs.live_runs.run_live", take)
    monkeypatch.setattr("ipa.studies.runs.live_runs.control_live", take)
    monkeypatch.setattr("ipa.studies.validate", take)
    monkeypatch.setattr("ipa.studies.commands.cluster.prepared", take)
    return found


def policy_of(found: list[Scenario], command: tuple[str, ...], *options: object) -> tuple[str, list[str]]:
    """The policy that a command would have run, and what it said before."""
    result = ipa(*command, *options)
    *said, last = result.stderr.splitlines()
    assert last == "Error: taken"
    return found[-1].policy.title, said


@pytest.mark.parametrize("command", COMMANDS)
def test_where_none_is_named_it_is_the_best_that_was_measured_live_and_the_first_line_says_so(
    taken: list[Scenario], command: tuple[str, ...]
) -> None:
    policy, said = policy_of(taken, command, "video")
    assert (policy, said[0]) == (LIVE_POLICY, SAID)


@pytest.mark.parametrize("command", COMMANDS)
def test_an_option_or_a_file_that_names_a_policy_wins_and_nothing_is_said(
    taken: list[Scenario], command: tuple[str, ...]
) -> None:
    scenario = "schema_version: 1\nkind: scenario\npipeline: video\n"
    Path("named.yaml").write_text(f"{scenario}policy: ipa\n")
    Path("unnamed.yaml").write_text(f"{scenario}seed: 3\n")
    for given in (("video", "--policy", "ipa"), ("video", "--set", "policy=ipa"), ("named.yaml",)):
        policy, said = policy_of(taken, command, *given)
        assert (policy, [line for line in said if line.startswith("Policy")]) == ("ipa", [])
    assert policy_of(taken, command, "unnamed.yaml")[0] == LIVE_POLICY
    assert taken[-1].seed == 3
    policy, said = policy_of(taken, command, "video", "--quiet")
    assert (policy, said) == (LIVE_POLICY, [])


def test_a_controller_in_the_cluster_gets_it_too() -> None:
    printed = ipa("live", "manifests", "video", "--set", "controller.in_cluster=true", env={"KUBECONFIG": "/nowhere"})
    assert printed.stderr.splitlines()[0] == SAID
    (text,) = [
        each["data"]["scenario.yaml"]
        for each in yaml.safe_load_all(printed.stdout)
        if "scenario.yaml" in each.get("data", {})
    ]
    assert yaml.safe_load(text)["policy"] == {"name": LIVE_POLICY}


def test_parameters_alone_are_of_that_policy(taken: list[Scenario]) -> None:
    policy_of(taken, ("live", "run"), "video", "--set", "policy.alpha=3")
    assert taken[-1].policy.model_dump() == {"name": LIVE_POLICY, "alpha": 3}


def test_a_simulation_keeps_the_scenarios_default() -> None:
    assert Scenario(pipeline="video").policy.name == "ipa"


def test_the_default_can_run_live() -> None:
    """It does not know the future, and decides where nothing came before it: see `tests/policies/foresight`."""
    assert "future_rps" not in getattr(create(LIVE_POLICY, load("video")), "reads", ())
