"""What is remembered from decision to decision: late start-ups, the clock, and no more than that."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import cycle
from typing import Any

import numpy as np
import pytest

from ipa.policies import Controller, Decision, Foresight, Journal, ReplicaCounts
from ipa.policies.foresight.learning import now_of
from ipa.policies.foresight.startup import later_s, starting_since
from ipa.policies.foresight.surges import from_memory
from tests.policies.foresight.cases import LONG_SLA, decided, steps
from tests.tiny import configuration, observation


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
    calm = decided(load, elapsed_s=0.0, gain=0.0)
    at_hand = configuration(a=("small", 1, 3, 1), b=("small", 1, 3, 1))
    found = []
    for ready in (3, 2):
        replicas = {"a": ReplicaCounts(ready=ready, starting=3 - ready), "b": ReplicaCounts(ready=3)}
        memory: Any = json.loads(json.dumps(calm.memory))
        memory["stages"]["a"]["starting"] = [None, "small", 2]
        seen = observation(load[-120:], at_hand=at_hand, replicas=replicas, time_s=40.0)
        found.append(Foresight(LONG_SLA, gain_above_ipa=0.0).decide(seen, memory))
    assert [each.memory["seen"]["late_s"] for each in found] == [0.0, 12.0]
    assert found[0].planned_load_rps < found[1].planned_load_rps  # type: ignore[operator]


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
    assert len(memory["seen"]["surges"]) <= 64
    assert len(json.dumps(memory)) < 15_000
