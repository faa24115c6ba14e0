"""The shipped study of which policy is for which load."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa import profiles
from ipa.studies.many.study.run import prepare, shipped
from ipa.traces import FAMILIES

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("pipeline", shipped("loads"))
def test_every_policy_is_run_on_every_family_in_every_world(pipeline: str) -> None:
    wanted = prepare("loads", [pipeline], None)
    ((study, runs),) = wanted.studies
    assert {run.workload.partition(":")[0] for run in runs} == set(FAMILIES)
    assert len(runs) == len(study.settings) * len(study.workloads) * len(study.systems)
    of = {(run.setting, run.system): run.scenario for run in runs}
    assert of["half-sla", "ipa"].sla_s == pytest.approx(profiles.load(pipeline).sla_s / 2)
    assert of["slow-decisions", "hpa"].interval_s == of["slow-decisions", "ipa"].interval_s == 30
    assert (of["as-it-is", "hpa"].interval_s, of["as-it-is", "kpa-high"].interval_s) == (15, 2)
    assert (of["new", "foresight"].start, of["new", "oracle"].start) == ("configured", "warm")
    assert (of["five-fold", "ipa"].scale, of["five-fold", "ipa"].scaling) == (5, "thin")
    assert of["silence", "ipa"].outages == ((400.0, 520.0),)


def test_loads_of_other_seeds_are_a_study_of_ones_own() -> None:
    systems = "systems: {ipa: {policy: ipa}}\nsettings: {as-it-is: {systems: [ipa, oracle]}}\n"
    Path("mine.yaml").write_text(
        f'schema_version: 1\nkind: study\nbase: loads/video.yaml\nworkloads: ["step:7", "constant:5:60"]\n{systems}'
    )
    trials = prepare("mine.yaml", (), None).trials
    assert {trial.workload for trial in trials} == {"step:7", "constant:5:60"}
