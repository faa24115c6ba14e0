"""Times, shares and accuracies as they are written, wherever they are taken; doubts about what is in another unit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa import profiles
from ipa.policies import Choices, Range
from ipa.profiles import conditions
from ipa.studies import Scenario, load
from ipa.studies.many.sweeps.conditions import parse
from ipa.studies.many.sweeps.sample import axis_of
from ipa.studies.many.tuning.aims import parse_limit
from ipa.studies.many.tuning.space import space_of
from ipa.studies.scenario import ScenarioError
from tests.command import PIPELINE, SHORT, answer, ipa, refusal


def test_a_scenario_takes_units_in_files_on_the_command_line_and_in_python(here: Path) -> None:
    (here / "run.yaml").write_text(
        "schema_version: 1\nkind: scenario\npipeline: video\ntrace: constant:5:1min\n"
        "window: [0 s:30 s, '0.5 min:40 s']\nsla_s: 2500 ms\nhistory_s: 2 min\n"
        "drop_limits_s: {object-detection: 900 ms}\nguards: {hysteresis: 5 %}\n"
        "limits: {utilisation: 80 %}\nprofile_factors: {object-detection: {yolov5n: 50 %}}\n"
        "policy: {name: ipa, horizon_s: 0.5 min, load_margin: 10 %, goal: {min: cost, accuracy_at_least: 40 %}}\n"
    )
    scenario = load("run.yaml")
    assert (scenario.sla_s, scenario.history_s, scenario.window) == (2.5, 120, ((0.0, 30.0), (30.0, 40.0)))
    assert (scenario.drop_limits_s, scenario.guards.hysteresis) == ({"object-detection": 0.9}, 0.05)
    assert (scenario.limits.utilisation, scenario.profile_factors["object-detection"]["yolov5n"]) == (0.8, 0.5)
    given = scenario.policy.parameters
    assert given == {"horizon_s": 30, "load_margin": 0.1, "goal": {"min": "cost", "accuracy_at_least": 40}}
    texts: dict[str, Any] = {"hop_s": "20 ms", "policy": "ipa horizon_s='30 s'"}
    made = Scenario(pipeline="video", **texts)
    assert made.with_values({"sla_s": "2 s", "policy.load_margin": "7 %"}).sla_s == 2
    options = ("--trace", "constant:5:1min", "--window", "0:30s", "--set", "sla_s=2500 ms", "--set", "hop_s=20ms")
    first = answer("simulate", "video", *options, "--policy", "ipa load_margin=10%", "--json", "-q")
    plain = ("--trace", "constant:5:60", "--window", "0:30", "--set", "sla_s=2.5", "--set", "hop_s=0.02")
    second = answer("simulate", "video", *plain, "--policy", "ipa load_margin=0.1", "--json", "-q")
    names = ("wall_s", "policy", "trace")
    assert {**first, **dict.fromkeys(names)} == {**second, **dict.fromkeys(names)}


def test_a_pipeline_file_and_a_table_of_latencies_take_units(here: Path) -> None:
    text = PIPELINE.replace("pinned_s: 2", "pinned_s: 2000 ms").replace("seconds: 8", "seconds: 8 s")
    (here / "units.yaml").write_text(
        text.replace("value: 0.8", "value: 80 %").replace("mean_s: 0.15", "mean_s: 150 ms")
    )
    (here / "plain.yaml").write_text(PIPELINE)
    assert profiles.load(here / "units.yaml") == profiles.load(here / "plain.yaml")
    head = "stage,variant,accuracy,cores,batch,mean_ms,p99_ms\n"
    (here / "units.csv").write_text(f"{head}sort,a,61 %,1,1,0.04 s,50000 us\nsort,b,70 %,1,1,60,90 ms\n")
    (here / "plain.csv").write_text(f"{head}sort,a,61,1,1,40,50\nsort,b,70,1,1,60,90\n")
    for name in ("units", "plain"):
        assert ipa("pipeline", "new", f"{name}-made.yaml", "--from", f"{name}.csv").exit_code == 0
    units, plain = (profiles.load(here / f"{name}-made.yaml").stage("sort") for name in ("units", "plain"))
    assert [(each.accuracy, each.figures[0].p99_s) for each in units.variants] == [
        (each.accuracy, each.figures[0].p99_s) for each in plain.variants
    ]
    (here / "wrong.csv").write_text(f"{head}sort,a,0.6 %,1,1,40,50\n")
    assert "should be above 1 %, or a fraction without the sign" in refusal(
        "pipeline", "new", "w.yaml", "--from", "wrong.csv"
    )


def test_a_sweep_and_a_tuning_take_units(here: Path) -> None:
    vary = ("--vary", "sla_s=900 ms,2 s,1 min", "--where", "sla_s<=2000 ms")
    assert ipa("sweep", "video", *vary, *SHORT, "--out", "swept", "-q").exit_code == 0
    assert pd.read_parquet(here / "swept" / "runs.parquet")["sla_s"].tolist() == [0.9, 2.0]
    assert parse("hop_s<20 ms").holds({"hop_s": 0.019})
    assert axis_of("sla_s", ["500 ms", 2]).values == (0.5, 2)
    assert conditions.parsed("score >= 60 %") == conditions.parsed("score >= 0.6")
    video = Scenario(pipeline="video")
    space = space_of(video, ["policy.load_margin=0:50 %", "hop_s=5 ms,10 ms"])
    assert space == {"policy.load_margin": Range(0, 0.5), "hop_s": Choices((0.005, 0.01))}
    assert parse_limit("sla_violation_rate<=1 %").value == 0.01
    assert parse_limit("latency_p99_s<=1500 ms").value == 1.5
    for text in ("sla_violation_rate<=1", "sla_violation_rate<=100 %"):
        with pytest.raises(ScenarioError, match="a share is below 1"):
            parse_limit(text)


def test_options_take_units(here: Path) -> None:
    assert answer("trace", "info", "bursty", "--window", "1 min:90 s", "--json")["duration_s"] == 30
    assert "'5 %'; allowed: a finite number above 0" in refusal("live", "run", "video", "--duration", "5 %")
    assert "--duration 0.5: should be at least 1 second" in refusal("live", "run", "video", "--duration", "500 ms")


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (
            ("simulate", "video", "--set", "sla_s=500"),
            "the SLA, 500 s, is more than 10 times what the slowest plan takes, ",
        ),
        (
            ("compare", "video", "--goal", "min: cost, accuracy_at_least: 0.45"),
            "goal.accuracy_at_least 0.45: every plan has at least 31.88; accuracies are in per cent, such as 45",
        ),
        (
            ("simulate", "video", "--policy", "ipa goal={min: cost, accuracy_at_least: {object-detection: 0.6}}"),
            "goal.accuracy_at_least.object-detection 0.6: every variant has at least 45.7; accuracies are in per cent",
        ),
        (
            ("compare", "video", "--policy", "ipa load_margin=10", "--policy", "rate margin=10 %"),
            "load_margin 10 plans for 11 times the load: it is a share, such as 0.1 or 10 %",
        ),
        (("optimise", "video", "--load", 5, "--set", "sla_s=500"), "the SLA, 500 s, is more than 10 times"),
        (("sweep", "video", "--vary", "sla_s=2,500", "--out", "swept"), "the SLA, 500 s, is more than 10 times"),
    ],
)
def test_a_number_that_is_likely_in_another_unit_is_doubted_once(command: tuple[Any, ...], text: str) -> None:
    result = ipa(*command, *(() if "optimise" in command else (*SHORT, "-q")))
    assert result.exit_code == 0
    assert result.stderr.count(f"Warning: {text}") == result.stderr.count("Warning") == 1


def test_what_a_pipeline_file_and_a_study_ask_for_is_doubted_too(here: Path) -> None:
    (here / "long.yaml").write_text(PIPELINE.replace("pinned_s: 2", "pinned_s: 200"))
    assert "the SLA, 200 s, is more than 10 times" in ipa("pipeline", "check", "long.yaml").output
    (here / "s.yaml").write_text(
        "schema_version: 1\nkind: study\npipeline: video\nworkloads: ['constant:5:60']\n"
        "systems: {ipa: {policy: ipa, set: {sla_s: 500}}}\n"
    )
    assert "Warning: the SLA, 500 s, is more than 10 times" in ipa("study", "s.yaml", "--out", "out", "-q").stderr


@pytest.mark.parametrize("value", ["sla_s=500 ms", "sla_s=40"])
def test_an_sla_within_reason_is_not_doubted(value: str) -> None:
    assert ipa("simulate", "video", "--set", value, *SHORT, "-q").stderr.count("the SLA") == 0


@pytest.mark.parametrize("name", profiles.names())
def test_no_shipped_pipeline_is_doubted(name: str) -> None:
    assert "times what the slowest plan takes" not in ipa("pipeline", "check", name).stderr
