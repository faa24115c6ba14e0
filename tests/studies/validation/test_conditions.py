"""Whether a live run was a fair one."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipa.studies import Scenario
from ipa.studies.validation.run import conduct
from ipa.studies.validation.validation import Conditions
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
    fair = Conditions(0.002, 0.008, 0.4, 0.9, 2)
    assert list(replace(fair, **changes).flags()) == said


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
