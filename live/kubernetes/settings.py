"""What a deployed pipeline is: the settings of the serving plane, and how it is laid out on a cluster."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from functools import cached_property
from hashlib import sha256
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.plane import Plane

DEFAULT_IMAGE = "ipa-pipelines:latest"
EMULATED = "emulated"
"""The models that only wait, as long as their profile says."""
PROFILE = "profile"
"""The CPU of a replica that has its profile's cores."""
EMULATED_CPU = "20m"
"""What a replica with an emulated model, which only waits, requests."""


_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def memory_bytes(quantity: str) -> int:
    """The bytes of a Kubernetes quantity of memory, such as 512Mi. ValueError for anything else.

    What Kubernetes knows besides, such as 512m, which is half a byte, is a mistake where memory is meant.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]*)", quantity)
    if found is None or found[2] not in _UNITS or not float(found[1]):
        raise ValueError(f"{quantity!r} should be bytes, or such as 512Mi or 1Gi")
    return int(float(found[1]) * _UNITS[found[2]])


@dataclass(frozen=True)
class Resources:
    """Kubernetes quantities of one container; None: no request, or no limit, of CPU."""

    cpu: str | None
    cpu_limit: str | None
    memory: str

    def as_manifest(self) -> dict[str, dict[str, str]]:
        """As a container's `resources`; memory is requested as it is limited."""
        requests = {"memory": self.memory} | ({} if self.cpu is None else {"cpu": self.cpu})
        limits = {"memory": self.memory} | ({} if self.cpu_limit is None else {"cpu": self.cpu_limit})
        return {"requests": requests, "limits": limits}


@dataclass(frozen=True)
class Layout:
    """How a pipeline is laid out on a cluster: chosen when it is deployed, and kept beside it there.

    `models`: emulated, or where real ones are (see `model_sources`); of an object store, `s3_endpoint` is the
    URL (empty: Amazon's) and `s3_secret` the Secret with credentials (empty: none). `replica_cpu`: what a replica
    requests; `profile`: its profile's cores, as request and limit; empty: that for real models, `EMULATED_CPU` for
    emulated ones. `ready_within_s`: how long beyond its start-up time a variant may take to become ready before it is
    rolled back. `gateway_cpu` is what the gateway requests, `gateway_memory` its request and limit.
    """

    image: str = DEFAULT_IMAGE
    pull_policy: str = "IfNotPresent"
    service_type: str = "ClusterIP"
    models: str = EMULATED
    s3_endpoint: str = ""
    s3_secret: str = ""
    replica_cpu: str = ""
    replica_memory: str = "256Mi"
    gateway_cpu: str = "250m"
    gateway_memory: str = "512Mi"
    ready_within_s: float = 60.0

    def as_text(self) -> str:
        """As JSON."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_text(cls, text: str) -> Layout:
        """What `as_text` made; LiveError for anything else, as another version would make it."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError) as error:
            raise LiveError(f"the layout on the cluster was made by another version ({error}): ipa live up") from None


@dataclass(frozen=True)
class Deployed:
    """One pipeline on a cluster; `pipeline_file` is the text of the pipeline's file."""

    plane: Plane
    pipeline_file: str
    namespace: str = "default"
    name: str = ""
    layout: Layout = Layout()

    @property
    def pipeline(self) -> str:
        """The pipeline's name."""
        return self.plane.pipeline.name

    @cached_property
    def instance(self) -> str:
        """The name of the whole, by which one cluster tells several from each other."""
        return self.name or names.name("ipa", self.pipeline)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages, in order."""
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
    def content(self) -> str:
        """A digest of the pipeline's file."""
        return sha256(self.pipeline_file.encode()).hexdigest()[:16]

    def replica_resources(self, cores: int) -> Resources:
        """Of a replica with so many cores of its profile."""
        layout = self.layout
        cpu = layout.replica_cpu or (EMULATED_CPU if layout.models == EMULATED else PROFILE)
        if cpu == PROFILE:
            return Resources(str(cores), str(cores), layout.replica_memory)
        return Resources(cpu, None, layout.replica_memory)

    def labels(self, component: str, **more: str) -> dict[str, str]:
        """The labels of an object of this pipeline."""
        return names.labels(self.instance, self.pipeline, component, **more)

    def meta(self, name: str, component: str, owner: Any = None, **more: str) -> dict[str, Any]:
        """An object's metadata; `owner`: the one whose deletion deletes it."""
        meta: dict[str, Any] = {
            "name": name,
            "namespace": self.namespace,
            "labels": self.labels(component, **more),
        }
        return meta if owner is None else {**meta, "ownerReferences": [owner]}
