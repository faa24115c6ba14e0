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


def test_what_passes_between_decisions_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock rings within each decision and after it, at moments that the test sets."""
    now_s = 0.0
    monkeypatch.setattr("ipa.policies.time_limit.monotonic", lambda: now_s)

    def ring_after(passed_s: float) -> None:
        nonlocal now_s
        now_s += passed_s
        signal.raise_signal(signal.SIGALRM)

    class Ringing(Holding):
        def decide(self, observation: Observation, memory: Memory) -> Decision:
            ring_after(memory["takes_s"])
            return super().decide(observation, memory)

    with TimeLimit(Ringing(), 60.0) as limited:
        for _ in range(3):
            limited.decide(observation(), {"takes_s": 40.0})
            ring_after(1000.0)
        with pytest.raises(PolicyError, match=r"no decision within 60 s"):
            limited.decide(observation(), {"takes_s": 60.0})


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
