"""The arbiter of a live fleet: steps at one time, and controllers that get no answer. Backends are made of numbers."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ipa.live.errors import RunError
from ipa.live.sharing import LiveArbiter, NoAnswerError, SharingController
from ipa.policies import Applied, Configuration, Decision, Entry, Journal, Memory, Observation, StageConfiguration
from ipa.policies.sharing import Arbiter, Grant, Member, weights_of
from tests.live.clockwork import PIPELINE
from tests.live.world import PATIENCE_S, until_now
from tests.tiny import observation

FIRST, SECOND = PIPELINE.stages
FLOOR = 2
"""One replica of a core for each of the two stages."""


def of_cores(cores: int) -> Configuration:
    """One core for the second stage, and the others for replicas of the first."""
    lightest = [stage.lightest().name for stage in (FIRST, SECOND)]
    replicas = (max(cores - 1, 1), 1)
    return {
        stage.name: StageConfiguration(variant, 1, count, 0.0, 1)
        for stage, variant, count in zip((FIRST, SECOND), lightest, replicas, strict=True)
    }


class Wants:
    """A policy that wants so many cores, by step, and takes as many of them as it may."""

    def __init__(self, cores: Callable[[int], int]) -> None:
        self.cores = cores

    def decide(self, seen: Observation, memory: Memory) -> Decision:
        cores = self.cores(seen.step)
        return Decision(of_cores(cores if seen.limit_cores is None else min(cores, seen.limit_cores)), memory)


class World:
    """A backend on which a decision is there at once."""

    def __init__(self, cores: int) -> None:
        self.cores, self.step, self.exist_cores = cores, 0, 1000

    def observe(self) -> Observation:
        self.step += 1
        return replace(observation(), step=self.step, time_s=10.0 * self.step, limit_cores=None)

    def limit_to(self, exist_cores: int) -> None:
        self.exist_cores = exist_cores

    def claim_cores(self, decided: Configuration | None = None) -> int:
        wanted = 0 if decided is None else sum(stage.total_cores for stage in decided.values())
        return max(self.cores, wanted)

    def apply(self, configuration: Configuration) -> Applied:
        self.cores = sum(stage.total_cores for stage in configuration.values())
        assert self.cores <= self.exist_cores
        return Applied(True)


def arbiter(budget: int, names: str = "ab", rule: str = "priority", priorities: tuple[float, ...] = (3, 1)) -> Arbiter:
    weights = weights_of(priorities[: len(names)])
    return Arbiter(rule, budget, [Member(name, w, FLOOR, budget) for name, w in zip(names, weights, strict=True)])


def controller(name: str, shared: LiveArbiter, wants: Callable[[int], int]) -> SharingController:
    return SharingController(PIPELINE, Wants(wants), 60.0, Journal(), name=name, interval_s=10.0, arbiter=shared)


def on_one_clock(budget: int, **settings: Any) -> LiveArbiter:
    return LiveArbiter(arbiter(budget), {"a": (10.0, 1e6), "b": (10.0, 1e6)}, within_s=PATIENCE_S, **settings)


def test_of_steps_at_one_time_all_wishes_are_known_before_the_first_is_granted_in_the_order_of_the_fleet() -> None:
    """b comes first, and would have all 8 cores; then a, which goes before it, wants 6."""
    shared = on_one_clock(8)
    controllers = {"a": controller("a", shared, lambda _: 6), "b": controller("b", shared, lambda _: 8)}
    worlds = {"a": World(2), "b": World(2)}
    for name, world in worlds.items():
        controllers[name].stands(world.cores)
    has_wished = threading.Event()
    threads = []
    plain = shared.await_wishes

    def await_wishes(name: str, due_s: float) -> None:
        has_wished.set()
        plain(name, due_s)

    shared.await_wishes = await_wishes  # type: ignore[method-assign]
    for name in ("b", "a"):
        threads.append(threading.Thread(target=controllers[name].step, args=(worlds[name],)))
        threads[-1].start()
        assert has_wished.wait(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    assert [(step.pipeline, step.wanted, step.got, step.why) for step in shared.steps] == [
        ("a", 6, 6, ""),
        ("b", 8, 2, "its part by priority is 2"),
    ]


def test_one_that_is_late_in_an_earlier_step_is_not_waited_for() -> None:
    """b has been in its first step since before the second was due; nobody waits for what it will skip."""
    shared = on_one_clock(8)
    a, world = controller("a", shared, lambda _: 4), World(2)
    a.stands(2)
    world.step = 1
    with shared.step("b", 10.0):
        assert a.step(world).observation.step == 2
    assert [(step.step, step.got) for step in shared.steps] == [(2, 4)]


def test_a_controller_that_loses_its_arbiter_keeps_its_last_limit_and_says_so() -> None:
    """It wants more at every step. With 5 of 8 cores it loses the arbiter, and gets more once that answers again."""
    shared = LiveArbiter(arbiter(8, "a"), within_s=PATIENCE_S)
    a, world = controller("a", shared, lambda step: 3 + step), World(2)
    a.stands(2)
    a.step(world)
    assert a.step(world).decision.configuration == of_cores(5)
    grant = shared.arbiter.grant

    def fails(name: str) -> Grant:
        raise ValueError("no such pipeline")

    shared.arbiter.grant = fails  # type: ignore[method-assign]
    entry = a.step(world)
    assert entry.decision.configuration == of_cores(5)
    assert entry.outcome is not None
    assert entry.outcome.reason == "the arbiter failed: ValueError: no such pipeline: the last limit of 5 cores stays"
    assert shared.steps[-1].why == entry.outcome.reason
    shared.arbiter.grant = grant  # type: ignore[method-assign]
    assert a.step(world).decision.configuration == of_cores(7)
    assert shared.steps[-1].why == ""


def test_an_arbiter_that_stalls_is_not_asked_again_until_it_has_ended() -> None:
    shared = LiveArbiter(arbiter(8, "a"), within_s=PATIENCE_S)
    a, world = controller("a", shared, lambda _: 6), World(3)
    a.stands(3)
    shared.within_s = 0.05
    goes_on, wish = threading.Event(), shared.arbiter.wish
    asked = []

    def stalls(*arguments: Any) -> None:
        asked.append(arguments)
        goes_on.wait(PATIENCE_S)
        wish(*arguments)

    shared.arbiter.wish = stalls  # type: ignore[method-assign, assignment]
    first, second = (a.step(world) for _ in range(2))
    texts = [entry.outcome.reason for entry in (first, second) if entry.outcome is not None]
    assert texts == [
        "the arbiter did not answer within 0.05 s: the last limit of 3 cores stays",
        "the arbiter has not ended its last answer: the last limit of 3 cores stays",
    ]
    until_now(lambda: asked, "its thread has begun")
    assert len(asked) == 1
    goes_on.set()
    until_now(lambda: shared._running is not None and not shared._running.is_alive, "it has ended")
    shared.within_s = PATIENCE_S
    assert a.step(world).decision.configuration == of_cores(6)


def test_the_cores_that_others_have_not_given_back_are_nobody_s_though_the_arbiter_fails_half_way() -> None:
    """It grants a all 6 that are left, and fails before it learns that a takes 4: all 6 are noted for a."""
    shared = LiveArbiter(arbiter(8), within_s=PATIENCE_S)
    a, b = controller("a", shared, lambda _: 4), controller("b", shared, lambda _: 8)
    worlds = {"a": World(2), "b": World(2)}
    a.stands(2)
    b.stands(2)
    hold, answers = shared.arbiter.hold, iter([True, True, False])

    def fails(name: str, claim_units: int) -> None:
        if not next(answers, True):
            raise ValueError("gone")
        hold(name, claim_units)

    shared.arbiter.hold = fails  # type: ignore[method-assign]
    assert a.step(worlds["a"]).decision.configuration == of_cores(2), "its last limit"
    b.step(worlds["b"])
    assert worlds["b"].cores == 2
    a.step(worlds["a"])
    b.step(worlds["b"])
    assert (worlds["a"].cores, worlds["b"].cores) == (4, 4)


def test_without_an_arbiter_nothing_begins() -> None:
    shared = LiveArbiter(arbiter(8, "a"), within_s=PATIENCE_S)

    def fails(*_: object) -> None:
        raise ValueError("gone")

    shared.arbiter.wish = fails  # type: ignore[method-assign, assignment]
    a = controller("a", shared, lambda _: 4)
    with pytest.raises(NoAnswerError, match="the arbiter failed: ValueError: gone"):
        a.stands(0)
    wish, claim_cores, problem = a.tell(World(0), World(0).observe())
    with pytest.raises(RunError, match="the arbiter failed"):
        a.take(World(0), wish, claim_cores, 0.0, problem)


def test_what_a_pipeline_plans_within_is_in_its_journal() -> None:
    """So that its journal alone gives its decisions again."""
    shared = LiveArbiter(arbiter(8), within_s=PATIENCE_S)
    b, world = controller("b", shared, lambda _: 8), World(2)
    shared.arbiter.wish("a", 5)
    shared.arbiter.hold("a", 5)
    entry: Entry = b.step(world)
    assert entry.observation.limit_cores == 3
    assert b.journal.entries == [entry]
