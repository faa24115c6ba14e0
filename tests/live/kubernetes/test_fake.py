"""The cluster of memory is faithful: to the same calls it answers what was recorded from a real one, which still does.

What is recorded is what a reconciler reads. A real server has more in its answers, and takes its time: there, each step
is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipa.live.kubernetes import names
from ipa.live.kubernetes.manifests import owner_of, root, stage_deployment
from ipa.live.kubernetes.pods import ours
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import StageConfiguration
from tests.live.kubernetes.fake import Rolling
from tests.live.kubernetes.world import own_namespace, tiny
from tests.live.world import sort

WITHIN_S = 120.0
SMALL, LARGE = sort("small")["sort"], sort("large")["sort"]

AVAILABLE = {"Progressing": ("True", "NewReplicaSetAvailable")}
REFUSED = {"ReplicaFailure": ("True", "FailedCreate")}
RECORDED: dict[str, dict[str, Any]] = {
    "a new Deployment has one replica": {
        "generation": 1, "seen": 1, "counts": (1, 1, 1), "asked": None, "conditions": AVAILABLE,
        "sets": [("1", 1, "1", {})], "pods": [("small", True)],
    },
    "the same again changes nothing": {
        "generation": 1, "seen": 1, "counts": (1, 1, 1), "asked": None, "conditions": AVAILABLE,
        "sets": [("1", 1, "1", {})], "pods": [("small", True)],
    },
    "replicas are set, and noted as ours": {
        "generation": 2, "seen": 2, "counts": (2, 2, 2), "asked": "2", "conditions": AVAILABLE,
        "sets": [("1", 2, "2", {})], "pods": [("small", True), ("small", True)],
    },
    "another template is rolled out, and the replicas stay": {
        "generation": 3, "seen": 3, "counts": (2, 2, 2), "asked": "2", "conditions": AVAILABLE,
        "sets": [("1", 0, "2", {}), ("2", 2, "2", {})], "pods": [("large", True), ("large", True)],
    },
    "the first template comes back as the latest revision": {
        "generation": 4, "seen": 4, "counts": (2, 2, 2), "asked": "2", "conditions": AVAILABLE,
        "sets": [("2", 0, "2", {}), ("3", 2, "2", {})], "pods": [("small", True), ("small", True)],
    },
    "beyond a quota no pod is made, and who makes them says so": {
        "generation": 5, "seen": 5, "counts": (2, 2, 2), "asked": "3", "conditions": {**AVAILABLE, **REFUSED},
        "sets": [("2", 0, "2", {}), ("3", 3, "3", REFUSED)], "pods": [("small", True), ("small", True)],
    },
    "fewer replicas end that": {
        "generation": 6, "seen": 6, "counts": (1, 1, 1), "asked": "1", "conditions": AVAILABLE,
        "sets": [("2", 0, "2", {}), ("3", 1, "1", {})], "pods": [("small", True)],
    },
}  # fmt: skip
"""Step -> what was then read on Kubernetes 1.20: counts are all, updated and available; a set's are its revision, its
replicas, those that it remembers of its Deployment, and its conditions."""


def steps(api: Any, deployed: Deployed, quota: Callable[[int], object]) -> Iterator[str]:
    """The same calls for either; each step's name once it has been done."""
    name, namespace = deployed.stage_name("sort"), deployed.namespace
    made: Any = api.root if isinstance(api, Rolling) else api.apply(root(deployed))
    owner = owner_of(made)

    def apply(wanted: StageConfiguration) -> None:
        api.apply(stage_deployment(deployed, "sort", wanted, owner))

    first, again, scaled, changed, back, refused, fewer = RECORDED
    apply(SMALL)
    yield first
    apply(SMALL)
    yield again
    api.scale(namespace, name, 2)
    yield scaled
    apply(LARGE)
    yield changed
    apply(SMALL)
    yield back
    quota(2)
    api.scale(namespace, name, 3)
    yield refused
    api.scale(namespace, name, 1)
    yield fewer


def read(api: Any, deployed: Deployed) -> dict[str, Any]:
    """What a reconciler reads of it."""
    selector = names.as_query(names.selector(deployed.instance, names.MODEL_SERVER))
    (stage,) = api.list("Deployment", deployed.namespace, selector)["items"]
    sets = api.list("ReplicaSet", deployed.namespace, selector)["items"]
    pods = api.pods if isinstance(api, Rolling) else api.list("Pod", deployed.namespace, selector)["items"]
    assert not {"kind", "apiVersion"} & {*stage, *sets[0]}  # lists leave them out
    meta, status = stage["metadata"], stage["status"]
    of_sets = {each["metadata"]["uid"]: each["metadata"]["name"] for each in sets}
    there = [each for each in ours(pods) if each.removed_s is None]
    assert {each.replica_set for each in there} <= {*of_sets.values()}
    return {
        "generation": meta["generation"],
        "seen": status.get("observedGeneration"),
        "counts": tuple(status.get(key, 0) for key in ("replicas", "updatedReplicas", "availableReplicas")),
        "asked": meta["annotations"].get(names.REPLICAS),
        "conditions": conditions(status),
        "sets": sorted(
            (
                each["metadata"]["annotations"][names.REVISION],
                each["spec"]["replicas"],
                each["metadata"]["annotations"][names.DESIRED],
                conditions(each["status"]),
            )
            for each in sets
        ),
        "pods": sorted((each.variant, each.is_serving) for each in there),
    }


def conditions(status: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Those that a reconciler believes."""
    found = {each["type"]: (each["status"], each["reason"]) for each in status.get("conditions") or ()}
    return {kind: said for kind, said in found.items() if kind in ("Progressing", "ReplicaFailure")}


def test_the_cluster_of_memory_answers_as_recorded(tmp_path: Path) -> None:
    deployed = tiny(tmp_path)
    cluster = Rolling(deployed)
    for step in steps(cluster, deployed, lambda pods: setattr(cluster, "room", pods)):
        cluster.settle()
        assert (step, read(cluster, deployed)) == (step, RECORDED[step])


@pytest.mark.cluster
def test_a_real_cluster_answers_as_recorded(tmp_path: Path) -> None:
    pytest.importorskip("kubernetes")
    from ipa.live.kubernetes.api import connect

    api = connect()
    with own_namespace(WITHIN_S) as namespace:
        deployed = tiny(tmp_path, namespace)

        def quota(pods: int) -> None:
            meta, spec = {"name": "pods", "namespace": namespace}, {"hard": {"pods": str(pods)}}
            made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": spec}
            path = f"/api/v1/namespaces/{namespace}/resourcequotas"
            api.request("POST", path, made)
            until(lambda: "hard" in api.request("GET", f"{path}/pods").get("status", {}), True)

        for step in steps(api, deployed, quota):
            until(lambda: read(api, deployed), RECORDED[step], step)


def until(found: Callable[[], object], wanted: object, step: str = "") -> None:
    until_s = time.monotonic() + WITHIN_S
    while (last := _found(found)) != wanted:
        assert time.monotonic() < until_s, (step, last, wanted)
        time.sleep(0.2)


def _found(found: Callable[[], object]) -> object:
    """What is found; a set that has not been made yet, or not noted, is not there yet."""
    try:
        return found()
    except (KeyError, IndexError, ValueError) as error:
        return repr(error)
