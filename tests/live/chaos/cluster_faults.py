"""The faults on a cluster, and what each does."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import ApiError
from tests.live.chaos.cluster import ClusterWorld, ControllerProcess
from tests.live.chaos.hostile import attack
from tests.live.chaos.loopback_faults import draw_attacks, draw_hours
from tests.live.chaos.pipeline import STAGES, draw_configuration
from tests.live.chaos.schedule import Fault, Kind
from tests.live.kubernetes.world import cordoned
from tests.live.world import is_alive

MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
FOREIGN = "somebody"
STANDS_BY_S = 2.0


def draw_refusals(drawn: random.Random) -> Mapping[str, Any]:
    """How the API server refuses, and how many writes."""
    return {"status": drawn.choice((409, 429, 500)), "times": drawn.randint(1, 6)}


def draw_stage(drawn: random.Random) -> Mapping[str, Any]:
    """A stage, and a number of replicas for it."""
    return {"stage": drawn.choice(STAGES), "replicas": drawn.choice((1, 4))}


def draw_delay(drawn: random.Random) -> Mapping[str, Any]:
    """A delay of each request."""
    return {"delay_s": round(drawn.uniform(0.1, 1.0), 3)}


KINDS = (
    Kind("reconfigure", "policy", 5, draw=draw_configuration),
    Kind("kill", "replica", 3, rests_s=STANDS_BY_S),
    Kind("kill", "gateway", rests_s=8.0),
    Kind("kill", "controller", 2, rests_s=STANDS_BY_S),
    Kind("pause", "controller", lasts_s=(1.0, 20.0)),
    Kind("refuse", "controller", 3, lasts_s=(1.0, 15.0), draw=draw_refusals),
    Kind("end_watches", "controller", 2),
    Kind("slow", "controller", lasts_s=(2.0, 8.0), draw=draw_delay),
    Kind("cut", "controller", lasts_s=(1.0, 15.0)),
    Kind("scale", "stage", 2, draw=draw_stage),
    Kind("own", "stage", lasts_s=(3.0, 10.0), draw=draw_stage),
    Kind("freeze", "stage", lasts_s=(3.0, 10.0), draw=draw_stage),
    Kind("hold", "all", lasts_s=(3.0, 8.0)),
    Kind("quota", "all", lasts_s=(5.0, 15.0)),
    Kind("attack", "gateway", 2, lasts_s=(0.5, 4.0), draw=draw_attacks),
    Kind("clock", "controller", draw=draw_hours),
)
ALONE = (*KINDS, Kind("cordon", "node", lasts_s=(3.0, 10.0)))
"""With those that no other user of the cluster could bear."""
EVERY_S = 3.0


class ClusterFaults:
    """Does to a world what a fault says; each method takes as long as its fault lasts."""

    def __init__(self, world: ClusterWorld) -> None:
        self._world = world
        self._attacks = 0

    async def do(self, fault: Fault) -> None:
        """One fault, from its beginning to its end."""
        await getattr(self, fault.kind)(fault)

    async def _ask(self, method: str, path: str, body: object = None, **options: Any) -> dict[str, Any]:
        return await self._world.call(self._world.api.request, method, self._world.path(path), body, **options)

    def _controller(self, fault: Fault) -> ControllerProcess:
        controllers = self._world.controllers
        return controllers[int(fault.parameters["pick"] * len(controllers))]

    def _deployment(self, fault: Fault) -> str:
        name = self._world.deployed.stage_name(fault.parameters["stage"])
        return f"/apis/apps/v1/namespaces/NS/deployments/{name}"

    async def reconfigure(self, fault: Fault) -> None:
        """The policy wants something else."""
        self._world.wanted.set(fault.parameters["wanted"])

    async def kill(self, fault: Fault) -> None:
        """SIGKILL, or a pod deleted without grace."""
        if fault.target == "controller":
            controller = self._controller(fault)
            if is_alive(controller.pid):
                controller.killed = "it was killed"
                with suppress(ProcessLookupError):
                    os.kill(controller.pid, signal.SIGKILL)
            return
        component = names.GATEWAY if fault.target == "gateway" else names.MODEL_SERVER
        selector = names.as_query(names.selector(self._world.deployed.instance, component))
        found = await self._world.call(self._world.api.list, "Pod", self._world.deployed.namespace, selector)
        pods = [each["metadata"]["name"] for each in found["items"] if "deletionTimestamp" not in each["metadata"]]
        if not pods:
            self._world.history.missed.append(fault.line())
            return
        if fault.target == "gateway":
            await self._world.gateway_goes()
        pod = sorted(pods)[int(fault.parameters["pick"] * len(pods))]
        with suppress(ApiError):
            await self._ask("DELETE", f"/api/v1/namespaces/NS/pods/{pod}", grace_period_seconds=0)

    async def pause(self, fault: Fault) -> None:
        """SIGSTOP, and SIGCONT: a controller that slept may have lost its Lease."""
        controller = self._controller(fault)
        pid, controller.troubled_s = controller.pid, time.monotonic() + fault.lasts_s
        if not is_alive(pid):
            self._world.history.missed.append(fault.line())
            return
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(fault.lasts_s)
            finally:
                os.kill(pid, signal.SIGCONT)

    # ---- a controller's way to the API server ----

    async def refuse(self, fault: Fault) -> None:
        """The next writes of a controller are refused, of those that come while the fault lasts."""
        controller = self._controller(fault)
        controller.troubled_s = time.monotonic() + fault.lasts_s
        for method in ("PATCH", "PUT"):
            controller.proxy.fail(method, "/apis/", fault.parameters["status"], fault.parameters["times"])
        await asyncio.sleep(fault.lasts_s)
        controller.proxy.recover()

    async def end_watches(self, fault: Fault) -> None:
        """Watches break off, and the version from which to go on has expired."""
        proxy = self._controller(fault).proxy
        proxy.fail("GET", "watch=", 410, times=1)
        proxy.drop_watches()

    async def slow(self, fault: Fault) -> None:
        """Each request takes longer."""
        controller = self._controller(fault)
        controller.troubled_s = time.monotonic() + fault.lasts_s
        controller.proxy.delay_s += fault.parameters["delay_s"]
        await asyncio.sleep(fault.lasts_s)
        controller.proxy.delay_s -= fault.parameters["delay_s"]

    async def cut(self, fault: Fault) -> None:
        """The API server is away, for one controller."""
        controller = self._controller(fault)
        controller.troubled_s = time.monotonic() + fault.lasts_s
        controller.proxy.is_away = True
        controller.proxy.drop_watches()
        await asyncio.sleep(fault.lasts_s)
        controller.proxy.is_away = False

    # ---- what others do ----

    async def scale(self, fault: Fault) -> None:
        """`kubectl scale`."""
        body = {"spec": {"replicas": fault.parameters["replicas"]}}
        with suppress(ApiError):
            await self._ask(
                "PATCH", f"{self._deployment(fault)}/scale", body, content_type=MERGE, field_manager="kubectl"
            )

    async def own(self, fault: Fault) -> None:
        """Another manager takes the replicas by force, and gives them up."""
        path = self._deployment(fault)
        name = path.rpartition("/")[2]
        about = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
        body = {**about, "spec": {"replicas": fault.parameters["replicas"]}}
        how: dict[str, Any] = {"content_type": APPLY, "field_manager": FOREIGN, "force_conflicts": True}
        with suppress(ApiError):
            await self._ask("PATCH", path, body, **how)
        await asyncio.sleep(fault.lasts_s)
        await self._insist("PATCH", path, about, **how)

    async def freeze(self, fault: Fault) -> None:
        """`kubectl rollout pause`, and `resume`."""
        path = self._deployment(fault)
        how: dict[str, Any] = {"content_type": MERGE, "field_manager": "kubectl-rollout"}
        with suppress(ApiError):
            await self._ask("PATCH", path, {"spec": {"paused": True}}, **how)
        await asyncio.sleep(fault.lasts_s)
        await self._insist("PATCH", path, {"spec": {"paused": None}}, **how)

    async def hold(self, fault: Fault) -> None:
        """The kill switch, on and off."""
        path = f"/api/v1/namespaces/NS/configmaps/{self._world.deployed.instance}"
        how: dict[str, Any] = {"content_type": MERGE, "field_manager": "kubectl-annotate"}
        with suppress(ApiError):
            await self._ask("PATCH", path, {"metadata": {"annotations": {names.HOLD: "true"}}}, **how)
        await asyncio.sleep(fault.lasts_s)
        await self._insist("PATCH", path, {"metadata": {"annotations": {names.HOLD: None}}}, **how)

    async def quota(self, fault: Fault) -> None:
        """No room for another pod."""
        name = f"few-{fault.at_s:.3f}"
        about = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": name}}
        with suppress(ApiError):
            await self._ask("POST", "/api/v1/namespaces/NS/resourcequotas", {**about, "spec": {"hard": {"pods": "1"}}})
        await asyncio.sleep(fault.lasts_s)
        await self._insist("DELETE", f"/api/v1/namespaces/NS/resourcequotas/{name}")

    async def cordon(self, fault: Fault) -> None:
        """No node takes a new pod."""
        with cordoned(self._world.api):
            await asyncio.sleep(fault.lasts_s)

    async def _insist(self, method: str, path: str, body: object = None, **options: Any) -> None:
        """What ends a fault must be done; a thing that is gone has nothing left to end."""
        try:
            await self._ask(method, path, body, **options)
        except ApiError as error:
            if error.status != 404:
                raise

    # ---- what is the same everywhere ----

    async def attack(self, fault: Fault) -> None:
        """Hostile requests, all at once."""
        drawn = random.Random(fault.parameters["seed"])
        where = urlsplit(self._world.url)
        named = [f"h{self._attacks + number}" for number in range(len(fault.parameters["how"]))]
        self._attacks += len(named)
        self._world.history.hostile += await asyncio.gather(
            *(
                attack(name, how, drawn, str(where.hostname), int(where.port or 80), fault.lasts_s)
                for name, how in zip(named, fault.parameters["how"], strict=True)
            )
        )

    async def clock(self, fault: Fault) -> None:
        """The time of day of both controllers is set."""
        self._world.clock.step(fault.parameters["by_s"])
