"""One look at the cluster: read everything, compare it with what is wanted, and do what is left to do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names, reader
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.deployments import has_available
from ipa.live.kubernetes.lanes import Parts, targets
from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.manifests import LAYOUT, PIPELINE
from ipa.live.kubernetes.obstacles import NOTHING
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed, Layout
from ipa.live.kubernetes.stage_state import StageState
from ipa.live.kubernetes.writer import Aim, Found, Work, Writer
from ipa.policies import Configuration

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""The pause after a failed look: it doubles each time, times a random factor between a half and one."""
STALE_READS = 3
"""How often one look reads what changes between its reading and its writing; after that it has failed."""


class Reconciler:
    """Brings one deployed pipeline to a configuration, look by look.

    All it remembers is its pause, what its `writer` does, and whether the pipeline's root has once been as it should
    be. If it differs after that, somebody else has redeployed the pipeline, and that is not undone. `has_stood`: this
    holds from the beginning. `clock`: a monotonic one [s].
    """

    def __init__(
        self, api: Api, deployed: Deployed, has_stood: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._deployed = deployed
        self.pause_s = 0.0
        """How long to wait after a failed look; 0 after one that succeeded."""
        self._has_stood = has_stood
        self._writer = Writer(api, deployed, clock)

    def look(
        self,
        wanted: Configuration,
        pods: Sequence[Pod],
        failed: Mapping[str, Mapping[str, float]] | None = None,
        may_write: Callable[[], bool] = lambda: True,
        lanes: Mapping[str, Parts] | None = None,
    ) -> Look:
        """Read, compare, and act on the difference, stage by stage. `failed`: stage -> the variants to remember as
        failed, with when. `lanes`: stage -> what the gateway says is in force (see `lanes.targets`).

        `may_write` is asked before each write: requests take time, and a Lease may run out meanwhile. Where something
        has changed between reading and writing, all is read and compared again at once, as the cluster's own
        controllers write too.
        """
        done: tuple[str, ...] = ()
        for _ in range(STALE_READS):
            look, is_stale = self._look(wanted, pods, failed or {}, may_write, lanes)
            done += look.done
            if not is_stale:
                break
        self._pause(bool(look.error))
        return replace(look, done=done)

    def _look(
        self,
        wanted: Configuration,
        pods: Sequence[Pod],
        failed: Mapping[str, Mapping[str, float]],
        may_write: Callable[[], bool],
        lanes: Mapping[str, Parts] | None,
    ) -> tuple[Look, bool]:
        """One look, and whether something had changed between its reading and its writing."""
        api, deployed = self._api, self._deployed
        try:
            root = api.get("ConfigMap", deployed.namespace, deployed.instance)
            if root is None:
                return Look(is_down=True), False
            is_as_said = self._is_as_said(root["data"])
            if self._has_stood and not is_as_said:
                return Look(is_changed=True), False
            self._has_stood = is_as_said
            stages = reader.stages(api, deployed, pods)
            gateway = api.get("Deployment", deployed.namespace, deployed.gateway_name)
            at_gateway = reader.gateway(api, deployed, gateway)
        except ApiError as error:
            if error.is_transient or error.status in (404, 409):
                return Look(error=str(error), has_read=False), False
            return Look(stopped={deployed.instance: str(error)}), False
        is_held = (root["metadata"].get("annotations") or {}).get(names.HOLD) == "true"
        aims = targets(deployed.plane.pipeline, wanted, stages, lanes)
        work = Work()
        if not (is_held or api.read_only):
            work = self._writer.work(Found(root, stages, gateway), Aim(wanted, aims, failed), may_write)
        # What is not yet as it should be is judged by the next look.
        settled = {stage: each for stage, each in stages.items() if work.is_settled(stage)}
        problems = {stage: lane.obstacle for stage, each in settled.items() if (lane := each.troubled) is not None}
        is_judged = at_gateway is not None and work.is_settled(deployed.gateway_name)
        problem, delay = _of_gateway(at_gateway if is_judged else None)
        look = Look(
            stages,
            has_available(gateway),
            has_available(gateway) and at_gateway is not None and at_gateway.is_complete,
            tuple(work.done),
            failed={stage: each.problem for stage, each in problems.items() if not each.is_out_of_room},
            out_of_room={stage: each.problem for stage, each in problems.items() if each.is_out_of_room},
            delays={stage: each.any_delay for stage, each in settled.items() if each.any_delay},
            gateway_problem=problem,
            gateway_delay=delay,
            is_held=is_held,
            stopped=work.stopped,
            foreign=self._writer.foreign(aims),
            error=work.error,
            judged=frozenset(work.judged),
        )
        return look, work.is_stale

    def _pause(self, has_failed: bool) -> None:
        longer_s = min(max(2.0 * self.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
        self.pause_s = longer_s if has_failed else 0.0

    def _is_as_said(self, data: Mapping[str, str]) -> bool:
        """Whether the root describes this pipeline, if only in the words of another version."""
        try:
            layout = Layout.from_text(data.get(LAYOUT, "{}"))
        except LiveError:
            return False
        return (data.get(PIPELINE), layout) == (self._deployed.pipeline_file, self._deployed.layout)


def _of_gateway(state: StageState | None) -> tuple[str, str]:
    """What keeps the gateway from coming, and what does so and may pass, as lack of room may."""
    found = NOTHING if state is None else state.obstacle
    return ("", found.problem) if found.is_out_of_room else (found.problem, found.delay)
