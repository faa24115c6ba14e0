"""A cluster of memory, whose Deployments are rolled out at once, and a Kubernetes backend that runs before it."""

from __future__ import annotations

import asyncio
import copy
import json
import queue
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ipa.live.kubernetes import backend as backend_module
from ipa.live.kubernetes import names, readiness
from ipa.live.kubernetes.backend import KubernetesBackend
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.manifests import owner_of, root, stage_deployment
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import Applied, Configuration, StageConfiguration, from_plain, to_plain
from ipa.sim import Lanes
from tests.live.kubernetes.world import made_of, refused, secret, tiny, with_options
from tests.live.world import HISTORY, sort

CREATED = "2026-01-01T00:00:{:02d}Z"
READY = {"type": "Ready", "status": "True"}


class Cluster:
    """What the backend asks of an API server. A pod of a variant in `crashing` never becomes ready, one of a variant in
    `slow` not before `started`. The gateway's lanes are those of rule 11; `present` is how many requests each has."""

    read_only = False

    def __init__(self, deployed: Deployed) -> None:
        self.root: dict[str, Any] | None = root(deployed)
        self.root["metadata"]["uid"] = "r"
        self.gateway = _complete(gateway_deployment(deployed, owner_of(self.root)), 1)
        self.stages: dict[str, dict[str, Any]] = {}
        self.pods: dict[str, dict[str, Any]] = {}
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.crashing: set[str] = set()
        self.slow: set[str] = set()
        self.plan = Lanes(sort()["sort"], 2)
        self.present = [0, 0]
        self.is_configured = False
        self.stood: list[Any] = []
        self.asked = 0  # how often for an observation
        self.out_of_room = 0  # how many replicas find no room
        self.configured: list[Any] = []
        self.writes: list[str] = []
        self.created = 0
        self.origin_s = time.monotonic()
        self.epoch = "first"
        self.refusal: Exception | None = None
        self.unread: Exception | None = None
        self.unstood: Exception | None = None  # how the gateway refuses to be told what stood
        self.ended: list[dict[str, Any]] = []
        self.forbidden: set[tuple[str, str]] = set()  # verb and resource

    # ---- as an API ----

    def time_s(self) -> float:
        return time.time()

    def lost_nodes(self) -> set[str]:
        return set()

    def may(self, namespace: str, verb: str, group: str, resource: str, name: str = "") -> bool:
        return (verb, resource) not in self.forbidden

    def get(self, kind: str, namespace: str, name: str, within_s: float = 0.0) -> Any:
        if self.unread is not None:
            raise self.unread
        return copy.deepcopy({"ConfigMap": self.root, "Secret": secret("a-token-of-a-gateway")}.get(kind, self.gateway))

    def list(self, kind: str, namespace: str, selector: str = "") -> Any:
        if kind == "ReplicaSet":
            found = [
                made_of(each, refusal="exceeded quota" if self.out_of_room else "") for each in self.stages.values()
            ]
        else:
            found = [*(self.pods if kind == "Pod" else self.stages).values()]
        return {"items": copy.deepcopy(found), "metadata": {"resourceVersion": "1"}}

    def watch(self, *_: str) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield self.events.get(timeout=0.05)
            except queue.Empty:
                return

    def apply(self, manifest: dict[str, Any]) -> Any:
        if self.refusal is not None:
            raise self.refusal
        self.before_write()
        name = manifest["metadata"]["name"]
        self.writes.append(name)
        if manifest["kind"] == "ConfigMap":
            self.root = {**manifest, "metadata": {**manifest["metadata"], "uid": "r"}}
            return manifest
        before = self.stages.get(name)
        self.stages[name] = copy.deepcopy(manifest)
        self.stages[name]["metadata"]["uid"] = f"of-{name}"
        if before is not None and names.REPLICAS in before["metadata"]["annotations"]:
            asked = before["metadata"]["annotations"][names.REPLICAS]
            self.stages[name]["metadata"]["annotations"][names.REPLICAS] = asked
        self._roll_out(name, 1 if before is None else before["spec"]["replicas"])
        return manifest

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None) -> Any:
        self.before_write()
        self.writes.append(f"{name} {replicas}")
        self.stages[name]["metadata"]["annotations"][names.REPLICAS] = str(replicas)
        self._roll_out(name, replicas)

    def before_write(self) -> None:
        """What a test has to happen first."""

    def request(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        call, body = path.partition("/proxy")[2].partition("?")[0], json.loads(json.dumps(body))
        if call == "/control/start":
            self.origin_s = body["origin"]
        if call == "/control/configuration":
            self._configure(from_plain(body["sort"]))
            self.configured.append(body)
        self.asked += call == "/control/observation"
        if call == "/control/lanes" and self.unstood is not None:
            raise self.unstood
        if call == "/control/lanes":
            self.stood.append(body)
            self.plan.stand({lane: from_plain(each) for lane, each in enumerate(body["sort"]) if each}, self.present)
            self.is_configured = True
        stage = dict.fromkeys(
            ("arrivals", "completions", "drops", "failures", "queue_length", "in_service", "busy_s", "request_s"), 0
        )
        return {
            "time_s": time.monotonic() - self.origin_s,
            "epoch": self.epoch,
            "configured": self.is_configured,
            "configuration": self.configured[-1] if self.configured else {},
            "lanes": {"sort": self._lanes()},
            "load_rps": [],
            "latencies_s": [],
            "records": copy.deepcopy(self.ended),
            "started": False,
            "stages": {"sort": {**stage, "latencies_s": []}},
        }

    # ---- as a gateway ----

    def restart_gateway(self) -> None:
        """It knows nothing any more, and has its lightest variant in the first lane."""
        self.plan, self.present, self.is_configured = Lanes(sort()["sort"], 2), [0, 0], False
        self.configured.append({})
        self.epoch += "'"

    def _configure(self, wanted: StageConfiguration) -> None:
        if self.is_configured:
            self.plan.configure(wanted, [self._ready(lane) for lane in range(2)], self.present)
        else:
            self.plan.stand(dict(enumerate(wanted.parts)), self.present)
        self.is_configured = True

    def _ready(self, lane: int) -> int:
        conditions = [pod["status"]["conditions"] for pod in self.pods.values() if _lane(pod) == lane]
        return sum(any(each["type"] == "Ready" for each in of_pod) for of_pod in conditions)

    def _lanes(self) -> list[Any]:
        for number, lane in enumerate(self.plan.lanes):
            self.plan.readied(number, self._ready(number))
            if lane.is_closing and not self.present[number]:
                self.plan.emptied(number)
        return [to_plain(lane.in_force) if lane.desired else None for lane in self.plan.lanes]

    # ---- as a cluster ----

    def started(self) -> None:
        """Pods that were slow are ready."""
        self.slow.clear()
        for uid, pod in list(self.pods.items()):
            if not any(each["type"] == "Ready" for each in pod["status"]["conditions"]):
                pod["status"]["conditions"].append({**READY, "lastTransitionTime": CREATED.format(59)})
                self._tell("MODIFIED", uid)
        for name, stage in self.stages.items():
            self._roll_out(name, stage["spec"]["replicas"])

    def of_lanes(self) -> dict[int, tuple[str, int]]:
        """Of each lane that has a Deployment: its variant, and how many pods it has."""
        return {
            (lane := _lane(each["spec"]["template"])): (
                each["spec"]["template"]["metadata"]["annotations"][names.VARIANT],
                sum(_lane(pod) == lane for pod in self.pods.values()),
            )
            for each in self.stages.values()
        }

    def _roll_out(self, name: str, replicas: int) -> None:
        stage = self.stages[name]
        labels = stage["spec"]["template"]["metadata"]["labels"]
        crashes = labels[names.VARIANT] in self.crashing
        is_slow = labels[names.VARIANT] in self.slow
        stage["spec"]["replicas"] = replicas
        ready = 0 if crashes or is_slow else replicas - self.out_of_room
        _complete(stage, replicas, ready)
        if self.out_of_room:
            stage["status"]["conditions"] = [refused("exceeded quota")]
        template = stage["spec"]["template"]["metadata"]["annotations"][names.TEMPLATE]
        for uid, pod in list(self.pods.items()):
            if (
                _lane(pod) == _lane(stage["spec"]["template"])
                and _template(pod) != template
                and not (crashes or is_slow)
            ):
                self._delete(uid)
        current = [uid for uid, pod in self.pods.items() if _template(pod) == template]
        for uid in current[replicas:]:
            self._delete(uid)
        for _ in range(replicas - self.out_of_room - len(current)):
            self._create(stage, crashes, is_slow)

    def _create(self, stage: dict[str, Any], crashes: bool, is_slow: bool) -> None:
        number = self.created
        self.created += 1
        meta = stage["spec"]["template"]["metadata"]
        uid = f"uid-{time.monotonic_ns()}"
        status: dict[str, Any] = {"podIP": "10.0.0.9", "conditions": [{"type": "PodScheduled", "status": "True"}]}
        if crashes:
            waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
            status["containerStatuses"] = [{"restartCount": 5, "state": waiting}]
        elif not is_slow:
            status["conditions"].append({**READY, "lastTransitionTime": CREATED.format(number)})
        self.pods[uid] = {
            "metadata": {
                "uid": uid,
                "name": uid,
                "creationTimestamp": CREATED.format(number),
                "ownerReferences": [{"name": made_of(stage)["metadata"]["name"], "controller": True}],
                **meta,
            },
            "status": status,
        }
        self._tell("ADDED", uid)

    def _delete(self, uid: str) -> None:
        self._tell("DELETED", uid)
        del self.pods[uid]

    def _tell(self, kind: str, uid: str) -> None:
        pod = copy.deepcopy(self.pods[uid])
        pod["metadata"]["resourceVersion"] = "2"
        self.events.put({"type": kind, "object": pod})


def _lane(pod: dict[str, Any]) -> int:
    """That of a pod, or of a pod's template."""
    return int(pod["metadata"]["labels"].get(names.LANE, 0))


def _template(pod: dict[str, Any]) -> str:
    return str(pod["metadata"]["annotations"][names.TEMPLATE])


def _complete(given: dict[str, Any], replicas: int, ready: int | None = None) -> dict[str, Any]:
    count = {"replicas": replicas, "updatedReplicas": replicas, "observedGeneration": 1}
    given["status"] = {**count, "availableReplicas": replicas if ready is None else ready}
    given["metadata"]["resourceVersion"] = "7"
    return given


class HeldLease:
    """The Lease, held as long as a test has it so."""

    identity, retry_s, report, problem = "ours", 0.02, "", ""

    def __init__(self, log: list[str] | None = None) -> None:
        self.is_held, self.is_lost, self.holder = True, False, "ours"
        self.log = [] if log is None else log

    def acquire(self) -> bool:
        return self.is_held

    def release(self) -> None:
        self.log.append("released")


@asynccontextmanager
async def running(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Cluster], object] = lambda _: None,
    initial: Configuration | None = None,
    deployed: Deployed | None = None,
    **how: Any,
) -> AsyncIterator[tuple[Any, Cluster]]:
    monkeypatch.setattr(backend_module, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(backend_module, "BETWEEN_LOOKS_S", 0.01)
    monkeypatch.setattr(backend_module, "LOOK_EVERY_WHILE_STOPPED_S", 0.1)
    monkeypatch.setattr(readiness, "ASK_EVERY_S", 0.01)
    deployed = deployed or tiny(folder)
    cluster = Cluster(deployed)
    prepare(cluster)
    backend = KubernetesBackend(deployed, cluster, folder, HISTORY, url="", **with_options(how))  # type: ignore[arg-type]
    try:
        await backend.open(initial or sort())
        await backend.start(time.monotonic())
        yield backend, cluster
    finally:
        await backend.close()


def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., Any], **how: Any) -> None:
    async def run() -> None:
        async with running(tmp_path, monkeypatch, **how) as (backend, cluster):
            await told(backend, cluster)

    asyncio.run(run())


def standing(cluster: Cluster, folder: Path, wanted: Configuration, notes: Mapping[str, str] | None = None) -> None:
    """An earlier controller has asked for this."""
    assert cluster.root is not None
    cluster.apply(stage_deployment(tiny(folder), "sort", wanted["sort"], owner_of(cluster.root), notes))
    (name,) = cluster.stages
    cluster._roll_out(name, wanted["sort"].replicas)
    cluster.writes.clear()


async def apply(backend: KubernetesBackend, wanted: Configuration) -> Applied:
    return await asyncio.to_thread(backend.apply, wanted)
