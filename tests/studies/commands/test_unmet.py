"""What could not be kept is said in a column and in the last lines; a limit that nothing can keep is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies import Scenario, ScenarioError, compare, find, simulate
from ipa.studies.runs import figures_of, unmet
from tests.command import SHORT, ipa, is_refused

GOAL = ("--goal", "min: cost, accuracy_at_least: 38")


@pytest.mark.parametrize(
    ("command", "texts"),
    [
        ("simulate video --set limit_cores=1", ("limit_cores: 1 is less than", "at least 2 (yolov5n 1 + resnet18 1)")),
        ("compare video --set limit_cores=1", ("limit_cores: 1 is less than",)),
        ("optimise video --load 5 --set limit_cores=1", ("limit_cores: 1 is less than",)),
        ("sweep video --vary limit_cores=1,2 --out swept", ("limit_cores=1: limit_cores: 1 is less than",)),
        ("tune video --minimise cost_mean_cores --set limit_cores=1", ("limit_cores: 1 is less than",)),
        ("simulate video --set policy.goal.max=accuracy --set policy.goal.cores_at_most=1", ("goal.cores_at_most: 1",)),
        ("live run video --set limit_cores=1", ("limit_cores: 1 is less than",)),
    ],
)
def test_a_limit_below_one_replica_a_stage_is_refused(command: str, texts: tuple[str, ...], here: Path) -> None:
    is_refused(command, texts)


def test_a_file_s_line_is_named(here: Path) -> None:
    Path("low.yaml").write_text("schema_version: 1\nkind: scenario\npipeline: video\nlimit_cores: 1\n")
    with pytest.raises(ScenarioError, match=r"low\.yaml:4: limit_cores: 1 is less than one replica a stage takes"):
        find("low.yaml")


def test_a_run_ends_with_the_decisions_that_could_not_keep_its_goal() -> None:
    """The variants of scale-only:low have PAS 31.9."""
    lines = ipa("simulate", "video", "--policy", "scale-only:low", *GOAL, *SHORT, "-q").stdout.splitlines()
    assert lines[-1] == (
        "scale-only:low: in 3 of 3 decisions not all that is asked could be kept: too little accuracy in 3."
    )
    assert "could be kept" not in ipa("simulate", "video", *GOAL, *SHORT, "-q").stdout


def test_a_run_ends_with_the_decisions_for_fewer_late_requests_than_its_forecast_covers() -> None:
    goal = ("--goal", "late_at_most: 0.001")
    lines = ipa("simulate", "video", *goal, *SHORT, "-q").stdout.splitlines()
    assert lines[-1] == (
        "ipa: in 3 of 3 decisions not all that is asked could be kept: "
        "fewer late requests asked for than the forecast's quantiles cover in 3."
    )


def test_a_limit_that_the_variants_of_a_policy_exceed_is_counted(here: Path) -> None:
    """They take 4 and 1 cores; the lightest take 1 and 1. The optimiser finds it with the first, a guard with the
    second."""
    for policy in ("scale-only:s2t-large,roberta-base", "static:s2t-large:1:1,roberta-base:1:1"):
        summary = simulate(find("audio-qa", {"policy": policy, "trace": "constant:1:30", "limit_cores": 3})).summary
        assert (summary["decisions"], summary["infeasible_decisions"], summary["above_cores_decisions"]) == (3, 3, 3)
        assert "too many cores in 3" in unmet(policy, [summary])


def test_a_comparison_has_a_column_where_any_policy_has_it() -> None:
    policies = ["ipa", "scale-only:low"]
    goal = {"goal": {"min": "cost", "accuracy_at_least": 38}}
    found = compare(Scenario(pipeline="video", trace="constant:5:30"), policies, parameters=goal, jobs=1)
    assert "infeasible" in [name for name, *_ in found.columns]
    assert found.summary["infeasible_decisions"].tolist() == [0.0, 3.0]
    printed = ipa("compare", "video", "--policy", "ipa", "--policy", "scale-only:low", *GOAL, *SHORT, "-q").stdout
    assert "infeasible" in printed
    assert "scale-only:low: in 3 of 3 decisions" in printed.splitlines()[-1]
    without = ipa("compare", "video", "--policy", "ipa", "--policy", "scale-only:low", *SHORT, "-q").stdout
    assert "infeasible" not in without


def test_the_worst_hour_has_a_column_in_runs_longer_than_an_hour() -> None:
    short, long = (
        simulate(find("video", {"trace": f"constant:1:{seconds}", "policy": "static:1,1", "records": "none"})).summary
        for seconds in (3600, 3610)
    )
    assert [[name for name, *_ in figures_of([each])].count("worst hour %") for each in (short, long)] == [0, 1]
    long_run = ("simulate", "video", "--trace", "constant:1:3610", "--policy", "static:1,1", "-q")
    assert "% in the worst hour" in ipa(*long_run).stdout


def test_what_knows_the_future_is_named_a_bound(here: Path) -> None:
    printed = ipa("compare", "video", "--policy", "ipa", "--policy", "oracle", *SHORT, "-q").stdout
    assert "oracle (bound)" in printed
    assert "ipa (bound)" not in printed
    vary = 'policy="static:1,1","ipa predictor=oracle"'
    swept = ipa("sweep", "video", "--vary", vary, *SHORT, "--out", "swept", "-q").stdout
    assert " ".join(swept.split()).count("(bound)") >= 1
