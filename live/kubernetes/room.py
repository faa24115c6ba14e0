"""The limit on cores that follows from the room on a cluster."""

from __future__ import annotations

from ipa.live.kubernetes.stage_state import Look, said

BELIEVED_FOR_S = 120.0
"""How long a refusal for lack of room limits the cores; then more are tried again."""


class FoundRoom:
    """The limit on cores that follows from the pods that found room; none until one has not.

    A limit is never below one core for each of the `stages`. Pods without a node wait `nodes_within_s` for a new one
    before cores are limited; a quota does not grow by waiting.
    """

    def __init__(self, stages: int, nodes_within_s: float = 0.0) -> None:
        self._stages = stages
        self._nodes_within_s = nodes_within_s
        self._since_s: float | None = None  # since when pods have waited for a node and none has come
        self._placed = 0
        self._until_s = 0.0
        self.cores: int | None = None
        """The cores that found room; None while no refusal is believed."""

    def note(self, look: Look, now_s: float) -> None:
        """Limit the cores to those of a look's pods that found room, for a while or until more have."""
        pods = [pod for state in look.stages.values() for pod in state.pods]
        placed = sum(
            pod.cores for pod in pods if pod.scheduled_s is not None and pod.removed_s is None and not pod.is_over
        )
        if look.out_of_room and self._is_final(look, placed, now_s):
            self.cores, self._until_s = max(placed, self._stages), now_s + BELIEVED_FOR_S
        elif not (look.out_of_room or look.done or look.error):
            self._since_s = None
        if look.out_of_room:
            return
        if self.cores is not None and (placed > self.cores or now_s > self._until_s):
            self.cores = None

    def _is_final(self, look: Look, placed: int, now_s: float) -> bool:
        """Whether waiting for a node is no use, or has taken too long."""
        if self._since_s is None or placed > self._placed:
            self._since_s = now_s
        self._placed = placed
        wants_nodes = all(look.stages[stage].obstacle.wants_node for stage in look.out_of_room)
        return self.cores is not None or not wants_nodes or now_s - self._since_s >= self._nodes_within_s

    def within(self, limit_cores: int | None) -> int | None:
        """The lower of `limit_cores` (None: no limit) and the cores that found room."""
        if self.cores is None:
            return limit_cores
        return min(self.cores, limit_cores or self.cores)

    def trouble(self, look: Look) -> str:
        """A message about lack of room; empty if there is room for all."""
        why = said(look.out_of_room)
        if self.cores is None:
            return why and f"{why} (another node may come within {self._nodes_within_s:g} s)"
        return why or f"there is room for {self.cores} cores; more will be tried again"
