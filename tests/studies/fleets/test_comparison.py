"""Rules compared on the same fleet: the same whatever the number of workers, and a recommendation."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ipa.studies import pages
from ipa.studies.fleets import FleetComparison, answered, compare_sharing, load_fleet, recommendation
from ipa.studies.many import Running
from tests.command import ipa
from tests.studies.fleets.fleets import PROD, RESEARCH, fleet
from tests.studies.fleets.test_file import TWO, written

SHORT = fleet(
    5, {**PROD, "window": "0:60", "scale": 3.0, "priority": 3.0}, {**RESEARCH, "window": "0:60", "scale": 3.0}
)


def test_the_result_does_not_depend_on_the_workers_and_seeds_are_those_of_the_pipelines_and_the_next() -> None:
    alone = compare_sharing(SHORT, ["quota", "water-filling"], 2, Running(None, jobs=1))
    together = compare_sharing(SHORT, ["quota", "water-filling"], 2, Running(None, jobs=2))

    def figures(comparison: FleetComparison) -> str:
        runs = [run for runs in comparison.runs.values() for each in runs for run in each.values()]
        return json.dumps([{key: value for key, value in run.items() if key != "wall_s"} for run in runs])

    assert figures(alone) == figures(together)
    assert alone.short == together.short
    seeds = [[run["prod"]["seed"], run["research"]["seed"]] for run in alone.runs["water-filling"]]
    assert seeds == [[1, 2], [2, 3]]


def compared(late: Mapping[str, Sequence[float]]) -> FleetComparison:
    """Two pipelines of weights 3/4 and 1/4; `late`: rule -> the share of late requests of the first, by seed."""
    runs = {
        rule: [{"prod": {"sla_violation_rate": share}, "research": {"sla_violation_rate": 0.0}} for share in shares]
        for rule, shares in late.items()
    }
    return FleetComparison(SHORT, runs, {})


def test_the_rule_with_the_fewest_late_requests_by_priority_is_recommended() -> None:
    late = {"quota": [0.4, 0.4, 0.44], "water-filling": [0.2, 0.16, 0.2], "priority": [0.16, 0.2, 0.24]}
    assert list(recommendation(compared(late))) == [
        (
            "Take water-filling: weighted by priority, 14.00 % of the requests are late, the fewest "
            "(priority 15.00 %, quota 31.00 %)."
        ),
        "From priority, 3 seeds do not tell it apart.",
    ]


def test_the_command_prints_a_row_for_each_rule_and_pipeline(tmp_path: Path) -> None:
    path = str(written(tmp_path, "limit_cores: 5\n" + TWO))
    result = ipa("compare", path, "--set", "scale=3", "--jobs", "1", "-q")
    assert result.exit_code == 0, result.stderr
    rows = [
        line.split()[:2]
        for line in result.stdout.splitlines()
        if line.startswith(("  quota", "  wat", "  prio", "  obj"))
    ]
    assert rows == [[rule, name] for rule in ("quota", "priority", "water-filling", "objective") for name in "ab"]
    assert "Take " in result.stdout


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("fleet.yaml", "--policy", "ipa"), "--policy does not go with a fleet"),
    ],
)
def test_what_does_not_go_together_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: Sequence[str], problem: str
) -> None:
    written(tmp_path, "limit_cores: 9\n" + TWO)
    monkeypatch.chdir(tmp_path)
    result = ipa("compare", *arguments)
    assert (result.exit_code, problem in result.stderr) == (2, True), result.stderr


def test_a_page_stacks_what_the_pipelines_get_below_the_budget(tmp_path: Path) -> None:
    path = written(tmp_path, "limit_cores: 5\n" + TWO)
    _, answers = answered(load_fleet(path, {"scale": 3.0}))
    page = pages.fleet.page(answers)
    (plot,) = page.plots
    areas = [trace for trace in plot.traces if "stackgroup" in trace]
    (wanted,) = (trace for trace in plot.traces if "stackgroup" not in trace)
    assert [trace["name"] for trace in areas] == ["a", "b"]
    together = [sum(cores) for cores in zip(*(trace["y"] for trace in areas), strict=True)]
    assert max(together) <= 5
    assert all(total <= most for total, most in zip(together, wanted["y"], strict=True))
    assert max(wanted["y"]) > 5
