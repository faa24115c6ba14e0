"""The control loop: observe, decide, check, apply, and keep a journal. The same code drives every backend."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any

from ipa.policies import plugins
from ipa.policies.configurations import as_permitted, check_decision
from ipa.policies.interface import (
    Applied,
    Backend,
    Decision,
    Memory,
    Observation,
    Policy,
    PolicyError,
    StageConfiguration,
)
from ipa.profiles import Pipeline


@dataclass(frozen=True, slots=True)
class Entry:
    """One control step: the observation, the decision, and the backend's answer (None: not yet)."""

    observation: Observation
    decision: Decision
    outcome: Applied | None = None

    @property
    def is_refused(self) -> bool:
        """Whether the decision never came into force, or has failed since."""
        return self.outcome is not None and not self.outcome.accepted


_WHOLE = {int, str, bool, type(None)}
"""Types that JSON preserves."""


class Journal:
    """The entries of a run in memory, one for each step, in order. `kept`: how many to keep, the latest; None: all."""

    def __init__(self, most_entries: int | None = None) -> None:
        self.entries: list[Entry] = []
        self._kept = most_entries

    def decided(self, entry: Entry) -> None:
        """Note a decision before it is applied, so that a controller that is killed now can resume."""
        self.entries.append(entry)
        if self._kept is not None:
            del self.entries[: -self._kept]

    def answered(self, outcome: Applied) -> None:
        """Add the backend's answer to the latest decision."""
        entry = self.entries[-1]
        self.entries[-1] = Entry(entry.observation, entry.decision, outcome)

    def failed(self, step: int, why: str) -> None:
        """Note that a decision which the backend had accepted has failed since.

        The entry of a decision that was refused, or that has no answer yet, stays as it is.
        """
        for at in reversed(range(len(self.entries))):
            if self.entries[at].observation.step == step:
                outcome = self.entries[at].outcome
                if outcome is not None and outcome.accepted:
                    self.entries[at] = replace(self.entries[at], outcome=Applied(False, why))
                return


class Controller:
    """Runs a policy at every step and keeps its memory; everything else it knows comes from the backend."""

    def __init__(self, pipeline: Pipeline, policy: Policy, journal: Journal, memory: Memory | None = None) -> None:
        self._pipeline = pipeline
        self._policy = policy
        self._journal = journal
        self._memory: Memory = {} if memory is None else memory
        self._right: dict[str, StageConfiguration] = {}

    def decide(self, observation: Observation) -> Decision:
        """The policy's decision, which it remembers. Raises as `wish`."""
        decision = self.wish(observation).decision
        self._memory = decision.memory
        return decision

    def wish(self, observation: Observation) -> Entry:
        """What the policy would decide, checked; nothing is remembered, so it may be asked again.

        The decision's memory is as it would come back from a journal. Raises PolicyError, with the step, if no backend
        could carry the decision out, and for an error in a user's own file, with the line. A policy that asks the
        program to exit has failed too: it is not the one to end a run.
        """
        try:
            return Entry(observation, self._decided(observation))
        except BaseException:
            with plugins.blamed(f"step {observation.step} (at {observation.time_s:g} s): ", self._policy):
                raise

    def _decided(self, observation: Observation) -> Decision:
        permitted = as_permitted(self._pipeline, observation) if self._pipeline.limits.excluded else observation
        decision = check_decision(self._pipeline, self._policy.decide(permitted, self._memory), self._right)
        memory = decision.memory
        if memory or memory is not self._memory:  # an empty one handed back is as it was
            memory = _as_in_a_journal(memory)
        return Decision(
            configuration=dict(decision.configuration),  # what the policy does to its own does not change this one
            memory=memory,
            forecast_rps=decision.forecast_rps,
            planned_load_rps=decision.planned_load_rps,
            objective=decision.objective,
            binding=decision.binding,
            rung=decision.rung,
            feasible=decision.feasible,
            notes=decision.notes,
            why=decision.why,
        )

    def step(self, backend: Backend) -> Entry:
        """One control step on a backend."""
        return self.carry_out(backend, self.wish(backend.observe()))

    def carry_out(self, backend: Backend, wish: Entry, limits: Mapping[str, Any] | None = None) -> Entry:
        """Carry out a wish; with `limits` (fields of an observation), what the policy decides within them instead."""
        if limits:
            wish = self.wish(replace(wish.observation, **limits))
        self._memory = wish.decision.memory
        self._journal.decided(wish)
        self._journal.answered(backend.apply(wish.decision.configuration))
        return self._journal.entries[-1]


def _as_in_a_journal(memory: Memory) -> Memory:
    """The memory as it comes back from a journal, so that a resumed controller decides as a running one would."""
    if not memory:
        return {}
    try:
        plain: dict[str, Any] = _as_json(memory)
    except (TypeError, ValueError) as error:
        raise PolicyError(f"memory {memory!r}; allowed: what JSON can hold: {error}") from None
    except RecursionError:
        raise PolicyError("memory is nested too deeply, or in itself; allowed: what JSON can hold") from None
    return plain


def _as_json(value: Any) -> Any:
    """The value as it comes back from JSON; only what is not JSON's own is written, as that takes longer."""
    kind = type(value)
    if kind in _WHOLE or (kind is float and isfinite(value)):
        return value
    if kind is list or kind is tuple:
        return [_as_json(item) for item in value]
    if kind is dict and all(type(key) is str for key in value):
        return {key: _as_json(item) for key, item in value.items()}
    return json.loads(json.dumps(value, allow_nan=False))
