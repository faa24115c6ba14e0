"""The reconcile loop of a backend on a cluster.

One task brings the cluster to what is wanted, look by look (`looks`); a watch of the pods wakes it and keeps the
replicas' timeline. Nothing is kept here that could not be read again, so a controller that is restarted carries on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from math import inf
from pathlib import Path

from ipa.live.backend import LiveBackend, OnRollback
from ipa.live.kubernetes import looks, reader, troubles
from ipa.live.kubernetes.api import Api
from ipa.live.kubernetes.cluster_gateway import ClusterGateway
from ipa.live.kubernetes.control_ways import way_to
from ipa.live.kubernetes.failed_variants import FailedVariants, rollback
from ipa.live.kubernetes.gateway_keeper import GatewayKeeper
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.lease_keeper import LeaseKeeper
from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.looks import Looks
from ipa.live.kubernetes.pace import Pace
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.reconciler import Reconciler
from ipa.live.kubernetes.room import Room
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.live.kubernetes.threads import Threads
from ipa.live.kubernetes.timeline import PodReplicas, Timeline
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.monitoring import SourceMaker, from_gateway
from ipa.policies import Configuration

log = logging.getLogger("ipa.live.kubernetes.converging")


class ConvergingBackend(LiveBackend):
    """A pipeline that has been deployed, and what brings it to what is wanted; the cluster carries out rule 5.

    With a read-only `api` it sees everything and changes nothing. With `adopts` it takes over what is running, as is:
    it starts from the configuration that the cluster says is wanted, rolled out or not, and uses the gateway's clock.
    Without, it first brings the initial configuration up and sets t = 0. `lease` None: nobody else writes.
    `control_token_file` is for one inside the cluster (see `control_ways`).
    """

    client: ClusterGateway

    def __init__(
        self,
        deployed: Deployed,
        api: Api,
        folder: Path,
        history_rps: tuple[float, ...],
        url: str,
        pace: Pace | None = None,
        lease: Lease | None = None,
        adopts: bool = False,
        control_token_file: Path | None = None,
        source: SourceMaker = from_gateway,
        on_rollback: OnRollback = lambda *_: None,
    ) -> None:
        self.stages: dict[str, PodReplicas] = {}
        self._timeline = Timeline(self.stages)
        super().__init__(
            deployed.plane,
            folder,
            history_rps,
            lambda session: ClusterGateway(
                way_to(api, deployed, session, control_token_file), deployed, self._timeline, lambda: self.now_s
            ),
            source,
            on_rollback,
        )
        self.deployed = deployed
        self._is_inside = control_token_file is not None
        self.url = url
        self._api = api
        self._pace = pace or Pace()
        self._adopts = adopts or api.read_only
        self._threads = Threads()
        self._lease = LeaseKeeper(lease, self._threads, self._report)
        self._looks = Looks(Reconciler(api, deployed, has_stood=self._adopts), self._threads)
        self._gateway = GatewayKeeper(
            self.client, deployed.plane.pipeline, self.stages, self._states, self._follow_lanes, self._note_batch
        )
        self._room = Room(len(deployed.stages), deployed.layout.nodes_within_s)
        self._failures = FailedVariants(self.stages)
        self._pods: dict[str, Pod] = {}
        self._is_listed = asyncio.Event()
        self._watch = PodWatch(api, deployed.namespace, deployed.instance, self._watched)
        self._has_started = self._is_closing = False
        self._changing = asyncio.Lock()  # held while what is wanted, or the gateway's configuration, changes

    def _may_write(self) -> bool:
        """Whether writing is still allowed: the Lease may have run out, or the run ended. Called from any thread."""
        return self._lease.is_held and not (self._api.read_only or self._is_closing)

    # ---- the reconcile loop ----

    @property
    def _look_now(self) -> Look:
        return self._looks.latest

    async def _look(self) -> float:
        if not self._lease.is_held:
            return looks.LOOK_EVERY_S
        failed, wanted = self._failures.to_write(self._look_now.stages, self._api.time_s()), self.wanted
        look = await self._looks.take(wanted, list(self._pods.values()), failed, self._may_write, self._gateway.lanes)
        if look.done and not (look.error or look.stopped):
            self._failures.has_written()
        if look.is_down:
            self.fail(f"{self.deployed.instance} no longer exists; run ipa live up")
        if look.is_changed:
            self.fail(f"{self.deployed.instance} has been redeployed with another layout or pipeline file: start again")
        self._failures.take_over(look.stages, self.now_s, self._api.time_s())
        if self._api.read_only:
            self._follow(look.stages)
        self.look_failures += bool(look.error)
        self._room.note(look, self.now_s)
        if self._may_write() and not look.is_held:
            async with self._changing:
                for name, why in look.failed.items():
                    if self.stages[name].configuration == wanted[name]:  # what has been decided since may do
                        self._roll_back(name, why, look.stages[name])
                if self._has_started or self._gateway.is_laned:
                    await self._keep_gateway()
        is_closing = any(stage.is_closing for stage in self.stages.values())
        return min(await self._looks.rest(), looks.LOOK_EVERY_WHILE_CLOSING_S if is_closing else inf)

    def _follow(self, states: Mapping[str, StageState]) -> None:
        """Take over what others want, where this controller only reads."""
        for name, state in states.items():
            if state.wanted is not None:
                self.stages[name].configuration = state.wanted

    def _roll_back(self, name: str, why: str, state: StageState) -> None:
        """Go back to the configuration that stood before, and leave the variant out for a while."""
        stage = self.stages[name]
        found = rollback(state, stage.configuration)
        if found is None or not self._pods:
            return  # nothing to go back to; the look says what is wrong
        self._failures.add(name, found.variant, self.now_s, self._api.time_s())
        self.rollbacks[name, found.variant] += 1
        for step in self._failures.steps_undone(name, self._step):
            self._on_rollback(step, f"{name}: rolled back to {found.back_to.variants}: {why}")
        log.error("rolled back", extra={"stage": name, "variant": found.variant, "problem": why})
        stage.configuration = found.back_to
        self._wake.set()

    async def _keep_gateway(self) -> None:
        if await self._gateway.keep(self.wanted, self.now_s, self._has_started):
            self._wake.set()

    async def _tell(self, wanted: Configuration) -> None:
        await self._gateway.tell(wanted, self.now_s)

    async def _states(self) -> dict[str, StageState]:
        """The stages as the server has them now, with their pods. Raises ApiError."""
        return await self._threads.call(reader.stages, self._api, self.deployed, list(self._pods.values()))

    # ---- what a person should know ----

    def troubles(self) -> dict[str, str]:
        """What keeps the controller from its work now: kind, of `TROUBLES` -> a sentence."""
        look = self._look_now
        found = {
            **super().troubles(),
            **troubles.seen_by_looks(look, self.deployed),
            "no_lease": "" if self._lease.is_held else self._lease.trouble,
            "no_api": look.error or self._watch.error,
            "no_replica": troubles.unserved(self._pods.values(), self.stages) if self._is_listed.is_set() else "",
            "no_room": self._room.trouble(look),
            "failed_variant": self._failures.trouble(look.failed),
        }
        return {kind: said for kind, said in found.items() if said}

    def _report(self) -> str:
        return json.dumps({"step": self._step, "troubles": self.troubles()})

    # ---- the watch ----

    def _watched(self, pods: Mapping[str, Pod], is_fresh: bool) -> None:
        """Called in the watch's thread."""
        self._loop.call_soon_threadsafe(self._note_pods, dict(pods), is_fresh, time.monotonic())

    def _note_pods(self, pods: dict[str, Pod], is_fresh: bool, seen_s: float) -> None:
        late_s = time.monotonic() - seen_s
        self._timeline.note(pods, is_fresh, self.now_s - late_s, self._api.time_s() - late_s)
        self._pods = pods
        self._is_listed.set()
        self._wake.set()
