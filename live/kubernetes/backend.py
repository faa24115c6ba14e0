"""The backend whose replicas are pods: how it is opened, started and closed, what it observes, what it is told.

`apply` says what is wanted: the gateway's queues take batch sizes and timeouts over at once. The reconcile loop brings
the cluster there (`converging`).
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from ipa.live.errors import RunError
from ipa.live.kubernetes import permissions, reader, standing, troubles
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.converging import ConvergingBackend
from ipa.live.kubernetes.lanes import Parts, in_force
from ipa.live.kubernetes.pace import moves_pods
from ipa.live.kubernetes.reach import until_reached
from ipa.live.kubernetes.readiness import Readiness, longest_s
from ipa.live.kubernetes.timeline import PodReplicas
from ipa.live.plane import LOAD
from ipa.policies import Applied, Configuration, Observation, StageConfiguration

REMEMBERED_FOR_S = 600.0
"""How long a controller without an end remembers replicas that are gone."""
READ_WITHIN_S = 60.0
"""How long the first list of pods may take to come."""


class KubernetesBackend(ConvergingBackend):
    """A pipeline that has been deployed: opened, observed, told what is decided, and left as it stands."""

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Bring the pipeline to `initial` and wait until that is ready, with nothing else left.

        One that adopts waits until nobody else may change the pipeline and takes over what the cluster says is wanted;
        `initial` then fills in stages about which it says nothing. Raises RunError, with the reason, if the pipeline
        does not become ready.
        """
        await self._open_launcher((LOAD,))
        await self._threads.call(permissions.check, self._api, self.deployed, self._is_inside)
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

    async def _standing(self, initial: Configuration) -> Configuration:
        try:
            return await self._threads.call(standing.standing, self._api, self.deployed, initial)
        except ApiError as error:
            raise RunError(str(error)) from None

    async def _find_lanes(self, wanted: Configuration) -> None:
        """Take over, until the gateway is asked, what the Deployments say is in force in the lanes."""
        try:
            states = await self._threads.call(reader.stages, self._api, self.deployed)
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
            return f"held: {troubles.held(self.deployed)}"
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


def _variants(wanted: StageConfiguration) -> set[str]:
    return {part.variant for part in wanted.parts}
