"""A decision of a simulation that does not end is stopped; one that does is not touched."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from time import sleep

import pytest

from ipa.policies import Decision, Memory, Observation, PolicyError, TimeLimit
from tests.command import PIPELINE, SHORT, refusal
from tests.tiny import observation


class Holding:
    """Keeps what stands, at once."""

    reads = ("latency",)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """What stands."""
        return Decision(configuration=observation.configuration, memory=memory)


class Slow(Holding):
    """Takes its time."""

    def __init__(self, takes_s: float) -> None:
        self.takes_s = takes_s

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """What stands."""
        sleep(self.takes_s)
        return super().decide(observation, memory)


class Looping:
    """Never decides."""

    def decide(self, _: Observation, __: Memory) -> Decision:
        """Nothing, ever."""
        while True:
            pass


def test_a_decision_in_time_is_that_of_the_policy_and_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with TimeLimit(Holding()) as limited:
        assert limited.reads == ("latency",)
        for _ in range(2):
            assert limited.decide(observation(), {"a": 1}) == Holding().decide(observation(), {"a": 1})
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_decision_that_does_not_end_is_stopped() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with TimeLimit(Looping(), 0.05) as limited:
        for _ in range(2):
            with pytest.raises(PolicyError, match=r"no decision within 0.05 s"):
                limited.decide(observation(), {})
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_what_passes_between_decisions_does_not_count() -> None:
    """The clock has rung three times by the end, never within a decision of 30 ms."""
    with TimeLimit(Slow(0.03), 0.05) as limited:
        for _ in range(3):
            limited.decide(observation(), {})
            sleep(0.03)


def test_beside_the_main_thread_there_is_no_limit() -> None:
    made: list[Decision] = []

    def decide() -> None:
        with TimeLimit(Holding()) as limited:
            made.append(limited.decide(observation(), {}))

    thread = threading.Thread(target=decide)
    thread.start()
    thread.join()
    assert len(made) == 1


def test_the_error_says_where_a_policy_of_ones_own_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ipa.studies.runs.run.TimeLimit", lambda policy: TimeLimit(policy, 0.05))
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    (tmp_path / "my.py").write_text(
        "class Loop:\n    def __init__(self, pipeline):\n        pass\n\n"
        "    def decide(self, observation, memory):\n        while True:\n            pass\n"
    )
    message = refusal("simulate", "mine.yaml", *SHORT, "--policy", "my.py:Loop", "--out", "new")
    assert message.startswith("step 0 (at 0 s): ")
    assert "my.py:" in message
    assert "no decision within 0.05 s" in message
