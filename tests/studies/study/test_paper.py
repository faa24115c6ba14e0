"""The shipped studies: the publication's."""

from __future__ import annotations

from typing import Any

import pytest

from ipa import profiles
from ipa.policies import SwitchOnly
from ipa.profiles import read_yaml
from ipa.studies import Scenario
from ipa.studies.many.study.run import prepare, shipped
from ipa.studies.many.study.schema import SHIPPED, load_published

pytest.importorskip("plotly")

pytestmark = pytest.mark.usefixtures("here")


@pytest.mark.parametrize("name", shipped("paper"))
def test_every_shipped_study_can_be_run(name: str) -> None:
    wanted = prepare("paper", [name], None)
    ((found, runs),) = wanted.studies
    assert wanted.seeds == 5
    assert len(found.systems) == 13
    settings = {(run.setting, run.system) for run in runs if not run.point}
    assert len(settings) == 13 + 13 + 4
    for run in runs:
        defect = run.scenario.policy.parameters.get("published_queue_defect", False)
        assert defect == (run.setting == "queue-term")
        # What is in force is what the pipeline publishes, but for the second parameter sets and the sweeps.
        own = profiles.load(run.pipeline).defaults
        given = run.scenario.policy.parameters
        if run.system in ("ipa", "rim") and run.workload == "steady-high":
            for key in ("alpha", "beta", "accuracy_scale", "batch_cap", "throughput_share", "load_margin"):
                if (run.pipeline, run.system) != ("nlp", "ipa") or key not in ("throughput_share", "load_margin"):
                    assert given[key] == getattr(own, key)
        # Nothing hangs on the project's default forecast.
        if run.system in ("ipa", "fa2-low", "fa2-high", "rim", "rate"):
            assert given["predictor"] == "lstm"


@pytest.mark.parametrize("name", shipped("paper"))
def test_every_published_preference_and_forecast_is_run(name: str) -> None:
    """Figures 14 and 16, and what is changed one at a time: on every load, in the published settings."""
    ((found, runs),) = prepare("paper", [name], 1).studies
    of: dict[str, dict[str, Scenario]] = {}
    for run in runs:
        if found.sweeps.get(run.system) and found.sweeps[run.system].points and run.workload == "bursty":
            assert run.setting == "published"
            of.setdefault(run.system, {})[run.point] = run.scenario
    preferences = [
        (point.policy.parameters["alpha"], point.policy.parameters["beta"])
        for point in of["published-preferences"].values()
    ]
    assert preferences == {
        "video": [(10, 0.125), (4, 1), (0.125, 1)],
        "nlp": [(100, 0), (20, 0.5), (0.125, 10)],
    }.get(name, [(10, 0.125), (10, 0.5), (0.125, 10)])
    forecasts = {point: scenario.policy.parameters["predictor"] for point, scenario in of["forecasts"].items()}
    assert forecasts == {"true future": "oracle", "lstm": "lstm", "reactive": "reactive"}
    assert {scenario.start_up_extra_s for scenario in of["forecasts-slow-starts"].values()} == {40.0}
    losing = {(each.removal, each.decision_delay_s) for each in of["forecasts-losing"].values()}
    assert losing == {("lose", 0.2)}
    assert next(iter(of["dynamics"])) == "as published"
    whole = of["dynamics"]["all of these"]
    changed = (whole.start, whole.dispatch, whole.drop, whole.max_surge, whole.decision_delay_s, whole.arrivals)
    assert changed == ("warm", "central", "request", 100, 0.0, "poisson")


def test_the_second_parameter_sets_of_the_publication() -> None:
    _, runs = prepare("paper", ["audio-qa"], 1).studies[0]
    of = {(run.workload, run.system): run.scenario for run in runs if run.setting == "published" and not run.point}
    assert [of[load, "ipa"].policy.parameters["alpha"] for load in ("bursty", "steady-low")] == [20, 10]
    assert [of[load, "rim"].policy.parameters["beta"] for load in ("fluctuating", "steady-high")] == [0.1, 0.5]
    assert list(of["steady-low", "rim"].policy.parameters["replicas"].values()) == [20, 5]
    start_replicas = {stage: each.replicas for stage, each in (of["bursty", "rim"].initial or {}).items()}
    assert start_replicas == {"speech-to-text": 27, "question-answering": 6}


def parameters(name: str) -> dict[tuple[str, str], dict[str, Any]]:
    """Of a pipeline: workload and system -> the parameters in the published settings."""
    ((_, runs),) = prepare("paper", [name], 1).studies
    plain = [run for run in runs if run.setting == "published" and not run.point]
    return {(run.workload, run.system): dict(run.scenario.policy.parameters) for run in plain}


def test_the_published_settings_of_sum_qa() -> None:
    of, own = parameters("sum-qa"), profiles.load("sum-qa").defaults
    assert own.scale_only["high"] == {"summarisation": "distilbart-xsum-12-6", "question-answering": "roberta-base"}
    assert of["bursty", "rim"]["replicas"] == {"summarisation": 12, "question-answering": 8}
    thresholds = {system: of["bursty", system].get("threshold_rps") for system in ("ipa", "fa2-low", "fa2-high", "rim")}
    assert thresholds == {"ipa": None, "fa2-low": 1, "fa2-high": None, "rim": 1}
    assert all(stage.threshold_rps == 5 for stage in profiles.load("sum-qa").stages)
    for system in thresholds:
        assert of["bursty", system]["throughput_cap_rps"] == {"question-answering": 10}


def test_with_a_threshold_of_1_the_weights_of_sum_qa_s_rim_decide_nothing() -> None:
    """Every variant takes one core, so the fixed replicas cost the same whatever they run.

    So alpha 11 and beta 0.3, which some published loads had, give the decisions of alpha 10 and beta 0.5.
    """
    rim, pipeline = parameters("sum-qa")["bursty", "rim"], profiles.load("sum-qa")
    for load_rps in (4.0, 12.0, 20.0, 34.0):
        found = [
            policy.answers.solve(policy.problem_for(load_rps)).configuration
            for weights in ({}, {"alpha": 11}, {"beta": 0.3})
            for policy in (SwitchOnly(pipeline, **{**rim, **weights}),)
        ]
        assert found[0] == found[1] == found[2]
        assert {each.cores for each in found[0].values()} == {1}


def test_the_published_settings_of_nlp_and_audio_sent() -> None:
    of, nlp = parameters("nlp"), profiles.load("nlp")
    assert list(nlp.defaults.scale_only["high"].values()) == [
        "xlm-roberta-base",
        "opus-mt-tc-big-fr-en",
        "distilbart-xsum-12-6",
    ]
    assert nlp.stage("translation").variant("opus-mt-tc-big-fr-en").base_cores == 16
    shares = {system: of["bursty", system]["throughput_share"] for system in ("ipa", "fa2-low", "fa2-high", "rim")}
    assert shares == {"ipa": 0.43, "fa2-low": 0.5, "fa2-high": 0.43, "rim": 0.5}
    margins = {load: of[load, "ipa"]["load_margin"] for load in ("bursty", "steady-low", "steady-high", "fluctuating")}
    assert margins == {"bursty": 0, "steady-low": 0, "steady-high": 0.2, "fluctuating": 0}
    assert of["steady-high", "fa2-high"]["load_margin"] == 0
    assert list(of["bursty", "rim"]["replicas"].values()) == [6, 22, 12]
    of = parameters("audio-sent")
    assert list(of["steady-low", "rim"]["replicas"].values()) == [27, 5]
    assert [of[load, "rim"]["beta"] for load in ("bursty", "steady-low", "fluctuating")] == [0.4, 0.5, 0.5]


def test_the_published_file_has_the_32_cells() -> None:
    path = SHIPPED / "paper" / "published.yaml"
    cells = load_published(path).cells
    assert sum(len(systems) for workloads in cells.values() for systems in workloads.values()) == 32
    assert read_yaml(path, kind="published").data["cells"]["video"]["bursty"]["ipa"] == {
        "cores": 2.72,
        "pas": 34.0,
        "lost": 69,
    }


def test_without_the_real_trace_the_synthetic_loads_are_run_and_said() -> None:
    wanted = prepare("paper", ["video"], 1)
    assert not wanted.has_real_trace
    assert {trial.scenario.trace for trial in wanted.trials} == {
        "bursty",
        "steady-low",
        "steady-high",
        "fluctuating",
    }
