"""The backend whose replicas are pods.

`apply` says what is wanted: the gateway's queues take batch sizes and timeouts over at once. One task, the reconcile
loop, brings the cluster to it, a look at a time (`reconciler`); a watch of the pods wakes it and keeps the replicas'
timeline. Nothing is kept here that could not be read again: a controller that is started anew goes on.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from live.backend import LiveBackend
from live.errors import RunError
from live.gateway_client import RefusedError
from live.kubernetes.api import Api
from live.kubernetes.gateway import ClusterGateway
from live.kubernetes.guards import Guards, moves_pods
from live.kubernetes.lease import Lease
from live.kubernetes.pods import Pod
from live.kubernetes.reach import until_reached
from live.kubernetes.reconcile import StageState
from live.kubernetes.reconciler import Look, Reconciler
from live.kubernetes.settings import Deployed
from live.kubernetes.timeline import EXCLUDED_FOR_S, PodReplicas, Timeline
from live.kubernetes.watch import PodWatch
from live.plane import LOAD
from policies import Applied, Configuration, Observation

LOOKED_AT_EVERY_S = 2.0
"""The reconcile loop looks at everything this often even if nothing has happened."""
BETWEEN_LOOKS_S = 0.2
"""The least time between two looks, however much happens."""
STOPPED_LOOKED_AT_EVERY_S = 5.0
ROOM_BELIEVED_FOR_S = 120.0
"""For how long a refusal for want of room bounds the cores; then it is tried again."""
STANDS_WITHIN_S = 600.0
"""How long the first configuration may take to stand ready, beyond the deadlines of its variants."""
REMEMBERED_FOR_S = 600.0
"""How long a controller whose run has no end remembers replicas that are gone."""
READ_WITHIN_S = 60.0
"""How long the first list of pods may take to come, and for one who only reads, the gateway."""

log = logging.getLogger("live.kubernetes.backend")


class KubernetesBackend(LiveBackend):
    """A pipeline that has been deployed; the cluster does rule 5.

    A read-only `api` makes it see all and change nothing. With `adopts_clock` the run's
    clock is the gateway's, which goes on; without, t = 0 is set. `lease` None: nobody else writes.
    """

    client: ClusterGateway

    def __init__(
        self,
        deployed: Deployed,
        api: Api,
        folder: Path,
        history_rps: tuple[float, ...],
        url: str,
        guards: Guards | None = None,
        lease: Lease | None = None,
        adopts_clock: bool = False,
    ) -> None:
        super().__init__(deployed.plane, folder, history_rps)
        self.stages: dict[str, PodReplicas] = {}
        self.deployed = deployed
        self.url = url
        self._api = api
        self._guards = guards or Guards()
        self._lease = lease
        self._adopts_clock = adopts_clock or api.read_only
        self._reconciler = Reconciler(api, deployed)
        self._pods: dict[str, Pod] = {}
        self._is_listed = asyncio.Event()
        self._timeline = Timeline(self.stages)
        self._watch = PodWatch(api, deployed.namespace, deployed.instance, self._watched)
        self._look_now = Look()
        self._room: tuple[int, float] | None = None  # cores, and until when that is believed
        self._step_of: dict[str, int] = {}  # stage -> the step that decided its present variant
        self._failed_at: dict[str, dict[str, float]] = {}  # stage -> variant -> Unix time, new since the last look
        self._epoch: str | None = None
        self._gateways_origin_s: float | None = None
        self.client = ClusterGateway(api, deployed, self._timeline)

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Bring the pipeline to `initial` and wait until it stands ready, with nothing else left.

        Raises RunError where it does not come to that, with the reason.
        """
        await self._open_launcher((LOAD,))
        if self._lease is not None:
            await self._until_ours(self._lease)
        for stage in self.plane.pipeline.stages:
            wanted = initial[stage.name]
            self.stages[stage.name] = PodReplicas(stage.name, wanted, self.plane.max_surge, self.plane.max_unavailable)
            self.configured[stage.name] = [(0.0, wanted.batch)]
        self._watch.start()
        async with asyncio.timeout(READ_WITHIN_S):
            await self._is_listed.wait()
        self.spawn(self._converge())
        if self._api.read_only:
            await self._until_gateway_is_ready()
        else:
            await self._until_stands(initial)
        if self.url:
            await until_reached(self.url)

    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`, or take over the gateway's clock."""
        if self._adopts_clock:
            await self._adopt_clock()
        else:
            reading = await self.client.clock()
            self._origin_s = origin_s
            self._gateways_origin_s = origin_s + reading.offset_s
            await self.client.start(self._gateways_origin_s)
            self._epoch = (await self.client.observation(0.0, 0))["epoch"]
            self._timeline.restart()
        self._wake.set()

    async def _adopt_clock(self) -> None:
        """The run's time is the gateway's."""
        asked_s = time.monotonic()
        said = await self.client.observation(0.0, 0)
        self._origin_s = (asked_s + time.monotonic()) / 2 - said["time_s"]
        self._observed_s, self._epoch = said["time_s"], said["epoch"]

    async def close(self) -> None:
        """End the processes of this machine; the pipeline stays as it is (`ipa live down` takes it away)."""
        self._watch.stop()
        await super().close()
        if self._lease is not None:
            await asyncio.to_thread(self._lease.release)

    async def _until_ours(self, lease: Lease) -> None:
        """Wait until no other controller writes, and keep it so."""
        said = False
        while not await self._acquire(lease):
            if not said:
                log.warning("waiting for another controller", extra={"holder": lease.holder})
                said = True
            await asyncio.sleep(lease.retry_s)
        self.spawn(self._keep(lease))

    async def _keep(self, lease: Lease) -> None:
        while True:
            await asyncio.sleep(lease.retry_s)
            if not await self._acquire(lease) and lease.is_lost:
                self.fail(f"another controller has taken over: {lease.holder}")
                return

    async def _acquire(self, lease: Lease) -> bool:
        lease.report = json.dumps({"step": self._step, "troubles": self.troubles()})
        return await asyncio.to_thread(lease.acquire)

    async def _until_stands(self, initial: Configuration) -> None:
        slowest_s = max(
            self.plane.pipeline.stage(name).variant(wanted.variant).start_up_s * wanted.replicas
            for name, wanted in initial.items()
        )
        until_s = time.monotonic() + STANDS_WITHIN_S + slowest_s
        is_configured = False
        while True:
            look = self._look_now
            is_configured = is_configured or await self._gateway_takes(initial)
            if self.failed.done():
                self.failed.result()
            if is_configured and look.is_complete(initial) and self._is_alone(initial):
                return
            if look.failed or look.stopped or time.monotonic() > until_s:
                raise RunError(f"the first configuration does not come to stand: {_why(look)}")
            await asyncio.sleep(BETWEEN_LOOKS_S)

    async def _until_gateway_is_ready(self) -> None:
        """Wait for what there is to observe, which may have been deployed with this controller."""
        until_s = time.monotonic() + READ_WITHIN_S
        while not self._look_now.is_gateway_ready:
            if self.failed.done():
                self.failed.result()
            if time.monotonic() > until_s:
                raise RunError(f"the gateway does not become ready: {_why(self._look_now)}")
            await asyncio.sleep(BETWEEN_LOOKS_S)

    async def _gateway_takes(self, initial: Configuration) -> bool:
        try:
            await self.client.configure(initial)
        except RunError:
            return False
        except RefusedError as refusal:
            raise RunError(f"the gateway refused the first configuration: {refusal}") from None
        return True

    def _is_alone(self, initial: Configuration) -> bool:
        """Whether the pods are the wanted ones and no others, not even some that are ending."""
        serving = [pod.stage for pod in self._pods.values() if pod.is_serving]
        wanted = sum(each.replicas for each in initial.values())
        return len(serving) == wanted == len(self._pods)

    # ---- the seam ----

    async def _apply(self, configuration: Configuration) -> Applied:
        if self._api.read_only:
            return Applied(False, "advise: nothing is changed")
        moves, before = self._moves(configuration), self.wanted
        applied = await super()._apply(configuration)
        if applied.accepted:
            self._guards.note(moves)
            changed = [name for name, each in configuration.items() if each.variant != before[name].variant]
            self._step_of |= dict.fromkeys(changed, self._step)
        return applied

    def _refusal(self, configuration: Configuration) -> str:
        if self._look_now.is_held:
            return f"held: {self._held()}"
        if self._look_now.stopped:
            return f"stopped: {self._look_now.stopped}"
        for name, wanted in configuration.items():
            stage = self.stages[name]
            if wanted.variant in stage.failed_variants and wanted.variant != stage.configuration.variant:
                return f"{name}: variant {wanted.variant} has failed to start and is left out for now"
        return self._guards.refusal(self._moves(configuration))

    def _moves(self, configuration: Configuration) -> int:
        """For how many stages a configuration changes pods."""
        return sum(moves_pods(self.stages[name].configuration, each) for name, each in configuration.items())

    async def _observe(self) -> Observation:
        now_s = self.now_s
        for stage in self.stages.values():
            stage.forgive(now_s)
        if self._adopts_clock:
            self._timeline.forget(now_s - REMEMBERED_FOR_S)
        observation = await super()._observe()
        if self._room is None:
            return observation
        limit_cores = min(self._room[0], observation.limit_cores or self._room[0])
        return replace(observation, limit_cores=limit_cores)

    # ---- the reconcile loop ----

    async def _look(self) -> float:
        """One look at everything, and what follows from it; in how many seconds to look again at the latest."""
        if self._lease is not None and not self._lease.is_held:
            return LOOKED_AT_EVERY_S
        failed = {name: {**self._remembered(name), **fresh} for name, fresh in self._failed_at.items()}
        look = await asyncio.to_thread(self._reconciler.look, self.wanted, list(self._pods.values()), failed)
        self._failed_at = {} if look.done and not look.error else self._failed_at
        for what in look.done:
            log.info("changed", extra={"what": what})
        if look.is_down:
            self.fail(f"{self.deployed.instance} is not there (any more): ipa live up")
        if look.is_changed:
            self.fail(
                f"{self.deployed.instance} has been deployed anew, with another layout or pipeline file: start again"
            )
        if look.stopped and look.stopped != self._look_now.stopped:
            log.error("stopped", extra={"problem": look.stopped})
        self._look_now = look
        self._take_in(look.stages)
        self.look_failures += bool(look.error)
        self._note_room(look)
        for name, why in look.failed.items():
            await self._roll_back(name, why, look.stages[name])
        await self._restore_gateway()
        await asyncio.sleep(BETWEEN_LOOKS_S)
        if look.stopped:
            return STOPPED_LOOKED_AT_EVERY_S
        return self._reconciler.pause_s or (BETWEEN_LOOKS_S if look.done else LOOKED_AT_EVERY_S)

    def _remembered(self, name: str) -> Mapping[str, float]:
        state = self._look_now.stages.get(name)
        return {} if state is None else state.failed

    def _take_in(self, stages: Mapping[str, StageState]) -> None:
        """Variants that an earlier controller found failing are left out by this one too."""
        for name, state in stages.items():
            for variant, at_s in state.failed.items():
                left_s = at_s + EXCLUDED_FOR_S - self._api.time_s()
                if left_s > 0.0:
                    self.stages[name].excluded.setdefault(variant, self.now_s + left_s)

    def _note_room(self, look: Look) -> None:
        """What has found room bounds the cores for a while, or until more has. The pods are those that the look saw."""
        pods = [pod for state in look.stages.values() for pod in state.pods]
        placed = sum(pod.cores for pod in pods if pod.is_scheduled and pod.removed_s is None)
        if look.out_of_room:
            self._room = (max(placed, len(self.stages)), self.now_s + ROOM_BELIEVED_FOR_S)
        elif self._room is not None and (placed > self._room[0] or self.now_s > self._room[1]):
            self._room = None

    async def _roll_back(self, name: str, why: str, state: StageState) -> None:
        """Back to what stood before, and leave the variant out for a while."""
        stage = self.stages[name]
        variant = stage.configuration.variant
        if state.sound is None or state.sound.variant == variant or not self._pods:
            return  # there is nothing to go back to; the look says what is wrong
        stage.excluded[variant] = self.now_s + EXCLUDED_FOR_S
        self._failed_at.setdefault(name, {})[variant] = self._api.time_s()
        self.rollbacks[name, variant] += 1
        for step in range(self._step_of.get(name, self._step), self._step + 1):  # it was chosen, and kept since
            self.on_failed(step, f"{name}: rolled back to {state.sound.variant}: {why}")
        log.error("rolled back", extra={"stage": name, "variant": variant, "problem": why})
        stage.configuration = state.sound
        before_s = self.now_s
        try:
            await self.client.configure(self.wanted)
        except (RunError, RefusedError) as error:
            log.warning("the gateway keeps its configuration", extra={"problem": str(error)})
        else:
            self._note_batch(name, state.sound.batch, before_s)
        self._wake.set()

    async def _restore_gateway(self) -> None:
        """A gateway that has been started anew gets its clock and configuration again."""
        if self._epoch is None or self._api.read_only:
            return
        try:
            epoch = (await self.client.observation(0.0, 0))["epoch"]
            if epoch == self._epoch:
                return
            log.warning("the gateway has been started anew")
            await self.client.configure(self.wanted)
            if self._gateways_origin_s is None:
                await self._adopt_clock()
            else:
                await self.client.start(self._gateways_origin_s)
            self._epoch = epoch
        except (RunError, RefusedError):
            return  # the next look tries again

    # ---- what a person should know ----

    def troubles(self) -> dict[str, str]:
        look, lease = self._look_now, self._lease
        found = super().troubles()
        if lease is not None and not lease.is_held:
            is_anothers = lease.holder not in ("", lease.identity)
            found["no_lease"] = f"held by {lease.holder}" if is_anothers else "not renewed in time"
        if look.error or self._watch.error:
            found["no_api"] = look.error or self._watch.error
        if look.lacks_gateway:
            found["no_gateway"] = f"no pod of {self.deployed.gateway_name} is ready"
        if look.is_held:
            found["held"] = self._held()
        if look.stopped:
            found["stopped"] = look.stopped
        if self._room is not None:
            why = "; ".join(f"{stage}: {why}" for stage, why in look.out_of_room.items())
            found["no_room"] = why or f"found for {self._room[0]} cores; more are tried again"
        failing = [f"{stage}: {why}" for stage, why in look.failed.items()]
        left_out = [
            f"{each.stage}: {', '.join(names)}" for each in self.stages.values() if (names := each.failed_variants)
        ]
        if failing or left_out:
            found["failed_variant"] = "; ".join([*failing, *(f"left out: {each}" for each in left_out)])
        return found

    def _held(self) -> str:
        return f"the annotation ipa/hold of ConfigMap {self.deployed.instance} is true"

    # ---- the watch ----

    def _watched(self, pods: Mapping[str, Pod], is_fresh: bool) -> None:
        """In the watch's thread."""
        self._loop.call_soon_threadsafe(self._note_pods, dict(pods), is_fresh, time.monotonic())

    def _note_pods(self, pods: dict[str, Pod], is_fresh: bool, seen_s: float) -> None:
        late_s = time.monotonic() - seen_s
        self._timeline.note(pods, is_fresh, self.now_s - late_s, self._api.time_s() - late_s)
        self._pods = pods
        self._is_listed.set()
        self._wake.set()


def _why(look: Look) -> str:
    """What a person should know of a look that did not come to its end."""
    found = [*look.failed.items(), *look.out_of_room.items()]
    said = "; ".join(f"{stage}: {why}" for stage, why in found)
    return look.stopped or said or look.error or "its pods are not all ready yet"
