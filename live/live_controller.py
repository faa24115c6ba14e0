"""The controller of a live run: that of `ipa.policies`, resumed from a journal, with a time limit for its policy.

A policy that exceeds its time limit or fails changes nothing.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

from ipa.policies import (
    Configuration,
    Controller,
    Decision,
    Entry,
    Journal,
    Memory,
    Observation,
    Policy,
    check_decision,
    reads,
)
from ipa.profiles import Pipeline


class LiveController(Controller):
    """Decides within `limit_s` (see its `deadline`), and resumes from what its journal already holds.

    `first_step` is the number of its first step; `resumed` is the last configuration in force, None with an empty
    journal.
    """

    def __init__(self, pipeline: Pipeline, policy: Policy, limit_s: float, journal: Journal) -> None:
        self.journal = journal
        self.deadline = Deadline(policy, pipeline, limit_s)
        super().__init__(pipeline, self.deadline, journal)
        self.resume()

    def resume(self) -> None:
        """Resume from the journal as it is now; to be called before the first step if entries have been added."""
        entries = self.journal.entries
        self._entries_before = len(entries)
        self.first_step = 1
        self.resumed: Configuration | None = None
        self._memory: Memory = {}
        if entries:
            latest = entries[-1]
            self.first_step = latest.observation.step + 1
            self.resumed = (latest.observation if latest.is_refused else latest.decision).configuration
            self._memory = latest.decision.memory

    @property
    def entries(self) -> tuple[Entry, ...]:
        return tuple(self.journal.entries[self._entries_before :])


T = TypeVar("T")

FIRST_LIMIT_S = 60.0


@dataclass
class Deadline:
    """Holds the configuration if the policy does not decide within `limit_s`, fails, or makes an invalid decision.

    The decision then has the rung "hold" and a note that says why; the memory stays as it was. It also holds the
    configuration while the policy is still busy with an earlier decision. `held` counts these decisions. The first
    decision may take `first_limit_s`, since policies load their libraries then.
    """

    policy: Policy
    pipeline: Pipeline
    limit_s: float
    first_limit_s: float = FIRST_LIMIT_S
    held: int = 0
    decision_s: float = 0.0
    """How long the latest decision took."""
    _is_first: bool = field(default=True, repr=False)
    _running: Call[Decision] | None = field(default=None, repr=False)

    @property
    def reads(self) -> tuple[str, ...]:
        return reads(self.policy)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        started_s = monotonic()
        try:
            return self._decide(observation, memory)
        finally:
            self.decision_s = monotonic() - started_s

    def _decide(self, observation: Observation, memory: Memory) -> Decision:
        if self._running is not None and self._running.is_alive:
            return self._hold(observation, memory, "an earlier decision is not finished")
        self._running = call = Call(lambda: self.policy.decide(observation, memory))
        limit_s = max(self.limit_s, self.first_limit_s) if self._is_first else self.limit_s
        self._is_first = False
        if not call.wait(limit_s):
            return self._hold(observation, memory, f"no decision within {limit_s:g} s")
        error = call.error  # of any kind: a policy that exits does not end the run
        if error is None:
            try:
                decision = check_decision(self.pipeline, call.result())
                json.dumps(decision.memory, allow_nan=False)
                return decision
            except Exception as impossible:
                error = impossible
        return self._hold(observation, memory, f"the policy failed: {type(error).__name__}: {error}")

    def _hold(self, observation: Observation, memory: Memory, why: str) -> Decision:
        self.held += 1
        return Decision(configuration=observation.configuration, memory=memory, rung="hold", notes=(why,))


class Call(Generic[T]):
    """A function running in a thread of its own, which the program does not wait for when it exits."""

    def __init__(self, function: Callable[[], T], on_done: Callable[[], object] = lambda: None) -> None:
        self._function = function
        self._on_done = on_done
        self.error: BaseException | None = None
        """What it raised, once it has ended."""
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._value = self._function()
        except BaseException as error:
            self.error = error
        self._on_done()

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Wait at most so long; whether it has ended."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def result(self) -> T:
        """What it returned; raises what it raised."""
        if self.error is not None:
            raise self.error
        return self._value
