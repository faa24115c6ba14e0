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
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ipa.live.backend import LiveBackend
from ipa.live.errors import RunError
from ipa.live.gateway_client import RefusedError
from ipa.live.kubernetes import deploy
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.gateway import ClusterGateway
from ipa.live.kubernetes.guards import Guards, moves_pods
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.reach import until_reached
from ipa.live.kubernetes.reconcile import StageState
from ipa.live.kubernetes.reconciler import Look, Reconciler
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.timeline import EXCLUDED_FOR_S, PodReplicas, Timeline, left_out
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.plane import LOAD
from ipa.policies import Applied, Configuration, Observation

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

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger("ipa.live.kubernetes.backend")


class KubernetesBackend(LiveBackend):
    """A pipeline that has been deployed; the cluster does rule 5.

    A read-only `api` makes it see all and change nothing. With `adopts` it goes on with what stands, as it stands: it
    begins with the configuration that the cluster says is wanted, whole or not, and the run's clock is the gateway's;
    without, the first configuration is to stand ready, and t = 0 is set. `lease` None: nobody else writes.
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
        adopts: bool = False,
    ) -> None:
        super().__init__(deployed.plane, folder, history_rps)
        self.stages: dict[str, PodReplicas] = {}
        self.deployed = deployed
        self.url = url
        self._api = api
        self._guards = guards or Guards()
        self._lease = lease
        self._adopts = adopts or api.read_only
        self._reconciler = Reconciler(api, deployed, has_stood=self._adopts)
        self._pods: dict[str, Pod] = {}
        self._is_listed = asyncio.Event()
        self._timeline = Timeline(self.stages)
        self._watch = PodWatch(api, deployed.namespace, deployed.instance, self._watched)
        self._look_now = Look()
        self._room: tuple[int, float] | None = None  # cores, and until when that is believed
        self._step_of: dict[str, int] = {}  # stage -> the step that decided its present variant
        self._failed_at: dict[str, dict[str, float]] = {}  # stage -> variant -> Unix time, new since the last look
        self._has_started = self._is_closing = False
        self._changing = asyncio.Lock()  # held while what is wanted, or the gateway's configuration, changes
        self._begun: set[asyncio.Future[Any]] = set()  # calls in threads, which go on when their task is cancelled
        self.client = ClusterGateway(api, deployed, self._timeline, lambda: self.now_s)

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Bring the pipeline to `initial` and wait until it stands ready, with nothing else left.

        One that adopts takes what the cluster says is wanted once nobody else may change it, and goes on from there
        (`initial`: of stages of which it says nothing). Raises RunError where it does not come to that, with why.
        """
        await self._open_launcher((LOAD,))
        if self._lease is not None:
            await self._until_ours(self._lease)
        if self._adopts:
            initial = await self._standing(initial)
        for stage in self.plane.pipeline.stages:
            wanted = initial[stage.name]
            self.stages[stage.name] = PodReplicas(stage.name, wanted, self.plane.max_surge, self.plane.max_unavailable)
            self.configured[stage.name] = [(0.0, wanted.batch)]
        self._watch.start()
        async with asyncio.timeout(READ_WITHIN_S):
            await self._is_listed.wait()
        self.spawn(self._converge())
        await self._until(initial)
        if self.url:
            await until_reached(self.url)

    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`, or take over the gateway's clock."""
        if self._adopts:
            asked_s = time.monotonic()
            self._observed_s = await self.client.join()
            self._origin_s = (asked_s + time.monotonic()) / 2 - self._observed_s
        else:
            reading = await self.client.clock()
            self._origin_s = origin_s
            await self.client.start(origin_s + reading.offset_s)
            await self.client.join()
            self._timeline.restart()
        self._has_started = True
        self._wake.set()

    async def close(self) -> None:
        """End the processes of this machine; the pipeline stays as it is (`ipa live down` takes it away)."""
        self._is_closing = True
        self._watch.stop()
        await super().close()
        await asyncio.gather(*self._begun, return_exceptions=True)
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
        return await self._in_thread(lease.acquire)

    async def _in_thread(self, call: Callable[P, T], *given: P.args, **named: P.kwargs) -> T:
        """Call in a thread. What has begun is waited for by `close`, before another may write."""
        begun = asyncio.ensure_future(asyncio.to_thread(call, *given, **named))
        self._begun.add(begun)
        begun.add_done_callback(self._begun.discard)
        return await asyncio.shield(begun)

    def _may_write(self) -> bool:
        """Whether it may be written now that a Lease may have run out, or the run may have ended; from any thread."""
        is_ours = self._lease is None or self._lease.is_held
        return is_ours and not (self._api.read_only or self._is_closing)

    async def _standing(self, initial: Configuration) -> Configuration:
        try:
            return await self._in_thread(deploy.standing, self._api, self.deployed, initial)
        except ApiError as error:
            raise RunError(str(error)) from None

    async def _until(self, initial: Configuration) -> None:
        """Wait until there is what it takes to begin: all that is wanted, or where that is adopted, a gateway."""
        slowest_s = max(
            self.plane.pipeline.stage(name).variant(wanted.variant).start_up_s * wanted.replicas
            for name, wanted in initial.items()
        )
        until_s = time.monotonic() + STANDS_WITHIN_S + slowest_s
        is_configured = False
        while True:
            look = self._look_now
            if self.failed.done():
                self.failed.result()
            if self._adopts and look.is_gateway_there:
                return
            if not self._adopts:
                is_configured = is_configured or await self._gateway_takes(initial)
                if is_configured and look.is_complete(initial) and self._is_alone(initial):
                    return
            is_hopeless = bool(look.failed or look.stopped) and not self._adopts
            if is_hopeless or time.monotonic() > until_s:
                what = "gateway" if self._adopts else "first configuration"
                raise RunError(f"the {what} does not come to stand: {_why(look)}")
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
        there = [pod for pod in self._pods.values() if not pod.is_over]
        wanted = sum(each.replicas for each in initial.values())
        return len(there) == wanted and all(pod.is_serving for pod in there)

    # ---- the seam ----

    async def _apply(self, configuration: Configuration) -> Applied:
        if self._api.read_only:
            return self._refused("advise: nothing is changed")
        async with self._changing:
            moves, before = self._moves(configuration), self.wanted
            applied = await super()._apply(configuration)
            if applied.accepted:
                self._guards.note(moves)
                changed = [name for name, each in configuration.items() if each.variant != before[name].variant]
                self._step_of |= dict.fromkeys(changed, self._step)
            return applied

    def _refusal(self, configuration: Configuration) -> str:
        if not self._may_write():
            return f"the Lease is {self._lease_trouble()}"
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
        if self._adopts:
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
        pods = list(self._pods.values())
        look = await self._in_thread(self._reconciler.look, self.wanted, pods, failed, self._may_write)
        if look.error:  # what a person has to end holds until it is seen to have ended
            look = replace(look, is_held=self._look_now.is_held, stopped=self._look_now.stopped)
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
        if self._may_write() and not look.is_held:
            for name, why in look.failed.items():
                await self._roll_back(name, why, look.stages[name])
            await self._keep_gateway()
        await asyncio.sleep(BETWEEN_LOOKS_S)
        if look.stopped:
            return STOPPED_LOOKED_AT_EVERY_S
        return self._reconciler.pause_s or (BETWEEN_LOOKS_S if look.done else LOOKED_AT_EVERY_S)

    def _remembered(self, name: str) -> Mapping[str, float]:
        state = self._look_now.stages.get(name)
        return {} if state is None else left_out(state.failed, self._api.time_s())

    def _take_in(self, stages: Mapping[str, StageState]) -> None:
        """Variants that an earlier controller found failing are left out by this one too.

        One who only reads takes over what others want.
        """
        wall_s = self._api.time_s()
        for name, state in stages.items():
            for variant, at_s in left_out(state.failed, wall_s).items():
                self.stages[name].excluded.setdefault(variant, self.now_s + at_s + EXCLUDED_FOR_S - wall_s)
            if self._api.read_only and state.wanted is not None:
                self.stages[name].configuration = state.wanted

    def _note_room(self, look: Look) -> None:
        """What has found room bounds the cores for a while, or until more has. The pods are those that the look saw."""
        pods = [pod for state in look.stages.values() for pod in state.pods]
        placed = sum(pod.cores for pod in pods if pod.is_scheduled and pod.removed_s is None and not pod.is_over)
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
        async with self._changing:
            stage.configuration = state.sound
        self._wake.set()

    async def _keep_gateway(self) -> None:
        """A gateway that has another configuration than is wanted gets that: it was started anew, or a variant has been
        rolled back, or an answer was lost."""
        if not self._has_started:
            return
        async with self._changing:
            before_s, wanted = self.now_s, self.wanted
            try:
                there = (await self.client.observation(before_s, 0))["configuration"]
                if there == {name: asdict(each) for name, each in wanted.items()}:
                    return
                log.warning("the gateway is configured anew")
                await self.client.configure(wanted)
            except (RunError, RefusedError) as error:  # the next look tries again
                log.warning("the gateway keeps its configuration", extra={"problem": str(error)})
                return
            for name, each in wanted.items():
                self._note_batch(name, each.batch, before_s)

    # ---- what a person should know ----

    def troubles(self) -> dict[str, str]:
        look, lease = self._look_now, self._lease
        found = super().troubles()
        if lease is not None and not lease.is_held:
            found["no_lease"] = self._lease_trouble()
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

    def _lease_trouble(self) -> str:
        holder, ours = (self._lease.holder, self._lease.identity) if self._lease else ("", "")
        return "not renewed in time" if holder in ("", ours) else f"held by {holder}"

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
