"""The pipeline on a cluster, with two controllers: one holds the Lease, the other waits; each has its own proxy."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from base64 import b64decode
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any, TypeVar

from ipa import profiles
from ipa.live.kubernetes import deploy, overview
from ipa.live.kubernetes.api import ApiError, connect
from ipa.live.kubernetes.gateway_manifests import DRAIN_S, LINGER_S
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import Plane
from tests.live.chaos.books import Books
from tests.live.chaos.clock import Clock
from tests.live.chaos.history import History, Span, Usage, Write
from tests.live.chaos.invariants import Bounds
from tests.live.chaos.pipeline import FIRST, NAME, TEXT, Wanted, configuration
from tests.live.kubernetes.proxy import Passed, Proxy, proxied
from tests.live.kubernetes.world import IMAGE, own_namespace, settings_of
from tests.live.world import is_alive, metric_values, steps, usage

T = TypeVar("T")

BOUNDS = Bounds(converges_within_s=420.0, most_bytes={"controller": 512 * 2**20})
"""A gateway that takes more memory than its pod may is killed, which is found as an end without a reason."""
WITHIN_S = 180.0
READY_WITHIN_S = 180.0
"""On a machine that is busy a pod may take long; its variant is not at fault."""
LOOKED_AT_EVERY_S = 0.2
USAGE_EVERY_S = 1.0
ENDS_WITHIN_S = 30.0
LEAVES_WITHIN_S = DRAIN_S + LINGER_S + 4.0
"""How long a gateway's pod may still answer when it is deleted, however little grace is asked for: the kubelet lets it
drain, serve connected clients for a last time, and finish what is inside, up to the largest drop limit."""
IN_A_ROW = 10
"""How many new connections must reach the gateway for it to be back: the network learns of a new pod with a delay, and
for two seconds some may have reached the old one, which is still leaving."""


@dataclass
class ControllerProcess:
    """One of the two controllers.

    `started_s`: when each of its processes was started. `troubled_s`: when its way to the server was last bad.
    """

    name: str
    folder: Path
    proxy: Proxy
    started_s: list[float] = field(default_factory=list)
    pid: int = 0
    killed: str = ""
    troubled_s: float = -inf
    keeping: asyncio.Task[None] | None = None

    def process(self, at_s: float = inf) -> str:
        """The name of its latest process that had been started by then."""
        return f"{self.name}#{sum(started_s <= at_s for started_s in self.started_s)}"

    @property
    def state(self) -> Path:
        return self.folder / f"{self.name}.jsonl"


@dataclass
class ClusterWorld:
    """A deployed pipeline in a namespace of its own, its controllers, and what is seen of them."""

    history: History
    folder: Path
    seed: int
    url: str = ""
    controllers: list[ControllerProcess] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.wanted = Wanted(self.folder)
        self.clock = Clock(self.folder)
        self.api = connect()
        self._stack = ExitStack()
        self._watching: list[asyncio.Task[None]] = []
        self._books = Books(self.history, self.control)
        self._down: asyncio.Task[None] | None = None
        self._kills = 0
        self._is_ending = False

    async def open(self) -> None:
        """Deploy the pipeline, and start both controllers."""
        await asyncio.to_thread(self._deploy)
        await until_reached(self.url, WITHIN_S)
        self.history.outages.append(Span(-inf, time.monotonic()))
        for name in ("one", "two"):
            own = self.folder / name
            own.mkdir()
            controller = ControllerProcess(name, self.folder, self._stack.enter_context(proxied()))
            controller.proxy.kubeconfig(own)
            controller.proxy.note = self._noting(controller)
            controller.keeping = asyncio.create_task(self._keep(controller))
            self.controllers.append(controller)
        self._watching = [asyncio.create_task(self._books.run()), asyncio.create_task(self._measure())]
        async with asyncio.timeout(WITHIN_S):
            while not any(write.takes_lease for write in self.history.writes):
                await asyncio.sleep(LOOKED_AT_EVERY_S)

    def _deploy(self) -> None:
        namespace = self._stack.enter_context(own_namespace(WITHIN_S))
        path = self.folder / f"{NAME}.yaml"
        layout = settings_of(
            image__name=IMAGE,
            image__pull="Never",
            cluster__service_type="NodePort",
            cluster__ready_within_s=READY_WITHIN_S,
        )
        plane = Plane(profiles.load(str(path)), str(path), seed=self.seed)
        self.deployed = Deployed(plane, TEXT, namespace, settings=layout)
        deploy.up(self.api, self.deployed, configuration(FIRST), within_s=WITHIN_S)
        self.url = client_url(self.api, self.deployed)

    async def call(self, what: Callable[..., T], *given: Any, **options: Any) -> T:
        """A call of the API server, beside the event loop."""
        return await asyncio.to_thread(what, *given, **options)

    def path(self, of: str) -> str:
        """The path of something in the namespace: `/api/v1/...` or `/apis/...`, with NS for the namespace."""
        return of.replace("NS", self.deployed.namespace)

    # ---- controllers ----

    async def _keep(self, controller: ControllerProcess) -> None:
        kubeconfig = self.folder / controller.name / "proxy-kubeconfig"
        environment = {**os.environ, **self.clock.environment, **self.wanted.environment, "KUBECONFIG": str(kubeconfig)}
        options = ("--backend", "kubernetes", "--no-load", "--namespace", self.deployed.namespace)
        while not self._is_ending:
            controller.started_s.append(time.monotonic())
            controller.killed = ""
            process = await asyncio.create_subprocess_exec(
                *(
                    sys.executable,
                    "-m",
                    "ipa",
                    "live",
                    "run",
                    "scenario.yaml",
                    *options,
                    "--set",
                    f"controller.state={controller.state}",
                ),
                cwd=self.folder,
                env=environment,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
            )
            controller.pid = process.pid
            assert process.stderr is not None
            told = (await process.stderr.read()).decode(errors="replace")
            code = await process.wait()
            self._judge(controller, code, told)
            await asyncio.sleep(1.0)

    def _judge(self, controller: ControllerProcess, code: int, told: str) -> None:
        """What a controller's end says of it; one whose way to the server is bad may give up in one line."""
        what = f"controller {controller.process()}, ended with {code} after {controller.killed or 'nothing'}"
        self.history.ends.append(f"{what}: {told[-500:]}")
        is_excused = controller.killed or self._is_ending or time.monotonic() - controller.troubled_s < ENDS_WITHIN_S
        if "Traceback" in told or "a defect of this program" in told or not is_excused:
            self.history.defects.append(f"{what}: {told[-2000:]}")

    def _noting(self, controller: ControllerProcess) -> Callable[[Passed], None]:
        marks = f"/namespaces/{self.deployed.namespace}/"

        def note(passed: Passed) -> None:
            is_write = passed.method != "GET" and passed.status < 300 and "dryRun" not in passed.path
            if not is_write or marks not in passed.path or "/proxy/" in passed.path:
                return
            is_lease = "/leases" in passed.path
            holder = bool(is_lease and json.loads(passed.body)["spec"].get("holderIdentity"))
            what = f"{passed.method} {passed.path.partition(marks)[2]}"
            self.history.writes.append(
                Write(
                    controller.process(passed.came_s),
                    passed.sent_s,
                    passed.end_s,
                    what,
                    takes_lease=holder,
                    gives_lease=is_lease and not holder,
                )
            )

        return note

    # ---- the gateway ----

    async def control(self, path: str) -> bytes | None:
        """A path of the gateway's control API, through the API server; None if it does not answer."""
        try:
            return await self.call(self._control, path)
        except Exception:  # whatever a connection raises that breaks off
            return None

    def _control(self, path: str) -> bytes:
        through = f"/api/v1/namespaces/NS/services/http:{self.deployed.control_name}:control/proxy"
        answer = self.api._client.request(
            "get",
            self.path(through) + path,
            serialize=False,
            query_params=[],
            header_params=self._token(),
            _request_timeout=5.0,
        )
        data: bytes = answer.data
        return data

    def _token(self) -> dict[str, str]:
        """The header with the control port's token, which is in a Secret, if it has one."""
        try:
            secret = self.api.request("GET", self.path(f"/api/v1/namespaces/NS/secrets/{self.deployed.control_name}"))
        except ApiError as error:
            if error.status != 404:
                raise
            return {}
        return {"X-Ipa-Control-Token": b64decode(secret["data"]["token"]).decode().strip()}

    async def gateway_goes(self) -> None:
        """The gateway is being killed: until another is reached there may be none."""
        self._kills += 1
        now_s = time.monotonic()
        self.history.leavings.append(Span(now_s, now_s + LEAVES_WITHIN_S))
        if self._down is None or self._down.done():
            self._down = asyncio.create_task(self._until_back(len(self.history.lives)))

    async def _until_back(self, lives: int) -> None:
        since_s = time.monotonic()
        reached = 0
        while reached < IN_A_ROW:
            # The API server, through which the books are read, may know of the new pod before the network does.
            is_new = len(self.history.lives) > lives
            reached = reached + 1 if is_new and await self._is_reached() else 0
            self._note_outage(Span(since_s, inf))
            await asyncio.sleep(LOOKED_AT_EVERY_S)
        self._note_outage(Span(since_s, time.monotonic()))

    async def _is_reached(self) -> bool:
        """Whether one new connection gets an answer."""
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=1.0)
        try:
            async with aiohttp.ClientSession(timeout=timeout) as session, session.get(f"{self.url}/v2/health/live"):
                return True
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    def _note_outage(self, span: Span) -> None:
        """The latest outage, as far as is known."""
        outages = self.history.outages
        outages[-1 if outages[-1].from_s == span.from_s else len(outages) :] = [span]

    # ---- watched ----

    async def _measure(self) -> None:
        while True:
            for controller in self.controllers:
                files, resident_bytes = usage(controller.pid)
                if resident_bytes and is_alive(controller.pid):
                    self.history.usage.append(
                        Usage(time.monotonic(), "controller", controller.pid, resident_bytes, files)
                    )
            await asyncio.sleep(USAGE_EVERY_S)

    async def unlike_wanted(self) -> str:
        """What does not stand as was decided last; empty if all does."""
        try:
            said = await self.call(overview.status, self.api, self.deployed)
        except Exception as error:
            return repr(error)
        # What somebody had set is told for a while after it was set back.
        if troubles := {kind: why for kind, why in said["troubles"].items() if kind != "foreign_scaler"}:
            return f"troubles: {troubles}"
        for name, stage in said["stages"].items():
            wanted = self.wanted.now[name]
            if stage["wanted"] != wanted or stage["replicas"] != wanted["replicas"] or not stage["complete"]:
                pods = [f"{pod['variant']} {pod['state']}" for pod in stage["pods"]]
                return f"{name}: {stage['wanted']}, {stage['problem'] or pods}"
        seen, metrics = await self.control("/control/observation"), await self.control("/metrics")
        if seen is None or metrics is None:
            return "the gateway does not answer"
        if (configured := json.loads(seen)["configuration"]) != self.wanted.now:
            return f"configured: {configured}"
        values = metric_values(metrics.decode())
        listed = {key[1:]: int(value) for key, value in values.items() if key[0] == "ipa_replicas" and value}
        ready = {(name, "ready", stage["variant"]): stage["replicas"] for name, stage in self.wanted.now.items()}
        return "" if listed == ready else f"listed: {listed}"

    # ---- the end ----

    async def close(self) -> None:
        """Read the books to their end, end both controllers, and see how they do."""
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)
        if problem := await self._books.close():
            self.history.defects.append(f"the books at the end: {problem}")
        if len(self.history.lives) > 1 + self._kills:
            lives = [life.epoch for life in self.history.lives]
            self.history.defects.append(f"gateways {lives}, though only {self._kills} were killed")
        self._is_ending = True
        for controller in self.controllers:
            if is_alive(controller.pid):
                os.kill(controller.pid, signal.SIGTERM)
        keeping = [each.keeping for each in self.controllers if each.keeping]
        _, late = await asyncio.wait(keeping, timeout=ENDS_WITHIN_S)
        if late:
            self.history.defects.append(f"{len(late)} controllers do not end within {ENDS_WITHIN_S:g} s of SIGTERM")
        for controller in self.controllers:
            self.history.steps.append(steps(controller.state))

    async def kill(self) -> None:
        """Leave nothing behind, whatever has happened."""
        self._is_ending = True
        tasks = [
            *self._watching,
            *filter(None, [self._down]),
            *filter(None, (each.keeping for each in self.controllers)),
        ]
        for task in tasks:
            task.cancel()
        for controller in self.controllers:
            if is_alive(controller.pid):
                with suppress(ProcessLookupError):
                    os.kill(controller.pid, signal.SIGKILL)
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._stack.close)
