"""An API server made of memory, for looks at a pipeline of one stage or a few."""

from __future__ import annotations

from typing import Any

from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.manifests import owner_of, root
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import StageConfiguration
from tests.live.kubernetes.world import BEGAN_S, on_server, sound


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
        self.failing: list[ApiError] = []
        self.forbidden: set[str] = set()
        self.asked: list[str] = []
        self.read_only = False
        self.lost: set[str] = set()

    def get(self, kind: str, namespace: str, name: str) -> Any:
        return self.root if kind == "ConfigMap" else self.gateway

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

    def apply(self, manifest: dict[str, Any]) -> Any:
        self._fail()
        self.written.append(manifest["metadata"]["name"])
        return manifest

    def scale(self, namespace: str, name: str, replicas: int, resource_version: str | None) -> Any:
        self._fail()
        self.written.append((name, replicas, resource_version))

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
