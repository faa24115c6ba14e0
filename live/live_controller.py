"""The controller of a live run: the one of `ipa.policies`, with a time limit for its policy and a past to resume."""

from __future__ import annotations

from ipa.live.deadline import Deadline
from ipa.live.journal import past_of
from ipa.policies import Backend, Configuration, Controller, Entry, Journal, Policy
from ipa.profiles import Pipeline


class LiveController:
    """Decides within `limit_s`, and resumes from what its journal already holds.

    `first_step` is the number of its first step; `resumed` is the last configuration in force, None with an empty
    journal.
    """

    def __init__(self, pipeline: Pipeline, policy: Policy, limit_s: float, journal: Journal) -> None:
        past = past_of(journal)
        self.journal = journal
        self.first_step = past.next_step
        self.resumed: Configuration | None = past.configuration
        self.limit_s = limit_s
        self._entries_before = past.entries
        self._deadline = Deadline(policy, pipeline, limit_s)
        self._controller = Controller(pipeline, self._deadline, journal, past.memory)

    def step(self, backend: Backend) -> Entry:
        """One control step on a backend; its entry in the journal."""
        return self._controller.step(backend)

    @property
    def entries(self) -> tuple[Entry, ...]:
        """What has been decided in this run."""
        return tuple(self.journal.entries[self._entries_before :])

    @property
    def held(self) -> int:
        """How many decisions held the configuration because the policy was late or failed."""
        return self._deadline.held

    @property
    def decision_s(self) -> float:
        """How long the latest decision took."""
        return self._deadline.decision_s
