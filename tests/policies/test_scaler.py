"""What the policies that change replicas alone share; Rate, and Oracle beside IPA; and that all of them are sound."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isnan, nan
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa import profiles
from ipa.policies import (
    Configuration,
    Decision,
    Memory,
    Observation,
    PolicyError,
    Rate,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
    check_configuration,
    create,
    describe,
    to_line,
)
from ipa.policies.controller import Entry
from ipa.policies.journal import from_line
from ipa.policies.optimiser import Programme
from ipa.policies.oracle import sustained_rps
from ipa.studies import Run, Scenario, simulate
from tests.tiny import chosen, configuration, observation, pipeline, published, two_by_two, variant

PIPELINE = two_by_two(published(accuracy="sum"))
VIDEO = profiles.load("video")
SCALERS = ("hpa", "kpa", "inferline", "faro", "planner", "ray", "rate")
EVERY = (*SCALERS, *(f"{name}:high" for name in SCALERS), "oracle")


# Variants and batches


@pytest.mark.parametrize("name", SCALERS)
def test_variants_are_named_as_for_scale_only(name: str) -> None:
    seen = observation([4.0] * 20, busy={"a": 0.5, "b": 0.5})
    for argument, expected in [
        ("", ["small", "small"]),
        (":high", ["large", "large"]),
        (":large,small", ["large", "small"]),
    ]:
        decided = create(name + argument, PIPELINE).decide(seen, {}).configuration
        assert [stage.variant for stage in decided.values()] == expected
        assert [stage.cores for stage in decided.values()] == [2 if each == "large" else 1 for each in expected]


def test_two_of_the_largest_batch_fit_into_a_stage_s_share_of_the_sla() -> None:
    """video: yolov5s 4.62 s, 2 x 1.59 (8); resnet101 2.27 s, 2 x 0.74 (4) but not 2 x 1.42 (8); the cap is 8."""
    assert create("rate:high", VIDEO).batch == {"object-detection": 8, "image-classification": 4}  # type: ignore[attr-defined]
    slow = pipeline([variant("only", 0.5, 1, {1: 0.9, 2: 1.0})], sla_s=1.0)
    assert create("rate", slow).batch == {"a": 1}  # type: ignore[attr-defined]


def test_a_batch_may_be_given_for_all_stages_or_for_each() -> None:
    for given_batch, expected in ((2, {"a": 2, "b": 2}), ({"a": 1, "b": 2}, {"a": 1, "b": 2})):
        assert create("rate", PIPELINE, {"batch": given_batch}).batch == expected  # type: ignore[attr-defined]


def test_the_batch_timeout_is_for_the_load_that_the_replicas_are_meant_to_carry() -> None:
    """Margin 25 %, 15 rps: ceil(18.75 / 12.5) = 2 replicas, meant for 2 x 12.5 / 1.25 = 20 rps: (2 - 1) / 20 s."""
    decision = Rate(PIPELINE, batch=2, margin=0.25).decide(observation([15.0] * 20), {})
    assert chosen(decision.configuration)["a"] == ("small", 2, 2)
    assert decision.configuration["a"].batch_timeout_s == pytest.approx(0.05)


def test_replicas_stay_within_the_bounds() -> None:
    policy = Rate(PIPELINE, batch=1, min_replicas=2, max_replicas=3)
    for load_rps, expected in ((1.0, 2), (20.0, 3), (500.0, 3)):
        assert policy.decide(observation([load_rps] * 20), {}).configuration["a"].replicas == expected


def test_the_planned_throughput_is_the_pipeline_s_share_of_the_profiled() -> None:
    """Half of 10 rps: 20 rps x 1.2 need 5 replicas."""
    halved = two_by_two(published(throughput_share=0.5))
    assert Rate(halved, batch=1).decide(observation([20.0] * 20), {}).configuration["a"].replicas == 5


@pytest.mark.parametrize("name", SCALERS)
def test_a_variant_that_failed_to_start_is_replaced(name: str) -> None:
    seen = observation([4.0] * 20, busy={"a": 0.5, "b": 0.5}, failed={"a": ("large",)})
    decision = create(f"{name}:high", PIPELINE).decide(seen, {})
    assert [stage.variant for stage in decision.configuration.values()] == ["small", "large"]
    assert (decision.rung, decision.feasible) == ("no-accuracy", False)
    assert "a: large has failed to start" in decision.notes


@pytest.mark.parametrize("name", SCALERS)
def test_more_cores_than_the_limit_are_said(name: str) -> None:
    seen = observation([4.0] * 20, busy={"a": 0.8, "b": 0.8}, limit_cores=1)
    decision = create(name, PIPELINE, {"min_replicas": 2}).decide(seen, {})
    assert (decision.binding, decision.feasible) == ("cores", False)
    assert "takes 4 cores; limit: 1" in decision.notes


@pytest.mark.parametrize(
    ("spec", "parameters", "text"),
    [
        ("hpa:hihg", {}, r"variants='hihg' is none of: low, high \(did you mean 'high'"),
        ("hpa", {"metric": "cpu"}, "metric='cpu' is none of: utilisation, concurrency, rps"),
        ("hpa", {"target": 1.5}, "target=1.5 must be a finite number above 0 and at most 1"),
        ("hpa", {"tolerence": 0.2}, r"'tolerence' of policy 'hpa' \(did you mean 'tolerance'\?\)"),
        ("kpa", {"panic_window_s": 90}, "panic_window_s=90 must be .* at most 60"),
        ("kpa", {"batch": {"a": 1}}, "batch lacks b"),
        ("rate", {"batch": 3}, "batch.a=3 is above the largest profiled for small: 2"),
        ("rate", {"margin": -1}, "margin=-1 must be a finite number above -1"),
        ("rate", {"min_replicas": 3, "max_replicas": 2}, "max_replicas=2 is below min_replicas=3"),
        ("inferline", {"batch": 2}, "unknown parameter 'batch' of policy 'inferline'"),
        ("inferline", {"sample_rps": [1, -2]}, "sample_rps=-2 must be"),
        ("faro", {"samples": 0}, "samples=0 must be a whole number of at least 1"),
        ("faro", {"percentile": 1}, "percentile=1 must be .* at most 0.9999"),
        ("planner", {"down_sensitivity": 80}, "down_sensitivity=80 must be .* at most 1"),
        ("planner", {"correction": "no"}, "correction='no' must be true or false"),
        ("ray", {"target_ongoing_requests": 0}, "target_ongoing_requests=0 must be a finite number above 0"),
        ("ray", {"upscale_delay": 3}, r"'upscale_delay' of policy 'ray' \(did you mean 'upscale_delay_s'\?\)"),
        ("oracle:low", {}, "policy 'oracle' takes no argument"),
        ("oracle", {"interval_s": 0}, "interval_s=0 must be a finite number above 0"),
    ],
)
def test_mistakes_are_answered(spec: str, parameters: dict[str, object], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        create(spec, PIPELINE, parameters)


# Rate


@pytest.mark.parametrize(("load", "expected"), [([10.0], 2), ([8.0], 1), ([0.0], 1), ([50.0, 10.0], 4)])
def test_rate_is_the_mean_of_10_s_and_a_margin(load: list[float], expected: int) -> None:
    """Small carries 10: 10 x 1.2 need 2, 8 x 1.2 = 9.6 one, the mean of 50 and 10 is 30: 36 need 4."""
    decision = Rate(PIPELINE, batch=1).decide(observation([99.0] * 10 + load * (10 // len(load))), {})
    assert decision.configuration["a"].replicas == expected


# Oracle


FUTURE = [*[4.0] * 18, 40.0, *[4.0] * 11, 100.0, *[4.0] * 60]
"""4 rps, but 40 in the second after 18 s and 100 in the one after 30 s."""

HALF_A_SECOND = {"wait_share": 0.5 / PIPELINE.sla_s}


@pytest.mark.parametrize(
    ("parameters", "planned_rps"),
    [
        ({}, 72 / 18.5),
        ({"interval_s": 11}, 40 / 1.5),
        ({"decision_delay_s": 0.5}, 40 / 1.5),
        ({"interval_s": 23}, 100 / 1.5),
    ],
)
def test_oracle_plans_for_all_seconds_until_the_next_decision_s_replicas_are_ready(
    parameters: dict[str, object], planned_rps: float
) -> None:
    """10 s to the next decision and 8 s of start-up: 18 s, served within 0.5 s of their end; no margin is added."""
    policy = create("oracle", two_by_two(published(load_margin=0.5)), HALF_A_SECOND | parameters)
    decision = policy.decide(observation([4.0] * 20, future_rps=FUTURE), {})
    assert (decision.planned_load_rps, decision.forecast_rps) == pytest.approx((planned_rps, planned_rps))


def test_oracle_learns_the_interval_from_its_steps() -> None:
    """A decision at 7 s, this one at 30 s: 23 s + 8 s see the 100 rps."""
    memory = {"time_s": 7.0, "present": {}, "lost": 0.0}
    policy = create("oracle", PIPELINE, HALF_A_SECOND)
    decision = policy.decide(observation([4.0] * 20, future_rps=FUTURE), memory)
    assert decision.planned_load_rps == pytest.approx(100 / 1.5)
    assert decision.memory["time_s"] == 30.0


@pytest.mark.parametrize(
    ("load_rps", "waiting", "wait_s", "expected"),
    [
        ([5.0], 0, 0.0, 5.0),  # a second's requests in a second
        ([5.0], 0, 1.0, 2.5),  # in two
        ([5.0], 5, 1.0, 5.0),  # with five that are there
        ([0.0, 9.0, 9.0, 0.0], 0, 1.0, 6.0),  # 9 / 2 = 4.5, 18 / 3 = 6
        ([1.0, 9.0, 1.0], 0, 0.5, 6.0),  # one second alone decides
        ([nan, 4.0], 0, 1.0, 2.0),
    ],
)
def test_the_least_rate_at_which_no_request_waits_longer(
    load_rps: list[float], waiting: int, wait_s: float, expected: float
) -> None:
    assert sustained_rps(load_rps, waiting, wait_s) == pytest.approx(expected)


def test_without_a_sample_there_is_no_rate() -> None:
    assert isnan(sustained_rps([], 3, 1.0))


@pytest.mark.long
def test_knowing_the_load_saves_what_a_forecast_loses_in_a_burst() -> None:
    """No violation, where the mean of the last windows has some, at less cost and a better objective."""
    forecast = run("ipa", "auto", 10, window="300:600", **{"policy.predictor": "mean"})
    known = run("oracle", "auto", 10, window="300:600")
    assert forecast.summary["sla_violation_rate"] > 0.01
    assert known.summary["sla_violation_rate"] == 0.0
    assert known.summary["cost_mean_cores"] < forecast.summary["cost_mean_cores"]
    programme = Programme.of(known.pipeline)
    assert known.objective(programme) > forecast.objective(programme)


def test_oracle_is_refused_where_the_future_is_not_known() -> None:
    with pytest.raises(PolicyError, match="the policy 'oracle' needs future_rps, which only a simulation has"):
        create("oracle", PIPELINE).decide(observation([4.0] * 20), {})


# All of them


counts = st.builds(ReplicaCounts, st.integers(0, 5), st.integers(0, 5), st.integers(0, 3))
loads = st.lists(st.one_of(st.floats(0, 200), st.just(nan)), min_size=1, max_size=70)


@st.composite
def stage_seen(draw: st.DrawFn) -> StageObservation:
    name = draw(st.sampled_from(["small", "large"]))
    return StageObservation(
        configuration=StageConfiguration(
            name, draw(st.integers(1, 2)), draw(st.integers(1, 120)), 0.1, 1 if name == "small" else 2
        ),
        arrivals=draw(st.integers(0, 500)),
        completions=draw(st.integers(0, 500)),
        drops=0,
        failures=0,
        queue_length=draw(st.integers(0, 5000)),
        in_service=draw(st.integers(0, 100)),
        replicas=draw(st.dictionaries(st.sampled_from(["small", "large"]), counts)),
        busy_fraction=draw(st.one_of(st.floats(0, 1), st.just(nan))),
        failed_variants=tuple(draw(st.lists(st.sampled_from(["small", "large"]), max_size=2, unique=True))),
    )


@st.composite
def observations(draw: st.DrawFn) -> list[Observation]:
    """Some steps one after the other, whatever may have come of the decisions."""
    time_s, seen = 0.0, []
    for step in range(draw(st.integers(1, 6))):
        seen.append(
            Observation(
                pipeline="tiny",
                step=step,
                seed=0,
                time_s=time_s,
                load_rps=tuple(draw(loads)),
                sample_age_s=0.0,
                limit_cores=draw(st.sampled_from([None, 4])),
                stages={"a": draw(stage_seen()), "b": draw(stage_seen())},
                future_rps=tuple(draw(loads)),
            )
        )
        time_s += draw(st.sampled_from([0.5, 2.0, 7.0, 15.0, 400.0]))
    return seen


def through_json(memory: Memory) -> Memory:
    plain: dict[str, Any] = json.loads(json.dumps(memory, allow_nan=False))
    return plain


@settings(max_examples=30, deadline=None)
@given(seen=observations())
def test_every_decision_can_be_carried_out_journalled_and_made_again(seen: list[Observation]) -> None:
    """Each policy on the same observations: making these up takes longer than deciding."""
    for name in (*SCALERS, "oracle", "hpa-rps", "hpa-concurrency"):
        spec, _, metric = name.partition("-")
        parameters: Mapping[str, Any] = {"metric": metric} if metric else {}
        policy, twin = (create(spec, PIPELINE, parameters) for _ in range(2))
        memory: Memory = {}
        for each in seen:
            decision = policy.decide(each, memory)
            check_configuration(PIPELINE, decision.configuration)
            line = to_line(Entry(each, decision))
            resumed = twin.decide(from_line(line).observation, through_json(memory))
            assert to_line(Entry(each, resumed)) == line, name
            memory = through_json(decision.memory)


@pytest.mark.parametrize("name", [*SCALERS, "oracle"])
def test_without_a_load_sample_the_configuration_is_held(name: str) -> None:
    at_hand = configuration(a=("large", 2, 3, 2), b=("small", 1, 4, 1))
    blind = observation([nan] * 40, at_hand=at_hand, future_rps=[nan], busy={"a": 1.0, "b": 1.0})
    decision = create(name, PIPELINE).decide(blind, {})
    assert (decision.configuration, decision.rung) == (at_hand, "hold")
    assert decision.notes == ("no load sample",)


@pytest.mark.parametrize("name", SCALERS)
@pytest.mark.parametrize("begun_s", [0.0, 8 * 3600.0])
def test_what_was_not_sampled_since_the_step_before_is_unknown_and_held(name: str, begun_s: float) -> None:
    # Step 3, 10 s after step 2, on a clock of its own or of a gateway that has run for hours. Queues and busy fractions
    # are shown as 0, as nothing has been scraped.
    at_hand = configuration(a=("small", 2, 6, 1), b=("small", 2, 6, 1))
    policy, load_rps = create(name, PIPELINE), [40.0] * 30 + [nan] * 10
    stood = observation([40.0] * 40, at_hand=at_hand, busy={"a": 0.8, "b": 0.8}, nothing_runs=True)
    stood = replace(stood, time_s=begun_s + 20.0)
    memory = through_json(policy.decide(stood, {}).memory)
    blind = observation(load_rps, at_hand=at_hand, busy={"a": 0.0, "b": 0.0}, sample_age_s=10.0)
    blind = replace(blind, time_s=begun_s + 30.0)
    decision = policy.decide(blind, memory)
    assert (decision.configuration, decision.memory, decision.rung) == (at_hand, memory, "hold")
    assert decision.notes == ("no sample for 10 s",)
    assert policy.decide(replace(blind, sample_age_s=9.9), memory).rung != "hold"


@pytest.mark.parametrize("name", SCALERS)
def test_a_clock_that_begins_anew_leaves_no_window_in_the_future(name: str) -> None:
    """After a minute of load 700 s of hardly any: on the same clock, or on one that begins at 0 again."""
    policy = create(name, PIPELINE)

    def decided(load: float, times_s: Iterable[int], at_hand: Configuration, memory: Memory) -> Decision:
        waiting = dict.fromkeys("ab", 20 if load > 1.0 else 0)
        busy = dict.fromkeys("ab", 1.0 if load > 1.0 else 0.05)
        for time_s in times_s:
            seen = observation([load] * 120, at_hand=at_hand, busy=busy, queue_length=waiting, time_s=float(time_s))
            decision = policy.decide(seen, memory)
            at_hand, memory = decision.configuration, through_json(decision.memory)
        return decision

    loaded = decided(40.0, range(4000, 4060, 10), configuration(a=("small", 1, 3, 1), b=("small", 1, 3, 1)), {})
    for begun_s in (4060, 10):
        at_rest = decided(1.0, range(begun_s, begun_s + 700, 10), loaded.configuration, through_json(loaded.memory))
        for stage in "ab":
            assert loaded.configuration[stage].replicas > 2
            assert at_rest.configuration[stage].replicas == 1, begun_s


@pytest.mark.parametrize("name", [*(f"{name}:high" for name in SCALERS), "oracle"])
def test_described_parameters_make_the_same_policy(name: str) -> None:
    described = describe(create(name, PIPELINE))
    assert json.loads(json.dumps(described)) == described
    assert describe(create(described["name"], PIPELINE, described["parameters"])) == described


def run(name: str, engine: str, interval_s: float, **more: object) -> Run:
    values = {"policy.name": name, "engine": engine, "interval_s": interval_s, "window": "330:450", **more}
    return simulate(Scenario(pipeline="video", trace="bursty").with_values(values))


def decided(simulated: Run) -> list[Decision]:
    return [entry.decision for entry in simulated.entries]


@pytest.mark.skipif(importlib.util.find_spec("numba") is None, reason="needs the compiled engine: numba")
@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("interval_s", [pytest.param(2, marks=pytest.mark.long), 7.5, 15])
def test_both_engines_are_equal_at_every_interval(name: str, interval_s: float) -> None:
    """That they are under every policy, at the interval that is the default, is seen with an outage."""
    simpy, compiled = (run(name, engine, interval_s) for engine in ("simpy", "compiled"))
    assert decided(simpy) == decided(compiled)
    for table in ("requests", "replicas"):
        pd.testing.assert_frame_equal(simpy.tables[table], compiled.tables[table], check_exact=True)


@pytest.mark.parametrize("name", EVERY)
def test_the_burst_is_met_with_more_replicas(name: str) -> None:
    """In time by all but those that are outrun: hpa:high grows by a quarter each 30 s, planner:high by one replica at a
    time, and ray:high waits for 30 s first."""
    outrun = {"hpa:high": 0.15, "planner:high": 0.5, "ray:high": 0.1}
    simulated = run(name, "simpy", 5)
    first, last = (sum(s.replicas for s in decided(simulated)[k].configuration.values()) for k in (0, -1))
    assert last > first
    assert simulated.summary["sla_violation_rate"] < outrun.get(name, 0.01)


@pytest.mark.parametrize("name", ["rate:high", "oracle"])
def test_a_configured_start_and_a_core_limit_are_lived_with(name: str) -> None:
    """By one that leaves the limit to the guard, and by one that plans within it."""
    decisions = decided(run(name, "simpy", 15, start="configured", limit_cores=3))
    assert any(each.binding == "cores" for each in decisions)
    for decision in decisions:
        assert sum(stage.total_cores for stage in decision.configuration.values()) <= 3


def test_a_wholly_failed_stage_keeps_its_variant() -> None:
    seen = observation([4.0] * 20, failed={"a": ("small", "large")})
    decision = Rate(PIPELINE).decide(seen, {})
    assert decision.configuration["a"].variant == "small"


def test_a_rate_that_is_not_known_holds_the_replicas() -> None:
    seen = observation([5.0, *[nan] * 10], at_hand=configuration(a=("small", 1, 7, 1), b=("small", 1, 2, 1)))
    decision = Rate(PIPELINE).decide(seen, {})
    assert [stage.replicas for stage in decision.configuration.values()] == [7, 2]


def test_hpa_acts_alike_at_intervals_that_divide_its_sync_period() -> None:
    stories = []
    for interval_s in (5, 15):
        entries = run("hpa:high", "simpy", interval_s).entries
        stories.append(
            {e.observation.time_s: e.decision.configuration for e in entries if e.observation.time_s % 15 == 0}
        )
    assert stories[0] == stories[1]


@pytest.mark.parametrize("name", ["hpa", "kpa", "ray", "inferline", "faro", "planner"])
def test_bounds_by_stage_hold_for_each_stage(name: str) -> None:
    bounds = {"min_replicas": {"a": 3, "b": 1}, "max_replicas": {"a": 3, "b": 2}}
    policy = create(name, PIPELINE, bounds)
    decision = policy.decide(observation([40.0] * 20, nothing_runs=True, time_s=0.0), {})
    assert [decision.configuration[stage].replicas for stage in "ab"] == [3, 2]


def test_bounds_by_stage_are_those_of_all_stages() -> None:
    for bounds, message in (
        ({"min_replicas": {"a": 3}}, "min_replicas lacks b"),
        ({"max_replicas": {"a": 3, "b": 0}}, "max_replicas.b=0 must be a whole number of at least 1"),
        ({"min_replicas": {"a": 3, "b": 1}, "max_replicas": 2}, "is below min_replicas"),
    ):
        with pytest.raises(PolicyError, match=message):
            create("kpa", PIPELINE, bounds)
