"""Commands of several runs end with which one to take; `--late-at-most` says under which limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.command import SHORT, answer, ipa, refusal

TWO = ("--policy", "static:1,1 label=one", "--policy", "static:1,2 label=two", *SHORT)


def test_a_comparison_ends_with_it_and_with_where_the_results_are(here: Path) -> None:
    said = ipa("compare", "video", *TWO, "--out", "both", "-q").stdout.splitlines()
    assert said[-1] == "Results: both"
    (at,) = (place for place, line in enumerate(said) if line.startswith("Take one, the cheapest"))
    assert "of 2 that keep at most 1 % late: 2.00 cores" in said[at]
    assert "Dominated (no cheaper and no more accurate): two by one." in said[at + 1 :]


def test_under_a_limit_that_none_keeps_it_is_said_by_how_much() -> None:
    """Requests take longer than 10 ms."""
    said = ipa("compare", "video", *TWO, "--set", "sla_s=0.01", "--late-at-most", 0.5, "-q").stdout
    assert "None keeps at most 50 % late; the nearest is one: " in said
    assert "50.00 percentage points above it." in said
    assert "'1.5'; allowed: a finite number from 0 to 1" in refusal("compare", "video", "--late-at-most", "1.5")


def test_a_sweep_says_which_point_to_take(here: Path) -> None:
    sweep = ("sweep", "video", "--vary", 'policy="static:1,1","static:1,2"', *SHORT, "--out", "swept", "-q")
    taken = answer(*sweep, "--json")["recommendation"]
    assert (taken["cheapest"], taken["late_at_most"]) == ("static:1,1", 0.01)
    assert "Take static:1,1, the cheapest" in ipa(*sweep).stdout
    seeds = ("sweep", "video", "--vary", "seed=1,2", *SHORT, "--out", "seeds", "-q", "--json")
    assert answer(*seeds)["recommendation"] is None


def test_a_report_is_drawn_again_under_another_limit(here: Path) -> None:
    pytest.importorskip("plotly")
    assert ipa("compare", "video", *TWO, "--out", "both", "-q").exit_code == 0
    assert ipa("report", "both", "--late-at-most", 0.25).exit_code == 0
    assert "the cheapest and most accurate of 2 that keep at most 25 % late" in (here / "both/report.html").read_text()
