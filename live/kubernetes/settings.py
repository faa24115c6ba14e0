"""A deployed pipeline: its serving plane, its name and settings on a cluster."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names, pod_templates
from ipa.live.plane import Plane
from ipa.live.settings import EMULATED_CPU, LiveSettings
from ipa.policies import StageConfiguration

GPU = "nvidia.com/gpu"
"""The resource of which a replica has as many as its variant has GPUs, unless it is emulated."""


@dataclass(frozen=True)
class Deployed:
    """A pipeline on a cluster; `pipeline_file` is the text of the pipeline's file."""

    plane: Plane
    pipeline_file: str
    namespace: str = "default"
    name: str = ""
    settings: LiveSettings = field(default_factory=LiveSettings)

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
        models, memory = self.settings.models, {"memory": self.settings.models.memory}
        limits = {**memory, **({GPU: str(gpus)} if gpus else {})}
        if self.settings.has_profile_cpu:
            return {"requests": {**memory, "cpu": str(cores)}, "limits": {**limits, "cpu": str(cores)}}
        return {"requests": {**memory, "cpu": models.cpu or EMULATED_CPU}, "limits": limits}

    def check_removal(self) -> None:
        """Raise LiveError if replicas are to lose their requests when they are removed."""
        if self.plane.removal == "lose":
            raise LiveError("removal: lose: pods drain on a cluster; allowed: drain. This machine loses: ipa live run")

    def account_of(self, component: str) -> str:
        """The name of the ServiceAccount that is given for a component's pods; empty: it has one of its own."""
        nothing: dict[str, Any] = {"metadata": {}, "spec": {}}
        spec = pod_templates.merged(nothing, self.settings.cluster.pods, component)["spec"]
        return str(spec.get("serviceAccountName") or "")

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
