"""Replicas that slow each other down: with the interference that was measured, a simulation is right; without, off."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa.studies import Scenario, ScenarioError, simulate
from ipa.studies.pages import html_of, validation
from ipa.studies.validation import sentences
from ipa.studies.validation.run import conduct, read_validation
from tests.command import PIPELINE, ipa
from tests.studies.page_rules import check_page
from tests.studies.validation.worlds import OVERHEADS, world

pytestmark = pytest.mark.usefixtures("elsewhere")

MEASURED = "interference: {measured: [{busy_cores: 1, factor: 1.2}, {busy_cores: 4, factor: 1.5}], from: guess}"


@pytest.fixture
def base(tmp_path: Path) -> Scenario:
    """A stage whose batches take up to half as long again beside others."""
    file = tmp_path / "mine.yaml"
    file.write_text(PIPELINE.replace("        base_cores:", f"        {MEASURED}\n        base_cores:"))
    policy = {"name": "rate"}
    return Scenario(pipeline=str(file)).with_values(
        {"trace": "fluctuating", "policy": policy, "service_times": "mean", "sla_s": 2.0}
    )


def test_a_run_with_interference_takes_longer_where_replicas_serve_at_once(base: Scenario) -> None:
    alone, beside = (simulate(base.with_values({"interference": on})).summary for on in ("none", "measured"))
    assert beside["latency_mean_s"] > 1.02 * alone["latency_mean_s"]


def test_a_validation_shows_both_and_only_with_it_nothing_differs(base: Scenario, tmp_path: Path) -> None:
    """The live world slows batches down; its overheads are found as they are once that is taken away."""
    experiment, run_live = world(base, interference="measured")
    found = conduct(experiment, run_live, tmp_path / "out", repeats=1)
    assert found.other is not None
    right_s = OVERHEADS["dispatch_overhead_s"]
    assert found.other.overheads.dispatch_overhead_s.value_s == pytest.approx(right_s, rel=0.02)
    assert found.calibration.overheads.dispatch_overhead_s.value_s > 2 * right_s
    without, with_ = (
        {row.metric.key: abs(row.error) for row in found.by_interference[on] if row.metric.stage is None}
        for on in (False, True)
    )
    assert with_["latency_mean_s"] < 1e-3 < without["latency_mean_s"]
    rows = sentences.interference(found)
    assert rows[0][0] == "latency, mean (s)"
    assert sentences.INTERFERENCE in html_of(validation.page(found))
    check_page(html_of(validation.page(found)))
    again = read_validation(tmp_path / "out")
    assert sentences.interference(again) == rows
    assert found.as_dict()["interference"].keys() == {"without", "with"}


def test_a_pipeline_without_measured_interference_has_none(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="video has none measured; `ipa profile run --neighbours` measures it"):
        simulate(Scenario(pipeline="video", interference="measured"))
    result = ipa("simulate", "video", "--set", "interference=measured")
    assert result.exit_code == 2
