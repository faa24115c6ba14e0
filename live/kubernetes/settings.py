"""The settings of a deployed pipeline: those of its serving plane, and its layout on a cluster."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from hashlib import sha256
from importlib.metadata import version
from math import ceil
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.gateway_settings import GatewayLimits
from ipa.live.kubernetes import names, pod_settings
from ipa.live.plane import Plane
from ipa.policies import StageConfiguration

DEFAULT_IMAGE = f"ipa-pipelines:{version('ipa-pipelines')}"
GPU = "nvidia.com/gpu"
"""The resource of which a replica has as many as its variant has GPUs, unless it is emulated."""
EMULATED = "emulated"
"""Models that only wait for as long as their profile says."""
PROFILE = "profile"
"""The CPU setting of a replica that gets its profile's cores."""
EMULATED_CPU = "20m"
"""The CPU request of a replica with an emulated model, which only waits."""


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def memory_bytes(quantity: str) -> int:
    """The bytes of a Kubernetes quantity of memory, such as 512Mi. Raises ValueError for anything else.

    Kubernetes accepts more, such as 512m, which is half a byte; for memory that is a mistake.
    """
    return int(_number(quantity, _UNITS, "bytes, such as 512Mi or 1Gi"))


def cpu_cores(quantity: str) -> float:
    """The cores of a Kubernetes quantity of CPU, such as 250m. Raises ValueError for anything else.

    Kubernetes accepts more, such as 1k, which is a thousand cores; that is a mistake.
    """
    return _number(quantity, {"": 1.0, "m": 0.001}, "cores above 0, such as 0.5 or 500m")


def _number(quantity: str, units: Mapping[str, float], allowed: str) -> float:
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([A-Za-z]*)", quantity)
    if match is None or match[2] not in units or not float(match[1]):
        raise ValueError(f"{quantity!r} should be a number of {allowed}")
    return float(match[1]) * units[match[2]]


@dataclass(frozen=True)
class Layout(GatewayLimits):
    """How a pipeline is laid out on a cluster: chosen when it is deployed, and kept with it there, with the limits of
    its gateways.

    `models` is `emulated`, or where real ones are (see `model_sources`). For an object store, `s3_endpoint` is its URL
    (empty: Amazon's) and `s3_secret` the Secret with credentials (empty: none). `replica_cpu` is what a replica
    requests; `profile` means its profile's cores, as request and limit; empty means that for real models and
    `EMULATED_CPU` for emulated ones. A variant that is not ready `ready_within_s` after its start-up time is rolled
    back; the time that its pods wait for a node and for their image does not count. It is longer than the minute and a
    half after which a kubelet looks again if it has missed that a pod became ready. Pods that no node has room for wait
    `nodes_within_s` for another node before policies get a lower limit on cores. Of two `gateways`, one serves and the
    other waits. `gateway_cpu` is a gateway's request, `gateway_memory` its request and limit. `pods` is a scenario's
    section `kubernetes` (see `pod_settings`): what is added to the pods of each part. `client_token_secret` names the
    Secret with the tokens of clients (empty: they need none), `client_origins` the web pages that may be clients. With
    `network_policy` the gateway's connections are restricted too. `control_from` are then the namespaces and networks
    that reach its control port (as the controller in the cluster does) and the controller's metrics; `api_networks` are
    those of the API server (empty: its ports anywhere). `pod_networks` are those of replicas (empty: any).
    """

    image: str = DEFAULT_IMAGE
    pull_policy: str = "IfNotPresent"
    service_type: str = "ClusterIP"
    models: str = EMULATED
    s3_endpoint: str = ""
    s3_secret: str = ""
    replica_cpu: str = ""
    replica_memory: str = "256Mi"
    gateways: int = 1
    gateway_cpu: str = "250m"
    gateway_memory: str = "512Mi"
    ready_within_s: float = 120.0
    nodes_within_s: float = 180.0
    client_token_secret: str = ""
    client_origins: tuple[str, ...] = ()
    network_policy: bool = False
    control_from: tuple[str, ...] = ()
    api_networks: tuple[str, ...] = ()
    pod_networks: tuple[str, ...] = ()
    pods: Mapping[str, Any] = field(default_factory=dict, hash=False)

    @property
    def has_profile_cpu(self) -> bool:
        """Whether a replica's CPU request and limit are its profile's cores."""
        return (self.replica_cpu or (EMULATED_CPU if self.models == EMULATED else PROFILE)) == PROFILE

    def rollout_within_s(self, start_up_s: float = 0.0) -> int:
        """How long a Deployment's rollout may go without progress: a node may have to come first."""
        return ceil(start_up_s + self.ready_within_s) + ceil(self.nodes_within_s)

    def as_text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Layout:
        """The layout that `as_text` wrote. Raises LiveError for anything else, such as the text of another version."""
        try:
            fields: dict[str, Any] = json.loads(text)
            fields = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
            return cls(**fields)
        except (ValueError, TypeError, AttributeError) as error:
            raise LiveError(
                f"the layout on the cluster was made by another version ({error}); run ipa live up"
            ) from None


@dataclass(frozen=True)
class Deployed:
    """A pipeline on a cluster; `pipeline_file` is the text of the pipeline's file."""

    plane: Plane
    pipeline_file: str
    namespace: str = "default"
    name: str = ""
    layout: Layout = Layout()

    @property
    def pipeline(self) -> str:
        return self.plane.pipeline.name

    @cached_property
    def instance(self) -> str:
        """The name of the instance, which distinguishes the deployed pipelines of a cluster."""
        return self.name or names.name("ipa", self.pipeline)

    @property
    def stages(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.plane.pipeline.stages)

    def stage_name(self, stage: str) -> str:
        """The name of a stage's Deployment."""
        return names.name(self.instance, "stage", stage)

    @property
    def gateway_name(self) -> str:
        return names.name(self.instance, "gateway")

    @property
    def control_name(self) -> str:
        """The name of the Service of the gateway's control port."""
        return names.name(self.instance, "control")

    @property
    def memory_name(self) -> str:
        """The name of the ConfigMap with what a controller's policy has learnt."""
        return names.name(self.instance, "memory")

    @property
    def models_name(self) -> str:
        """The name of the ConfigMap with the digests of its models."""
        return names.name(self.instance, "models")

    @property
    def content(self) -> str:
        return sha256(self.pipeline_file.encode()).hexdigest()[:16]

    def own_cores(self, stage: str, wanted: StageConfiguration) -> int:
        """The cores that a replica has for itself: those that it costs, but for what its GPUs cost."""
        model = self.plane.pipeline.stage(stage).variant(wanted.variant).language_model
        return wanted.cores if model is None else model.cores

    def replica_resources(self, cores: int, gpus: int = 0) -> dict[str, dict[str, str]]:
        """The container's `resources` of a replica with so many cores and GPUs; memory has a request equal to its
        limit."""
        layout, memory = self.layout, {"memory": self.layout.replica_memory}
        limits = {**memory, **({GPU: str(gpus)} if gpus else {})}
        if layout.has_profile_cpu:
            return {"requests": {**memory, "cpu": str(cores)}, "limits": {**limits, "cpu": str(cores)}}
        return {"requests": {**memory, "cpu": layout.replica_cpu or EMULATED_CPU}, "limits": limits}

    def check_removal(self) -> None:
        """Raise LiveError if replicas are to lose their requests when they are removed."""
        if self.plane.removal == "lose":
            raise LiveError("removal: lose: pods drain on a cluster; allowed: drain. This machine loses: ipa live run")

    def pods_of(self, component: str, stage: str = "", variant: str = "") -> dict[str, Any]:
        """What is added to the pods of a component or, for model servers, of a stage's variant."""
        return pod_settings.of_part(self.layout.pods, component, stage, variant)

    def labels(self, component: str, **more: str) -> dict[str, str]:
        return names.labels(self.instance, self.pipeline, component, **more)

    def meta(self, name: str, component: str, owner: Any = None, **more: str) -> dict[str, Any]:
        """An object's metadata; deleting the `owner` deletes the object."""
        meta: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(component, **more),
        }
        return meta if owner is None else {**meta, "ownerReferences": [owner]}
