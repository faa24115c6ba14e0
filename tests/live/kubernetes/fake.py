"""The one cluster of memory: an API server, controllers that roll Deployments out as Kubernetes does, and a gateway.

`Server` answers with what a test puts there, `Rolling` rolls Deployments out step by step, and `Cluster` has beside
that a watch and a gateway, so that the whole backend runs before it (`running`).
"""

from __future__ import annotations

import asyncio
import copy
import json
import queue
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ipa import profiles
from ipa.live.kubernetes import kubernetes_backend as backend_module
from ipa.live.kubernetes import names, pods, readiness
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.fixed_models import key_of
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.manifest_parts import MODEL_CONTAINER, PREPARE_CONTAINER
from ipa.live.kubernetes.manifests import owner_of, root, stage_deployment
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.watch import LASTS_S
from ipa.live.launcher import Launcher
from ipa.live.plane import Plane
from ipa.policies import Applied, Configuration, StageConfiguration
from tests.live.kubernetes.world import (
    BEGAN_S,
    HASH,
    made_of,
    noted,
    on_server,
    refused,
    secret,
    sound,
    tiny,
    with_options,
)
from tests.live.world import HISTORY, PIPELINE, sort

Object = dict[str, Any]


class Server:
    """What a reconciler asks of an API server. `failing`: what the next writes answer; `forbidden`: kinds that may not
    be listed, `asked` those that were; `lost`: nodes that are not ready."""

    def __init__(self, deployed: Deployed, given: dict[str, Any] | None) -> None:
        self.deployed = deployed
        self.stages = [] if given is None else [given]
        self.root: dict[str, Any] | None = {**root(deployed)}
        self.root["metadata"] = {**self.root["metadata"], "uid": "r"}
        self.gateway = gateway_deployment(deployed, owner_of(self.root))
        self.gateway["metadata"] |= {"uid": "g", "generation": 1}
        self.gateway["status"] = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 1}
        self.sets: list[dict[str, Any]] = []
        self.gateway_pods: list[dict[str, Any]] = []
        self.autoscalers: list[dict[str, Any]] = []
        self.written: list[object] = []
        self.versions: list[str | None] = []  # that applies asked for
        self.failing: list[ApiError] = []
        self.forbidden: set[str] = set()
        self.asked: list[str] = []
        self.read_only = False
        self.models: dict[str, str] = {}  # the digests that are fixed
        self.lost: set[str] = set()

    def get(self, kind: str, namespace: str, name: str) -> Any:
        if name == self.deployed.models_name:
            return {"metadata": {"resourceVersion": "3"}, "data": dict(self.models)}
        return self.root if kind == "ConfigMap" else self.gateway

    def patch(self, kind: str, namespace: str, name: str, patch: dict[str, Any], within_s: float = 0.0) -> Any:
        assert (kind, name) == ("ConfigMap", self.deployed.models_name)
        self._fail()
        self.written.append((name, patch["data"]))
        self.models |= patch["data"]
        return patch

    def list(self, kind: str, namespace: str, selector: str = "") -> Any:
        self.asked.append(kind)
        if kind in self.forbidden:
            raise ApiError("GET", 403, "forbidden")
        found = {"ReplicaSet": self.sets, "Pod": self.gateway_pods, "HorizontalPodAutoscaler": self.autoscalers}
        listed = found.get(kind, self.stages)
        return {"items": [{k: v for k, v in each.items() if k not in ("kind", "apiVersion")} for each in listed]}

    def time_s(self) -> float:
        return BEGAN_S

    def lost_nodes(self) -> set[str]:
        return self.lost

    def apply(self, manifest: dict[str, Any], resource_version: str | None = None) -> Any:
        self._fail()
        self.versions.append(resource_version)
        self.written.append(manifest["metadata"]["name"])
        return manifest

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None) -> Any:
        self._fail()
        self.written.append((name, replicas, resource_version))
        return {"metadata": {"resourceVersion": "8"}}

    def forget(self, kind: str, namespace: str, name: str, annotation: str) -> None:
        self._fail()
        self.written.append((kind, name, annotation))

    def _fail(self) -> None:
        if self.failing:
            raise self.failing.pop(0)


def owned(deployed: Deployed, wanted: StageConfiguration, **status: Any) -> dict[str, Any]:
    """The stage's Deployment with the owner that `Server` has."""
    given = on_server(deployed, wanted, notes=sound(wanted), **status)
    given["metadata"]["ownerReferences"] = [owner_of({"metadata": {"name": deployed.instance, "uid": "r"}})]
    return given


# ---- rollouts ----


def three_variants(folder: Path, namespace: str = "default") -> Deployed:
    """The tiny pipeline with a third variant, `middle`, of one core."""
    start = PIPELINE.index("      - name: small")
    small = PIPELINE[start : PIPELINE.index("      - name: large")]
    path = folder / "three.yaml"
    text = PIPELINE[:start] + small.replace("small", "middle") + PIPELINE[start:]
    path.write_text(text, encoding="utf-8")
    return replace(tiny(folder, namespace), plane=Plane(profiles.load(str(path)), str(path)), pipeline_file=text)


@dataclass(frozen=True)
class Treatment:
    """How the cluster treats the pods of a variant: why the API server refuses them, why no node takes them (empty: it
    does not, one does), what their container waits for, such as its image (`ContainerCreating`), whether it crashes, or
    never becomes ready; the digest of the real model that they find (empty: they have none)."""

    refusal: str = ""
    unschedulable: str = ""
    waits: str = ""
    crashes: bool = False
    hangs: bool = False
    digest: str = ""


class Rollout:
    """One Deployment with its ReplicaSets and pods, rolled out step by step as Kubernetes 1.20 to 1.34 does it.

    The Deployment controller, the ReplicaSet controller and the kubelet take turns. Of each, here is what decides which
    conditions are told, and when: pkg/controller/deployment and pkg/controller/replicaset.
    """

    def __init__(self, of: Rolling, stage: Object) -> None:
        self.of = of
        self.stage = stage
        self.sets: list[Object] = []
        self.pods: list[Object] = []

    def turns(self) -> Iterator[Iterator[None]]:
        """Those of the controllers and the kubelet, each to be gone through before the next."""
        yield self._sync_deployment()
        yield self._sync_sets()
        yield self._kubelet()

    def _sync_deployment(self) -> Iterator[None]:
        """One turn of the Deployment controller; if the Deployment changes meanwhile, its next writes are refused."""
        stage, generation = self.stage, self.stage["metadata"]["generation"]
        for _ in self._turn(stage):
            yield
            if self.stage is not stage or stage["metadata"]["generation"] != generation:
                return

    def _turn(self, stage: Object) -> Iterator[None]:
        """A scaling event (`sync`), or `rolloutRolling`."""
        known = [each for each in self.sets if _template(each) == _template(stage)]
        others = [each for each in self.sets if each not in known]
        if self._is_scaled():
            self._scale()
            self._write_status(known[0] if known else None, is_rolling=False)
            return
        newest = max((int(each["metadata"]["annotations"][names.REVISION]) for each in others), default=0)
        if not known:
            made = made_of(stage, revision=newest + 1)
            made["spec"]["replicas"] = self._room_for_new(None)
            made["status"] = {"replicas": 0}
            known = [made]
            self.sets.append(made)
            stage["metadata"]["annotations"][names.REVISION] = str(newest + 1)
            text = f'Created new replica set "{made["metadata"]["name"]}"'
            self._set(stage["status"], "Progressing", "True", "NewReplicaSetCreated", text)
            yield  # the status has been written; the generation that it is of has not
        (present,) = known
        notes = present["metadata"]["annotations"]
        if int(notes[names.REVISION]) < newest + 1:
            notes[names.REVISION] = str(newest + 1)  # the Deployment gets it with the next turn
            yield
        elif stage["metadata"]["annotations"].get(names.REVISION) != notes[names.REVISION]:
            stage["metadata"]["annotations"][names.REVISION] = notes[names.REVISION]
            yield
        wanted = self._room_for_new(present)
        if wanted != present["spec"]["replicas"]:
            self._resize(present, wanted)
        elif not self._scale_old_down(present, others):
            history = sorted(
                (each for each in others if not each["spec"]["replicas"] and not each["status"].get("replicas")),
                key=lambda each: int(each["metadata"]["annotations"][names.REVISION]),
            )
            if _is_complete(stage):
                gone = history[: -stage["spec"]["revisionHistoryLimit"]]
                self.sets = [each for each in self.sets if each not in gone]
        self._write_status(present)

    def _is_scaled(self) -> bool:
        active = [each["metadata"]["annotations"] for each in self.sets if each["spec"]["replicas"]]
        noted = {each[names.DESIRED] for each in active if names.DESIRED in each}
        return bool(noted - {str(self.stage["spec"]["replicas"])})

    def _scale(self) -> None:
        """The only active ReplicaSet gets all replicas; of several, the largest what is more or less (for simplicity:
        a server divides it in proportion)."""
        active = [each for each in self.sets if each["spec"]["replicas"]]
        largest = max(active, key=lambda each: int(each["spec"]["replicas"]))
        spec = self.stage["spec"]
        surge = spec["strategy"]["rollingUpdate"]["maxSurge"] if len(active) > 1 and spec["replicas"] else 0
        more = spec["replicas"] + surge - sum(each["spec"]["replicas"] for each in active)
        for each in active:
            self._resize(each, max(each["spec"]["replicas"] + (more if each is largest else 0), 0))

    def _room_for_new(self, present: Object | None) -> int:
        has = 0 if present is None else int(present["spec"]["replicas"])
        replicas = self.stage["spec"]["replicas"]
        if has >= replicas:
            return int(replicas)
        there = sum(each["spec"]["replicas"] for each in self.sets)
        surge = self.stage["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
        return int(has + min(max(replicas + surge - there, 0), replicas - has))

    def _scale_old_down(self, present: Object, others: list[Object]) -> bool:
        """First the old ones that do not serve, then those that may go; whether any may."""
        spec = self.stage["spec"]
        least = spec["replicas"] - spec["strategy"]["rollingUpdate"]["maxUnavailable"]
        available = sum(each["status"].get("availableReplicas", 0) for each in self.sets)
        unready = present["spec"]["replicas"] - present["status"].get("availableReplicas", 0)
        may_go = sum(each["spec"]["replicas"] for each in self.sets) - least - unready
        has_scaled = False
        for each in others:
            useless = each["spec"]["replicas"] - each["status"].get("availableReplicas", 0)
            fewer = min(may_go, useless)
            if fewer > 0:
                self._resize(each, each["spec"]["replicas"] - fewer)
                may_go -= fewer
                has_scaled = True
        spare = available - least
        for each in others:
            fewer = min(spare, each["spec"]["replicas"])
            if fewer > 0:
                self._resize(each, each["spec"]["replicas"] - fewer)
                spare -= fewer
                has_scaled = True
        return has_scaled

    def _resize(self, replica_set: Object, replicas: int) -> None:
        replica_set["metadata"]["generation"] += replicas != replica_set["spec"]["replicas"]
        replica_set["metadata"]["annotations"][names.DESIRED] = str(self.stage["spec"]["replicas"])
        replica_set["spec"]["replicas"] = replicas

    def _write_status(self, present: Object | None, is_rolling: bool = True) -> None:
        """`calculateStatus`, and in a rollout `syncRolloutStatus`; `present`: the ReplicaSet of the template."""
        stage, before = self.stage, self.stage["status"]
        status = {
            **before,
            "observedGeneration": stage["metadata"]["generation"],
            "replicas": sum(each["status"].get("replicas", 0) for each in self.sets),
            "updatedReplicas": 0 if present is None else present["status"].get("replicas", 0),
            "availableReplicas": sum(each["status"].get("availableReplicas", 0) for each in self.sets),
        }
        stage["status"] = status
        if present is None or not is_rolling:
            return
        progress = _condition(before, "Progressing")
        is_over = status["replicas"] == status["updatedReplicas"] and progress["reason"] == "NewReplicaSetAvailable"
        name = f'ReplicaSet "{present["metadata"]["name"]}"'
        deadline_s = stage["spec"]["progressDeadlineSeconds"]
        if is_over:
            pass
        elif _is_complete(stage):
            self._set(status, "Progressing", "True", "NewReplicaSetAvailable", f"{name} has successfully progressed.")
        elif _has_progressed(before, status):
            status["conditions"] = [each for each in status["conditions"] if each["type"] != "Progressing"]
            self._set(status, "Progressing", "True", "ReplicaSetUpdated", f"{name} is progressing.")
        elif progress["reason"] not in ("NewReplicaSetAvailable", "ProgressDeadlineExceeded") and (
            self.of.now_s > pods.seconds(progress["lastUpdateTime"]) + deadline_s
        ):
            self._set(status, "Progressing", "False", "ProgressDeadlineExceeded", f"{name} has timed out progressing.")
        failures = [
            failure
            for each in (present, *(each for each in self.sets if each is not present))
            if (failure := _condition(each["status"], "ReplicaFailure"))
        ]
        if failures:
            self._set(status, "ReplicaFailure", "True", failures[0]["reason"], failures[0]["message"])
        else:
            status["conditions"] = [each for each in status["conditions"] if each["type"] != "ReplicaFailure"]

    def _set(self, status: Object, kind: str, is_true: str, reason: str, message: str) -> None:
        """`SetDeploymentCondition`: the words of a condition stay as long as its status and its reason do."""
        before = _condition(status, kind)
        if before and (before["status"], before["reason"]) == (is_true, reason):
            return
        now = self.of.timestamp()
        made = {"type": kind, "status": is_true, "reason": reason, "message": message, "lastUpdateTime": now}
        status["conditions"] = [
            *(each for each in status.get("conditions", ()) if each["type"] != kind),
            {**made, "lastTransitionTime": now},
        ]

    def _sync_sets(self) -> Iterator[None]:
        for each in self.sets:
            self._sync_set(each)
            yield

    def _sync_set(self, replica_set: Object) -> None:
        """One turn of the ReplicaSet controller."""
        own = [each for each in self.pods if _owner(each) == replica_set["metadata"]["uid"]]
        missing = replica_set["spec"]["replicas"] - len(own)
        treated = self.of.treatment(replica_set["spec"]["template"])
        failure = ""
        for _ in range(max(missing, 0)):
            self.of.made += 1
            name = f"{replica_set['metadata']['name']}-{self.of.made:05}"
            refusal = treated.refusal or self.of.want_of_room
            if refusal:
                failure = refusal.format(name=name)
                break
            self.pods.append(self._pod(replica_set, name))
            self.of.now_s += self.of.tick_s
        own.sort(key=lambda each: bool(_condition(each["status"], "Ready")))
        for each in own[: max(-missing, 0)]:
            self.pods.remove(each)
        status = replica_set["status"]
        own = [each for each in self.pods if _owner(each) == replica_set["metadata"]["uid"]]
        ready = sum(bool(_condition(each["status"], "Ready")) for each in own)
        status |= {"replicas": len(own), "availableReplicas": ready}
        status["observedGeneration"] = replica_set["metadata"]["generation"]
        if not failure:
            status.pop("conditions", None)
        elif not status.get("conditions"):
            status["conditions"] = [refused(failure, self.of.timestamp())]

    def _pod(self, replica_set: Object, name: str) -> Object:
        meta = replica_set["spec"]["template"]["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set["metadata"]["name"]}
        return {
            "metadata": {
                **copy.deepcopy(meta),
                "name": name,
                "uid": f"uid-{self.of.made}",
                "creationTimestamp": self.of.timestamp(),
                "ownerReferences": [{**owner, "uid": replica_set["metadata"]["uid"], "controller": True}],
            },
            "status": {"conditions": []},
        }

    def _kubelet(self) -> Iterator[None]:
        """What becomes of pods: one more finds no node, gets its image, is ready, or crashes."""
        for each in self.pods:
            before = copy.deepcopy(each["status"])
            if not (_condition(before, "Ready") or _restarts(before)):
                self._go_on(each["status"], self.of.treated(each))
                if digest := self.of.treatment(each).digest:
                    each["status"]["initContainerStatuses"] = [self.of.prepared(each, digest)]
            if each["status"] != before:
                yield

    def _go_on(self, status: Object, treated: Treatment) -> None:
        now = self.of.timestamp()
        if _condition(status, "PodScheduled").get("status") != "True":
            refused = {"status": "False", "reason": "Unschedulable", "message": treated.unschedulable}
            placed = {"status": "True", "lastTransitionTime": now}
            status["conditions"] = [{"type": "PodScheduled", **(refused if treated.unschedulable else placed)}]
            if treated.unschedulable:
                return
        ran = [run for each in status.get("containerStatuses", ()) if (run := each["state"].get("running"))]
        if treated.crashes:
            state = {"waiting": {"reason": "CrashLoopBackOff"}}
        elif treated.waits:
            state = {"waiting": {"reason": treated.waits}}
        else:
            state = {"running": ran[0] if ran else {"startedAt": now}}
        restarts = 5 if treated.crashes else 0
        status["containerStatuses"] = [{"name": MODEL_CONTAINER, "restartCount": restarts, "state": state}]
        if not (treated.crashes or treated.waits or treated.hangs):
            status["podIP"] = "10.0.0.9"
            status["conditions"] += [{"type": "Ready", "status": "True", "lastTransitionTime": now}]


class Rolling(Server):
    """An API server whose Deployments are rolled out by `steps`, or to their ends by `settle`; a client may look after
    every write.

    `treats`: variant -> how the cluster treats its pods; one that is not named becomes ready. `room`: how many pods a
    quota admits. `made` counts the pods; `tick_s` passes with each.
    """

    tick_s = 0.0

    def __init__(self, deployed: Deployed) -> None:
        self.rollouts: dict[str, Rollout] = {}
        super().__init__(deployed, None)
        self.treats: dict[str, Treatment] = {}
        self.room: int | None = None
        self.now_s = BEGAN_S
        self.made = 0

    # ---- as a server ----

    @property
    def stages(self) -> list[Object]:
        return [each.stage for each in self.rollouts.values()]

    @stages.setter
    def stages(self, _: list[Object]) -> None: ...

    @property
    def sets(self) -> list[Object]:
        return [*self._further_sets, *(made for each in self.rollouts.values() for made in each.sets)]

    @sets.setter
    def sets(self, further: list[Object]) -> None:
        """Others than those of the stages, such as the gateway's."""
        self._further_sets = further

    @property
    def pods(self) -> list[Object]:
        return [pod for each in self.rollouts.values() for pod in each.pods]

    @property
    def stage(self) -> Object:
        (only,) = self.stages
        return only

    def time_s(self) -> float:
        return self.now_s

    def apply(self, manifest: Object, resource_version: str | None = None) -> Object:
        super().apply(manifest, resource_version)
        name = manifest["metadata"]["name"]
        if manifest["kind"] != "Deployment" or name == self.deployed.gateway_name:
            return manifest
        there = self.rollouts.get(name)
        before: Object = {"metadata": {}, "spec": {"replicas": 1}, "status": {}} if there is None else there.stage
        kept = {key: value for key, value in before["metadata"].get("annotations", {}).items() if key in _KEPT}
        made = copy.deepcopy(manifest)
        made["metadata"]["annotations"] = {**kept, **made["metadata"]["annotations"]}
        made["metadata"] |= {"uid": f"of-{name}", "resourceVersion": "7"}
        made["spec"]["replicas"] = before["spec"]["replicas"]
        generation = before["metadata"].get("generation", 0)
        made["metadata"]["generation"] = generation + (made["spec"] != before["spec"])
        made["status"] = before["status"]
        if there is None:
            self.rollouts[name] = Rollout(self, made)
        else:
            there.stage = made
        return made

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None = None) -> Object:
        super().scale(namespace, name, replicas, resource_version)
        stage = self.rollouts[name].stage
        stage["metadata"]["annotations"][names.REPLICAS] = str(replicas)
        stage["metadata"]["generation"] += replicas != stage["spec"]["replicas"]
        stage["spec"]["replicas"] = replicas
        return stage

    def forget(self, kind: str, namespace: str, name: str, annotation: str) -> None:
        super().forget(kind, namespace, name, annotation)
        for each in self.sets:
            if each["metadata"]["name"] == name:
                each["metadata"]["annotations"].pop(annotation, None)

    def seen(self) -> Sequence[Any]:
        """The pods as a watch would tell them."""
        return pods.ours(self.pods)

    def stand(self, wanted: StageConfiguration, notes: Mapping[str, str] | None = None) -> None:
        """A controller has asked for this, and it is rolled out as far as it can be."""
        assert self.root is not None
        made = self.apply(noted(stage_deployment(self.deployed, "sort", wanted, owner_of(self.root)), notes or {}))
        self.scale("default", made["metadata"]["name"], wanted.replicas)
        self.settle()

    # ---- as a cluster ----

    def settle(self) -> None:
        """Go on until nothing is left to do without a change from outside."""
        for _ in self.steps():
            pass

    def steps(self) -> Iterator[None]:
        """Turn by turn, a stop after each in which something was written."""
        while True:
            before = self._state()
            for turn in [turn for each in self.rollouts.values() for turn in each.turns()]:
                known = self._state()
                for _ in turn:
                    if self._state() != known:
                        yield
                        known = self._state()
                if self._state() != known:
                    yield
            if self._state() == before:
                return

    def _state(self) -> str:
        """All that a turn may change."""
        stages = [(each["metadata"], each["spec"]["replicas"], each["status"]) for each in self.stages]
        sets = [(each["metadata"], each["spec"]["replicas"], each["status"]) for each in self.sets]
        return repr((stages, sets, [(each["metadata"]["uid"], each["status"]) for each in self.pods]))

    @property
    def want_of_room(self) -> str:
        """Why no further pod is admitted; empty if one is."""
        return "exceeded quota" if self.room is not None and len(self.pods) >= self.room else ""

    def treatment(self, given: Object) -> Treatment:
        return self.treats.get(given["metadata"]["annotations"][names.VARIANT], Treatment())

    def treated(self, pod: Object) -> Treatment:
        """The treatment of a pod, which crashes where it finds another model than the fixed one."""
        how = self.treatment(pod)
        return replace(how, crashes=True) if how.digest and self._fixed(pod) not in ("", how.digest) else how

    def prepared(self, pod: Object, digest: str) -> Object:
        """The init container of a pod that has found the model with this digest."""
        is_other = self._fixed(pod) not in ("", digest)
        refusal = f"Error: holds another model, {digest}, than when the run began, {self._fixed(pod)}"
        message = refusal if is_other else f"{self._key(pod)} {digest}"
        ended = {"exitCode": int(is_other), "message": message}
        return {"name": PREPARE_CONTAINER, "restartCount": 0, "state": {"terminated": ended}}

    def _fixed(self, pod: Object) -> str:
        return self.models.get(self._key(pod), "")

    def _key(self, pod: Object) -> str:
        meta = pod["metadata"]
        return key_of(self.deployed, meta["labels"][names.STAGE], meta["annotations"][names.VARIANT])

    def timestamp(self) -> str:
        return datetime.fromtimestamp(self.now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_KEPT = (names.REPLICAS, names.REVISION)


def _template(given: Mapping[str, Any]) -> Object:
    """A template as the Deployment controller compares it."""
    template, meta = given["spec"]["template"], given["spec"]["template"]["metadata"]
    labels = {key: value for key, value in meta["labels"].items() if key != HASH}
    return {**template, "metadata": {**meta, "labels": labels}}


def _owner(pod: Object) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def _restarts(status: Mapping[str, Any]) -> int:
    return sum(each["restartCount"] for each in status.get("containerStatuses", ()))


def _is_complete(stage: Object) -> bool:
    status, replicas = stage["status"], stage["spec"]["replicas"]
    counts = [status.get(key) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [replicas] * 3 and status["observedGeneration"] == stage["metadata"]["generation"]


def _has_progressed(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    def old(status: Mapping[str, Any]) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    is_newer = now["updatedReplicas"] > before.get("updatedReplicas", 0)
    return is_newer or old(now) < old(before) or now["availableReplicas"] > before.get("availableReplicas", 0)


# ---- the backend before it ----


class Cluster(Rolling):
    """All that the backend asks of a cluster: an API server whose Deployments are rolled out at once after each write,
    with a watch, and by its proxy a gateway."""

    tick_s = 1.0

    def __init__(self, deployed: Deployed) -> None:
        super().__init__(deployed)
        self.now_s = time.time()
        self.strays: list[Object] = []  # pods that nothing makes or removes
        self.events: queue.Queue[dict[str, Any]] = queue.Queue()
        self.asked_gateway = 0  # how often for an observation
        self.configured: list[Any] = []
        self.origin_s = time.monotonic()
        self.epoch = "first"
        self.refusal: Exception | None = None
        self.unread: Exception | None = None
        self.ended: list[dict[str, Any]] = []
        self.lacking: set[tuple[str, str]] = set()  # verb and resource that are not allowed
        self._watched: dict[str, Object] = {}

    # ---- as an API ----

    def time_s(self) -> float:
        return time.time()

    def may(self, namespace: str, verb: str, group: str, resource: str, name: str = "") -> bool:
        return (verb, resource) not in self.lacking

    def get(self, kind: str, namespace: str, name: str, within_s: float = 0.0) -> Any:
        if self.unread is not None:
            raise self.unread
        if name == self.deployed.models_name:
            return super().get(kind, namespace, name)
        return copy.deepcopy({"ConfigMap": self.root, "Secret": secret("a-token-of-a-gateway")}.get(kind, self.gateway))

    def list(self, kind: str, namespace: str, selector: str = "") -> Any:
        items = [*self.pods, *self.strays] if kind == "Pod" else super().list(kind, namespace, selector)["items"]
        return {"items": copy.deepcopy(items), "metadata": {"resourceVersion": "1"}}

    def watch(self, *_: str) -> Iterator[dict[str, Any]]:
        while True:
            try:
                yield self.events.get(timeout=1.2 * LASTS_S)
            except queue.Empty:
                return

    def apply(self, manifest: Object, resource_version: str | None = None) -> Object:
        if self.refusal is not None:
            raise self.refusal
        self.before_write()
        made = super().apply(manifest, resource_version)
        if manifest["kind"] == "ConfigMap":
            self.root = {**manifest, "metadata": {**manifest["metadata"], "uid": "r"}}
        self.go_on()
        return copy.deepcopy(made)

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None = None) -> Object:
        self.before_write()
        made = super().scale(namespace, name, replicas, resource_version)
        self.go_on()
        return copy.deepcopy(made)

    def before_write(self) -> None:
        """What a test has to happen first."""

    def request(self, method: str, path: str, body: Any = None, **_: Any) -> Any:
        call, body = path.partition("/proxy")[2].partition("?")[0], json.loads(json.dumps(body))
        if call == "/control/start":
            self.origin_s = body["origin"]
        if call == "/control/configuration":
            self.configured.append(body)
        self.asked_gateway += call == "/control/observation"
        stage = dict.fromkeys(
            ("arrivals", "completions", "drops", "failures", "queue_length", "in_service", "busy_s", "request_s"), 0
        )
        return {
            "time_s": time.monotonic() - self.origin_s,
            "epoch": self.epoch,
            "configuration": self.configured[-1] if self.configured else {},
            "load_rps": [],
            "latencies_s": [],
            "records": copy.deepcopy(self.ended),
            "started": False,
            "stages": {"sort": {**stage, "latencies_s": []}},
        }

    # ---- as a cluster ----

    def go_on(self) -> None:
        """Roll out what can be, and tell the watch of it."""
        self.settle()
        now = {pod["metadata"]["uid"]: copy.deepcopy(pod) for pod in self.pods}
        for uid, pod in {**self._watched, **now}.items():
            if pod != self._watched.get(uid) or uid not in now:
                self.tell("ADDED" if uid not in self._watched else "MODIFIED" if uid in now else "DELETED", pod)
        self._watched = now

    def tell(self, kind: str, pod: Object) -> None:
        """Tell the watch of a pod."""
        told = copy.deepcopy(pod)
        told["metadata"]["resourceVersion"] = "2"
        self.events.put({"type": kind, "object": told})

    def treat(self, variant: str, **how: Any) -> None:
        """Treat the pods of a variant so from now on."""
        self.treats[variant] = Treatment(**how)
        self.go_on()


class HeldLease(Lease):
    """The Lease, held as long as a test has it so."""

    is_held, is_lost = True, False

    def __init__(self, log: list[str] | None = None) -> None:
        self.identity, self.holder, self.retry_s, self.report, self.problem = "ours", "ours", 0.02, "", ""
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
    monkeypatch.setattr(Launcher, "open", start_no_process)
    deployed = deployed or tiny(folder)
    cluster = Cluster(deployed)
    prepare(cluster)
    backend = KubernetesBackend(deployed, cluster, folder, HISTORY, **with_options(how))  # type: ignore[arg-type]
    try:
        await backend.open(initial or sort())
        await backend.start(time.monotonic())
        yield backend, cluster
    finally:
        await backend.close()


async def start_no_process(*_: object) -> None:
    """As nobody sends a load, no process is needed that would start one."""


def story(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Callable[..., Any], **how: Any) -> None:
    async def run() -> None:
        async with running(tmp_path, monkeypatch, **how) as (backend, cluster):
            await told(backend, cluster)

    asyncio.run(run())


def stand(cluster: Cluster, wanted: Configuration, notes: Mapping[str, str] | None = None) -> None:
    """An earlier controller has asked for this."""
    cluster.stand(wanted["sort"], notes)
    cluster.written.clear()


async def apply(backend: KubernetesBackend, wanted: Configuration) -> Applied:
    return await asyncio.to_thread(backend.apply, wanted)
