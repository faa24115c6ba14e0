"""A deployed pipeline for tests of the Kubernetes backend: without a cluster, and on the one that KUBECONFIG names."""

from __future__ import annotations

import copy
import json
import os
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

import pytest
import yaml

from ipa import profiles
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError, connect
from ipa.live.kubernetes.kubernetes_backend import Options
from ipa.live.kubernetes.manifests import as_text, stage_deployment
from ipa.live.kubernetes.memory import ENTRY
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import Plane
from ipa.live.settings import LiveSettings
from ipa.policies import StageConfiguration
from tests.live.world import PIPELINE, pipeline_file, sort

IMAGE = os.environ.get("IPA_IMAGE", "local/ipa:dev")
"""What the cluster has of us: see docs/kubernetes.md."""
HASH = "pod-template-hash"
BEGAN, BEGAN_S = "2026-01-01T00:00:00Z", 1_767_225_600.0
"""When a server made of memory begins."""


def settings_of(base: LiveSettings | None = None, /, **values: Any) -> LiveSettings:
    """Settings with these values over the `base`'s: `gateway__cpu="1"` is the key `gateway.cpu`."""
    plain = (base or LiveSettings()).model_dump(mode="json")
    for key, value in values.items():
        section, _, name = key.partition("__")
        plain[section][name] = value
    return LiveSettings.model_validate(plain)


def tiny(folder: Path, namespace: str = "default", settings: LiveSettings | None = None, **plane_of: Any) -> Deployed:
    """The tiny pipeline (one stage `sort`, variants small and large) as deployed."""
    path = pipeline_file(folder)
    plane = Plane(_tiny_pipeline(), str(path), **plane_of)
    settings = settings or settings_of(image__name=IMAGE, image__pull="Never", cluster__service_type="NodePort")
    return Deployed(plane, PIPELINE, namespace, settings=settings)


@cache
def _tiny_pipeline() -> profiles.Pipeline:
    """Read once: hundreds of tests deploy it."""
    with TemporaryDirectory() as folder:
        return profiles.load(str(pipeline_file(Path(folder))))


def documents(text: str) -> list[dict[str, Any]]:
    """Those of a stream of YAML, read by libyaml where it is there: in a tenth of the time."""
    return list(yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


LANGUAGE = """\
schema_version: 1
kind: pipeline
name: tiny
description: Language models on one GPU and on two.
provenance: {guess: {kind: assumed, why: an example}}
gpu_cores: {value: 10, from: guess}
stages:
  - name: sort
    task: answers
    kind: llm
    sla: {pinned_s: 30, why: an example}
    tokens: {input: {mean: 100, p99: 300}, output: {mean: 50, p99: 100}, from: guess}
    variants:
      - name: small
        accuracy: {value: 0.5, from: guess}
        step: {base_s: 0.01, per_token_s: 1.0e-5, from: guess}
        sequences: 8
        kv_blocks: 1000
        gpus: 1
      - name: large
        accuracy: {value: 0.7, from: guess}
        step: {base_s: 0.02, per_token_s: 1.0e-5, from: guess}
        sequences: 8
        kv_blocks: 1000
        cores: 4
        gpus: 2
"""


def language(folder: Path, settings: LiveSettings | None = None) -> Deployed:
    """A pipeline of one stage `sort` of language models, `small` of one core and one GPU, `large` of 4 and 2."""
    path = folder / "language.yaml"
    path.write_text(LANGUAGE, encoding="utf-8")
    settings = settings or settings_of(image__name=IMAGE)
    return Deployed(Plane(profiles.load(str(path)), str(path)), LANGUAGE, "default", settings=settings)


def two_stages(folder: Path, namespace: str = "default", second: str = "rank") -> Deployed:
    """The tiny pipeline with a `second` stage like its first, under the same name."""
    head, _, rest = PIPELINE.partition("  - name: sort\n")
    stage, _, tail = rest.partition("published:")
    stages = "".join(f"  - name: {name}\n{stage}" for name in ("sort", second))
    text = f"{head}{stages}published:{tail.replace('{sort: 2}', f'{{sort: 2, {second}: 2}}')}"
    path = folder / f"two-{second}.yaml"
    path.write_text(text, encoding="utf-8")
    settings = settings_of(image__name=IMAGE, image__pull="Never", cluster__service_type="NodePort")
    return Deployed(Plane(profiles.load(str(path)), str(path)), text, namespace, settings=settings)


def on_server(
    deployed: Deployed,
    wanted: StageConfiguration,
    *,
    replicas: int | None = None,
    asked: int | None = None,
    updated: int | None = None,
    old: int = 0,
    available: int | None = None,
    seen: int = 1,
    generation: int = 1,
    notes: Mapping[str, str] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """The stage's Deployment as a server would have it, with its defaults and a status.

    Its `replicas` are those that we `asked` for, and these are the wanted ones, unless said otherwise.
    """
    given = noted(stage_deployment(deployed, "sort", wanted), notes or {})
    count = wanted.replicas if replicas is None else replicas
    updated = count if updated is None else updated
    given["metadata"]["annotations"][names.REPLICAS] = str(count if asked is None else asked)
    given["metadata"] |= {"uid": "u", "resourceVersion": "7", "generation": generation}
    given["spec"] |= {"replicas": count, "minReadySeconds": 0}
    given["status"] = {
        "observedGeneration": seen,
        "replicas": updated + old,
        "updatedReplicas": updated,
        "availableReplicas": updated + old if available is None else available,
        **status,
    }
    return given


def noted(given: dict[str, Any], notes: Mapping[str, str]) -> dict[str, Any]:
    """A Deployment in whose annotations a controller remembers something."""
    given["metadata"]["annotations"] |= notes
    return given


def made_of(given: Mapping[str, Any], *, revision: int = 1, refusal: str = "", seen: int = 1) -> dict[str, Any]:
    """The ReplicaSet that a server makes of a Deployment's present template; `refusal`: why its next pod is refused."""
    template = copy.deepcopy(given["spec"]["template"])
    digest = sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]
    template["metadata"]["labels"][HASH] = digest
    owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": given["metadata"]["name"]}
    return {
        "metadata": {
            "name": f"{given['metadata']['name']}-{digest}",
            "uid": f"of-{digest}",
            "generation": 1,
            "labels": template["metadata"]["labels"],
            "annotations": {names.REVISION: str(revision), names.DESIRED: str(given["spec"].get("replicas", 1))},
            "ownerReferences": [{**owner, "uid": given["metadata"]["uid"], "controller": True}],
        },
        "spec": {"replicas": given["spec"].get("replicas", 1), "template": template},
        "status": {"observedGeneration": seen, "replicas": 0, "conditions": [refused(refusal)] if refusal else []},
    }


def refused(message: str, at: str = BEGAN) -> dict[str, str]:
    """The condition of a ReplicaSet, or of its Deployment, whose next pod is refused."""
    said = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": message}
    return {**said, "lastTransitionTime": at}


def secret(token: str) -> dict[str, Any]:
    """The Secret of a control port as a server would have it."""
    return {"data": {names.TOKEN_KEY: b64encode(token.encode()).decode()}}


def template(deployed: Deployed, wanted: StageConfiguration) -> str:
    """The digest by which pods of a configuration are known."""
    made = stage_deployment(deployed, "sort", wanted)["spec"]["template"]
    return str(made["metadata"]["annotations"][names.TEMPLATE])


def pod(number: int, variant: str = "small", **given: Any) -> Pod:
    """A pod of the stage, created at second `number`, ready unless said otherwise."""
    made = Pod(
        uid=f"uid-{number}",
        name=f"sort-{number}",
        stage="sort",
        variant=variant,
        cores=sort(variant)["sort"].cores,
        address=f"10.0.0.{number}",
        created_s=float(number),
        scheduled_s=float(number),
        started_s=float(number),
        ready_s=number + 8.0,
    )
    return replace(made, **given)


def with_options(how: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a backend, of which some are in its `Options`."""
    of_options = {key: how[key] for key in how if key in Options.__dataclass_fields__}
    return {"options": Options(**of_options), **{key: how[key] for key in how if key not in of_options}}


def sound(wanted: StageConfiguration) -> dict[str, str]:
    """The note that a configuration has stood whole."""
    return {names.SOUND: as_text(wanted)}


@contextmanager
def own_namespace(within_s: float) -> Iterator[str]:
    """A new namespace that takes pods, deleted afterwards."""
    api, name = connect(), f"ipa-test-{uuid4().hex[:8]}"
    api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        until_s = time.monotonic() + within_s
        while not takes_pods(api, name):
            assert time.monotonic() < until_s, f"namespace {name} takes no pods"
            time.sleep(0.1)
        yield name
    finally:
        api.request("DELETE", f"/api/v1/namespaces/{name}")


def takes_pods(api: Api, namespace: str) -> bool:
    """Whether the account that pods run as has been made."""
    pod = {"metadata": {"name": "tried"}, "spec": {"containers": [{"name": "tried", "image": IMAGE}]}}
    try:
        api.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod, dry_run="All")
    except ApiError:
        return False
    return True


@contextmanager
def quota(api: Api, namespace: str, within_s: float, **hard: str) -> Iterator[None]:
    """A quota meanwhile, which is in force at once: it may keep pods from coming for as long as a test looks."""
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    made = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "meanwhile"}, "spec": {"hard": hard}}
    api.request("POST", path, made)
    try:
        until_counted(api, f"{path}/meanwhile", within_s)
        yield
    finally:
        api.request("DELETE", f"{path}/meanwhile")


def until_counted(api: Api, quota_path: str, within_s: float) -> None:
    """Wait until a quota says what it counts: until then it refuses all with other words, which may stay."""
    until_s = time.monotonic() + within_s
    while not (api.request("GET", quota_path).get("status") or {}).get("used"):
        assert time.monotonic() < until_s, "the quota is not counted"
        time.sleep(0.1)


def remembered(deployed: Deployed) -> int:
    """The number of the step in the cluster's memory of a controller; -1 while there is none."""
    found = connect().get("ConfigMap", deployed.namespace, deployed.memory_name)
    entry = ((found or {}).get("data") or {}).get(ENTRY)
    return -1 if entry is None else int(json.loads(entry)["observation"]["step"])


@contextmanager
def cordoned(api: Api) -> Iterator[None]:
    """No node takes a new pod."""
    nodes = [each["metadata"]["name"] for each in api.request("GET", "/api/v1/nodes")["items"]]

    def cordon(value: bool) -> None:
        for node in nodes:
            patch = {"spec": {"unschedulable": value}}
            api.request("PATCH", f"/api/v1/nodes/{node}", patch, content_type="application/merge-patch+json")

    cordon(True)
    try:
        yield
    finally:
        cordon(False)


@contextmanager
def volume(namespace: str, claim: str, folder: Path, mode: str) -> Iterator[None]:
    """A claim in the namespace, of a folder of this machine; skipped where the node is another one."""
    api, name = connect(), f"{namespace}-{claim}"
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    nodes = api.request("GET", "/api/v1/nodes")["items"]
    if [node["status"]["nodeInfo"]["bootID"] for node in nodes] != [boot]:
        pytest.skip("the node is not this machine, whose folder would be the volume")
    both = {"accessModes": [mode], "storageClassName": name}
    path = {"path": str(folder), "type": "Directory"}
    made = {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name},
        "spec": {**both, "capacity": {"storage": "1Mi"}, "hostPath": path},
    }
    claimed = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": claim},
        "spec": {**both, "resources": {"requests": {"storage": "1Mi"}}},
    }
    api.request("POST", "/api/v1/persistentvolumes", made)
    try:
        api.request("POST", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims", claimed)
        yield
    finally:
        api.request("DELETE", f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{claim}")
        api.request("DELETE", f"/api/v1/persistentvolumes/{name}")
