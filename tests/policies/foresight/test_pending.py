"""Decisions that take effect only after the next one is made."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from ipa import Scenario
from ipa.policies import Foresight
from ipa.policies.foresight.pending import as_decided, pending
from ipa.studies import simulate
from tests.policies.foresight.cases import LONG_SLA, steps
from tests.tiny import configuration, observation

SMALL = configuration(a=("small", 1, 2, 1), b=("small", 1, 2, 1))
LARGE = configuration(a=("large", 1, 4, 2), b=("large", 1, 4, 2))


def after(seconds: float, memory: Any, delay_s: float = 5.0) -> Any:
    seen = replace(observation(at_hand=SMALL), time_s=100.0 + seconds)
    return as_decided(seen, {"pending": memory}, delay_s).configuration


def test_what_is_decided_stands_for_what_is_desired_until_it_has_taken_effect() -> None:
    seen = replace(observation(at_hand=SMALL), time_s=100.0)
    decided = pending(seen, {}, LARGE, 5.0, 2.0)
    assert after(2.0, decided) == LARGE
    assert after(5.0, decided) == LARGE
    assert after(5.1, decided) == SMALL
    assert after(-1.0, decided) == SMALL  # the clock restarted
    assert after(2.0, json.loads(json.dumps(decided))) == LARGE
    assert after(2.0, None) == SMALL
    assert pending(seen, {}, LARGE, 1.9, 2.0) is None


def test_a_decision_that_never_takes_effect_is_not_waited_for() -> None:
    """As long as the variants are the same, the first decision counts; other variants are a new one."""
    seen = observation(at_hand=SMALL)
    first = pending(replace(seen, time_s=100.0), {}, LARGE, 5.0, 2.0)
    more = configuration(a=("large", 1, 5, 2), b=("large", 1, 4, 2))
    second = pending(replace(seen, time_s=104.0), {"pending": first}, more, 5.0, 2.0)
    assert second is not None
    assert after(5.0, second) == more
    assert after(6.0, second) == SMALL
    other = pending(replace(seen, time_s=104.0), {"pending": first}, SMALL, 5.0, 2.0)
    assert other is not None
    assert other["since_s"] == 104.0


def test_a_change_of_variants_is_not_decided_anew_while_it_is_on_its_way() -> None:
    """At 2 rps the large variants are worth their cores, as what small ones have lost says."""
    policy = Foresight(LONG_SLA, price_above_ipa=1, interval_s=2.0, decision_delay_s=2.0)
    seen = replace(observation(steps((2, 120)), at_hand=SMALL, elapsed_s=2.0), past_rps=(2.0,) * 1000)
    memory: Any = policy.decide(seen, {}).memory
    changed = policy.decide(replace(seen, time_s=600.0), {**memory, "lost": 1e9, "pending": None})
    assert changed.memory["pending"]["since_s"] == 600.0
    before = {name: each.variant for name, each in changed.configuration.items()}
    again = policy.decide(replace(seen, time_s=602.0), changed.memory)
    assert {name: each.variant for name, each in again.configuration.items()} == before
    assert again.memory["pending"]["since_s"] == 600.0


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
