"""The shipped studies: the publication's."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa import profiles
from ipa.profiles import read_yaml
from ipa.studies.study import course, published_file

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("name", course.shipped())
def test_every_shipped_study_can_be_run(name: str) -> None:
    wanted = course.prepare("paper", [name], None)
    ((found, runs),) = wanted.studies
    assert wanted.seeds == 5
    assert len(found.systems) == 9
    settings = {(run.setting, run.system) for run in runs if not run.point}
    assert len(settings) == 9 + 9 + 4
    for run in runs:
        defect = run.scenario.policy.parameters.get("published_queue_defect", False)
        assert defect == (run.setting == "queue-term")
        # What is in force is what the pipeline publishes, but for the second parameter sets and the sweeps.
        own = profiles.load(run.pipeline).defaults
        given = run.scenario.policy.parameters
        if run.system in ("ipa", "rim") and run.workload == "steady-high":
            for key in ("alpha", "beta", "accuracy_scale", "batch_cap", "throughput_share", "load_margin"):
                assert given[key] == getattr(own, key)


def test_the_second_parameter_sets_of_the_publication() -> None:
    _, runs = course.prepare("paper", ["audio-qa"], 1).studies[0]
    of = {(run.workload, run.system): run.scenario for run in runs if run.setting == "published" and not run.point}
    assert [of[load, "ipa"].policy.parameters["alpha"] for load in ("bursty", "steady-low")] == [20, 10]
    assert [of[load, "rim"].policy.parameters["beta"] for load in ("fluctuating", "steady-high")] == [0.1, 0.5]
    assert list(of["steady-low", "rim"].policy.parameters["replicas"].values()) == [20, 5]
    start_replicas = {stage: each.replicas for stage, each in (of["bursty", "rim"].initial or {}).items()}
    assert start_replicas == {"speech-to-text": 27, "question-answering": 6}


def test_the_published_file_has_the_32_cells() -> None:
    path = Path(course.__file__).parents[1] / "paper" / "published.yaml"
    cells = published_file.load(path).cells
    assert sum(len(systems) for workloads in cells.values() for systems in workloads.values()) == 32
    assert read_yaml(path, kind="published").data["cells"]["video"]["bursty"]["ipa"] == {"cores": 2.72, "pas": 34.0}


def test_without_the_real_trace_the_synthetic_loads_are_run_and_said() -> None:
    wanted = course.prepare("paper", ["video"], 1)
    assert not wanted.has_real_trace
    assert {trial.scenario.trace for trial in wanted.trials} == {
        "bursty",
        "steady-low",
        "steady-high",
        "fluctuating",
    }
