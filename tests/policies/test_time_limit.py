"""A decision of a simulation that does not end is stopped; one that does is not touched."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

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


class Looping:
    """Never decides."""

    def decide(self, _: Observation, __: Memory) -> Decision:
        """Nothing, ever."""
        while True:
            pass


def test_a_decision_in_time_is_that_of_the_policy_and_leaves_no_alarm() -> None:
    before = signal.getsignal(signal.SIGALRM)
    limited = TimeLimit(Holding())
    assert limited.reads == ("latency",)
    assert limited.decide(observation(), {"a": 1}) == Holding().decide(observation(), {"a": 1})
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_decision_that_does_not_end_is_stopped() -> None:
    with pytest.raises(PolicyError, match=r"no decision within 0.05 s"):
        TimeLimit(Looping(), 0.05).decide(observation(), {})
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_beside_the_main_thread_there_is_no_limit() -> None:
    made: list[Decision] = []
    thread = threading.Thread(target=lambda: made.append(TimeLimit(Holding()).decide(observation(), {})))
    thread.start()
    thread.join()
    assert len(made) == 1


def test_the_error_says_where_a_policy_of_ones_own_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("ipa.studies.run.TimeLimit", lambda policy: TimeLimit(policy, 0.05))
    (tmp_path / "mine.yaml").write_text(PIPELINE)
    (tmp_path / "my.py").write_text(
        "class Loop:\n    def __init__(self, pipeline):\n        pass\n\n"
        "    def decide(self, observation, memory):\n        while True:\n            pass\n"
    )
    message = refusal("simulate", "mine.yaml", *SHORT, "--policy", "my.py:Loop", "--out", "new")
    assert message.startswith("step 0 (at 0 s): ")
    assert "my.py:" in message
    assert "no decision within 0.05 s" in message
