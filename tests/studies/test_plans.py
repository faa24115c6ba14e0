"""All plans worth having for a load, and the plan against the load: the command, its JSON."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies import Scenario, explain, plans
from tests.command import PIPELINE, answer, ipa, refusal


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """One stage with one variant: 1 core, and 10, 12 or 13 rps with batches of 1, 2 or 4; SLA 2 s."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    return "mine.yaml"


def test_the_frontier_rises_in_cores_and_accuracy_and_holds_the_chosen_plan() -> None:
    found = plans.frontier(Scenario(pipeline="video"), 20.0)
    figures = [(plan.cores, plan.objective["accuracy"]) for plan in found.plans]
    assert figures == sorted(figures)
    assert len({cores for cores, _ in figures}) == len({accuracy for _, accuracy in figures}) == len(figures)
    assert [plan.cores for plan in found.plans if found.is_chosen(plan)] == [3]
    assert all(plan.feasible and plan.latency_s <= plan.sla_s for plan in found.plans)
    told = answer("optimise", "video", "--load", 20, "--frontier", "--json")
    assert [plan["objective"]["cost_cores"] for plan in told["plans"]] == [cores for cores, _ in figures]
    assert [plan["chosen"] for plan in told["plans"]] == [cores == 3 for cores, _ in figures]
    assert "3 x yolov5m b8; 2 x resnet50 b4" in ipa("optimise", "video", "--load", 20, "--frontier").stdout


def test_a_frontier_that_takes_too_long_ends_in_a_sentence(mine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: object, **__: object) -> None:
        while True:
            pass

    monkeypatch.setattr(plans, "LONGEST_S", 0.01)
    monkeypatch.setattr(plans, "pareto_plans", never)
    assert refusal("optimise", mine, "--load", 5, "--frontier") == (
        "no frontier of mine (--set limits.ruled_out leaves variants out) within 0.01 s"
    )


def test_a_variant_alone_leaves_one_plan(mine: str) -> None:
    """25 rps take two replicas with batches of 4 and no fewer than two with any."""
    found = plans.frontier(Scenario(pipeline=mine), 25.0)
    assert [(plan.cores, plan.configuration["sort"].batch) for plan in found.plans] == [(2, 4)]


def test_where_no_plan_is_feasible_the_reason_is_said(mine: str) -> None:
    said = ipa("optimise", mine, "--load", 40, "--frontier", "--set", "limit_cores=3").stdout
    assert said.startswith("No plan keeps the SLA and the limits at 40 requests/s\n")
    assert "Note: stage sort: no variant serves 40 rps on at most 3 cores\n" in said
    assert answer("optimise", mine, "--load", 40, "--frontier", "--set", "limit_cores=3", "--json")["plans"] == []


def test_the_plan_against_the_load_is_the_decision_for_each(mine: str) -> None:
    scenario = Scenario(pipeline=mine, limit_cores=2)
    found = plans.over(scenario, [5.0, 10.0, 15.0, 20.0, 25.0, 30.0])
    assert [plan.load_rps for plan in found.plans] == [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]
    assert [plan.cores for plan in found.plans] == [1, 1, 2, 2, 2, 2]
    assert [plan.rung for plan in found.plans] == [*["optimal"] * 5, "most-throughput"]
    for plan in found.plans:
        assert plan.configuration == explain(scenario, plan.load_rps).configuration


def test_prices_are_printed(mine: str) -> None:
    """On 2 cores 30 rps are too much; a third one serves them."""
    said = ipa("optimise", mine, "--load", 30, "--set", "limit_cores=2").stdout
    assert "One more core: feasible, with sort: 3 x small (1 cores), batch 1\n" in said
    assert "10 ms more of SLA: no other plan\n" in said
    told = answer("optimise", mine, "--load", 30, "--set", "limit_cores=2", "--json")
    assert (told["one_more_core"]["rung"], told["one_more_core"]["gain"]) == ("optimal", None)
