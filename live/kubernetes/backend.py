"""The backend whose replicas are pods.

`apply` says what is wanted: the gateway's queues take batch sizes and timeouts over at once. One task, the reconcile
loop, brings the cluster there, look by look (`looks`); a watch of the pods wakes it and keeps the replicas' timeline.
Nothing is kept here that could not be read again, so a controller that is restarted carries on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any

from ipa.live.backend import LiveBackend, OnRollback
from ipa.live.control_way import RefusedError
from ipa.live.errors import RunError
from ipa.live.gateway_client import lanes_of
from ipa.live.kubernetes import deploy, looks
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.cluster_gateway import ClusterGateway
from ipa.live.kubernetes.control_ways import way_to
from ipa.live.kubernetes.failed_variants import FailedVariants, previous
from ipa.live.kubernetes.lanes import Parts, in_force, standing
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.lease_keeper import LeaseKeeper
from ipa.live.kubernetes.look import Look, said
from ipa.live.kubernetes.looks import Looks
from ipa.live.kubernetes.pace import Pace, moves_pods
from ipa.live.kubernetes.permissions import missing
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.reach import until_reached
from ipa.live.kubernetes.readiness import Readiness, longest_s
from ipa.live.kubernetes.reconciler import Reconciler
from ipa.live.kubernetes.room import Room
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState, part_of
from ipa.live.kubernetes.threads import Threads
from ipa.live.kubernetes.timeline import PodReplicas, Timeline
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.monitoring import SourceMaker, from_gateway
from ipa.live.plane import LOAD
from ipa.policies import Applied, Configuration, Observation, StageConfiguration, from_plain

REMEMBERED_FOR_S = 600.0
"""How long a controller without an end remembers replicas that are gone."""
READ_WITHIN_S = 60.0
"""How long the first list of pods may take to come."""

log = logging.getLogger("ipa.live.kubernetes.backend")


class KubernetesBackend(LiveBackend):
    """A pipeline that has been deployed; the cluster carries out rule 5.

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
        self._reconciler = Reconciler(api, deployed, has_stood=self._adopts)
        self._looks = Looks(self._reconciler, self._threads)
        self._room = Room(len(deployed.stages), deployed.layout.nodes_within_s)
        self._failures = FailedVariants(self.stages)
        self._pods: dict[str, Pod] = {}
        self._is_listed = asyncio.Event()
        self._watch = PodWatch(api, deployed.namespace, deployed.instance, self._watched)
        self._has_started = self._is_closing = False
        self._changing = asyncio.Lock()  # held while what is wanted, or the gateway's configuration, changes

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Bring the pipeline to `initial` and wait until that is ready, with nothing else left.

        One that adopts waits until nobody else may change the pipeline and takes over what the cluster says is wanted;
        `initial` then fills in stages about which it says nothing. Raises RunError, with the reason, if the pipeline
        does not become ready.
        """
        await self._open_launcher((LOAD,))
        await self._check_permissions()
        await self._lease.take()
        self.spawn(self._lease.keep(self.fail))
        if self._adopts:
            initial = await self._standing(initial)
        for stage in self.plane.pipeline.stages:
            wanted = initial[stage.name]
            self.stages[stage.name] = PodReplicas(stage.name, wanted, self.plane.max_surge, self.plane.max_unavailable)
            self.configured[stage.name] = [(0.0, wanted.batch)]
        await self._find_lanes(initial)
        self._watch.start()
        try:
            async with asyncio.timeout(READ_WITHIN_S):
                await self._is_listed.wait()
        except TimeoutError:
            raise RunError(f"the pods could not be listed within {READ_WITHIN_S:g} s: {self._watch.error}") from None
        self.spawn(self._converge())
        readiness = Readiness(self.client, self._tell, lambda: self._look_now, lambda: self._pods.values(), self.failed)
        within_s = longest_s(self.plane.pipeline, initial)
        if self._adopts:
            await readiness.until_gateway(within_s)
        else:
            await readiness.until_whole(initial, within_s)
        if self.url:
            await until_reached(self.url)

    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`, or take over the gateway's clock."""
        if self._adopts:
            asked_s = time.monotonic()
            there_s = await self.client.join()
            self._observer.begin_at(there_s)
            self._origin_s = (asked_s + time.monotonic()) / 2 - there_s
        else:
            reading = await self.client.clock()
            self._origin_s = origin_s
            await self.client.start(origin_s + reading.offset_s)
            await self.client.join()
            self._timeline.restart()
            for name, stage in self.stages.items():
                if stage.lanes is not None:
                    self._stand(name, stage.lanes)
        self._has_started = True
        self._wake.set()

    async def close(self) -> None:
        """End the processes on this machine. The pipeline stays as it is: `ipa live down` removes it."""
        self._is_closing = True
        self._watch.stop()
        await super().close()
        await self._threads.finish()  # before another may write
        await self._lease.release()

    async def _check_permissions(self) -> None:
        """Raise RunError, naming each, for permissions that this account lacks and cannot do without."""
        try:
            lacking = await self._threads.call(missing, self._api, self.deployed, self._is_inside)
        except ApiError as error:
            log.warning("what this account may do is not known", extra={"problem": str(error)})
            return
        for each in lacking:
            if each.is_optional:
                log.warning("not allowed, and can be done without", extra={"permission": str(each)})
        if vital := [str(each) for each in lacking if not each.is_optional]:
            raise RunError(
                f"this account may not, in namespace {self.deployed.namespace}: {'; '.join(vital)}. "
                "ipa live manifests --controller prints a Role that allows all that a controller needs"
            )

    async def _standing(self, initial: Configuration) -> Configuration:
        try:
            return await self._threads.call(deploy.standing, self._api, self.deployed, initial)
        except ApiError as error:
            raise RunError(str(error)) from None

    async def _find_lanes(self, wanted: Configuration) -> None:
        """Take over, until the gateway is asked, what the Deployments say is in force in the lanes."""
        try:
            states = await self._threads.call(self._reconciler.read, ())
        except ApiError:
            states = {}  # the first look reports it
        for name, configuration in wanted.items():
            parts = in_force(self.plane.pipeline.stage(name), configuration, states.get(name))
            if configuration.is_mix or set(parts) != {0}:
                self._stand(name, parts)

    def _stand(self, name: str, parts: Parts) -> None:
        """These parts are in force in a stage's lanes, and always have been."""
        self.stages[name].stand(parts)
        if 0 in parts:
            self.configured[name] = [(0.0, parts[0].batch)]

    def _may_write(self) -> bool:
        """Whether writing is still allowed: the Lease may have run out, or the run ended. Called from any thread."""
        return self._lease.is_held and not (self._api.read_only or self._is_closing)

    # ---- the seam ----

    async def _apply(self, configuration: Configuration) -> Applied:
        if self._api.read_only:
            return self._refused("advise: nothing is changed")
        async with self._changing:
            moves, before = self._moves(configuration), self.wanted
            applied = await super()._apply(configuration)
            if applied.accepted:
                self._pace.note(moves)
                changed = [name for name, each in configuration.items() if _variants(each) != _variants(before[name])]
                self._failures.decided(changed, self._step)
            return applied

    def _refusal(self, configuration: Configuration) -> str:
        if not self._may_write():
            return f"the Lease is {self._lease.trouble}"
        if self._look_now.is_held:
            return f"held: {self._held()}"
        stopped = self._look_now.refusal(self.wanted, configuration)
        if stopped:
            return f"stopped: {stopped}"
        return self._failures.refusal(configuration) or self._pace.refusal(self._moves(configuration))

    def _moves(self, configuration: Configuration) -> int:
        """For how many stages a configuration changes pods."""
        return sum(moves_pods(self.stages[name].configuration, each) for name, each in configuration.items())

    async def _observe(self) -> Observation:
        now_s = self.now_s
        for stage in self.stages.values():
            stage.forgive(now_s)
        if self._adopts:
            self._timeline.forget(now_s - REMEMBERED_FOR_S)
        observation = await super()._observe()
        return replace(observation, limit_cores=self._room.within(observation.limit_cores))

    # ---- the reconcile loop ----

    @property
    def _look_now(self) -> Look:
        return self._looks.latest

    async def _look(self) -> float:
        if not self._lease.is_held:
            return looks.LOOK_EVERY_S
        failed = self._failures.to_write(self._look_now.stages, self._api.time_s())
        look = await self._looks.take(self.wanted, list(self._pods.values()), failed, self._may_write, self._lanes)
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
            for name, why in look.failed.items():
                await self._roll_back(name, why, look.stages[name])
            await self._keep_gateway()
        is_closing = any(stage.is_closing for stage in self.stages.values())
        return min(await self._looks.rest(), looks.LOOK_EVERY_WHILE_CLOSING_S if is_closing else inf)

    @property
    def _lanes(self) -> dict[str, Parts]:
        """Stage -> what is in force in its lanes, as far as that is known: of a mix the gateway says so."""
        return {
            name: dict(stage.in_force)
            for name, stage in self.stages.items()
            if stage.lanes is not None or not stage.configuration.is_mix
        }

    def _follow(self, states: Mapping[str, StageState]) -> None:
        """Take over what others want, where this controller only reads."""
        for name, state in states.items():
            if state.wanted is not None:
                self.stages[name].configuration = state.wanted

    async def _roll_back(self, name: str, why: str, state: StageState) -> None:
        """Go back to the configuration that stood before, and leave the variant out for a while."""
        stage = self.stages[name]
        lane, variant = state.troubled, stage.configuration.variant
        if stage.is_laned and lane is not None:
            variant = lane.variant
            if part_of(stage.configuration, variant) is None:
                return  # it is wanted no more
        sound = previous(state, variant)
        if sound is None or not self._pods:
            return  # nothing to go back to; the look says what is wrong
        self._failures.add(name, variant, self.now_s, self._api.time_s())
        self.rollbacks[name, variant] += 1
        for step in self._failures.steps_undone(name, self._step):
            self._on_rollback(step, f"{name}: rolled back to {sound.variants}: {why}")
        log.error("rolled back", extra={"stage": name, "variant": variant, "problem": why})
        async with self._changing:
            stage.configuration = sound
        self._wake.set()

    async def _keep_gateway(self) -> None:
        """Configure a gateway whose configuration is not the wanted one: it has restarted, a variant has been rolled
        back, or an answer was lost. Of one that has it, learn what is in force in the lanes."""
        is_laned = any(stage.is_laned for stage in self.stages.values())
        if not (self._has_started or is_laned):
            return
        async with self._changing:
            before_s, wanted = self.now_s, self.wanted
            try:
                said = await self.client.observation(before_s, 0)
                is_told = _configuration(said["configuration"]) == wanted
                if is_told and is_laned and said["configured"]:
                    before = self._lanes
                    self._follow_lanes(lanes_of(said["lanes"]))
                    if self._lanes != before:
                        self._wake.set()
                if not self._has_started or (is_told and (not is_laned or said["configured"])):
                    return
                log.warning("the gateway is being reconfigured")
                await self._tell(wanted)
            except (RunError, RefusedError) as error:  # the next look tries again
                log.warning("the gateway keeps its configuration", extra={"problem": str(error)})
                return
            if is_laned:
                self._wake.set()  # to learn what is in force now
            for name, each in wanted.items():
                if not self.stages[name].is_laned:
                    self._note_batch(name, each.batch, before_s)

    async def _tell(self, wanted: Configuration) -> None:
        """Tell the gateway what is wanted; where variants are or were mixed, one that was started anew is first told
        what stood. Raises RunError, RefusedError."""
        if not any(each.is_mix or self.stages[name].is_laned for name, each in wanted.items()):
            await super()._tell(wanted)
            return
        there = await self.client.observation(self.now_s, 0)
        if not there["configured"]:
            try:
                states = await self._threads.call(self._reconciler.read, list(self._pods.values()))
            except ApiError as error:
                raise RunError(f"what stands on the cluster cannot be read: {error}") from None
            stages = self.plane.pipeline.by_name
            stood = {name: standing(stages[name], each, states.get(name)) for name, each in wanted.items()}
            try:
                await self.client.stand(stood, there["epoch"])
            except RefusedError as error:  # such as batches that a new pipeline file no longer has
                log.warning("the gateway is not told what stood", extra={"problem": str(error)})
        await self.client.configure(wanted, there["epoch"])

    # ---- what a person should know ----

    def troubles(self) -> dict[str, str]:
        """What keeps the controller from its work now: kind, of `TROUBLES` -> a sentence."""
        look = self._look_now
        found = {
            **super().troubles(),
            "no_lease": "" if self._lease.is_held else self._lease.trouble,
            "no_api": look.error or self._watch.error,
            "no_gateway": self._no_gateway(look) if look.lacks_gateway else "",
            "no_replica": said(self._unserved()),
            "held": self._held() if look.is_held else "",
            "stopped": said({name: why for name, why in look.stopped.items() if name not in look.foreign}),
            "foreign_scaler": said(look.foreign),
            "no_room": self._room.trouble(look),
            "failed_variant": self._failures.trouble(look.failed),
        }
        return {kind: said for kind, said in found.items() if said}

    def _no_gateway(self, look: Look) -> str:
        why = look.gateway_problem or look.gateway_delay
        return f"no pod of {self.deployed.gateway_name} is ready" + (f": {why}" if why else "")

    def _unserved(self) -> dict[str, str]:
        """Stages without a replica that is ready."""
        serving = {pod.stage for pod in self._pods.values() if pod.is_serving}
        there = {
            name: sum(pod.stage == name and not pod.is_over for pod in self._pods.values()) for name in self.stages
        }
        lacking = {
            name: f"none of its {count} replicas is ready" for name, count in there.items() if name not in serving
        }
        return lacking if self._is_listed.is_set() else {}

    def _held(self) -> str:
        return f"the annotation ipa/hold of ConfigMap {self.deployed.instance} is true"

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


def _configuration(said: Mapping[str, Mapping[str, Any]]) -> Configuration | None:
    """A configuration as a gateway says it; None if that cannot be read."""
    try:
        return {name: from_plain(each) for name, each in said.items()}
    except TypeError:
        return None


def _variants(wanted: StageConfiguration) -> set[str]:
    return {part.variant for part in wanted.parts}
