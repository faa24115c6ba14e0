"""Foresight: the mean load, what waits, and surges that have been seen; in the load's own scale, and only as risky as
said."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import cycle, pairwise
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ipa.policies import Controller, Decision, Foresight, Ipa, Journal, Observation, PolicyError, ReplicaCounts
from ipa.policies.foresight.account import Account, Standard
from ipa.policies.foresight.backlog import required_rps
from ipa.policies.foresight.beside_ipa import BesideIpa, changed
from ipa.policies.foresight.choice import Aim, Rates, changed_cores, cores_of, rounded_up, steadied, variant_of_each
from ipa.policies.foresight.clock import period_of
from ipa.policies.foresight.flaps import changes_of
from ipa.policies.foresight.insurance import Allowed, Timing, insured_rps, intensities
from ipa.policies.foresight.learning import now_of
from ipa.policies.foresight.level import level_of
from ipa.policies.foresight.margin import Tried
from ipa.policies.foresight.peak import peak_of
from ipa.policies.foresight.startup import later_s, starting_since
from ipa.policies.foresight.surges import Surge, from_memory, surges_in, to_memory
from ipa.policies.foresight.throughput import have_rps, noted, share_of
from ipa.policies.optimiser import Answers, Programme
from ipa.profiles import Figure, Pipeline, Stage
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = replace(two_by_two(published()), stages=two_by_two(published()).stages)
LONG_SLA = two_by_two(published()).with_limits(8.0, {})
TIMING = Timing(step_s=10.0, lead_s=8.0, wait_s=6.0)
MINUTE = 60
DEAR = 100.0
"""A price above IPA's cost that accuracy is not worth: only what is due is bought at it."""
HALF_A_STEP = 2 ** (1 / 34) - 1
"""How far a planned rate may be from what was asked for."""


def steps(*parts: tuple[float, int]) -> list[float]:
    """A load of so many requests per second for so many seconds, one part after the other."""
    return [rate for rate, seconds in parts for _ in range(seconds)]


def surge(onset_s: float, beyond_rps: float = 20.0, follows: bool = False) -> Surge:
    """One that adds the same number of requests in every second, for five minutes, to 5 rps."""
    return Surge(onset_s, 5.0, onset_s + 300, tuple(beyond_rps * 5 * (k + 1) for k in range(12)), follows)


# ---- the level ----


def test_the_deviation_is_that_of_seconds_and_not_of_a_rise() -> None:
    alternating = steps((4, 1), (6, 1)) * 30
    level = level_of(alternating)
    assert level is not None
    assert (level.m3_rps, level.m10_rps, level.m60_rps) == (pytest.approx(16 / 3), 5, 5)
    assert level.deviation_rps == pytest.approx(2 * 0.8862, rel=1e-3)
    risen = level_of(steps((5, 30), (65, 30)))
    assert risen is not None
    assert risen.deviation_rps == pytest.approx(0.8862 * 60 / 59, rel=1e-3)


def test_seconds_without_a_sample_are_left_out_and_none_at_all_is_no_level() -> None:
    level = level_of([float("nan")] * 100 + [4.0, float("nan"), 6.0])
    assert level is not None
    assert level.m10_rps == 5.0
    assert level_of([float("nan")] * 120) is None


# ---- surges ----


def test_a_surge_is_known_by_its_onset_its_level_and_what_it_brought() -> None:
    load = steps((6, 300), (28, 100), (6, 100))
    (found,) = surges_in(load, 500.0)
    assert (found.onset_s, found.base_rps, found.follows) == (300.0, 6.0, False)
    assert found.excess[:3] == (110.0, 220.0, 330.0)
    assert found.peak_rps == 22.0
    assert found.end_s == pytest.approx(410, abs=2)


def test_surges_found_step_by_step_are_those_found_at_once() -> None:
    rng = np.random.default_rng(3)
    rate = np.array(steps((6, 900), (28, 300), (6, 700), (25, 200), (7, 600)))
    load = rng.poisson(rate).astype(float).tolist()
    at_once = surges_in(load, float(len(load)))
    found: list[Surge] = []
    for until in range(120, len(load) + 1, 10):
        found = surges_in(
            load[until - 120 : until], float(until), from_memory(json.loads(json.dumps(to_memory(found))))
        )
    assert [round(each.onset_s) for each in at_once] == pytest.approx([900, 1900], abs=10)
    assert [each.onset_s for each in found] == pytest.approx([each.onset_s for each in at_once], abs=3)


def test_noise_is_no_surge_and_a_step_is_one_until_it_is_the_level() -> None:
    rng = np.random.default_rng(1)
    assert surges_in(rng.poisson(6, 20_000).astype(float), 20_000.0) == []
    found = surges_in(steps((6, 300), (20, 4000)), 4300.0)
    assert [(each.onset_s, each.end_s) for each in found] == [(300.0, 2100.0)]


@pytest.mark.parametrize("factor", [0.25, 4.0, 1000.0])
def test_a_load_of_another_size_has_the_same_surges(factor: float) -> None:
    load = np.random.default_rng(2).poisson(np.array(steps((6, 900), (28, 300), (6, 700)))).astype(float)
    ones, others = surges_in(load, 1900.0), surges_in(factor * load, 1900.0)
    assert [(each.onset_s, each.end_s) for each in ones] == [(each.onset_s, each.end_s) for each in others]
    assert [each.peak_rps * factor for each in ones] == pytest.approx([each.peak_rps for each in others], abs=0.01)


# ---- the clock ----


def test_a_period_is_found_and_proven() -> None:
    rng = np.random.default_rng(4)
    slots = rng.choice(48, 12, replace=False)
    onsets = sorted((1800 * slots + rng.uniform(100, 180, 12)).tolist())
    assert period_of(onsets) == 1800.0


def test_a_time_of_the_period_that_is_about_its_end_is_one_time() -> None:
    """Timers at full and half hours, seconds early or late: the period is the half hour."""
    rng = np.random.default_rng(10)
    slots = np.sort(rng.choice(np.arange(1, 48), 24, replace=False))
    assert period_of((1800.0 * slots + rng.uniform(-6, 6, 24)).tolist()) == 1800.0


def test_surges_at_random_times_keep_no_clock() -> None:
    rng = np.random.default_rng(5)
    found = [period_of(sorted(rng.uniform(0, 86_400, 12).tolist())) for _ in range(200)]
    assert sum(period is not None for period in found) <= 4
    assert period_of([0.0, 1800.0]) is None


def test_a_surge_that_keeps_the_clock_is_likely_at_its_time_alone() -> None:
    surges = [surge(1800.0 * k + 120) for k in range(12)]
    due, not_due = (intensities(now_s, surges, 1800.0, 21_600.0, TIMING).sum() for now_s in (21_720.0, 22_500.0))
    assert due > 12 / (12 * 150)
    assert not_due == 0
    without = intensities(22_500.0, surges, None, 21_600.0, TIMING).sum()
    assert without == pytest.approx(12 / 21_600)


def test_a_surge_that_came_once_at_its_time_is_likelier_then_if_most_others_keep_the_clock() -> None:
    """Twelve keep the half hour and one came once, 900 s later in it: its share of the clock is 12 / 14."""
    surges = [*(surge(1800.0 * k + 120) for k in range(12)), surge(1800.0 * 5 + 1020)]
    due, not_due = (intensities(now_s, surges, 1800.0, 21_600.0, TIMING) for now_s in (22_620.0, 22_300.0))
    at_its_time = 1 / (12 * (120 + 18))
    assert due[-1] == pytest.approx(12 / 14 * at_its_time + 2 / 14 / 21_600)
    assert not_due[-1] == pytest.approx(2 / 14 / 21_600)
    assert due[:-1].sum() == 0.0
    (alone,) = intensities(22_620.0, [surges[-1]], 1800.0, 21_600.0, TIMING)
    assert alone == pytest.approx(1 / 21_600)


# ---- insurance ----


def insured(allowed: float, surges: Sequence[Surge], **changes: Any) -> float:
    (rate_rps,) = insured_rps(90_000.0, 5.0, surges, None, 86_400.0, replace(TIMING, **changes), [Allowed(allowed)])
    return rate_rps


def test_without_surges_a_day_of_calm_is_not_insured() -> None:
    assert insured(0.03, []) == 5.0


def test_less_risk_is_more_insurance() -> None:
    surges = [surge(7200.0 * k) for k in range(12)]
    rates = [insured(allowed, surges) for allowed in (10.0, 0.3, 0.1, 0.03, 0.001)]
    assert all(one <= other for one, other in pairwise(rates))
    assert rates[0] == 5.0
    assert rates[-1] > 10.0


def test_a_longer_lead_and_replicas_that_keep_what_waits_are_more_insurance() -> None:
    surges = [surge(7200.0 * k) for k in range(12)]
    assert insured(0.03, surges) < insured(0.03, surges, lead_s=20.0)
    assert insured(0.03, surges) < insured(0.03, surges, is_stuck=True)
    assert insured(0.03, surges, wait_s=60.0) == 5.0


def test_a_surge_whose_time_it_is_makes_no_more_late_than_allowed_however_seldom_it_comes() -> None:
    """Twelve surges of the half hour are small; one that came once, 900 s later in it, is large."""
    surges = [*(surge(1800.0 * k + 120, 3.0) for k in range(12)), surge(1800.0 * 5 + 1020)]

    def rates(now_s: float) -> list[float]:
        allowed = (Allowed(1.0), Allowed(1.0, 60.0), Allowed(1.0, 20.0), Allowed(1.0, 0.0))
        return insured_rps(now_s, 5.0, surges, 1800.0, 86_400.0, TIMING, allowed)

    expected, some, few, none = rates(90_000.0 + 1010)
    assert expected < some < few < none
    assert len(set(rates(90_000.0 + 600))) == 1


# ---- the margin for ordinary seconds ----


def uneven(high_rps: float = 17.0, low_rps: float = 3.0, seconds: int = 7200) -> list[float]:
    """Eight seconds high and eight low, again and again; by default 10 rps in the mean, and no surge."""
    return steps((high_rps, 8), (low_rps, 8)) * (seconds // 16)


def margin(load: Sequence[float], wait_s: float, risk: float = 0.0005, surges: Sequence[Surge] = ()) -> float:
    timing = replace(TIMING, wait_s=wait_s)
    return Tried().after(load, surges, float(len(load)), timing, is_past=True).least(risk)


def test_a_load_that_varies_within_seconds_needs_a_margin_where_requests_cannot_wait_for_replicas() -> None:
    assert margin(steps((10, 7200)), 0.1) == 1.0
    assert margin(uneven(), TIMING.answered_s) == 1.0
    assert 1.0 < margin(uneven(), 2.0) <= 1.51
    assert margin(uneven(), 2.0, risk=1.0) == 1.0
    assert margin(uneven(12, 8), 2.0) < margin(uneven(), 2.0)


def test_the_margin_is_the_least_in_steps_with_which_a_queue_would_have_been_short_enough() -> None:
    """Found again by going through the seconds of each decision."""
    load = np.random.default_rng(8).gamma(4.0, 2.5, 3600).round().tolist()
    timing = replace(TIMING, wait_s=1.5)
    found = Tried().after(load, (), 3600.0, timing, is_past=True)
    late, requests = np.zeros(11), 0.0
    planned = {}
    for end in range(MINUTE, 3600 + 1):
        level = level_of(load[:end])
        assert level is not None
        planned[end] = peak_of(level, (), 0.0)
    for end in range(3600 - 20, MINUTE - 1, -70):
        made = np.zeros(11)
        for step in range(11):
            waiting = 0.0
            for second in range(14):  # until 13.5 s, from when on the next decision's replicas serve in time
                level_rps = min(planned[end], planned[max(end - 10, MINUTE)] if second < 8 else planned[end])
                rate_rps = 2 ** (step / 17) * level_rps
                waiting = max(0.0, waiting + load[end + second] - rate_rps)
                made[step] += min(max(waiting - 1.5 * rate_rps, 0.0), load[end + second])
        if made[-1] == 0:
            late += made
            requests += sum(load[end : end + 14])
    assert late[0] > 0
    assert found.late == pytest.approx(7 * late)  # one decision in seven stands for all
    assert found.requests == pytest.approx(7 * requests)


def test_what_only_a_surge_s_rate_would_serve_asks_for_no_margin() -> None:
    load = steps(*[(10, 500), (40, 100)] * 12)
    assert margin(load, 2.0) == 1.0
    assert margin(load, 2.0, surges=surges_in(load, float(len(load)))) == 1.0


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_load_of_another_size_needs_the_same_margin(factor: float) -> None:
    load = np.random.default_rng(9).gamma(4.0, 2.5, 7200)
    assert margin((factor * load).tolist(), 2.0) == margin(load.tolist(), 2.0) > 1.0


def test_a_margin_is_learnt_step_by_step_too_and_from_a_memory() -> None:
    load, tried = uneven(), Tried()
    for until in range(120, len(load) + 1, 10):
        kept = json.loads(json.dumps(tried.kept))
        tried = Tried.of(kept).after(load[until - 120 : until], (), float(until), replace(TIMING, wait_s=2.0), False)
    assert tried.least(0.0005) == margin(uneven(), 2.0)
    gap = [*load[:60], float("nan"), *load[61:120]]
    assert tried.after(gap, (), 7210.0, TIMING, is_past=False) == tried
    assert tried.after(load[:60], (), 7210.0, TIMING, is_past=False) == tried


@pytest.mark.parametrize("timing", [Timing(10.4, 2.0, 20.0), Timing(16.4, 4.0, 20.0), Timing(0.4, 0.0, 1.0)])
def test_a_margin_is_learnt_whatever_part_of_a_second_the_interval_has(timing: Timing) -> None:
    for is_past in (True, False):
        tried = Tried().after(steps((10, 120)), (), 120.0, timing, is_past)
        assert tried.requests > 0
        assert tried.least(0.0005) == 1.0


def test_a_policy_plans_for_the_margin_that_its_past_has_needed() -> None:
    short = two_by_two(published()).with_limits(2.0, {})
    calm, unquiet = (
        decided(load, elapsed_s=0.0, price=1.0, pipeline=short)
        for load in (steps((10, 7200)), [*uneven(seconds=7200), *steps((10, 120))])
    )
    assert calm.planned_load_rps == pytest.approx(1.1 * 10, rel=0.05)
    assert unquiet.planned_load_rps > 1.2 * calm.planned_load_rps  # type: ignore[operator]


# ---- the backlog ----


def test_the_rate_of_the_load_is_enough_where_nothing_waits() -> None:
    assert required_rps(0, 10.0, [5.0] * 18, 8.0, 6.0) < 5.0


def test_what_waits_and_cannot_be_served_in_time_asks_for_more() -> None:
    """Of 60 that wait and 5 that come, 10 rps serve 60 within 6 s: the last of them in time. Of 100 they do not."""
    assert required_rps(50, 10.0, [5.0] * 18, 8.0, 6.0) <= 10.0
    few, many = (required_rps(waiting, 10.0, [5.0] * 18, 8.0, 6.0) for waiting in (100, 140))
    assert 10.0 <= few < many


# ---- decisions ----


def decided(
    load: Sequence[float],
    memory: Any = None,
    *,
    pipeline: Pipeline = LONG_SLA,
    price: float | str | None = None,
    **seen: Any,
) -> Decision:
    past = tuple(map(float, load[:-120]))
    shown = replace(observation(load[-120:], **seen), past_rps=past)
    return Foresight(pipeline, price_above_ipa=price).decide(shown, memory or {})


def test_a_calm_load_is_planned_as_it_is() -> None:
    decision = decided(steps((20, 86_400)), elapsed_s=0.0)
    assert decision.planned_load_rps == pytest.approx(20, rel=HALF_A_STEP)


@pytest.mark.parametrize("calm_rps", [0.3, 5.02, 19.9, 140.0])
def test_rates_are_planned_in_steps_of_four_per_cent_of_which_17_double_one(calm_rps: float) -> None:
    rate_rps, doubled_rps = (steadied(factor * calm_rps, factor * calm_rps, {}, "rates")[0] for factor in (1, 2))
    assert rate_rps == pytest.approx(calm_rps, rel=HALF_A_STEP)
    assert doubled_rps == pytest.approx(2 * rate_rps)
    assert steadied(1.001 * rate_rps, 0.999 * rate_rps, {}, "rates") == (rate_rps, rate_rps)


def test_what_is_insured_or_waits_is_rounded_up_and_a_calm_load_to_the_nearest_step() -> None:
    up, next_up = 2 ** (1 / 17), 2 ** (2 / 17)
    assert [rounded_up(rate) for rate in (1.0, 1.001, 0.999 * up, 1.001 * up)] == pytest.approx([1.0, up, up, next_up])
    assert rounded_up(rounded_up(20.0)) == rounded_up(20.0)
    assert rounded_up(0.0) == 0.0
    steps_of = (20.0, 20.2, 20.4, 20.6, 20.8, 21.0, 21.2, 21.4, 21.6, 21.8)
    assert all(steadied(each, rounded_up(each), {}, "rates")[1] >= each for each in steps_of)
    assert any(steadied(each, each, {}, "rates")[1] < each for each in steps_of)


@pytest.mark.parametrize(
    ("waiting", "completions", "expected"),
    [
        (24, 350, 1.0),  # five replicas of 10 rps: less than half a second's work waits, so they may have been idle
        (25, 490, 1.0),  # 2 % short: a few requests more or less in the count
        (25, 470, 0.975),  # 6 % short counts as 5 %, and half of the way is gone
        (25, 350, 0.85),
        (25, 100, 0.75),  # half is the least
    ],
)
def test_what_a_saturated_stage_falls_short_by_counts_in_steps_of_five_per_cent(
    waiting: int, completions: int, expected: float
) -> None:
    stage = PIPELINE.stages[0]
    seen = observation(at_hand=configuration(a=("small", 1, 5, 1), b=("small", 1, 5, 1)), queue_length={"a": waiting})
    counted = replace(seen, stages={**seen.stages, "a": replace(seen.stages["a"], completions=completions)})
    assert share_of(stage, counted, noted(stage, counted, 1.0), 10.0) == pytest.approx(expected)


FIVE, PAIR = {"small": ReplicaCounts(ready=5)}, {"small": ReplicaCounts(ready=3), "large": ReplicaCounts(ready=2)}


@pytest.mark.parametrize(
    ("before", "now", "expected"),
    [
        (FIVE, FIVE, 0.85),
        (PAIR, PAIR, 0.85),
        (PAIR, FIVE, 1.0),  # five all along, but two of them have been replaced
        ({"small": ReplicaCounts(ready=5, starting=1)}, FIVE, 1.0),
        (FIVE, {**FIVE, "large": ReplicaCounts(draining=1)}, 1.0),
    ],
)
def test_a_stage_whose_replicas_have_changed_says_nothing_of_its_throughput(
    before: dict[str, ReplicaCounts], now: dict[str, ReplicaCounts], expected: float
) -> None:
    """Saturated, it completes 30 % less than profiled. That counts where its replicas were the same all along."""
    stage = PIPELINE.stages[0]

    def seen(replicas: dict[str, ReplicaCounts]) -> Observation:
        at_hand = configuration(a=("small", 1, 5, 1), b=("small", 1, 5, 1))
        found = observation(at_hand=at_hand, queue_length={"a": 100})
        found = replace(found, stages={**found.stages, "a": replace(found.stages["a"], replicas=replicas)})
        completions = round(0.7 * 10 * have_rps(stage, found)[0])
        return replace(found, stages={**found.stages, "a": replace(found.stages["a"], completions=completions)})

    assert share_of(stage, seen(now), noted(stage, seen(before), 1.0), 10.0) == pytest.approx(expected)


def scaled(pipeline: Pipeline, factor: float) -> Pipeline:
    """The pipeline with `factor` times the throughput, at the same latencies."""

    def of_stage(stage: Stage) -> Stage:
        variants = tuple(
            replace(each, figures=tuple(of_figure(figure) for figure in each.figures)) for each in stage.variants
        )
        return replace(stage, variants=variants)

    def of_figure(figure: Figure) -> Figure:
        return replace(figure, throughput_rps=factor * figure.throughput_rps, mean_s=figure.mean_s / max(factor, 1.0))

    return replace(pipeline, stages=tuple(map(of_stage, pipeline.stages)))


@pytest.mark.parametrize("factor", [0.25, 4.0])
def test_a_load_of_another_size_on_replicas_as_much_faster_has_the_same_plan(factor: float) -> None:
    """IPA, which plans for whole requests, is not asked."""
    rng = np.random.default_rng(6)
    load = rng.poisson(20, 7200).astype(float)
    for onset in (1000, 2800, 4600):
        load[onset : onset + 300] += 60
    unbatched = two_by_two(published(batch_cap=1, gamma=0.0)).with_limits(8.0, {})
    one = decided(load.tolist(), pipeline=unbatched, price=1.0)
    other = decided((factor * load).tolist(), pipeline=scaled(unbatched, factor), price=1.0)
    assert chosen(one.configuration) == chosen(other.configuration)
    assert factor * one.planned_load_rps == pytest.approx(other.planned_load_rps, rel=1e-6)  # type: ignore[operator]


def test_a_surge_that_has_been_seen_is_planned_for_before_it_has_risen() -> None:
    """Three times the load has gone from 20 to 80 rps; now its first seconds of 80 have come."""
    seen = steps(*[(20, 1800), (80, 300)] * 3, (20, 1800))
    decision = decided([*seen, *steps((80, 2))], elapsed_s=0.0)
    assert decision.planned_load_rps == pytest.approx(0.97 * 80, abs=1)


def test_the_risk_is_kept_within_its_bounds() -> None:
    with pytest.raises(PolicyError, match="risk=0 must be a finite number above 0 and at most 1"):
        Foresight(PIPELINE, risk=0)
    with pytest.raises(PolicyError, match="dispatch='eagre' is none of: central, eager"):
        Foresight(PIPELINE, dispatch="eagre")
    with pytest.raises(PolicyError, match="unknown parameter 'predictor'"):
        Foresight(PIPELINE, predictor="max")


def test_less_risk_never_plans_for_less() -> None:
    load = steps(*[(20, 3600), (80, 300)] * 4, (20, 3600))
    shown = replace(observation(load[-120:]), past_rps=tuple(map(float, load[:-120])))
    planned = [Foresight(LONG_SLA, risk=risk).decide(shown, {}).planned_load_rps for risk in (0.5, 0.01, 0.001, 1e-5)]
    assert all(one <= other for one, other in pairwise(planned))  # type: ignore[operator]
    assert planned[0] < planned[-1]  # type: ignore[operator]


def test_an_outage_of_the_metrics_changes_nothing() -> None:
    first = decided(steps((20, 600)))
    at_hand = dict(first.configuration)
    for dark in ({"sample_age_s": 12.0}, {"load": [float("nan")] * 120}):
        load = dark.pop("load", steps((0, 120)))
        held = decided(load, first.memory, at_hand=at_hand, **dark)  # type: ignore[arg-type]
        assert (held.rung, held.configuration, held.memory) == ("hold", at_hand, first.memory)


def test_a_long_silence_is_insured_against_a_surge_that_nobody_would_see() -> None:
    """Seven times, at no regular times, the load has gone from 20 to 80 rps. The longer the silence, the more replicas
    of the same variants there are; what is remembered stays as it was."""
    day = steps(
        *((rate, s) for calm in (9000, 20_000, 7000, 13_000, 4000, 16_500) for rate, s in ((20, calm), (80, 300)))
    )
    first = decided([*day, *steps((20, 600))], elapsed_s=0.0)
    at_hand, replicas = dict(first.configuration), []
    for age_s in (10.0, 120.0):
        seen = observation(steps((20, 120)), at_hand=at_hand, sample_age_s=age_s, time_s=30 + age_s, elapsed_s=10.0)
        held = Foresight(LONG_SLA).decide(seen, first.memory)
        assert (held.rung, held.memory) == ("hold", first.memory)
        assert [each.variant for each in held.configuration.values()] == [each.variant for each in at_hand.values()]
        replicas.append(sum(each.replicas for each in held.configuration.values()))
    assert sum(each.replicas for each in at_hand.values()) <= replicas[0] < replicas[1]


def test_a_silence_is_not_insured_at_more_than_the_cost_of_ipa() -> None:
    day = steps(*((rate, s) for calm in (9000, 20_000, 7000) for rate, s in ((20, calm), (80, 300))), (20, 600))
    first = decided(day, elapsed_s=0.0, price="never")
    at_hand = dict(first.configuration)
    seen = observation(steps((20, 120)), at_hand=at_hand, sample_age_s=600.0, time_s=630.0, elapsed_s=10.0)
    assert Foresight(LONG_SLA, price_above_ipa="never").decide(seen, first.memory).configuration == at_hand


@pytest.mark.parametrize(("delay_s", "halved_s", "share"), [(0.0, 20.0, 0.97), (2.0, 20.0, 0.996), (12.0, 40.0, 1.048)])
def test_a_load_that_seems_to_stop_is_halved_in_twenty_seconds_or_two_leads_and_not_forgotten(
    delay_s: float, halved_s: float, share: float
) -> None:
    """Replicas start within 8 s of a decision's effect; `share`: of the load, which is planned for in calm."""
    policy = Foresight(LONG_SLA, decision_delay_s=delay_s)
    first = policy.decide(observation(steps((40, 120))), {})
    seen = observation([*steps((40, 110)), *steps((0, 10))], at_hand=dict(first.configuration))
    expected_rps = share * 40 / 2 ** (10 / halved_s)
    assert policy.decide(seen, first.memory).planned_load_rps == pytest.approx(expected_rps, rel=HALF_A_STEP)


def test_variants_stay_and_replicas_are_not_fewer_while_some_start() -> None:
    at_hand = configuration(a=("small", 1, 6, 1), b=("small", 1, 6, 1))
    memory = decided(steps((50, 600)), at_hand=at_hand).memory
    starting = {name: ReplicaCounts(starting=3, ready=3) for name in "ab"}
    decision = decided(steps((10, 600)), memory, at_hand=at_hand, replicas=starting)
    kept = {name: (each.variant, each.replicas) for name, each in decision.configuration.items()}
    assert kept == {"a": ("small", 6), "b": ("small", 6)}


# ---- the flap budget ----


def test_a_change_of_variant_counts_for_the_window_and_what_stays_does_not() -> None:
    assert changes_of("small", None, 100.0, 600.0) == []
    assert changes_of("small", {"variant": "small", "changed_s": [50.0]}, 100.0, 600.0) == [50.0]
    assert changes_of("large", {"variant": "small", "changed_s": [50.0]}, 100.0, 600.0) == [50.0, 100.0]
    assert changes_of("large", {"variant": "large", "changed_s": [50.0, 100.0]}, 650.0, 600.0) == [100.0]
    assert changes_of("large", {"variant": "large", "changed_s": [900.0]}, 10.0, 600.0) == [10.0]  # the clock restarted


def test_a_stage_whose_budget_is_spent_keeps_its_variant_and_gets_the_replicas_that_it_needs() -> None:
    """At 2 rps the large variants are worth their cores. Stage b has changed twice in the last ten minutes."""
    at_hand = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1))
    memory: Any = dict(decided(steps((2, 600)), at_hand=at_hand).memory)
    stages = {name: {**each, "changed_s": []} for name, each in memory["stages"].items()}
    stages["b"]["changed_s"] = [400.0, 500.0]
    seen = replace(observation(steps((2, 120)), at_hand=at_hand, time_s=600.0, elapsed_s=10.0), past_rps=())
    memory |= {"stages": stages, "lost": 1e9}
    free, held = (
        Foresight(LONG_SLA, flap_budget=budget, price_above_ipa=1.0).decide(seen, memory) for budget in (None, 2)
    )
    assert [each.variant for each in free.configuration.values()] == ["large", "large"]
    assert [each.variant for each in held.configuration.values()] == ["large", "small"]
    later = replace(seen, time_s=1001.0)
    again = Foresight(LONG_SLA, flap_budget=2, price_above_ipa=1.0).decide(later, memory)
    assert [each.variant for each in again.configuration.values()] == ["large", "large"]


@pytest.mark.parametrize("budget", [0, 1.5])
def test_a_budget_is_a_whole_number_from_one(budget: float) -> None:
    with pytest.raises(PolicyError, match="flap_budget"):
        Foresight(PIPELINE, flap_budget=budget)  # type: ignore[arg-type]


# ---- beside IPA ----


def account(saved: float = 0.0, ours: float = 10.0, *, ahead: float = 0.0, lead: float = 0.0) -> Account:
    """The account ten seconds after a plan of ours, beside one of 10 cores."""
    return Account.of({"saved": saved, "theirs": 10.0, "ours": ours, "ahead": ahead, "lead": lead}, 10.0, 10.0)


def test_what_is_saved_is_kept_in_bounds_and_may_be_spent() -> None:
    """The other's plan costs 10 cores; ours cost 4 for ten seconds: 60 core-seconds are saved."""
    saving = account(ours=4.0)
    assert (saving.saved_core_s, saving.most_cores(600.0), saving.most_cores(20.0)) == (60.0, 10, 13)
    noted = {"saved": 52.0, "theirs": 10.0, "ours": 12, "ahead": 0.0, "lead": 30.0}
    assert saving.noted(12, 8.0, 30.0) == noted
    assert account(1e6, 4.0).saved_core_s == 6000.0


def test_a_debt_is_paid_back_before_anything_else() -> None:
    in_debt = account(ours=16.0)
    assert (in_debt.saved_core_s, in_debt.most_cores(600.0), in_debt.most_cores(20.0)) == (-60.0, 8, 8)


def test_changes_are_paid_for_by_what_is_saved_or_by_a_cheaper_plan_within_a_minute() -> None:
    assert account(60.0).pays(60.0, 10)
    assert not account(60.0).pays(61.0, 10)
    assert account(60.0).pays(120.0, 9)
    assert not account().pays(1.0, 10)
    assert account(ours=16.0).pays(0.0, 10)


def test_accuracy_ahead_makes_up_for_a_less_accurate_plan_and_half_is_forgotten_in_ten_minutes() -> None:
    """For ten seconds, ours was 2 % ahead at 500 requests/s: 100 requests' worth."""
    ahead = account(lead=10.0)
    assert ahead.ahead == 100.0
    assert [ahead.may_trail(lead, 10.0) for lead in (0.0, -3.3, -3.4)] == [True, True, False]
    assert account(ahead=100.0).ahead == pytest.approx(100 * 0.5 ** (1 / 60))
    assert account(ahead=-100.0).ahead == -100.0
    assert account(ahead=-100.0).may_trail(0.0, 10.0)


def test_a_plan_of_other_variants_pays_for_the_way_there_and_back() -> None:
    """The other's plan has 2 and 3 cores of small variants. Ours has 3 cores of another at b, which start for 8 s
    beside the old ones, as later 3 cores will on the way back."""
    theirs = configuration(a=("small", 1, 2, 1), b=("small", 1, 3, 1))
    ours = configuration(a=("small", 1, 2, 1), b=("large", 1, 3, 1))
    standard, small = Standard(theirs, 0.60, 5.0, 8.0), {"a": "small", "b": "small"}
    assert standard.is_met(Account(48.0, 5.0), ours, 0.60, small, 10.0)
    assert not standard.is_met(Account(47.0, 5.0), ours, 0.60, small, 10.0)
    assert standard.is_met(Account(24.0, 5.0), ours, 0.60, None, 10.0)
    assert standard.is_met(Account(0.0, 5.0), theirs, 0.60, small, 10.0)
    assert not standard.is_met(Account(48.0, 5.0), ours, 0.59, small, 10.0)
    noted = standard.noted(Account(48.0, 5.0), ours, 0.62, small)
    assert (noted["saved"], noted["lead"], noted["variants"]) == (24.0, pytest.approx(0.1), small)


def test_while_a_dearer_plan_is_taken_the_changes_that_ipa_would_make_save_nothing() -> None:
    """IPA would go from one variant to another and back; the dearer plan stays, and costs what it costs."""
    policy = Foresight(LONG_SLA)
    plans = cycle([configuration(a=(variant, 1, 2, 1), b=("small", 1, 2, 1)) for variant in ("small", "large")])
    flapping = SimpleNamespace(
        solver=policy.solver,
        solver_fallback=policy.solver_fallback,
        decide=lambda *_: Decision(next(plans), {}, planned_load_rps=10.0),
    )
    beside = BesideIpa(flapping, policy._aim, 1.5, 8.0)  # type: ignore[arg-type]
    best = configuration(a=("large", 1, 2, 1), b=("large", 1, 2, 1))
    cheap = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1))
    rates, memory = [Rates(10.0, 10.0, 10.0, 10.0)], {"lost": 0.0}

    def given(seen: Observation, **_: Any) -> Decision:
        return Decision(best if seen.limit_cores is None else cheap, {})

    for step in range(6):
        seen = observation(steps((10, 120)), at_hand=best, time_s=10.0 * step)
        decision = beside.decide(given, seen, memory, 10.0, rates, 10.0, False)
        memory = {**decision.memory, "lost": 0.0}
        assert decision.configuration == best
        assert memory["above"]["is"]
        assert memory["account"]["saved"] == 0.0


def planned(policy: Foresight | Ipa, load: Sequence[float]) -> tuple[float, float]:
    """The mean cost of the plans of half an hour after two [cores], changes of variants included, and their mean
    accuracy."""
    at_hand, cost_core_s, accuracy = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)), 0.0, 0.0
    controller = Controller(LONG_SLA, policy, Journal())
    for step, until in enumerate(range(7200, 9000, 10)):
        past = () if step else tuple(load[: until - 120])
        ready = {name: ReplicaCounts(ready=each.replicas) for name, each in at_hand.items()}
        seen = observation(load[until - 120 : until], at_hand=at_hand, replicas=ready, time_s=10.0 * step)
        decision = controller.decide(replace(seen, past_rps=past, elapsed_s=10.0 if step else 0.0))
        if step:
            cost_core_s += 8.0 * changed_cores(variant_of_each(at_hand), decision.configuration)
        at_hand = dict(decision.configuration)
        cost_core_s += 10.0 * cores_of(at_hand)
        accuracy += policy.programme.score(at_hand)["pas"] / 180
    return cost_core_s / 1800, accuracy


@pytest.mark.parametrize("rate_rps", [3, 12, 20])
def test_never_above_ipa_costs_no_more_and_is_no_less_accurate_over_half_an_hour(rate_rps: int) -> None:
    """Without it, a load of 12 rps with a surge an hour ago is insured at more than IPA's cost."""
    rate = steps((rate_rps, 3400), (4 * rate_rps, 200), (rate_rps, 1800), (3 * rate_rps, 200), (rate_rps, 3400))
    load = np.random.default_rng(2).poisson(np.array(rate)).astype(float).tolist()
    theirs_cores, theirs_accuracy = planned(Ipa(LONG_SLA), load)
    cores, accuracy = planned(Foresight(LONG_SLA, price_above_ipa="never"), load)
    assert cores <= theirs_cores + 1e-9
    assert accuracy >= theirs_accuracy - 1e-9
    if rate_rps == 12:
        assert planned(Foresight(LONG_SLA, price_above_ipa=1.0), load)[0] > theirs_cores


@pytest.mark.parametrize(("price", "expected"), [(1.0, 9.0), (2.0, 3.0), (3.0, -3.0)])
def test_a_core_above_has_to_bring_the_multiple_of_its_price(price: float, expected: float) -> None:
    """Accuracy 0.45 instead of 0.30 is worth 15 and costs 10 cores instead of 4: 2.5 for each of the six."""
    hundredfold = two_by_two(published(alpha=100.0)).with_limits(8.0, {})
    modest = configuration(a=("small", 1, 2, 1), b=("small", 1, 2, 1))
    dearer = configuration(a=("small", 1, 2, 1), b=("large", 1, 4, 2))
    aim = Aim(Programme.of(hundredfold), Answers(Programme.of(hundredfold)))
    beside = BesideIpa(Ipa(hundredfold), aim, price, 8.0)
    assert beside.worth(dearer, modest) == pytest.approx(expected)
    assert beside.worth(modest, dearer) == 0.0


def test_a_change_to_a_better_plan_waits_until_waiting_has_lost_its_price_and_while_replicas_start() -> None:
    """By 2 of objective it is better for three steps of 10 s; the change costs 50."""
    was = changed(None, -2.0, 50.0, 10.0, is_starting=False)
    assert was == {"is": False, "lost": 0.0}
    steps_taken = []
    for is_starting in (False, False, True, False):
        was = changed(was, 2.0, 50.0, 10.0, is_starting)
        steps_taken.append((was["is"], was["lost"]))
    assert steps_taken == [(False, 20.0), (False, 40.0), (False, 60.0), (True, 0.0)]
    assert changed({"is": False, "lost": 40.0}, -1.0, 50.0, 10.0, is_starting=False) == {"is": False, "lost": 0.0}


def test_only_grave_risks_are_insured_against_above_the_cost_of_ipa() -> None:
    """Every two hours, the load goes from 20 to 50 or 60 rps for 100 s; in 70 s it is about to again. IPA's plan has 4
    cores and serves 40 rps or less: few are late at 50, and many at 60."""
    cores = []
    for surge_rps in (50, 60):
        load = [*steps(*[(20, 7100), (surge_rps, 100)] * 12), *steps((20, 7030))]
        plans = [decided(load, elapsed_s=0.0, price=price).configuration for price in (DEAR, 1.0)]
        cores.append(tuple(cores_of(plan) for plan in plans))
    assert cores == [(4, 6), (6, 6)]
    assert cores_of(Ipa(LONG_SLA).decide(observation(steps((20, 120))), {}).configuration) == 4


def test_what_waits_is_served_whatever_ipa_plan_costs() -> None:
    """250 requests wait; IPA does not look at them."""
    theirs = Ipa(LONG_SLA).decide(observation(steps((30, 120))), {}).configuration
    ours, free, never = (
        decided(steps((30, 120)), queue_length={"a": 250}, price=price) for price in (DEAR, 1.0, "never")
    )
    assert cores_of(ours.configuration) == cores_of(free.configuration) == 16
    assert cores_of(never.configuration) <= cores_of(theirs) == 6


@pytest.mark.parametrize(("dispatch", "price", "calm_rps"), [("central", 1.75, 0.97 * 20), ("eager", 1.0, 1.1 * 20)])
def test_with_eager_dispatch_ipa_is_not_asked_and_more_is_planned_for(
    dispatch: str, price: float, calm_rps: float
) -> None:
    policy = Foresight(LONG_SLA, dispatch=dispatch)
    assert policy.parameters["price_above_ipa"] == price
    load = steps((20, 86_400))
    seen = replace(observation(load[-120:], elapsed_s=0.0), past_rps=tuple(load[:-120]))
    planned_rps = policy.decide(seen, {}).planned_load_rps
    assert planned_rps == pytest.approx(max(20, calm_rps), rel=HALF_A_STEP)


@pytest.mark.parametrize(("sla_s", "share"), [(16.0, 0.97), (8.0, 0.97), (4.0, 1.035), (2.0, 1.0675)])
def test_the_less_of_a_queue_new_replicas_rescue_the_more_is_planned_for_in_calm(sla_s: float, share: float) -> None:
    """They serve 8 s after a decision; the peak to come falls, so that nothing but the share of it counts."""
    policy = Foresight(two_by_two(published()), sla_s=sla_s, price_above_ipa=1.0)
    first = policy.decide(observation(steps((40, 120)), elapsed_s=0.0), {})
    seen = observation([*steps((40, 110)), *steps((0, 10))], at_hand=dict(first.configuration))
    assert policy.decide(seen, first.memory).planned_load_rps == pytest.approx(share * 40 / 2**0.5, rel=HALF_A_STEP)


def test_replicas_that_start_in_no_time_are_planned_for_as_those_that_start_in_a_moment() -> None:
    planned = []
    for start_up_s in (0.0, 1e-6):
        policy = Foresight(two_by_two(published()).with_start_up(start_up_s))
        first = policy.decide(observation(steps((40, 120)), elapsed_s=0.0), {})
        seen = observation([*steps((40, 110)), *steps((0, 10))], at_hand=dict(first.configuration))
        planned.append((first.planned_load_rps, policy.decide(seen, first.memory).planned_load_rps))
    assert planned[0] == pytest.approx(planned[1])


@pytest.mark.parametrize("past_s", [0, 60, 120])
def test_a_load_of_which_nothing_is_known_has_ipa_s_plan_for_two_minutes(past_s: int) -> None:
    """IPA plans for 31 rps and ours for 30, as soon as there is anything to go by."""
    policy, theirs = Foresight(LONG_SLA), Ipa(LONG_SLA, load_margin=1.0)
    policy._beside = BesideIpa(theirs, policy._aim, 1.75, 8.0)
    at_hand, memory, same = configuration(a=("small", 1, 3, 1), b=("small", 1, 3, 1)), {}, []
    for step in range(16):
        seen = observation(steps((30, 120)), at_hand=at_hand, time_s=10.0 * step, elapsed_s=10.0 if step else 0.0)
        decision = policy.decide(replace(seen, past_rps=(30.0,) * past_s), memory)
        same.append(decision.configuration == theirs.decide(seen, {}).configuration)
        at_hand, memory = dict(decision.configuration), decision.memory
    assert same == [10 * step + past_s < 120 for step in range(16)]


def test_a_new_load_s_backlog_is_served_though_ipa_does_not_look_at_it() -> None:
    ours = decided(steps((30, 120)), queue_length={"a": 250}, price=DEAR)
    assert cores_of(ours.configuration) > cores_of(
        Ipa(LONG_SLA).decide(observation(steps((30, 120))), {}).configuration
    )


@pytest.mark.parametrize("price", [0.5, "nevr"])
def test_a_price_is_a_number_from_one_or_never(price: float | str) -> None:
    with pytest.raises(PolicyError, match=r"price_above_ipa=.*(at least 1|'never')"):
        Foresight(PIPELINE, price_above_ipa=price)


# ---- start-ups ----


def late_s(*decisions: tuple[int, int], delay_s: float = 0.0, step_s: float = 10.0) -> list[float]:
    """How much later than the profile's 8 s replicas start, by (desired, ready) at each step."""
    stage, was, found = LONG_SLA.stages[0], None, []
    for step, (desired, ready) in enumerate(decisions):
        counts = ReplicaCounts(starting=desired - ready, ready=ready)
        at_hand = configuration(a=("small", 1, desired, 1), b=("small", 1, 1, 1))
        seen = observation(at_hand=at_hand, replicas={"a": counts}).stages["a"]
        since = starting_since(seen, was, step_s * step, step_s)
        found.append(later_s(stage, since, step_s * step, step_s, delay_s))
        was = {"starting": list(since)}
    return found


def test_replicas_that_still_start_after_the_profile_s_time_are_late_by_up_to_a_step_more() -> None:
    """Two replicas are wanted from one step on and are there 18 s later: seen at 10 s, they are ready by 20 s."""
    assert late_s((1, 1), (2, 1), (2, 2)) == [0.0, 12.0, 0.0]
    assert late_s((1, 1), (2, 1), (2, 2), delay_s=2.0) == [0.0, 0.0, 0.0]
    assert late_s((1, 1), (2, 1), (2, 1), (2, 2), step_s=5.0) == [0.0, 0.0, 7.0, 0.0]
    assert late_s((1, 1), (2, 1), (3, 1), (3, 2), (3, 3)) == [0.0, 12.0, 12.0, 22.0, 0.0]


def test_a_replica_that_starts_again_is_not_late_and_one_that_never_starts_is_by_a_minute() -> None:
    assert late_s((2, 2), (2, 1), (2, 2)) == [0.0, 0.0, 0.0]
    assert late_s((1, 1), *[(2, 1)] * 20)[-1] == 60.0


def test_a_change_of_variants_says_nothing_of_start_ups() -> None:
    """Its replicas are started a few at a time."""
    seen = observation(at_hand=configuration(a=("small", 1, 2, 1), b=("small", 1, 1, 1))).stages["a"]
    both = replace(seen, replicas={"small": ReplicaCounts(starting=2), "large": ReplicaCounts(ready=1)})
    assert starting_since(both, {"starting": [None, "large", 1]}, 100.0, 10.0) == (None, "small", 2)


def test_late_start_ups_are_remembered_and_insured_against() -> None:
    """The load has gone from 20 to 50 rps every two hours. Replicas asked for at 7,200 s are not ready 10 s later."""
    load = [*steps(*[(20, 7100), (50, 100)] * 12), *steps((20, 7030))]
    calm = decided(load, elapsed_s=0.0, price=1.0)
    at_hand = configuration(a=("small", 1, 3, 1), b=("small", 1, 3, 1))
    found = []
    for ready in (3, 2):
        replicas = {"a": ReplicaCounts(ready=ready, starting=3 - ready), "b": ReplicaCounts(ready=3)}
        memory: Any = json.loads(json.dumps(calm.memory))
        memory["stages"]["a"]["starting"] = [None, "small", 2]
        seen = observation(load[-120:], at_hand=at_hand, replicas=replicas, time_s=40.0)
        found.append(Foresight(LONG_SLA, price_above_ipa=1.0).decide(seen, memory))
    assert [each.memory["seen"]["late_s"] for each in found] == [0.0, 12.0]
    assert found[0].planned_load_rps < found[1].planned_load_rps  # type: ignore[operator]


def test_with_eager_dispatch_what_is_due_soon_after_new_replicas_is_planned_for() -> None:
    """Of 60 that wait, 2 rps serve 16 until replicas come after 8 s. The other 44 are due 1 s later; with central
    dispatch, that is too soon, and only what may take 2 s is planned for."""
    rates = [required_rps(60, 2.0, [0.0] * 18, 8.0, 9.0, dispatch) for dispatch in ("eager", "central")]
    assert rates == [44.0, 22.0]


def test_a_cold_start_with_a_backlog_asks_for_what_serves_it() -> None:
    cold = decided(steps((30, 120)), queue_length={"a": 250, "b": 0})
    warm = decided(steps((30, 120)))
    assert cold.planned_load_rps > 1.5 * warm.planned_load_rps  # type: ignore[operator]


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
    assert [each.planned_load_rps for each in first] == pytest.approx([each.planned_load_rps for each in later])


@pytest.mark.parametrize(
    ("clock_s", "expected_s"),
    [(101.49, 101.0), (100.51, 101.0), (101.99, 101.0), (102.0, 102.0), (3600.7, 3601.0)],
)
def test_the_clock_counts_by_intervals_until_it_is_a_second_off(clock_s: float, expected_s: float) -> None:
    seen = replace(observation(elapsed_s=9.98), clock_s=clock_s)
    assert now_of(seen, {"now_s": 91.0}) == expected_s
    assert now_of(seen, {}) == round(clock_s)


def test_the_past_ends_where_the_load_begins_however_long_after_the_first_decision() -> None:
    """A live run decides first, starts replicas, and begins the load then."""
    load = steps(
        *((rate, seconds) for calm in (1500, 1500, 1500) for rate, seconds in ((20, calm), (80, 300))), (20, 900)
    )
    policy = Foresight(LONG_SLA)

    def planned(waited_s: float) -> list[float | None]:
        opening = replace(observation(load[-120:], elapsed_s=0.0, time_s=0.0), past_rps=tuple(load[:-120]))
        made = [policy.decide(replace(opening, clock_s=1_764_000_000.3), {})]
        for step in (1, 2, 3):
            shown = observation(steps((20, 120)), at_hand=dict(made[-1].configuration), time_s=10.0 * step)
            clock_s = 1_764_000_000.3 + waited_s + 10.0 * step
            made.append(policy.decide(replace(shown, clock_s=clock_s), made[-1].memory))
        onsets = [each.onset_s - 10.0 * step - waited_s for each in from_memory(made[-1].memory["seen"]["surges"])]
        return [*(each.planned_load_rps for each in made), *onsets]

    assert planned(0.0) == planned(7.0)


def test_what_is_remembered_is_bounded() -> None:
    load = steps(*[(5, 200), (50, 60)] * 200)
    memory = decided(load).memory
    assert len(memory["seen"]["surges"]) <= 32
    assert len(json.dumps(memory)) < 10_000
