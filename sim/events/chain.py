"""The flow of a chain: each batch goes on whole to the next stage, as requests with the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipa.sim.events.environment import Environment
from ipa.sim.events.replica_set import Batch
from ipa.sim.events.stage import SimPyStage


class ChainFlow:
    """Requests pass through the stages in order. `on_ended` gets the number of requests that have just ended."""

    def __init__(self, env: Environment, hop_s: float, on_ended: Callable[[int], None]) -> None:
        self._env, self._hop_s, self._on_ended = env, hop_s, on_ended

    def connect(self, stages: Sequence[SimPyStage]) -> None:
        """Begin with these stages."""
        self._following = (*stages[1:], None)

    def served(self, stage: SimPyStage, items: Batch, variant: str, now_s: float) -> None:
        following = self._following[stage.position]
        if following is None:
            self._on_ended(len(items))
        elif self._hop_s == 0.0:
            following.receive(items, now_s)
        else:
            self._env.at(now_s + self._hop_s, following.delivery, following.receive, items)

    def lost(self, stage: SimPyStage, item: int, now_s: float) -> None:
        self._on_ended(1)
