"""Faro: the utility of replicas, plans under sampled loads, and the reactive step; numbers to check by hand."""

from __future__ import annotations

from dataclasses import replace
from math import log, sqrt

import pytest

from ipa.policies import Decision, Faro, LatencyQuantiles, Memory, Observation
from ipa.policies.faro import SURELY_IDLE, StageLoad, StageUtility, erlang_c, wait_s
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))


# The utility


@pytest.mark.parametrize(("servers", "offered", "expected"), [(1, 0.5, 1 / 2), (2, 1.0, 1 / 3), (3, 2.0, 4 / 9)])
def test_erlang_c(servers: int, offered: float, expected: float) -> None:
    """One server: its utilisation. Two with 1: 1 / 3. Three with 2: 4 / 9 (textbook values)."""
    assert erlang_c(servers, offered) == pytest.approx(expected)


def test_the_wait_is_half_of_that_in_an_m_m_c_queue() -> None:
    """5 a second on one server of 10: ln(0.5 / 0.01) / (10 - 5) = 0.78 s. On three hardly anyone waits: 0 s."""
    assert wait_s(5.0, 10.0, 1, 0.99) == pytest.approx(log(50) / 5 / 2)
    assert wait_s(5.0, 10.0, 3, 0.99) == pytest.approx(log(erlang_c(3, 0.5) / 0.01) / 25 / 2)
    assert wait_s(5.0, 10.0, 4, 0.99) == 0.0


def test_where_nobody_waits_the_formula_agrees() -> None:
    for offered in (0.01, 0.3, 1.0, 4.0, 20.0, 90.0):
        idle = int(offered + SURELY_IDLE * sqrt(offered) + 3)
        assert erlang_c(idle, offered) < 1e-4


def stage(samples_rps: list[float], **more: float) -> StageUtility:
    """10 rps and 0.1 s a replica; the SLO is half of what one replica keeps at 5 rps, 0.1 s + 0.3912 s."""
    return StageUtility(
        load=StageLoad(samples_rps, (0.1 + log(50) / 10) / 2, 0.99, more.get("exponent", 1.0)),
        throughput_rps=10.0,
        batch=1,
        service_s=0.1,
        fill_s=lambda _: 0.0,
        ready=int(more.get("ready", 0)),
        late_share=more.get("late_share", 0.0),
    )


def test_the_utility_is_the_share_of_the_slo_and_at_most_1() -> None:
    assert stage([5.0]).at(1) == pytest.approx(0.5)
    assert stage([5.0], exponent=2.0).at(1) == pytest.approx(0.25)
    assert stage([5.0]).at(2) == 1.0
    assert stage([5.0, 0.1]).at(1) == pytest.approx(0.75)


def test_beyond_95_percent_the_utility_falls_as_the_load_grows() -> None:
    """One replica: at 9.5 rps 0.1 + ln(95) / 0.5 / 2 = 4.654 s, at 19 rps half the utility."""
    slo_s = (0.1 + log(50) / 10) / 2
    assert stage([9.5]).at(1) == pytest.approx(slo_s / (0.1 + log(95)))
    assert stage([19.0]).at(1) == pytest.approx(slo_s / (0.1 + log(95)) / 2)


def test_an_overloaded_stage_is_never_perfect_however_many_replicas_it_has() -> None:
    """100 replicas with 95 % of their load hardly wait, and 500 rps are 5 times as many as 10 replicas carry."""
    assert stage([950.0]).at(100) == 1.0
    assert stage([1000.0]).at(100) == pytest.approx(0.95)
    assert stage([500.0]).fewest(1, 100) > 500 / 9.5


def test_replicas_that_start_count_for_what_is_left_of_the_horizon() -> None:
    """One serves, 0.5; two are worth 1, after a quarter of the horizon."""
    late = stage([5.0], ready=1, late_share=0.25)
    assert (late.at(1), late.at(2)) == (pytest.approx(0.5), pytest.approx(0.25 * 0.5 + 0.75 * 1.0))


def test_no_more_replicas_than_bring_something() -> None:
    """95 of 100 samples are content with one; 5 want two. A sample in a thousand that is hardly late is let go."""
    assert stage([0.1] * 95 + [5.0] * 5).fewest(1, 100) == 2
    assert stage([0.1] * 100).fewest(1, 100) == 1
    assert stage([0.1] * 100).fewest(3, 100) == 3


def test_utility_never_falls_with_the_replicas() -> None:
    of = stage([3.0, 17.0, 40.0, 95.0], ready=4, late_share=0.3)
    values = [of.at(count) for count in range(1, 40)]
    assert values == sorted(values)


# Plans


def faro(**parameters: object) -> Faro:
    """Plans for the maximum seen."""
    return Faro(PIPELINE, **{"predictor": "max", "batch": 1, **parameters})  # type: ignore[arg-type]


def replicas(decision: Decision) -> tuple[int, ...]:
    return tuple(each.replicas for each in decision.configuration.values())


@pytest.mark.parametrize(("load_rps", "expected"), [(5.0, 1), (6.0, 2), (0.0, 1)])
def test_the_slo_of_a_stage_is_its_share_of_the_sla(load_rps: float, expected: int) -> None:
    """0.5 s. Small at 5 rps: 0.1 + ln(50) / 5 / 2 = 0.491 s; at 6 rps ln(60) / 4 / 2 = 0.512 s of waiting alone."""
    assert replicas(faro().decide(observation([load_rps] * 30), {})) == (expected, expected)


def test_a_batch_s_wait_to_fill_counts() -> None:
    """Two in 0.16 s, 12.5 rps a replica. At 5 rps: 0.08 s to fill at 12.5 rps, 0.16 s of service, and a wait of
    ln(0.4 / 0.01) / (6.25 - 2.5) / 2 = 0.492 s, more than 0.5 s in all."""
    assert replicas(faro(batch=2).decide(observation([5.0] * 30), {})) == (2, 2)


def test_where_cores_are_limited_the_least_useful_replica_goes_first() -> None:
    """6 rps; small takes 1 core, large 2. Unlimited: 2 and 3, 8 cores.

    One small less: 0.5 s / 0.612 s = 0.82, so 0.18 less for a core. One large less: 0.5 s / 0.676 s = 0.74, so 0.26
    less for two cores, which is less for each.
    """
    policy = faro(variants={"a": "small", "b": "large"})
    assert replicas(policy.decide(observation([6.0] * 30), {})) == (2, 3)
    limited = policy.decide(observation([6.0] * 30, limit_cores=7), {})
    assert replicas(limited) == (2, 2)
    assert limited.feasible
    assert replicas(policy.decide(observation([6.0] * 30, limit_cores=1), {})) == (1, 1)


def test_samples_are_drawn_by_seed_and_step() -> None:
    policy = faro(predictor="poisson", samples=10)
    seen = observation([30.0] * 60)
    planned = policy.decide(seen, {}).planned_load_rps
    assert policy.decide(seen, {}).planned_load_rps == planned
    assert policy.decide(replace(seen, step=4), {}).planned_load_rps != planned
    assert policy.decide(replace(seen, seed=1), {}).planned_load_rps != planned


def test_a_plan_is_made_every_minute() -> None:
    policy = faro()
    first = policy.decide(observation([5.0] * 30, time_s=0.0), {})
    surge = observation([60.0] * 30, time_s=50.0)
    between = policy.decide(surge, first.memory)
    assert (replicas(between), between.memory["solved_s"]) == ((1, 1), 0.0)
    after = policy.decide(replace(surge, time_s=60.0), between.memory)
    assert replicas(after)[0] > 6
    assert (after.memory["solved_s"], after.forecast_rps) == (60.0, 60.0)


def test_without_a_forecast_the_plan_stays_and_is_made_at_the_next_step() -> None:
    policy = faro(predictor="reactive")
    memory = policy.decide(observation([60.0] * 30, time_s=0.0), {}).memory
    blind = policy.decide(observation([5.0, *[float("nan")] * 10], time_s=60.0), memory)
    assert (replicas(blind), blind.memory["solved_s"]) == (tuple(memory["replicas"].values()), 0.0)
    assert policy.decide(observation([5.0] * 30, time_s=70.0), blind.memory).memory["solved_s"] == 70.0


# Reaction


def slow_at(time_s: float, p99_s: float = 0.6, drops: int = 0) -> Observation:
    """Stage a with such a latency; its SLO is 0.5 s."""
    seen = observation([5.0] * 30, time_s=time_s)
    a = replace(seen.stages["a"], latency=LatencyQuantiles(0.2, 0.3, p99_s), drops=drops)
    return replace(seen, stages={**seen.stages, "a": a})


def reacted(times_s: list[float], **more: float) -> list[int]:
    """The replicas of a at each of the times; a plan of one at 0 s."""
    policy, counts = faro(solve_s=600), []
    memory: Memory = policy.decide(observation([5.0] * 30, time_s=0.0), {}).memory
    for time_s in times_s:
        decision = policy.decide(slow_at(time_s, **more), memory)  # type: ignore[arg-type]
        counts.append(decision.configuration["a"].replicas)
        memory = decision.memory
    return counts


def test_a_stage_that_violates_its_slo_for_30_s_gets_one_replica_and_then_another() -> None:
    assert reacted([10, 20, 30, 40, 50, 60, 70, 80]) == [1, 1, 1, 2, 2, 2, 3, 3]
    assert reacted([10, 20, 30, 40], p99_s=0.5) == [1, 1, 1, 1]
    assert reacted([10, 20, 30, 40], p99_s=0.1, drops=1) == [1, 1, 1, 2]


def test_a_violation_that_ends_is_forgotten() -> None:
    policy = faro(solve_s=600)
    memory: Memory = policy.decide(observation([5.0] * 30, time_s=0.0), {}).memory
    for time_s, p99_s in ((10, 0.6), (20, 0.6), (30, 0.4), (40, 0.6)):
        decision = policy.decide(slow_at(time_s, p99_s), memory)
        memory = decision.memory
    assert chosen(decision.configuration)["a"] == ("small", 1, 1)
    assert memory["violated_since_s"] == {"a": 40}


def test_the_reaction_is_said_and_the_next_plan_takes_it_back() -> None:
    policy = faro()
    memory: Memory = policy.decide(observation([5.0] * 30, time_s=0.0), {}).memory
    for time_s in (10.0, 40.0):
        decision = policy.decide(slow_at(time_s), memory)
        memory = decision.memory
    assert decision.notes == ("a: has violated its SLO for 30 s, one replica more",)
    assert replicas(decision) == (2, 1)
    assert replicas(policy.decide(slow_at(60.0), memory)) == (1, 1)


def test_what_is_planned_but_not_yet_in_force_is_not_taken_back() -> None:
    policy = faro()
    wanted = policy.decide(observation([60.0] * 30, time_s=0.0), {})
    one_each = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1))
    after = policy.decide(observation([60.0] * 30, at_hand=one_each, time_s=1.0), wanted.memory)
    assert replicas(after) == replicas(wanted)
