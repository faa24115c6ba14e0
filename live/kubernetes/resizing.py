"""In-place pod resize (Kubernetes 1.33): whether a stage's cores can be changed as its pods run, or need a rollout."""

from __future__ import annotations

from collections.abc import Callable

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import ResizePod
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.policies import StageConfiguration

RESIZED_WITHIN_S = 30.0
"""How long a pod may wait for the cores that were asked for it, before a rollout looks for another node."""

INFEASIBLE = "Infeasible"
"""The kubelet's reason where its node can never grant a resize; it defers one that may have to wait."""

NO_SUCH_API = "the server cannot resize pods (Kubernetes can since 1.33)"


class Resizing:
    """Remembers why the cores of stages cannot be changed in place: for the server as a whole, and for what a stage
    wants now. `clock`: a monotonic one [s]."""

    def __init__(self, api: Api, deployed: Deployed, clock: Callable[[], float]) -> None:
        self._api = api
        self._clock = clock
        self._is_wanted = deployed.plane.resize == "in_place"
        self._is_possible: bool | None = None  # once the server has been asked
        # By stage and lane: variant and cores, and why not in place; pods that wait for their cores, and since when.
        self._why: dict[tuple[str, int], tuple[tuple[str, int], str]] = {}
        self._since_s: dict[tuple[str, int], dict[str, float]] = {}

    def by_rollout(self, stage: str, wanted: StageConfiguration, state: StageState | None, lane: int = 0) -> str:
        """Why the wanted cores cannot be had in place; empty if they can, or are not to be. Raises ApiError."""
        if not self._is_wanted or state is None:
            return ""
        if self._is_possible is None:
            self._is_possible = self._api.can_resize()
        if not self._is_possible:
            return NO_SUCH_API
        if (state.variant, state.cores) == (wanted.variant, wanted.cores):
            return ""  # a rollout would change nothing, or is under way
        of, why = self._why.get((stage, lane), (None, ""))
        if of == (wanted.variant, wanted.cores):
            return why
        self._why.pop((stage, lane), None)
        why = self._ungranted((stage, lane), wanted, state)
        if why:
            self._why[stage, lane] = (wanted.variant, wanted.cores), why
        return why

    def refused(self, action: ResizePod, error: ApiError) -> None:
        """The server has refused a resize: a rollout follows. Raises `error` if the next try may succeed."""
        if error.is_transient or error.status in (404, 409):
            raise error
        self._why[action.stage, action.lane] = (action.variant, action.cores), error.text

    def _ungranted(self, at: tuple[str, int], wanted: StageConfiguration, state: StageState) -> str:
        """Why a pod does not get the wanted cores where it is, or not for too long."""
        waiting = [pod for pod in state.resizable(wanted.variant) if pod.asked_cores == wanted.cores != pod.cores]
        before, now_s = self._since_s.get(at, {}), self._clock()
        self._since_s[at] = {pod.uid: before.get(pod.uid, now_s) for pod in waiting}
        for pod in waiting:
            is_late = now_s - self._since_s[at][pod.uid] > RESIZED_WITHIN_S
            if is_late or pod.unresized.startswith(INFEASIBLE):
                return f"{pod.name}: {pod.unresized or f'it still has {pod.cores} cores'}"
        return ""
