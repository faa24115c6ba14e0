"""Whether a live run was a fair one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ipa.studies import Scenario
from ipa.studies.validation.decisions import Agreement
from ipa.studies.validation.run import conduct
from ipa.studies.validation.validation import Conditions, Validation
from tests.studies.validation.worlds import BASE, world

pytestmark = pytest.mark.usefixtures("elsewhere")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, []),
        ({"lateness_p99_s": 0.025}, ["requests were sent late: p99 25 ms, above 10"]),
        ({"overhead_p99_s": 0.2}, ["batches were held up: overhead p99 200 ms, above 50"]),
        ({"busy_share": 0.93}, ["the machine was 93 % busy, above 80"]),
        ({"busy_share": None, "lateness_p99_s": None, "overhead_p99_s": None}, []),
    ],
)
def test_an_unfair_run_is_flagged(changes: dict[str, Any], said: list[str]) -> None:
    fair = Conditions(0.002, 0.008, 0.4, 2)
    assert list(replace(fair, **changes).flags()) == said


FAIR, BUSY = Conditions(0.002, 0.008, 0.4, 2), Conditions(0.002, 0.008, 0.97, 2)
EQUAL, DIFFERENT = Agreement(11, 11), Agreement(3, 11)
DO = "take less load (--scale)"


@pytest.mark.parametrize(
    ("conditions", "share", "same", "closed", "verdict"),
    [
        (FAIR, 0.5, EQUAL, DIFFERENT, "off: decisions in closed loop"),
        (
            FAIR,
            0.99,
            EQUAL,
            DIFFERENT,
            f"not judged: no window was at or below 85 % utilisation; {DO} or more replicas",
        ),
        (FAIR, 0.99, EQUAL, EQUAL, "not judged: no window was at or below 85 % utilisation; "),
        (BUSY, 0.99, EQUAL, DIFFERENT, f"not judged: the machine was busy; end what else runs there, or {DO}, and "),
        (BUSY, 0.5, EQUAL, DIFFERENT, "not judged: the machine was busy; "),
        (BUSY, 0.5, EQUAL, EQUAL, "the simulator agrees with the live runs in all that is judged; "),
        (BUSY, 0.99, DIFFERENT, DIFFERENT, "off: decisions on the same observation, decisions in closed loop"),
        (replace(FAIR, faults=("3 records were lost",)), 0.5, EQUAL, DIFFERENT, "off: decisions in closed loop"),
    ],
)
def test_what_a_busy_machine_shows_is_not_off(
    known: Validation, conditions: Conditions, share: float, same: Agreement, closed: Agreement, verdict: str
) -> None:
    """But for decisions on the same observation, which no machine changes."""
    repeats = [
        replace(each, conditions=conditions, same_observations=same, closed_loop=closed) for each in known.repeats
    ]
    calibration = replace(known.calibration, conditions=FAIR)
    found = replace(known, repeats=tuple(repeats), calibration=calibration)
    object.__setattr__(found, "busy", np.full(len(known.busy), share))
    object.__setattr__(found, "rows", known.rows if share < 0.85 else [])
    assert found.verdict.startswith(verdict), found.verdict
    assert found.as_dict()["verdict"] == found.verdict
    assert found.passed is verdict.startswith("the simulator agrees")


def test_what_was_not_seen_is_said(tmp_path: Path) -> None:
    experiment, run_live = world(BASE.with_values({"trace": "constant:5:200", "policy": "static:1,1"}))
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    said = "calibration: did not show start_up_extra_s, decision_delay_s, stop_s, taken as 0"
    assert said in found.flags


def test_requests_that_failed_are_said(tmp_path: Path) -> None:
    """Such as when what is sent is nothing that the models take: then there is no latency to compare."""
    experiment, run_live = world(BASE.with_values({"trace": "constant:5:200", "policy": "static:1,1"}))

    def failing(scenario: Scenario, folder: Path) -> None:
        run_live(scenario, folder)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["summary"]["failed"] = 7
        (folder / "manifest.json").write_text(json.dumps(manifest))

    found = conduct(experiment, failing, tmp_path / "out", repeats=1)
    assert any(flag.startswith("live-1: 7 of ") and "requests failed" in flag for flag in found.flags), found.flags
