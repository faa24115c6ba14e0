"""The guard that keeps a policy steady: each of its rules by hand, its memory, and all of them in runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise, product
from math import nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa.policies import (
    Ceiling,
    Configuration,
    Decision,
    Memory,
    Observation,
    PolicyError,
    ReplicaCounts,
    StageConfiguration,
    Steadiness,
    Steady,
    replay_journal,
)
from ipa.studies import find, simulate
from ipa.studies.runs.run import guarded, prepare
from tests.tiny import chosen, configuration, observation, pipeline, variant

LARGE = variant("large", 0.8, 2, {1: 0.2, 2: 0.32})
PIPELINE = pipeline(
    [
        variant("small", 0.5, 1, {1: 0.1, 2: 0.16}),
        replace(LARGE, figures=(*LARGE.figures, *variant("large", 0.8, 4, {1: 0.2, 2: 0.32}).figures)),
    ]
)
"""One stage; a replica serves, at batch 1 and 2: small 10 and 12.5 rps, large 5 and 6.25 rps, with 4 cores too."""


@dataclass(frozen=True)
class Wants:
    """A policy that wants one thing after the other, and counts its decisions in its memory."""

    wishes: tuple[Configuration, ...]
    plan: Mapping[str, Any] = field(default_factory=dict)

    def decide(self, _: Observation, memory: Memory) -> Decision:
        assert "guards" not in memory
        at = memory.get("at", 0)
        return Decision(self.wishes[at], {"at": at + 1}, **self.plan)


def stage(name: str, batch: int, replicas: int) -> Configuration:
    return configuration(a=(name, batch, replicas, {"small": 1, "large": 2}[name]))


def decided(
    *wishes: Configuration,
    start: Configuration,
    step_s: float = 10.0,
    load_rps: float = nan,
    plan: Mapping[str, Any] | None = None,
    starting: int = 0,
    **keys: Any,
) -> list[Decision]:
    """What the guard makes of the wishes, one every `step_s`, if each answer is in force by the next decision."""
    guard = Steady(Wants(wishes, plan or {}), PIPELINE, Steadiness(**keys))
    at_hand = start
    memory: Memory = {}
    decisions: list[Decision] = []
    for k in range(len(wishes)):
        now = at_hand["a"].replicas
        seen = observation(
            [load_rps] * 10,
            at_hand=at_hand,
            time_s=(k + 1) * step_s,
            elapsed_s=step_s,
            replicas={"a": ReplicaCounts(starting=starting, ready=now - starting)},
        )
        decision = guard.decide(seen, memory)
        decisions.append(decision)
        at_hand, memory = decision.configuration, json.loads(json.dumps(decision.memory))
    return decisions


def what(decisions: list[Decision]) -> list[tuple[str, int, int]]:
    return [chosen(each.configuration)["a"] for each in decisions]


STRICT: dict[str, Any] = {
    "hysteresis": 0.1,
    "scale_down_window_s": 60,
    "max_step_up": 1,
    "max_step_down": 1,
    "wait_for_starting": True,
    "variant_stays_s": 600,
}

# Rule by rule


def test_hysteresis_keeps_what_sustains_about_as_much() -> None:
    """10 small: 100 rps. 11 (110 rps) and, with batches of 2, 8 (100 rps) are within 10 %; 12 (120 rps) are not."""
    wishes = [stage("small", *each) for each in ((1, 11), (2, 8), (1, 12), (1, 11), (1, 10))]
    decisions = decided(*wishes, start=stage("small", 1, 10), hysteresis=0.1)
    assert [each[1:] for each in what(decisions)] == [(1, 10), (1, 10), (1, 12), (1, 12), (1, 10)]
    assert decisions[0].notes == ("hysteresis: a 11 x small batch 1 -> 10 x small batch 1 (10 % is within 10 %)",)
    assert decisions[2].notes == ()


def test_hysteresis_lets_other_variants_and_other_cores_through() -> None:
    """Two small sustain 20 rps, and so do four large ones; the wish is for their accuracy."""
    assert what(decided(stage("large", 1, 4), start=stage("small", 1, 2), hysteresis=0.5)) == [("large", 1, 4)]
    other_cores = configuration(a=("large", 1, 2, 4))
    assert decided(other_cores, start=stage("large", 1, 2), hysteresis=0.5)[0].configuration == other_cores


def test_the_way_down_waits_until_nothing_more_has_been_wanted_for_the_window() -> None:
    """At 10 s 5 are wanted, at 20 s 3, then 1: for 30 s from 10 s on there are 5, then the 3 of 20 s until 50 s."""
    wishes = [stage("small", 1, count) for count in (5, 3, 1, 1, 1, 1)]
    decisions = decided(*wishes, start=stage("small", 1, 2), scale_down_window_s=30)
    assert [each[2] for each in what(decisions)] == [5, 5, 5, 3, 1, 1]
    assert decisions[1].notes == ("scale-down window: a 3 x small batch 1 -> 5 x small batch 1 (wanted within 30 s)",)


def test_what_stands_at_the_start_counts_as_wanted() -> None:
    wishes = [stage("small", 1, 1)] * 3
    assert [each[2] for each in what(decided(*wishes, start=stage("small", 1, 4), scale_down_window_s=20))] == [4, 4, 1]


def test_the_way_down_remembers_the_variant_that_sustained_most() -> None:
    """Four small (40 rps) are wanted, then two large (10 rps): the four stay for the window."""
    wishes = [stage("small", 1, 4), stage("large", 1, 2), stage("large", 1, 2)]
    assert what(decided(*wishes, start=stage("small", 1, 1), scale_down_window_s=20)) == [
        ("small", 1, 4),
        ("small", 1, 4),
        ("large", 1, 2),
    ]


def test_a_step_is_limited_up_and_down() -> None:
    wishes = [stage("small", 1, count) for count in (9, 9, 9, 1, 1)]
    decisions = decided(*wishes, start=stage("small", 1, 2), max_step_up=3, max_step_down=2)
    assert [each[2] for each in what(decisions)] == [5, 8, 9, 7, 5]
    assert decisions[0].notes == ("step limit: a 9 x small batch 1 -> 5 x small batch 1 (at most 3 more)",)
    assert decisions[3].notes == ("step limit: a 1 x small batch 1 -> 7 x small batch 1 (at most 2 fewer)",)


def test_a_step_to_another_variant_counts_from_what_sustains_as_much() -> None:
    """Two small sustain 20 rps, as do four large; of nine, one more than four is allowed, of one, four less one."""
    assert what(decided(stage("large", 1, 9), start=stage("small", 1, 2), max_step_up=1)) == [("large", 1, 5)]
    assert what(decided(stage("large", 1, 1), start=stage("small", 1, 2), max_step_down=1)) == [("large", 1, 3)]


def test_no_more_are_added_while_those_starting_are_enough() -> None:
    """Two of four start. Together they sustain 40 rps, enough for 35; of 45 rps there are not enough."""
    wish, start = stage("small", 1, 8), stage("small", 1, 4)
    held = decided(wish, start=start, starting=2, load_rps=35, wait_for_starting=True)
    assert what(held) == [("small", 1, 4)]
    assert held[0].notes == ("starting: a 8 x small batch 1 -> 4 x small batch 1 (2 are starting, which is enough)",)
    assert what(decided(wish, start=start, starting=2, load_rps=45, wait_for_starting=True)) == [("small", 1, 8)]
    assert what(decided(wish, start=start, starting=0, load_rps=35, wait_for_starting=True)) == [("small", 1, 8)]
    assert what(decided(wish, start=start, starting=2, load_rps=35)) == [("small", 1, 8)]


def test_a_forecast_above_what_is_coming_is_not_held() -> None:
    held = decided(
        stage("small", 1, 8),
        start=stage("small", 1, 4),
        starting=2,
        load_rps=35,
        plan={"forecast_rps": 60.0},
        wait_for_starting=True,
    )
    assert what(held) == [("small", 1, 8)]


def test_a_variant_stays_for_its_time_with_replicas_for_the_plan() -> None:
    """At 10 s small is wanted, at 20 s large with 15 rps, planned for 12: two small ones until 40 s."""
    wishes = [stage("small", 1, 2), *[stage("large", 1, 3)] * 4]
    decisions = decided(
        *wishes, start=stage("large", 1, 1), plan={"planned_load_rps": 12.0}, variant_stays_s=30, step_s=10.0
    )
    # The start's variant has stood since 0 s, so it stays at 10 and 20 s and goes at 30 s.
    assert what(decisions[:1]) == [("large", 1, 3)]
    wishes = [stage("small", 1, 2), stage("small", 1, 2), stage("small", 1, 2), *[stage("large", 1, 3)] * 4]
    decisions = decided(*wishes, start=stage("large", 1, 1), plan={"planned_load_rps": 12.0}, variant_stays_s=30)
    assert what(decisions) == [
        ("large", 1, 3),
        ("large", 1, 3),
        ("small", 1, 2),
        ("small", 1, 2),
        ("small", 1, 2),
        ("large", 1, 3),
        ("large", 1, 3),
    ]
    assert decisions[3].notes == ("variant stays: a 3 x large batch 1 -> 2 x small batch 1 (small stays 30 s, now 10)",)


def test_a_variant_that_has_failed_goes_at_once() -> None:
    guard = Steady(Wants((stage("small", 1, 1),)), PIPELINE, Steadiness(variant_stays_s=600))
    seen = observation([5.0], at_hand=stage("large", 1, 1), failed={"a": ("large",)})
    assert chosen(guard.decide(seen, {}).configuration) == {"a": ("small", 1, 1)}


# Memory, the first decision, clocks


def test_the_first_decision_of_a_warm_start_is_free() -> None:
    guard = Steady(Wants((stage("large", 2, 40),)), PIPELINE, Steadiness(max_step_up=1, variant_stays_s=99))
    decision = guard.decide(observation([5.0], at_hand=stage("small", 1, 1), nothing_runs=True), {})
    assert chosen(decision.configuration) == {"a": ("large", 2, 40)}


def test_memory_stands_beside_the_policy_s_own_and_goes_through_a_journal() -> None:
    decision = decided(stage("small", 1, 5), start=stage("small", 1, 1), max_step_up=1)[0]
    assert decision.memory["at"] == 1
    assert json.loads(json.dumps(decision.memory)) == decision.memory


def test_a_policy_that_takes_the_guard_s_key_is_told() -> None:
    guard = Steady(Wants((stage("small", 1, 1),)), PIPELINE, Steadiness(max_step_up=1))
    with pytest.raises(PolicyError, match="a guarded policy leaves this key to the guard"):
        guard.decide(observation([5.0], at_hand=stage("small", 1, 1)), {"guards": 3})


def test_a_clock_that_restarts_delays_nothing_for_ever() -> None:
    """Remembered at 500 s; resumed at 5 s. What was wanted then counts as wanted now: the window is 30 s from now."""
    guard = Steady(
        Wants((stage("small", 1, 5), *[stage("small", 1, 1)] * 4)), PIPELINE, Steadiness(scale_down_window_s=30)
    )
    memory: Memory = {}
    at_hand, counts = stage("small", 1, 1), []
    for time_s in (500.0, 5.0, 15.0, 25.0, 45.0):
        decision = guard.decide(observation([5.0], at_hand=at_hand, time_s=time_s), memory)
        at_hand, memory = decision.configuration, decision.memory
        counts.append(at_hand["a"].replicas)
    assert counts == [5, 5, 5, 5, 1]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ({"hysteresis": 1.5}, "hysteresis=1.5"),
        ({"max_step_up": True}, "max_step_up=True"),
        ({"wait_for_starting": 1}, "wait_for_starting=1"),
    ],
)
def test_settings_that_cannot_be_are_refused(keys: Any, text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        Steadiness(**keys)


# Laws


wish = st.sampled_from(list(product(("small", "large"), (1, 2), range(1, 13))))


@settings(max_examples=200, deadline=None)
@given(st.lists(wish, min_size=1, max_size=12), wish, st.integers(1, 3))
def test_what_is_allowed_is_never_exceeded(
    wishes: list[tuple[str, int, int]], start: tuple[str, int, int], step: int
) -> None:
    """Of one variant no decision makes a longer step."""
    asked = [stage(*each) for each in wishes]
    steps = decided(*asked, start=stage(*start), max_step_up=step, max_step_down=step)
    for before, after in zip([stage(*start), *(each.configuration for each in steps)], steps, strict=False):
        one, two = before["a"], after.configuration["a"]
        assert one.variant != two.variant or abs(one.replicas - two.replicas) <= step


@settings(max_examples=200, deadline=None)
@given(st.lists(wish, min_size=1, max_size=12), wish, st.integers(1, 4))
def test_what_stands_sustains_all_that_was_wanted_in_the_window(
    wishes: list[tuple[str, int, int]], start: tuple[str, int, int], window: int
) -> None:
    def rps(at: StageConfiguration) -> float:
        return at.replicas * PIPELINE.stages[0].variant(at.variant).throughput_rps(at.batch)

    asked = [stage(*each) for each in wishes]
    given_ = decided(*asked, start=stage(*start), scale_down_window_s=10.0 * window)
    for k, decision in enumerate(given_):
        recent = [rps(each["a"]) for each in asked[max(0, k - window + 1) : k + 1]]
        assert rps(decision.configuration["a"]) >= max(recent) * (1 - 1e-9)


@settings(max_examples=200, deadline=None)
@given(st.lists(wish, min_size=1, max_size=12), wish, st.integers(1, 6))
def test_variants_change_no_sooner_than_allowed(
    wishes: list[tuple[str, int, int]], start: tuple[str, int, int], steps: int
) -> None:
    """With `steps` as stay no variant goes before its time."""

    def standing(**keys: Any) -> list[tuple[str, int, int]]:
        """Variant, batch size and replicas, at the start and after each decision."""
        return [start, *what(decided(*(stage(*each) for each in wishes), start=stage(*start), **keys))]

    names = [variant for variant, _, _ in standing(variant_stays_s=10.0 * steps)]
    since = 0
    for k, (one, two) in enumerate(pairwise(names), 1):
        if one != two:
            assert k - since >= steps
            since = k


# Ceiling


def test_replicas_are_added_until_none_is_planned_to_be_busier() -> None:
    """28 rps on small ones of 10 rps, at most 70 % busy: four, not three. Without a plan the last 10 s count."""
    wants = Wants((stage("small", 1, 3),), {"planned_load_rps": 28.0})
    decision = Ceiling(wants, PIPELINE, 0.7).decide(observation([1.0]), {})
    assert chosen(decision.configuration) == {"a": ("small", 1, 4)}
    assert decision.notes == ("ceiling: a 3 -> 4 replicas (28 rps at a utilisation of 0.7)",)
    unsaid = Ceiling(Wants((stage("small", 1, 3),)), PIPELINE, 0.7)
    assert chosen(unsaid.decide(observation([99.0, *[35.0] * 10]), {}).configuration) == {"a": ("small", 1, 5)}
    assert chosen(unsaid.decide(observation([nan]), {}).configuration) == {"a": ("small", 1, 3)}


# In runs

ALL = {
    "guards.hysteresis": 0.1,
    "guards.scale_down_window_s": 60,
    "guards.max_step_up": 3,
    "guards.max_step_down": 1,
    "guards.wait_for_starting": True,
    "guards.variant_stays_s": 40,
}
RUN = {"window": "280:480", "price_per_core": 0.2}


@pytest.mark.parametrize("policy", ["ipa", "kpa:high"])
def test_both_engines_are_equal_under_all_guards(policy: str) -> None:
    keys = {**RUN, **ALL, "limits.node_cores": [8, 8], "limits.utilisation": 0.8, "policy": policy}
    one, other = (simulate(find("video", {**keys, "engine": engine})) for engine in ("simpy", "compiled"))
    assert one.entries == other.entries
    for name, table in one.tables.items():
        assert table.equals(other.tables[name]), name


def test_guards_mean_fewer_changes_and_say_what_they_did() -> None:
    free, guarded_run = (simulate(find("video", {**RUN, **keys})) for keys in ({}, ALL))
    assert guarded_run.summary["changes"] < free.summary["changes"]
    notes = [note for entry in guarded_run.entries for note in entry.decision.notes]
    assert {note.partition(":")[0] for note in notes} >= {"hysteresis", "step limit"}


def test_a_recorded_journal_gives_the_same_decisions_and_a_killed_controller_goes_on(tmp_path: Path) -> None:
    """Law L10 under all guards: replayed whole, and from the middle with the memory that stands in the journal."""
    scenario = find("video", {**RUN, **ALL})
    run = simulate(scenario)
    prepared = prepare(scenario)
    policy = guarded(prepared)
    replayed = list(replay_journal(prepared.pipeline, policy, run.entries))
    assert [each.decision for each in replayed] == [each.decision for each in run.entries]
    half = len(run.entries) // 2
    memory = json.loads(json.dumps(run.entries[half - 1].decision.memory))
    for entry in run.entries[half:]:
        decision = policy.decide(entry.observation, memory)
        assert decision.configuration == entry.decision.configuration
        memory = json.loads(json.dumps(decision.memory))


def test_a_guard_that_never_has_cause_changes_nothing_but_the_memory() -> None:
    free, wide = (
        simulate(find("video", {**RUN, **keys}))
        for keys in ({}, {"guards.max_step_up": 99, "guards.max_step_down": 99})
    )
    assert [each.decision.configuration for each in free.entries] == [
        each.decision.configuration for each in wide.entries
    ]
    assert [replace(each.decision, memory={}) for each in free.entries] == [
        replace(each.decision, memory={}) for each in wide.entries
    ]
