"""`ipa optimise`: one decision, explained."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import answer, ipa


def test_one_decision_is_explained() -> None:
    """Within the published limits a load of 20 rps takes two yolov5n: one serves 12.7 rps at batch 1."""
    explained = answer("optimise", "video", "--load", 20, "--json")
    assert explained["configuration"]["object-detection"]["variant"] == "yolov5n"
    assert explained["configuration"]["object-detection"]["replicas"] == 2
    assert explained["feasible"] is True
    assert "Chosen (optimal): object-detection: 2 x yolov5n" in ipa("optimise", "video", "--load", 20).stdout
    dear = answer("optimise", "video", "--load", 20, "--policy", "scale-only:high", "--set", "policy.beta=9", "--json")
    assert dear["configuration"]["object-detection"]["variant"] == "yolov5s"


@pytest.mark.parametrize("limits", [("--set", "limit_cores=30"), ()], ids=["cores", "replicas"])
def test_where_less_than_the_load_is_sustained_all_replicas_are_for_that(limits: tuple[str, ...]) -> None:
    """Those of options that are beyond a limit, too: as in the plan for the load that is sustained."""
    overloaded = answer("optimise", "video", "--load", 5000, *limits, "--json")
    assert overloaded["rung"] == "most-throughput"
    assert overloaded["sustained_rps"] < 2000
    carried = answer("optimise", "video", "--load", overloaded["sustained_rps"], *limits, "--json")
    for stage, options in overloaded["options"].items():
        keys = ("variant", "batch", "replicas", "cores", "sustains")
        plans = [
            [[option[key] for key in keys] for option in explained]
            for explained in (options, carried["options"][stage])
        ]
        assert plans[0] == plans[1]
    heading = f"options for {overloaded['sustained_rps']:.4g} of 5000 requests/s"
    assert ipa("optimise", "video", "--load", 5000, *limits).stdout.count(heading) == 2


def test_a_goal_is_planned_for_and_its_price_is_said() -> None:
    """20 cores reach a PAS of 52.07; on 19 it is 51.24, as 18 cores do."""
    goal = ("optimise", "video", "--load", 20, "--goal", "max: accuracy, cores_at_most: 20")
    explained = answer(*goal, "--json")
    assert (round(100 * explained["objective"]["pas"], 2), explained["objective"]["cost_cores"]) == (52.07, 20)
    assert round(explained["trade_offs"]["one core less"]["pas"], 2) == 51.24
    assert "One core less: PAS -0.83, -2 cores" in ipa(*goal).stdout
    in_policy = ("--policy", "ipa goal={max: accuracy, cores_at_most: 20}")
    assert (
        answer("optimise", "video", "--load", 20, *in_policy, "--json")["configuration"] == explained["configuration"]
    )


def test_a_goal_of_a_scenario_file_reaches_every_compared_policy_that_has_one(tmp_path: Path) -> None:
    file = tmp_path / "s.yaml"
    file.write_text(
        "schema_version: 1\nkind: scenario\npipeline: video\ntrace: constant:5:30\n"
        "policy: {name: ipa, goal: {min: cost, accuracy_at_least: 38}}\n",
        encoding="utf-8",
    )
    assert answer("simulate", file, "--json")["pas_mean"] >= 38
    goal = ("--goal", "min: cost, accuracy_at_least: 38")
    names = ("--policy", "ipa", "--policy", "hpa")
    first, second = answer("compare", "video", "--trace", "constant:5:30", *names, *goal, "-q", "--json")
    assert first["pas_mean"] >= 38 > second["pas_mean"]


@pytest.mark.parametrize(
    ("goal", "text"),
    [
        ("accuracy", "allowed: a goal, such as 'max: accuracy, cores_at_most: 20'"),
        ("mx: accuracy", "did you mean 'max'?"),
        ("min: cost, accuracy_at_least: 99", "cannot be reached; the most accurate variants of video have 53.96"),
    ],
)
def test_a_wrong_goal_is_refused(goal: str, text: str) -> None:
    refused = ipa("optimise", "video", "--load", 20, "--goal", goal)
    assert refused.exit_code == 2
    assert text in refused.stderr
