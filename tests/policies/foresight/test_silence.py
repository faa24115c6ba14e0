"""Silences: seconds without a request that chance does not bring, in which nothing is known of the load."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from math import isnan

import numpy as np
import pytest

from ipa.policies import Decision, Foresight
from ipa.policies.foresight.silence import Silences, heard
from ipa.policies.foresight.surges import LONGEST_S, surges_in
from tests.policies.foresight.cases import HALF_A_STEP, LONG_SLA, decided, steps
from tests.tiny import observation

DAY_S = 86_400


def silent(load: Sequence[float], until_s: float | None = None, before: Silences | None = None) -> list[int]:
    """The places of the seconds that are taken for silent."""
    found, _ = heard(load, len(load) if until_s is None else until_s, 10.0, DAY_S, before)
    return [place for place, count in enumerate(found) if isnan(count)]


@pytest.mark.parametrize(("rate_rps", "least_s"), [(40.0, 3), (4.0, 6), (1.0, 20)])
def test_seconds_without_a_request_are_a_silence_where_chance_does_not_bring_them(
    rate_rps: float, least_s: int
) -> None:
    """Of a Poisson load with a rate of L, k seconds with L k > 5 sqrt(L k): from L k = 25 on, and three at least. A
    deviation is somewhat less where most seconds have no request or one."""
    lengths = []
    for seed in range(20):
        load = np.random.default_rng(seed).poisson(rate_rps, 60).astype(float)
        load[-1] = max(load[-1], 1.0)
        shortest = next(k for k in range(1, 60) if silent([*load, *[0.0] * k, rate_rps]))
        assert silent([*load, *[0.0] * shortest, rate_rps]) == list(range(60, 60 + shortest))
        lengths.append(shortest)
    assert np.median(lengths) == pytest.approx(least_s, abs=0 if least_s == 3 else 2)


def test_a_load_that_comes_in_bursts_is_never_silent() -> None:
    assert silent([*steps((25, 1), (0, 4)) * 24, 25.0]) == []


@pytest.mark.parametrize(
    ("load", "in_all_s"),
    [
        (steps((6, 300), (0, 40), (6, 200), (0, 150), (6, 300)), 190),
        (steps((6, 300), (0, 10), (6, 30), (0, 10), (6, 300)), 20),
        (steps((6, 300), (0, 50), (6, 40), (0, 5), (6, 300)), 55),
    ],
    ids=["longer than is shown", "two at once", "one leaves, one comes"],
)
@pytest.mark.parametrize("step_s", [10, 4])
def test_silences_found_step_by_step_are_those_found_at_once_and_count_once(
    load: list[float], in_all_s: int, step_s: int
) -> None:
    before = Silences()
    for until in range(120, len(load) + 1, step_s):
        found, before = heard(load[until - 120 : until], float(until), float(step_s), DAY_S, before)
        before = Silences.of(json.loads(json.dumps(before.kept)))
        at_once = [place - (until - 120) for place in silent(load[:until]) if place >= until - 120]
        assert [place for place, count in enumerate(found) if isnan(count)] == at_once
    assert before.in_all_s == pytest.approx(in_all_s, abs=1)


def test_a_second_without_a_sample_neither_ends_nor_begins_a_silence() -> None:
    load = [*steps((40, 300), (0, 90)), float("nan"), *steps((0, 60), (40, 20))]
    assert silent(load) == list(range(300, 451))
    assert silent([*steps((40, 300)), *[float("nan")] * 3]) == [300, 301, 302]


def test_a_few_requests_are_no_load_that_could_fall_silent() -> None:
    assert silent([*[0.0] * 59, 1.0, *[0.0] * 300]) == []


def test_what_lasts_longer_than_half_an_hour_is_the_level() -> None:
    assert len(silent(steps((6, 300), (0, LONGEST_S - 1)))) == LONGEST_S - 1
    assert silent(steps((6, 300), (0, LONGEST_S))) == []


def test_where_silences_are_usual_they_are_a_part_of_the_load() -> None:
    """Of a load that comes for five minutes and rests for ten, nearly two thirds are silences; of one that rested once
    in two hours, less than a tenth of these and an hour before them."""
    assert len(silent(steps((6, 7200), (0, 600), (6, 300)))) == 600
    assert silent(steps((6, 300), (0, 600)) * 24) == []
    assert Silences(in_all_s=730.0).are_usual(3600.0)
    assert not Silences(in_all_s=710.0).are_usual(3600.0)


@pytest.mark.parametrize(("of_900_s", "are_usual"), [(60, False), (120, True)])
def test_what_is_usual_is_a_tenth_of_the_time_however_long_that_is(of_900_s: int, are_usual: bool) -> None:
    load = steps((6, 900 - of_900_s), (0, of_900_s)) * (4 * 24 * 3)
    at_once = heard(load, float(len(load)), 10.0, float(len(load)))[1]
    known = Silences()
    for until in range(900, len(load) + 1, 900):
        known = heard(load[until - 900 : until], float(until), 900.0, float(until), known)[1]
    assert at_once.are_usual(len(load)) == known.are_usual(len(load)) == are_usual
    assert at_once.in_all_s == pytest.approx(known.in_all_s, rel=0.02)


def test_a_load_that_comes_back_from_a_silence_is_no_surge() -> None:
    load = np.random.default_rng(1).poisson(6.0, 900).astype(float)
    load[300:340] = 0.0
    assert surges_in(load.tolist(), 900.0) != []
    assert surges_in(heard(load.tolist(), 900.0, 10.0, DAY_S)[0], 900.0) == []


def test_in_a_silence_everything_stays_and_after_it_the_load_is_planned_for_as_before() -> None:
    policy = Foresight(LONG_SLA, gain_above_ipa=0.0)
    load = steps((40, 600), (0, 90), (40, 200))
    made: list[Decision] = []
    for until in range(590, len(load) + 1, 10):
        at_hand = dict(made[-1].configuration) if made else None
        seen = observation(load[until - 120 : until], time_s=until - 590.0, elapsed_s=10.0 if made else 0.0)
        seen = replace(seen, past_rps=tuple(load[: until - 120]) if not made else ())
        if at_hand is not None:
            seen = observation(load[until - 120 : until], at_hand=at_hand, time_s=until - 590.0)
        made.append(policy.decide(seen, made[-1].memory if made else {}))
    assert {tuple(sorted((name, each.replicas) for name, each in one.configuration.items())) for one in made} == {
        tuple(sorted((name, each.replicas) for name, each in made[0].configuration.items()))
    }
    assert made[-1].planned_load_rps == pytest.approx(40 * 0.97, rel=2 * HALF_A_STEP + 0.03)


def test_a_run_that_begins_in_a_silence_begins_with_the_load_before_it() -> None:
    load = steps((40, 3600), (0, 600))
    before, within = (decided(part, elapsed_s=0.0, gain=0.0) for part in (load[:3600], load))
    assert within.configuration == before.configuration
    ended = decided(steps((40, 3600), (0, LONGEST_S)), elapsed_s=0.0, gain=0.0)
    assert sum(each.total_cores for each in ended.configuration.values()) < sum(
        each.total_cores for each in before.configuration.values()
    )
