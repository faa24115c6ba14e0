"""What is planned for and chosen: the mean load, what waits, and surges that have been seen, as risky as said."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ipa import Scenario, profiles
from ipa.policies import Foresight, Observation, PolicyError, ReplicaCounts
from ipa.policies.foresight.backlog import required_rps
from ipa.policies.foresight.choice import rounded_up, steadied
from ipa.policies.foresight.flaps import changes_of
from ipa.policies.foresight.rescue import has_room
from ipa.policies.foresight.throughput import have_rps, noted, share_of
from ipa.policies.optimiser import Problem
from ipa.profiles import Figure, Limits, Pipeline, Stage
from ipa.studies import simulate
from tests.policies.foresight.cases import HALF_A_STEP, LONG_SLA, PIPELINE, decided, steps
from tests.tiny import chosen, configuration, observation, pipeline, published, two_by_two, variant


def test_the_rate_of_the_load_is_enough_where_nothing_waits() -> None:
    assert required_rps(0, 10.0, [5.0] * 18, 8.0, 6.0) < 5.0


def test_what_waits_and_cannot_be_served_in_time_asks_for_more() -> None:
    """Of 60 that wait and 5 that come, 10 rps serve 60 within 6 s: the last of them in time. Of 100 they do not."""
    assert required_rps(50, 10.0, [5.0] * 18, 8.0, 6.0) <= 10.0
    few, many = (required_rps(waiting, 10.0, [5.0] * 18, 8.0, 6.0) for waiting in (100, 140))
    assert 10.0 <= few < many


def test_with_eager_dispatch_what_is_due_soon_after_new_replicas_is_planned_for() -> None:
    """Of 60 that wait, 2 rps serve 16 until replicas come after 8 s. The other 44 are due 1 s later; with central
    dispatch, that is too soon, and only what may take 2 s is planned for."""
    rates = [required_rps(60, 2.0, [0.0] * 18, 8.0, 9.0, dispatch) for dispatch in ("eager", "central")]
    assert rates == [44.0, 22.0]


def test_a_cold_start_with_a_backlog_asks_for_what_serves_it() -> None:
    cold = decided(steps((30, 120)), queue_length={"a": 250, "b": 0})
    warm = decided(steps((30, 120)))
    assert cold.planned_load_rps > 1.5 * warm.planned_load_rps  # type: ignore[operator]


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
    one = decided(load.tolist(), pipeline=unbatched, gain=0.0)
    other = decided((factor * load).tolist(), pipeline=scaled(unbatched, factor), gain=0.0)
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
    first = decided(day, elapsed_s=0.0, gain="never")
    at_hand = dict(first.configuration)
    seen = observation(steps((20, 120)), at_hand=at_hand, sample_age_s=600.0, time_s=630.0, elapsed_s=10.0)
    assert Foresight(LONG_SLA, gain_above_ipa="never").decide(seen, first.memory).configuration == at_hand


@pytest.mark.parametrize(("delay_s", "halved_s", "share"), [(0.0, 20.0, 0.97), (2.0, 20.0, 0.996), (12.0, 40.0, 1.048)])
def test_a_load_that_falls_to_next_to_nothing_is_halved_in_twenty_seconds_or_two_leads(
    delay_s: float, halved_s: float, share: float
) -> None:
    """Replicas start within 8 s of a decision's effect; `share`: of the load, which is planned for in calm."""
    policy = Foresight(LONG_SLA, decision_delay_s=delay_s)
    first = policy.decide(observation(steps((40, 120))), {})
    seen = observation([*steps((40, 110)), *steps((1, 10))], at_hand=dict(first.configuration))
    expected_rps = share * 40 / 2 ** (10 / halved_s)
    assert policy.decide(seen, first.memory).planned_load_rps == pytest.approx(expected_rps, rel=HALF_A_STEP)


def test_variants_stay_and_replicas_are_not_fewer_while_some_start() -> None:
    at_hand = configuration(a=("small", 1, 6, 1), b=("small", 1, 6, 1))
    memory = decided(steps((50, 600)), at_hand=at_hand).memory
    starting = {name: ReplicaCounts(starting=3, ready=3) for name in "ab"}
    decision = decided(steps((10, 600)), memory, at_hand=at_hand, replicas=starting)
    kept = {name: (each.variant, each.replicas) for name, each in decision.configuration.items()}
    assert kept == {"a": ("small", 6), "b": ("small", 6)}


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
        Foresight(LONG_SLA, flap_budget=budget, gain_above_ipa=0.0).decide(seen, memory) for budget in (None, 2)
    )
    assert [each.variant for each in free.configuration.values()] == ["large", "large"]
    assert [each.variant for each in held.configuration.values()] == ["large", "small"]
    later = replace(seen, time_s=1001.0)
    again = Foresight(LONG_SLA, flap_budget=2, gain_above_ipa=0.0).decide(later, memory)
    assert [each.variant for each in again.configuration.values()] == ["large", "large"]


@pytest.mark.parametrize("budget", [0, 1.5])
def test_a_budget_is_a_whole_number_from_one(budget: float) -> None:
    with pytest.raises(PolicyError, match="flap_budget"):
        Foresight(PIPELINE, flap_budget=budget)  # type: ignore[arg-type]


@pytest.mark.parametrize(("dispatch", "expected"), [("central", 50), ("eager", 20)])
def test_other_variants_wait_until_they_would_serve_the_last_minute(dispatch: str, expected: int) -> None:
    """Within 7 cores, one large replica serves 14 rps. The load has fallen from 25 to 10, and is planned for by half in
    20 s; the mean of a minute, 0.97 of which counts, is above 14 rps for 40 s."""
    alone = [variant("small", 0.5, 1, {1: 0.1}), variant("large", 0.9, 4, {1: 1 / 14})]
    better = pipeline(
        alone, sla_s=30.0, published=published(alpha=1000.0, batch_cap=1, scale_only={}, switch_only_replicas={})
    )
    policy = Foresight(better, gain_above_ipa=0.0, dispatch=dispatch)
    at_hand, memory = configuration(a=("small", 1, 3, 1)), {}
    for after_s in range(0, 70, 10):
        load = steps((25, 120 - after_s), (10, after_s))
        seen = observation(
            load, at_hand=at_hand, time_s=float(after_s), elapsed_s=10.0 if after_s else 0.0, limit_cores=7
        )
        decision = policy.decide(seen, memory)
        memory = decision.memory
        if decision.configuration["a"].variant == "large":
            break
    assert after_s == expected


@pytest.mark.parametrize("policy", ["foresight", "oracle"])
def test_cores_at_a_price_weigh_as_that_much_of_a_core_in_changes_and_bills_too(policy: str) -> None:
    """Cores at a twentieth and accuracy at a twentieth: all decisions are the same."""
    defaults = profiles.load("video").defaults
    runs = []
    for price in (1.0, 0.05):
        weights = {"policy.alpha": price * defaults.alpha, "policy.gamma": price * defaults.gamma}
        scenario = Scenario(pipeline="video", policy=policy, trace="bursty", window=((0, 600),), seed=1)
        runs.append(simulate(scenario.with_values({**weights, "price_per_core": price})))
    one, other = ([each.decision.configuration for each in run.entries] for run in runs)
    assert one == other
    assert len({tuple(sorted((name, each.variant) for name, each in plan.items())) for plan in one}) > 1


@pytest.mark.parametrize("gain", [0.0, 0.5, "never"])
@pytest.mark.parametrize("node_cores", [(), (4, 4)])
def test_what_is_starting_stays_only_within_the_limits(gain: float | str, node_cores: tuple[int, ...]) -> None:
    """The load falls while many replicas are starting at one stage, and the other is behind."""
    limited = replace(LONG_SLA, limits=Limits(node_cores=node_cores))
    held = set()
    for seed in range(60):
        drawn = np.random.default_rng(seed)
        first, then = drawn.integers(5, 60, 2).tolist()
        replicas, waiting = drawn.integers(1, 6, 2).tolist(), drawn.integers(0, 200, 2).tolist()
        at_hand = configuration(a=("small", 1, replicas[0], 1), b=("small", 1, replicas[1], 1))
        limit = sum(stage.total_cores for stage in at_hand.values())
        asked: Any = {"pipeline": limited, "gain": gain, "at_hand": at_hand, "elapsed_s": 10.0, "limit_cores": limit}
        load = steps((first, 110), (then, 10))
        memory = decided(load, **asked).memory
        starting = {"a": ReplicaCounts(ready=1, starting=replicas[0] - 1), "b": ReplicaCounts(ready=replicas[1])}
        found = decided(load, memory, replicas=starting, queue_length=dict(zip("ab", waiting, strict=True)), **asked)
        room = Problem(Foresight(limited).programme, 0.0, limit_cores=limit)
        assert has_room(room, found.configuration) or not has_room(room, at_hand)
        held.add(found.configuration["a"].replicas >= replicas[0])
    assert held == {True, False}
