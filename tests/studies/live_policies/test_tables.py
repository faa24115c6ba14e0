"""What the table of live runs says, on numbers that can be checked by hand, and which runs are made again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ipa import profiles
from ipa.policies import OptimisingPolicy, create
from ipa.studies import Scenario, simulate
from tests.studies.live_policies.cases import Case, cases
from tests.studies.live_policies.runs import Row, make, objective
from tests.studies.live_policies.tables import best, lines


def row(policy: str, objective: float, violations: float = 0.0) -> Row:
    case = Case("video", "bursty", policy)
    return Row(case, objective, 50.0, 2.0, violations, 1.0, objective, violations, 0.9, 0.0012, 0.004)


def test_the_best_is_not_one_that_buys_its_objective_with_violations() -> None:
    rows = [row("ipa", -3.0), row("foresight", -2.5, 0.4), row("switch-only", -1.0, 2.0)]
    assert best(rows).case.policy == "foresight"


def test_a_line_has_the_live_figure_and_the_simulated_one_in_brackets() -> None:
    _, _, line, _, won = lines([row("ipa", -3.0, 0.25)])
    cells = "−3.00 (−3.00) | 2.00 | 50.00 | 0.25 (0.25) | 1.00 (0.90) | 1.2 ms | 0.4"
    assert line == f"| video, bursty | `ipa` | {cells} |"
    assert won == "video on bursty: ipa"


@pytest.mark.parametrize("pipeline", ["video", "sum-qa"])
def test_the_objective_of_what_one_pair_of_variants_has_served_is_that_of_the_programme(pipeline: str) -> None:
    values = {"trace": "bursty", "window": "380:420", "policy": "scale-only:low"}
    run = simulate(Scenario(pipeline=pipeline).with_values(values))
    figures, cores = profiles.load(pipeline), run.summary["cost_mean_cores"]
    policy = create("ipa", figures)
    assert isinstance(policy, OptimisingPolicy)
    programme = policy.programme
    variants = list(figures.defaults.scale_only["low"].values())
    expected = programme.alpha * programme.accuracy_of(variants) - programme.beta * cores
    assert objective(figures, run.tables, cores) == pytest.approx(expected)


def test_a_run_that_is_there_is_made_again_only_where_the_machine_did_not_cope(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second, third = list(cases())[:3]
    for case, sent_late in ((first, 4), (second, 6)):
        (tmp_path / case.name).mkdir()
        manifest = {
            "schema_version": 2,
            "kind": "run",
            "summary": dict.fromkeys(("pipeline", "policy", "trace", "seed")),
            "live": {"sent_late": sent_late, "requests_sent": 100},
        }
        (tmp_path / case.name / "manifest.json").write_text(json.dumps(manifest))
    made = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        made.append(command)
        return subprocess.CompletedProcess(command, 1, "", "no")

    monkeypatch.setattr("subprocess.run", run)
    make([first, second, third], tmp_path, at_once=1, most_late=0.05)
    assert [command[command.index("--policy") + 1] for command in made] == [second.policy, third.policy]
