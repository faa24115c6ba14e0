"""Decisions that take effect only after the next one is made."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from ipa import Scenario
from ipa.policies import Configuration, Foresight, Observation, ReplicaCounts
from ipa.policies.foresight.pending import as_decided, pending
from ipa.studies import simulate
from tests.policies.foresight.cases import LONG_SLA, steps
from tests.tiny import configuration, observation

SMALL = configuration(a=("small", 1, 2, 1), b=("small", 1, 2, 1))
LARGE = configuration(a=("large", 1, 4, 2), b=("large", 1, 4, 2))


MORE = configuration(a=("small", 1, 6, 1), b=("small", 1, 2, 1))


def seen(at_s: float, at_hand: Configuration = SMALL) -> Observation:
    return replace(observation(at_hand=at_hand), time_s=at_s)


def decided(*decisions: tuple[float, Configuration], delay_s: float = 5.0) -> dict[str, Any]:
    """The memory after decisions at these times, two seconds apart or more."""
    memory: dict[str, Any] = {}
    for at_s, wanted in decisions:
        memory = {"pending": pending(seen(at_s), memory, wanted, delay_s, 2.0)}
    return memory


def at(at_s: float, memory: Any, at_hand: Configuration = SMALL, delay_s: float = 5.0) -> Configuration:
    return as_decided(seen(at_s, at_hand), memory, delay_s).configuration


def test_what_is_decided_stands_for_what_is_desired_until_it_has_taken_effect() -> None:
    memory = decided((100.0, LARGE))
    assert at(102.0, memory) == LARGE
    assert at(105.0, memory) == LARGE
    assert at(105.04, memory) == LARGE  # a live step comes some milliseconds late
    assert at(105.1, memory) == SMALL
    assert at(99.0, memory) == SMALL  # the clock restarted
    assert at(102.0, json.loads(json.dumps(memory))) == LARGE
    assert at(102.0, {}) == SMALL
    assert decided((100.0, LARGE), delay_s=1.9) == {"pending": []}


def test_the_last_of_several_decisions_counts_and_what_it_wants_more_is_starting() -> None:
    """At 108 s, those of 100 and 102 s have taken effect, and those of 104 and 106 s have not."""
    memory = decided((100.0, SMALL), (102.0, SMALL), (104.0, SMALL), (106.0, MORE))
    assert at(108.0, memory) == MORE
    assert [each["at_s"] for each in decided(*[(100.0 + 2 * k, SMALL) for k in range(9)])["pending"]] == [
        110.0,
        112.0,
        114.0,
        116.0,
    ]
    masked = as_decided(seen(108.0), memory, 5.0)
    assert masked.stages["a"].replicas == {"small": ReplicaCounts(starting=4, ready=2)}
    assert masked.stages["b"].replicas == {"small": ReplicaCounts(ready=2)}
    other = as_decided(seen(102.0), decided((100.0, LARGE)), 5.0)
    assert other.stages["a"].replicas == {"small": ReplicaCounts(ready=2), "large": ReplicaCounts(starting=4)}


def test_batches_are_as_before_until_others_are_in_force() -> None:
    batches = configuration(a=("small", 2, 2, 1), b=("small", 1, 2, 1))
    assert at(102.0, decided((100.0, batches))) == SMALL


def test_a_decision_that_is_held_back_is_not_waited_for() -> None:
    """What was decided at 100 s should be in force at 106 s, and is not: a guard, or a refusal."""
    memory = decided((100.0, LARGE), (102.0, LARGE), (104.0, LARGE))
    assert at(105.0, memory) == LARGE
    assert at(106.0, memory) == SMALL
    assert at(106.0, memory, LARGE) == LARGE


def test_a_change_of_variants_is_not_decided_anew_while_it_is_on_its_way() -> None:
    """At 2 rps the large variants are worth their cores, as what small ones have lost says. The change counts once,
    when it is in force."""
    policy = Foresight(LONG_SLA, gain_above_ipa=0, interval_s=2.0, decision_delay_s=2.0)
    shown = replace(observation(steps((2, 120)), at_hand=SMALL, elapsed_s=2.0), past_rps=(2.0,) * 1000)
    memory: Any = policy.decide(shown, {}).memory
    changed = policy.decide(replace(shown, time_s=600.0), {**memory, "lost": 1e9, "pending": []})
    again = policy.decide(replace(shown, time_s=602.0), changed.memory)
    for each in (changed, again):
        assert [stage.variant for stage in each.configuration.values()] == ["large", "large"]
        assert [stage["changed_s"] for stage in each.memory["stages"].values()] == [[], []]
    in_force = observation(steps((2, 120)), at_hand=dict(changed.configuration), elapsed_s=2.0, time_s=604.0)
    later = policy.decide(in_force, again.memory)
    assert [len(stage["changed_s"]) for stage in later.memory["stages"].values()] == [1, 1]


def test_replicas_are_not_added_and_taken_away_again_while_decisions_are_on_their_way() -> None:
    """Five decisions are made until one takes effect. The load rises and falls slowly."""
    run = simulate(
        Scenario(
            pipeline="sum-qa", policy="foresight", trace="fluctuating", window="0:600", decision_delay_s=10.0
        ).with_values({"interval_s": 2.0})
    )
    replicas = [entry.decision.configuration["summarisation"].replicas for entry in run.entries]
    signs = [np.sign(other - one) for one, other in pairwise(replicas) if one != other]
    assert sum(one != other for one, other in pairwise(signs)) <= 20


@pytest.mark.parametrize("dispatch", ["central", "eager"])
def test_with_decisions_as_often_as_they_take_the_load_is_served(dispatch: str) -> None:
    """Each decision is made when the one before has not yet been carried out."""
    run = simulate(
        Scenario(
            pipeline="sum-qa",
            policy="foresight",
            trace="constant:9:300",
            dispatch=dispatch,
            start="configured",
            decision_delay_s=2.0,
            interval_s=2.0,
        )
    )
    late = run.records.arrival_s[
        (run.records.outcome != 0) | (run.records.end_s - run.records.arrival_s > run.pipeline.sla_s)
    ]
    assert len(late) == 0 or late.max() < 20.0
    variants = [entry.decision.configuration["summarisation"].variant for entry in run.entries]
    assert sum(one != other for one, other in pairwise(variants)) <= 6
