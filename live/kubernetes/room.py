"""How many cores the cluster is believed to have room for, after quota or nodes have refused replicas."""

from __future__ import annotations

from ipa.live.kubernetes.reconciler import Look

BELIEVED_FOR_S = 120.0
"""How long a refusal for want of room bounds the cores; then more are tried again."""


class Room:
    """The core limit that follows from what has found room; none until something has not.

    A limit is never below one core for each of the `stages`.
    """

    def __init__(self, stages: int) -> None:
        self._stages = stages
        self._until_s = 0.0
        self.cores: int | None = None
        """The cores that found room; None while no refusal is believed."""

    def note(self, look: Look, now_s: float) -> None:
        """Bound the cores by what has found room among the pods that a look saw, for a while or until more has."""
        pods = [pod for state in look.stages.values() for pod in state.pods]
        placed = sum(pod.cores for pod in pods if pod.is_scheduled and pod.removed_s is None and not pod.is_over)
        if look.out_of_room:
            self.cores, self._until_s = max(placed, self._stages), now_s + BELIEVED_FOR_S
        elif self.cores is not None and (placed > self.cores or now_s > self._until_s):
            self.cores = None

    def within(self, limit_cores: int | None) -> int | None:
        """The lower of a limit (None: no limit) and what there is room for."""
        if self.cores is None:
            return limit_cores
        return min(self.cores, limit_cores or self.cores)

    def trouble(self, look: Look) -> str:
        """What there is no room for, empty if there is room for all."""
        if self.cores is None:
            return ""
        why = "; ".join(f"{stage}: {why}" for stage, why in look.out_of_room.items())
        return why or f"found for {self.cores} cores; more are tried again"
