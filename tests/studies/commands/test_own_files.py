"""A user's own policies and pipelines: they run like the shipped ones, and errors name file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.command import SHORT, answer, ipa, refusal


def test_a_policy_of_ones_own_runs_and_compares(own: Path) -> None:
    summary = answer("simulate", "video", *SHORT, "--policy", "my.py:Hold", "--json")
    assert (summary["policy"], summary["changes"]) == ("my.py:Hold", 0)
    both = answer("compare", "video", *SHORT, "--policy", "ipa", "--policy", "my.py:Hold", "--json")
    assert [each["policy"] for each in both] == ["ipa", "my.py:Hold"]


def test_a_pipeline_of_ones_own_just_works(own: Path) -> None:
    """One stage of one variant: a replica serves 10 to 13 rps, so one core does for 5 rps, and all get accuracy 0.8."""
    summary = answer("simulate", "mine.yaml", *SHORT, "--json")
    told = ("pipeline", "completed", "cost_mean_cores", "pas_mean", "sla_s")
    assert [summary[name] for name in told] == pytest.approx(["mine", 150, 1.0, 80.0, 2.0])
    both = answer("compare", "mine.yaml", "--policy", "ipa", "--policy", "static:2", *SHORT, "--json")
    assert [each["cost_mean_cores"] for each in both] == [1.0, 2.0]
    assert "Chosen (optimal): sort: 1 x small" in ipa("optimise", "mine.yaml", "--load", 5).stdout


def test_what_a_policy_prints_stays_out_of_the_json(own: Path) -> None:
    with (own / "my.py").open("a") as file:
        file.write("\n    def __init__(self, pipeline):\n        print('made')\n")
        file.write("\nclass Chatty(Hold):\n    def decide(self, o, m):\n        print('hm')\n")
        file.write("        return super().decide(o, m)\n")
    result = ipa("simulate", "video", *SHORT, "--policy", "my.py:Chatty", "--json")
    assert json.loads(result.stdout)["policy"] == "my.py:Chatty"
    assert "hm" in result.stderr


@pytest.mark.parametrize(
    ("answer_of_policy", "text"),
    [
        ("1 / 0", "my.py:20: ZeroDivisionError: division by zero"),
        ("exit()", "my.py:20: SystemExit: None"),
        ("3", "decide returned int, not an ipa.policies.Decision"),
        ("None", "decide returned NoneType"),
        ("Decision({}, {})", "the configuration names the stages []; the pipeline has ['object-detection', "),
        ("Decision([1], {})", "the configuration names the stages [1]"),
        ("Decision({1: 2, 'a': 3}, {})", "the configuration names the stages [1, 'a']"),
        ("Decision(dict.fromkeys(observation.stages, 1), {})", "stage 'object-detection': 1 is not an"),
        ("changed(variant='yolov5q')", "unknown variant 'yolov5q' (did you mean 'yolov5x'?); allowed: yolov5n"),
        ("changed(variant=[1])", "unknown variant [1]"),
        ("changed(batch=float('nan'))", "batch nan; allowed for 'yolov5n': whole numbers from 1 to 64"),
        ("changed(batch=0)", "batch 0; allowed"),
        ("changed(batch=65)", "batch 65; allowed"),
        ("changed(replicas=float('nan'))", "replicas nan; allowed: whole numbers from 0"),
        ("changed(replicas=float('inf'))", "replicas inf; allowed: whole numbers from 0"),
        ("changed(replicas=1.5)", "replicas 1.5; allowed: whole numbers from 0"),
        ("changed(replicas=-1)", "replicas -1; allowed"),
        ("changed(replicas=10**9)", "replicas 1000000000; allowed: whole numbers from 0 to 10000"),
        ("changed(replicas=True)", "replicas True; allowed"),
        ("changed(cores=3)", "3 cores are not profiled for 'yolov5n'"),
        ("changed(cores='x')", "'x' cores are not profiled"),
        ("changed(cores=True)", "True cores are not profiled"),
        ("changed(batch_timeout_s='1')", "batch_timeout_s '1'; allowed: finite seconds"),
        ("changed(batch_timeout_s=float('nan'))", "batch_timeout_s nan"),
        ("changed(batch_timeout_s=float('inf'))", "batch_timeout_s inf"),
        ("changed(batch_timeout_s=-1)", "batch_timeout_s -1"),
        ("told(memory=None)", "memory None; allowed: a mapping"),
        ("told(memory={'x': {1, 2}})", "memory {'x': {1, 2}}; allowed: what JSON can hold"),
        ("told(memory={'x': float('nan')})", "memory {'x': nan}; allowed: what JSON can hold"),
        ("told(forecast_rps=float('nan'))", "forecast_rps nan; allowed: a finite number, or None"),
        ("told(forecast_rps=float('inf'))", "forecast_rps inf"),
        ("told(planned_load_rps='x')", "planned_load_rps 'x'"),
        ("told(objective=3)", "objective 3; allowed: a mapping"),
        ("told(objective={'total': float('nan')})", "objective 'total' nan"),
        ("told(notes='note')", "notes 'note'; allowed: a tuple of texts"),
        ("told(feasible=None)", "feasible None; allowed: True or False"),
        ("told(rung=3)", "rung 3"),
    ],
)
def test_a_policy_of_ones_own_that_fails_is_told_step_and_place(own: Path, answer_of_policy: str, text: str) -> None:
    _write_policy(own, answer_of_policy)
    message = refusal("simulate", "video", *SHORT, "--policy", "my.py:Own", "--out", "new")
    assert message.startswith("step 2 (at 20 s): ")
    assert text in message


@pytest.mark.parametrize("guard", ["limit_cores=9", "guards.max_replicas=3"])
@pytest.mark.parametrize(
    ("answer_of_policy", "text"),
    [
        ("1 / 0", "my.py:20: ZeroDivisionError"),
        ("3", "decide returned int"),
        ("changed(variant='yolov5q')", "unknown variant 'yolov5q'"),
        ("changed(replicas=float('nan'))", "replicas nan"),
    ],
)
def test_guards_do_not_hide_a_policys_mistake(own: Path, answer_of_policy: str, text: str, guard: str) -> None:
    _write_policy(own, answer_of_policy)
    message = refusal("simulate", "video", *SHORT, "--policy", "my.py:Own", "--set", guard)
    assert message.startswith("step 2 (at 20 s): ")
    assert text in message


def _write_policy(own: Path, answer_of_policy: str) -> None:
    """The policy `Own` in my.py, which gives the answer (line 20) at step 2 and holds before."""
    decide = (
        "\n    def decide(self, observation, memory):\n"
        "        held = super().decide(observation, memory)\n"
        "        told = lambda **k: replace(held, **k)\n"
        "        stages = held.configuration.items()\n"
        "        changed = lambda **k: told(configuration={name: replace(each, **k) for name, each in stages})\n"
        f"        return {answer_of_policy} if observation.step == 2 else held\n"
    )
    source = (own / "my.py").read_text().rstrip() + f"\nclass Own(Hold):{decide}"
    (own / "my.py").write_text(source)


@pytest.mark.parametrize("forecast", ["None", "'x'", "-1.0", "float('inf')"])
def test_a_predictor_of_ones_own_that_answers_no_rate_is_told_with_its_place(own: Path, forecast: str) -> None:
    (own / "ahead.py").write_text(
        f"class Ahead:\n    reads = ()\n\n    def predict(self, observation):\n        return {forecast}\n"
    )
    for policy in ("ipa", "rate"):
        message = refusal(
            "simulate", "video", *SHORT, "--policy", policy, "--set", "policy.predictor=ahead.py:Ahead", "--out", "new"
        )
        assert "ahead.py:1: Ahead.predict returned" in message
        assert "allowed: requests per second" in message
    assert not (own / "new").exists()
