"""The control loop: observe, decide, check, apply, and a journal of it all. The same code drives every backend."""

from __future__ import annotations

from dataclasses import dataclass, replace

from policies.configurations import check_configuration
from policies.interface import (
    Applied,
    Backend,
    Decision,
    Memory,
    Observation,
    Policy,
    PolicyError,
)
from profiles import Pipeline


@dataclass(frozen=True, slots=True)
class Entry:
    """One control step: what was seen, what was decided, and how the backend answered (None: not yet)."""

    observation: Observation
    decision: Decision
    outcome: Applied | None = None


class Journal:
    """The entries of a run in memory, one a step, in order."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def decided(self, entry: Entry) -> None:
        """Keep a decision before it is applied, so that a controller killed now can be resumed."""
        self.entries.append(entry)

    def answered(self, outcome: Applied) -> None:
        """Add the backend's answer to the latest decision."""
        self.entries[-1] = replace(self.entries[-1], outcome=outcome)


class Controller:
    """Asks one policy at every step and keeps its memory; everything else it knows comes from the backend."""

    def __init__(self, pipeline: Pipeline, policy: Policy, journal: Journal, memory: Memory | None = None) -> None:
        self._pipeline = pipeline
        self._policy = policy
        self._journal = journal
        self._memory: Memory = {} if memory is None else memory

    def decide(self, observation: Observation) -> Decision:
        """The policy's decision, checked. Raises PolicyError where it cannot be carried out by any backend."""
        decision = self._policy.decide(observation, self._memory)
        if not isinstance(decision, Decision):
            raise PolicyError(
                f"{type(self._policy).__name__}.decide returned {type(decision).__name__}, not a policies.Decision"
            )
        check_configuration(self._pipeline, decision.configuration)
        self._memory = decision.memory
        return decision

    def step(self, backend: Backend) -> Entry:
        """One control step on a backend."""
        observation = backend.observe()
        decision = self.decide(observation)
        self._journal.decided(Entry(observation, decision))
        self._journal.answered(backend.apply(decision.configuration))
        return self._journal.entries[-1]
