"""Commands of several runs end with which one to take: by the goal of the command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import SHORT, answer, ipa

LONG = ("--trace", "constant:5:1200")
"""Long enough to speak of late requests, and not to show 1 % with one seed."""

TWO = ("--policy", "static:1,1 label=one", "--policy", "static:1,2 label=two", *LONG)
GOAL = ("--goal", "min: cost, accuracy_at_least: 38")


def test_a_comparison_ends_with_it_and_with_where_the_results_are(here: Path) -> None:
    lines = ipa("compare", "video", *TWO, "--out", "both", "-q").stdout.splitlines()
    assert lines[-1] == "Results: both"
    (at,) = (place for place, line in enumerate(lines) if line.startswith("Take one, the cheapest"))
    assert "of 2 that keep at most 1 % late: 2.00 cores" in lines[at]
    assert lines[at].endswith("so at most 3.03 % (97.5 % sure); 4 seeds would show 1 %.")
    assert "Dominated (no cheaper and no more accurate): two by one." in lines[at + 1 :]


def test_under_a_limit_that_none_keeps_it_is_said_by_how_much() -> None:
    """Requests take longer than 10 ms."""
    printed = ipa("compare", "video", *TWO, "--set", "sla_s=0.01", "-q").stdout
    assert "None keeps at most 1 % late; the nearest is one: " in printed
    assert "which misses at most 1 % late by 99.00 percentage points." in printed


@pytest.mark.long
def test_it_is_by_the_goal_the_limit_and_the_requirement_of_the_command(here: Path) -> None:
    """scale-only:low, with PAS 31.9, is the cheapest; what is required is not met by all, and ends with exit code 1."""
    policies = ("--policy", "ipa", "--policy", "scale-only:low", "-q")
    plain = ipa("compare", "video", *policies).stdout
    assert "Take scale-only:low, the cheapest of 2 that keep at most 1 % late" in plain
    printed = ipa("compare", "video", *policies, *GOAL, "--set", "limit_cores=9", "--out", "goal").stdout
    taken = "Take ipa, the only one that keeps PAS at least 38, at most 9 cores and at most 1 % late"
    assert taken in printed
    assert "Left out: scale-only:low (PAS 31.88)." in printed
    required = ipa("compare", "video", *policies, "--require", "pas>=32")
    assert "Take ipa, the only one that keeps PAS at least 32 and at most 1 % late" in required.stdout
    assert required.exit_code == 1
    pytest.importorskip("plotly")
    assert ipa("report", "goal").exit_code == 0
    assert taken in (here / "goal/report.html").read_text()


def test_on_half_a_minute_nothing_is_recommended() -> None:
    printed = ipa(
        "compare", "video", "--policy", "ipa", "--policy", "scale-only:low", *SHORT, "--seeds", 2, "-q"
    ).stdout
    assert "Nothing is recommended: 300 requests in 2 runs of 30 s cannot tell at most 1 % late; 123 seeds" in printed
    assert "Take" not in printed


def test_a_sweep_says_which_point_to_take(here: Path) -> None:
    sweep = ("sweep", "video", "--vary", 'policy="static:1,1","static:1,2"', *LONG, "--out", "swept", "-q")
    taken = answer(*sweep, "--json")["recommendation"]
    assert (taken["choice"], taken["cheapest"], taken["late_at_most"]) == ("static:1,1", "static:1,1", 0.01)
    assert "Take static:1,1, the cheapest" in ipa(*sweep).stdout
    seeds = ("sweep", "video", "--vary", "seed=1,2", *SHORT, "--out", "seeds", "-q", "--json")
    assert answer(*seeds)["recommendation"] is None


def test_a_sweep_takes_no_oracle_and_keeps_the_goal_of_its_scenario(here: Path) -> None:
    pytest.importorskip("plotly")
    vary = 'policy="ipa goal={min: cost, accuracy_at_least: 38}","scale-only:low","oracle","ipa predictor=oracle"'
    sweep = ("sweep", "video", "--vary", vary, *LONG, "--out", "swept", "-q", "--report", "swept.html")
    printed = ipa(*sweep).stdout
    assert "Take ipa goal={min: cost, accuracy_at_least: 38}, the only one that keeps PAS at least 38" in printed
    assert "Bounds and no choices, as they know the load to come: oracle (" in printed
    assert "The goal is asked of all, also of those that take one and did not plan for it." in printed
    assert ipa("report", "swept", "--to", "again.html", "-q").exit_code == 0
    for page in ("swept.html", "again.html"):
        assert "the only one that keeps PAS at least 38" in (here / page).read_text()


def test_a_study_takes_no_oracle_and_keeps_the_goal_of_its_systems(here: Path) -> None:
    pytest.importorskip("plotly")
    systems = {
        "wanted": {"policy": "ipa goal={min: cost, accuracy_at_least: 38}"},
        "small": {"policy": "scale-only:low"},
        "future": {"title": "the future", "policy": "oracle"},
    }
    study = {"schema_version": 1, "kind": "study", "title": "goals", "pipeline": "video", "systems": systems}
    study |= {"workloads": ["constant:5:1200"], "seeds": 1, "bound": "future"}
    (here / "goals.yaml").write_text(json.dumps(study))
    (taken,) = answer("study", "goals.yaml", "--out", "goals", "-q", "--json")["recommendations"]
    assert (taken["choice"], taken["bounds"], list(taken["missed"])) == ("wanted", ["the future"], ["small"])
    assert "| video | the future (bound) |" in (here / "goals/tables.md").read_text()
