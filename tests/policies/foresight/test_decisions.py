"""What is planned for and chosen: the least rate that the risk allows, what waits, and variants that pay."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pytest

from ipa import Scenario, profiles
from ipa.policies import Controller, Decision, Foresight, Journal, PolicyError, ReplicaCounts, create
from ipa.policies.foresight.backlog import noted, required_rps, serves_rps
from ipa.policies.foresight.forecast import STEADY, Level
from ipa.policies.foresight.memory import KEY, Remembered, clock_s
from ipa.policies.foresight.policy import stepped
from ipa.studies import simulate
from tests.policies.foresight.cases import HALF_A_STEP, LONG_SLA, PIPELINE, REACH, decided, steps
from tests.tiny import configuration, observation

DAY = 86_400
WIDE = replace(LONG_SLA, defaults=replace(LONG_SLA.defaults, load_margin=9.0))
"""A pipeline of which IPA plans for ten times the load: its rate bounds nothing."""
FIVE = {"small": ReplicaCounts(ready=5)}


def test_a_load_that_has_been_calm_for_days_is_planned_as_it_is() -> None:
    decision = decided(steps((20, 3 * DAY)), elapsed_s=0.0)
    assert decision.planned_load_rps == pytest.approx(20, rel=HALF_A_STEP)


def test_a_load_of_which_little_is_known_is_planned_with_caution() -> None:
    pasts_s = (120, 3600, 20_000, 3 * DAY)
    planned = [decided(steps((20, seconds)), pipeline=WIDE, elapsed_s=0.0).planned_load_rps for seconds in pasts_s]
    assert planned[0] > 30  # type: ignore[operator]
    assert all(one > other for one, other in pairwise(planned))  # type: ignore[operator]


def test_what_no_past_proves_asks_for_no_more_than_ipa_unless_help_is_far() -> None:
    load = steps((20, 120))
    ipa_rps = create("ipa", LONG_SLA).decide(observation(load, elapsed_s=0.0), {}).planned_load_rps
    soon, late = (decided(load, policy={"decision_delay_s": delay_s}, elapsed_s=0.0) for delay_s in (0, 30))
    assert soon.planned_load_rps == pytest.approx(ipa_rps, rel=2 * HALF_A_STEP)
    assert late.planned_load_rps > 1.5 * ipa_rps  # type: ignore[operator]
    proven = decided(steps(*[(20, 1000), (80, 300)] * 16, (20, 1000)), elapsed_s=0.0)
    assert proven.planned_load_rps > 1.5 * ipa_rps  # type: ignore[operator]


def test_a_load_above_the_usual_one_has_made_a_part_of_its_rise_already() -> None:
    """Twice the usual load has made a factor of 1.41 of any rise from there."""
    usual, above = (decided(steps((80, 100)), at_usual(rps), pipeline=WIDE) for rps in (80.0, 40.0))
    assert usual.forecast_rps > 1.5 * 80  # type: ignore[operator]
    assert above.forecast_rps == pytest.approx(usual.forecast_rps / 2**0.5, rel=0.08)  # type: ignore[operator]


def test_where_a_rise_has_little_reserve_left_the_trend_takes_its_place() -> None:
    load = [20 + second / 2 for second in range(120)]
    above = decided(load, at_usual(10.0), pipeline=WIDE, policy={"rise": 1.0})
    assert load[-1] + 2 < above.forecast_rps < load[-1] + 8  # type: ignore[operator]


def at_usual(usual_rps: float) -> dict[str, Any]:
    """The memory of a load that has been seen for an hour, of which nothing is known but its mean."""
    return Remembered(now_s=0.0, seen_s=3600.0, slow_rps=usual_rps, usual_rps=usual_rps, lost=0.0).into({})


def summaries(**keys: Any) -> list[dict[str, Any]]:
    """Of runs of IPA and foresight."""
    policies: tuple[Any, ...] = ("ipa", "foresight")
    return [simulate(Scenario(policy=policy, **keys)).summary for policy in policies]


def test_after_a_fall_that_was_followed_by_a_rise_before_the_whole_reserve_stays() -> None:
    """A load that is off and on: IPA forgets it while it is off."""
    ipa, foresight = (each["sla_violation_rate"] for each in summaries(pipeline="video", trace="on-off:21"))
    assert ipa > 0.01
    assert foresight < 0.1 * ipa


def test_what_is_on_its_way_is_not_ordered_again() -> None:
    """Decisions take longer than the time between them, so each is about the configuration of the last but one."""
    runs = summaries(pipeline="audio-qa", trace="square:21", decision_delay_s=15.0)
    ipa, foresight = (each["cost_mean_cores"] for each in runs)
    assert foresight < 1.5 * ipa


def test_a_memory_of_an_earlier_version_is_read() -> None:
    memory = decided(steps((20, 600))).memory
    before = {KEY: {name: value for name, value in memory[KEY].items() if name not in ("usual_rps", "decided")}}
    remembered = Remembered.of(before)
    assert remembered is not None
    assert (remembered.usual_rps, remembered.decided) == (remembered.slow_rps, {})


def test_the_parameters_are_kept_within_their_bounds() -> None:
    with pytest.raises(PolicyError, match="risk=0 must be a finite number above 0 and at most 1"):
        Foresight(PIPELINE, risk=0)
    with pytest.raises(PolicyError, match=r"rise=0\.5 must be a finite number of at least 1"):
        Foresight(PIPELINE, rise=0.5)
    with pytest.raises(PolicyError, match="dispatch='eagre' is none of: central, eager"):
        Foresight(PIPELINE, dispatch="eagre")
    with pytest.raises(PolicyError, match="unknown parameter 'predictor'"):
        Foresight(PIPELINE, predictor="max")


@pytest.mark.parametrize("rate_rps", [0.3, 5.02, 19.9, 140.0])
def test_rates_are_planned_in_steps_of_four_per_cent_of_which_17_double_one(rate_rps: float) -> None:
    found, doubled = stepped(rate_rps), stepped(2 * rate_rps)
    assert found == pytest.approx(rate_rps, rel=HALF_A_STEP)
    assert doubled == pytest.approx(2 * found)
    assert stepped(found / 1.04, found) == found  # a little less changes nothing
    assert stepped(found / 1.1, found) < found


# ---- what waits ----


def level(rate_rps: float) -> Level:
    return Level(rate_rps, rate_rps, rate_rps, rate_rps, STEADY)


def required(waiting: int, replicas: int, rate_rps: float = 5.0) -> float:
    seen = observation(
        at_hand=configuration(a=("small", 1, replicas, 1), b=("small", 1, 20, 1)), queue_length={"a": waiting}
    )
    stages = {stage.name: noted(stage, seen.stages[stage.name], None, 10.0) for stage in LONG_SLA.stages}
    return required_rps(LONG_SLA, stages, seen, level(rate_rps), REACH, 8.0)


def test_the_rate_of_the_load_is_enough_where_nothing_waits() -> None:
    assert required(0, 1) < 5.0


def test_what_waits_and_cannot_be_served_in_time_asks_for_more() -> None:
    """One replica serves 10 rps, and so 64 within 6.4 s: all of 60 that wait. Of 100, with 5 rps coming, it does not
    serve all in time, and from 8 s on more have to. It asks for no more than three times the load."""
    assert required(60, 1) <= 10.0
    assert 10.0 <= required(100, 1) <= 15.0
    assert required(1000, 1) == 15.0


def test_a_cold_start_with_a_backlog_asks_for_what_serves_it() -> None:
    calm = steps((30, 2 * DAY))
    cold = decided(calm, queue_length={"a": 250, "b": 0})
    assert cold.planned_load_rps > 1.5 * decided(calm).planned_load_rps  # type: ignore[operator]


@pytest.mark.parametrize(
    ("waiting", "completions", "expected"),
    [
        (24, 350, 1.0),  # five replicas of 10 rps: less than half a second's work waits, so they may have been idle
        (25, 470, 0.97),  # half of what is missing is believed
        (25, 350, 0.85),
        (25, 20, 1.0),  # so few say nothing
    ],
)
def test_a_saturated_stage_shows_what_it_really_serves(waiting: int, completions: int, expected: float) -> None:
    stage = PIPELINE.stages[0]
    seen = observation(
        at_hand=configuration(a=("small", 1, 5, 1), b=("small", 1, 5, 1)),
        queue_length={"a": waiting},
    )
    counted = replace(seen.stages["a"], completions=completions, replicas=FIVE)
    assert serves_rps(stage, counted) == 50.0
    first = noted(stage, counted, None, 10.0)
    assert noted(stage, counted, first, 10.0).reaches == pytest.approx(expected)


@pytest.mark.parametrize(
    "before", [{"small": 3, "large": 2}, None], ids=["two have been replaced since", "some were starting"]
)
def test_a_stage_whose_replicas_have_changed_says_nothing(before: dict[str, int] | None) -> None:
    stage = PIPELINE.stages[0]
    seen = observation(at_hand=configuration(a=("small", 1, 5, 1), b=("small", 1, 5, 1)), queue_length={"a": 100})
    counted = replace(seen.stages["a"], completions=350, replicas=FIVE)
    was = replace(noted(stage, counted, None, 10.0), ready=before)
    assert noted(stage, counted, was, 10.0).reaches == 1.0


# ---- what is chosen ----


@pytest.mark.parametrize(("delay_s", "halved_s"), [(0.0, 20.0), (12.0, 40.0)])
def test_a_load_that_falls_is_halved_in_twenty_seconds_or_two_leads(delay_s: float, halved_s: float) -> None:
    """Replicas start within 8 s of a decision's effect."""
    policy = Foresight(LONG_SLA, decision_delay_s=delay_s)
    calm = replace(observation(steps((40, 120)), elapsed_s=0.0), past_rps=tuple(steps((40.0, 2 * DAY))))
    first = policy.decide(calm, {})
    seen = observation([*steps((40, 110)), *steps((1, 10))], at_hand=dict(first.configuration))
    falls = policy.decide(seen, first.memory).planned_load_rps / first.planned_load_rps  # type: ignore[operator]
    assert falls == pytest.approx(0.5 ** (10 / halved_s), rel=2 * HALF_A_STEP)


def test_variants_stay_and_replicas_are_not_fewer_while_some_start() -> None:
    at_hand = configuration(a=("small", 1, 6, 1), b=("small", 1, 6, 1))
    memory = decided(steps((50, 2 * DAY)), at_hand=at_hand).memory
    starting = {name: ReplicaCounts(starting=3, ready=3) for name in "ab"}
    decision = decided(steps((10, 120)), memory, at_hand=at_hand, replicas=starting)
    kept = {name: (each.variant, each.replicas) for name, each in decision.configuration.items()}
    assert kept == {"a": ("small", 6), "b": ("small", 6)}


def test_variants_change_once_staying_has_lost_what_the_change_costs_and_little_waits() -> None:
    """At 2 rps the large variants are worth their cores: two of two cores each, for 8 s of starting."""
    at_hand, calm = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)), steps((2, 2 * DAY))
    memory: Any = decided(calm, at_hand=at_hand, elapsed_s=0.0).memory
    variants = []
    for lost, waiting in ((0.0, 0), (1e9, 0), (1e9, 50)):
        given = {**memory, KEY: {**memory[KEY], "lost": lost}}
        decision = decided(calm[-120:], given, at_hand=at_hand, queue_length={"a": waiting, "b": 0})
        variants.append({each.variant for each in decision.configuration.values()})
    assert variants[1:] == [{"large"}, {"small"}]


def test_an_outage_of_the_metrics_changes_nothing() -> None:
    first = decided(steps((20, 600)))
    at_hand = dict(first.configuration)
    for dark in ({"sample_age_s": 12.0}, {"load": [float("nan")] * 120}):
        load = dark.pop("load", steps((0, 120)))
        held = decided(load, first.memory, at_hand=at_hand, **dark)  # type: ignore[arg-type]
        assert (held.rung, held.configuration, held.memory) == ("hold", at_hand, first.memory)


@pytest.mark.parametrize("policy", ["foresight", "oracle"])
def test_cores_at_a_price_weigh_as_that_much_of_a_core_in_changes_too(policy: str) -> None:
    """Cores at a twentieth and accuracy at a twentieth: all decisions are the same."""
    defaults: Any = profiles.load("video").defaults
    runs = []
    for price in (1.0, 0.05):
        weights = {"policy.alpha": price * defaults.alpha, "policy.gamma": price * defaults.gamma}
        scenario = Scenario(pipeline="video", trace="bursty", window=((100, 400),), seed=1)
        runs.append(simulate(scenario.with_values({"policy": policy, **weights, "price_per_core": price})))
    one, other = ([each.decision.configuration for each in run.entries] for run in runs)
    assert one == other
    assert len({tuple(sorted((name, each.variant) for name, each in plan.items())) for plan in one}) > 1


# ---- memory ----


def test_memory_goes_through_json_and_back() -> None:
    memory = decided(steps(*[(5, 200), (50, 60)] * 200)).memory
    again = json.loads(json.dumps(memory))
    assert Remembered.of(again) == Remembered.of(memory)
    assert Remembered.of({}) is None
    assert len(json.dumps(memory)) < 15_000


@pytest.mark.parametrize(
    ("shown_s", "expected_s"),
    [(101.49, 101.0), (100.51, 101.0), (101.99, 101.0), (102.0, 102.0), (3600.7, 3601.0)],
)
def test_the_clock_counts_by_intervals_until_it_is_a_second_off(shown_s: float, expected_s: float) -> None:
    seen = replace(observation(elapsed_s=9.98), clock_s=shown_s)
    assert clock_s(seen, Remembered(now_s=91.0)) == expected_s
    assert clock_s(seen, None) == round(shown_s)


def test_the_same_is_decided_again_from_a_journal_s_memory_and_whatever_the_clock_shows() -> None:
    rng = np.random.default_rng(7)
    load = rng.poisson(np.array(steps((20, 1800), (80, 300)) * 4)).astype(float).tolist()
    policy = Foresight(LONG_SLA)

    def run(clock_s: float, late_s: tuple[float, float] = (0.0, 0.0)) -> list[Decision]:
        controller = Controller(LONG_SLA, policy, Journal())
        at_hand, made = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)), []
        for until, delay_s in zip(range(6000, 8400, 100), cycle(late_s), strict=False):
            past = tuple(load[: until - 120]) if until == 6000 else ()
            shown = observation(load[until - 120 : until], at_hand=at_hand, time_s=float(until), elapsed_s=100.0)
            made.append(controller.decide(replace(shown, past_rps=past, clock_s=clock_s + until + delay_s)))
            at_hand = dict(made[-1].configuration)
        return made

    first, again, later = run(0.0), run(0.0), run(1_764_000_000.0)
    assert first == again == run(0.0, (0.02, 0.0))
    assert [each.configuration for each in first] == [each.configuration for each in later]
