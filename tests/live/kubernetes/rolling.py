"""A stage's Deployment, rolled out step by step as Kubernetes 1.20 to 1.34 does it. No cluster.

The Deployment controller, the ReplicaSet controller and the kubelet take turns; a client may look after every write. Of
each, here is what decides which conditions are told, and when: pkg/controller/deployment and pkg/controller/replicaset.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.live.kubernetes import names, pods
from ipa.live.kubernetes.manifests import owner_of, stage_deployment
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import Plane
from ipa.policies import StageConfiguration
from tests.live.kubernetes.server import Server
from tests.live.kubernetes.world import BEGAN_S, HASH, made_of, refused, tiny
from tests.live.world import PIPELINE

Object = dict[str, Any]


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
    does not, one does), whether their container crashes, or never becomes ready."""

    refusal: str = ""
    unschedulable: str = ""
    crashes: bool = False
    hangs: bool = False


class Rolling(Server):
    """An API server whose one stage is rolled out by `steps`, or to its end by `settle`.

    `treats`: variant -> how the cluster treats its pods; one that is not named becomes ready.
    """

    def __init__(self, deployed: Deployed) -> None:
        super().__init__(deployed, None)
        self.treats: dict[str, Treatment] = {}
        self.pods: list[Object] = []
        self.now_s = BEGAN_S
        self._made = 0

    # ---- as a server ----

    def time_s(self) -> float:
        return self.now_s

    def apply(self, manifest: Object) -> Object:
        super().apply(manifest)
        if manifest["metadata"]["name"] != self.deployed.stage_name("sort"):
            return manifest
        (before,) = self.stages or [{"metadata": {}, "spec": {"replicas": 1}, "status": {}}]
        kept = {key: value for key, value in before["metadata"].get("annotations", {}).items() if key in _KEPT}
        made = copy.deepcopy(manifest)
        made["metadata"]["annotations"] = {**kept, **made["metadata"]["annotations"]}
        made["metadata"] |= {"uid": "of-the-deployment", "resourceVersion": "7"}
        made["spec"]["replicas"] = before["spec"]["replicas"]
        generation = before["metadata"].get("generation", 0)
        made["metadata"]["generation"] = generation + (made["spec"] != before["spec"])
        made["status"] = before["status"]
        self.stages = [made]
        return made

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None = None) -> None:
        super().scale(namespace, name, replicas, resource_version)
        meta = self.stage["metadata"]
        meta["annotations"][names.REPLICAS] = str(replicas)
        meta["generation"] += replicas != self.stage["spec"]["replicas"]
        self.stage["spec"]["replicas"] = replicas

    def forget(self, kind: str, namespace: str, name: str, annotation: str) -> None:
        super().forget(kind, namespace, name, annotation)
        for each in self.sets:
            if each["metadata"]["name"] == name:
                each["metadata"]["annotations"].pop(annotation, None)

    @property
    def stage(self) -> Object:
        return self.stages[0]

    def seen(self) -> list[pods.Pod]:
        """The pods as a watch would tell them."""
        return pods.ours(copy.deepcopy(self.pods))

    def stand(self, wanted: StageConfiguration) -> None:
        """A controller has asked for this, and it is rolled out as far as it can be."""
        assert self.root is not None
        self.apply(stage_deployment(self.deployed, "sort", wanted, owner_of(self.root)))
        self.scale("default", self.stage["metadata"]["name"], wanted.replicas)
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
            for turn in (self._sync_deployment, self._sync_sets, self._kubelet):
                known = self._state()
                for _ in turn():
                    if self._state() != known:
                        yield
                        known = self._state()
                if self._state() != known:
                    yield
            if self._state() == before:
                return

    def _state(self) -> str:
        return json.dumps([self.stages, self.sets, self.pods], sort_keys=True)

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
            self.now_s > pods.seconds(progress["lastUpdateTime"]) + deadline_s
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
        now = self._timestamp()
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
        treated = self._treatment(replica_set["spec"]["template"])
        failure = ""
        for _ in range(max(missing, 0)):
            self._made += 1
            name = f"{replica_set['metadata']['name']}-{self._made:05}"
            if treated.refusal:
                failure = treated.refusal.format(name=name)
                break
            self.pods.append(self._pod(replica_set, name))
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
            status["conditions"] = [refused(failure, self._timestamp())]

    def _pod(self, replica_set: Object, name: str) -> Object:
        meta = replica_set["spec"]["template"]["metadata"]
        owner = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": replica_set["metadata"]["name"]}
        return {
            "metadata": {
                **copy.deepcopy(meta),
                "name": name,
                "uid": f"uid-{self._made}",
                "creationTimestamp": self._timestamp(),
                "ownerReferences": [{**owner, "uid": replica_set["metadata"]["uid"], "controller": True}],
            },
            "status": {"conditions": []},
        }

    def _kubelet(self) -> Iterator[None]:
        """What becomes of pods: one more is ready, crashes, or finds no node."""
        for each in self.pods:
            treated, status = self._treatment(each), each["status"]
            if status["conditions"] and not (_waits_for_node(status) and not treated.unschedulable):
                continue
            if treated.unschedulable:
                refused = {"status": "False", "reason": "Unschedulable", "message": treated.unschedulable}
                status["conditions"] = [{"type": "PodScheduled", **refused}]
                continue
            status["conditions"] = [{"type": "PodScheduled", "status": "True"}]
            if not (treated.crashes or treated.hangs):
                ready = {"type": "Ready", "status": "True", "lastTransitionTime": self._timestamp()}
                status |= {"podIP": "10.0.0.9", "conditions": [*status["conditions"], ready]}
            elif treated.crashes:
                waiting = {"waiting": {"reason": "CrashLoopBackOff"}}
                status["containerStatuses"] = [{"restartCount": 5, "state": waiting}]
            yield

    def _treatment(self, given: Object) -> Treatment:
        return self.treats.get(given["metadata"]["annotations"][names.VARIANT], Treatment())

    def _timestamp(self) -> str:
        return datetime.fromtimestamp(self.now_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


_KEPT = (names.REPLICAS, names.REVISION)


def _template(given: Mapping[str, Any]) -> Object:
    """A template as the Deployment controller compares it."""
    template = copy.deepcopy(given["spec"]["template"])
    template["metadata"]["labels"].pop(HASH, None)
    return dict(template)


def _owner(pod: Object) -> str:
    return str(pod["metadata"]["ownerReferences"][0]["uid"])


def _condition(status: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return next((each for each in status.get("conditions") or () if each["type"] == kind), {})


def _waits_for_node(status: Mapping[str, Any]) -> bool:
    return bool(_condition(status, "PodScheduled").get("reason") == "Unschedulable")


def _is_complete(stage: Object) -> bool:
    status, replicas = stage["status"], stage["spec"]["replicas"]
    counts = [status.get(key) for key in ("updatedReplicas", "replicas", "availableReplicas")]
    return counts == [replicas] * 3 and status["observedGeneration"] == stage["metadata"]["generation"]


def _has_progressed(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    def old(status: Mapping[str, Any]) -> int:
        return int(status.get("replicas", 0) - status.get("updatedReplicas", 0))

    is_newer = now["updatedReplicas"] > before.get("updatedReplicas", 0)
    return is_newer or old(now) < old(before) or now["availableReplicas"] > before.get("availableReplicas", 0)
