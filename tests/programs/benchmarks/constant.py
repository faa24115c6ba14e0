"""A policy whose decisions cost nothing: it stays with the configuration that it finds first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ipa.policies import Decision

if TYPE_CHECKING:
    from ipa.policies import Observation
    from ipa.policies.interface import Memory
    from ipa.profiles import Pipeline


class Constant:
    """The same decision at every step."""

    reads = ()

    def __init__(self, pipeline: Pipeline) -> None:
        self.decision: Decision | None = None

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        """The first configuration."""
        self.decision = self.decision or Decision(observation.configuration, memory)
        return self.decision
