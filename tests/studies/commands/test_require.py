"""`--require`: what has to hold, for continuous integration; results are written whether it does or not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies.many.requirements import broken, parse
from tests.command import SHORT, ipa, refusal

TWO = [{"cost_mean_cores": 2.0, "pas_mean": None}, {"cost_mean_cores": 4.0, "pas_mean": None}]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("cost<=3", ""),
        ("cost_mean_cores >= 3", ""),
        ("cost<=2.9", "required cost<=2.9: ipa has 3 [0, 15.7]"),
        ("cost>=3.1", "required cost>=3.1: ipa has 3 [0, 15.7]"),
        ("pas>=1", "required pas>=1: ipa has no pas_mean"),
    ],
)
def test_a_requirement_is_of_the_mean_over_seeds(text: str, line: str) -> None:
    assert list(broken([parse(text)], [("ipa", TWO)])) == [line] * bool(line)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cost=3", "allowed: FIGURE<=NUMBER or FIGURE>=NUMBER, such as late<=0.01"),
        ("cost<=many", "allowed: FIGURE<=NUMBER"),
        ("cost<=nan", "allowed: FIGURE<=NUMBER"),
        ("latency_p95<=1", "no figure 'latency_p95'; did you mean 'latency_p95_s'?"),
        ("seed<=1", "no figure 'seed'"),
        ("late<=1", "'late<=1': a share is below 1, such as 0.01 or 1 %; given 1"),
        ("late<=100 %", "a share is below 1"),
        ("sla_violation_worst_hour_rate<=5", "a share is below 1"),
        ("pas>=0.45", "PAS is in per cent, such as 45 or 45 %; given 0.45"),
        ("late<=1 s", "allowed: FIGURE<=NUMBER"),
        ("p99<=5 %", "allowed: FIGURE<=NUMBER"),
    ],
)
def test_what_is_no_requirement_is_refused_before_anything_runs(text: str, told: str) -> None:
    assert told in refusal("simulate", "video", "--require", text)


@pytest.mark.parametrize(
    ("text", "bound"),
    [("late<=1 %", 0.01), ("late <= 1%", 0.01), ("pas>=35 %", 35), ("p99<=500 ms", 0.5), ("cost_core_s<=2 h", 7200)],
)
def test_a_bound_may_have_the_unit_in_which_it_is_written(text: str, bound: float) -> None:
    assert parse(text).bound == bound


def test_the_command_ends_with_1_and_a_line_each_and_its_results_are_there(here: Path) -> None:
    both = ("--policy", "static:1,1", "--policy", "static:1,2", *SHORT, "--require", "cost<=2.5")
    result = ipa("compare", "video", *both, "--require", "requests>=1", "--out", "both", "-q")
    assert result.exit_code == 1
    assert result.stderr == "Error: required cost<=2.5: static:1,2 has 3\n"
    assert "Results: both" in result.stdout
    assert (here / "both" / "runs.parquet").is_file()
    assert ipa("simulate", "video", *SHORT, "--require", "cost<=0.5", "-q").exit_code == 1
    assert ipa("simulate", "video", *SHORT, "--require", "cost<=50", "-q").exit_code == 0


def test_of_a_sweep_each_point_is_told(here: Path) -> None:
    vary = ("--vary", 'policy="static:1,1","static:1,2"', *SHORT, "--seeds", 2)
    result = ipa("sweep", "video", *vary, "--require", "cost<=2.5", "--out", "swept", "-q")
    assert result.exit_code == 1
    assert result.stderr == "Error: required cost<=2.5: policy=static:1,2 has 3\n"
    assert (here / "swept" / "runs.parquet").is_file()
