"""The time limit of a policy: what exceeds it, fails or decides what is impossible changes nothing."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from ipa.live.live_controller import Deadline
from ipa.policies import (
    Decision,
    Memory,
    Observation,
)
from tests.live.clockwork import PIPELINE
from tests.live.world import until_now
from tests.tiny import SMALL_ONES, configuration, observation

LARGER = configuration(a=("large", 1, 1, 2), b=("small", 1, 1, 1))


class Stuck:
    """A policy that decides once it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked = 0

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        self.asked += 1
        self.go.wait()
        return Decision(LARGER, {"decided": self.asked})


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    policy = Stuck()
    yield policy
    policy.go.set()


def test_a_policy_that_decides_in_time_is_followed(stuck: Stuck) -> None:
    stuck.go.set()
    deadline = Deadline(stuck, PIPELINE, 30.0)
    assert deadline.decide(observation(), {}) == Decision(LARGER, {"decided": 1})
    assert deadline.held == 0


def test_a_policy_that_is_late_changes_nothing_and_keeps_its_memory(stuck: Stuck) -> None:
    decision = Deadline(stuck, PIPELINE, 0.01, first_limit_s=0.01).decide(observation(), {"mine": 1})
    assert (decision.configuration, decision.memory) == (SMALL_ONES, {"mine": 1})
    assert (decision.rung, decision.notes) == ("hold", ("no decision within 0.01 s",))


def test_the_first_decision_may_take_longer(stuck: Stuck) -> None:
    """Libraries are loaded then; the second has the limit."""
    deadline = Deadline(stuck, PIPELINE, 0.01, first_limit_s=30.0)
    threading.Timer(0.1, stuck.go.set).start()
    assert deadline.decide(observation(), {}).rung == "optimal"
    stuck.go.clear()
    assert deadline.decide(observation(), {}).rung == "hold"


def test_a_policy_still_at_an_earlier_decision_is_not_asked_again(stuck: Stuck) -> None:
    deadline = Deadline(stuck, PIPELINE, 0.01, first_limit_s=0.01)
    deadline.decide(observation(), {})
    assert deadline.decide(observation(), {}).notes == ("an earlier decision is not finished",)
    until_now(lambda: stuck.asked, "its thread has begun")
    assert (stuck.asked, deadline.held) == (1, 2)
    stuck.go.set()
    until_now(lambda: deadline.decide(observation(), {}).rung == "optimal", "a decision after the policy was let go")


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (SystemExit(0), "SystemExit: 0"),
        (KeyboardInterrupt(), "KeyboardInterrupt: "),
    ],
)
def test_a_policy_that_fails_or_exits_changes_nothing(error: BaseException, said: str) -> None:
    class Fails:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            raise error

    decision = Deadline(Fails(), PIPELINE, 30.0).decide(observation(), {})
    assert (decision.configuration, decision.notes) == (SMALL_ONES, (f"the policy failed: {said}",))


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (
            Decision(configuration(a=("tiny", 1, 1, 1), b=("small", 1, 1, 1)), {}),
            "PolicyError: stage 'a': unknown variant 'tiny'",
        ),
        (Decision(SMALL_ONES, {}, forecast_rps=float("nan")), "PolicyError: forecast_rps nan"),
        (Decision(SMALL_ONES, {"kept": object()}), "TypeError: Object of type object is not JSON serializable"),
        (None, "PolicyError: decide returned NoneType"),
    ],
)
def test_a_decision_that_cannot_be_carried_out_or_journalled_changes_nothing(wrong: Decision, why: str) -> None:
    class Wrong:
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            return wrong

    held = Deadline(Wrong(), PIPELINE, 30.0).decide(observation(), {})
    assert held.configuration == SMALL_ONES
    assert held.notes[0].startswith(f"the policy failed: {why}")
