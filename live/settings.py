"""The settings of a deployment: how a scenario runs live, on this machine or on a cluster (`kind: deployment`).

One model declares each key with its help, default and bounds; commands, gateways, manifests and docs take them from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import version
from ipaddress import ip_network
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from ipa.live.errors import LiveError
from ipa.profiles import FileModel, refusal

EMULATED = "emulated"
"""Models that only wait for as long as their profile says."""
PROFILE = "profile"
"""The CPU setting of a replica that gets its profile's cores."""
EMULATED_CPU = "20m"
"""The CPU request of a replica with an emulated model, which only waits."""

_UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
"""The names that Kubernetes allows for most objects."""
_LABEL = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_NAME, _FOLDER = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?", r"(/[^/\s]+)*"
_STORE = re.compile(rf"s3://{_NAME}{_FOLDER}/?|pvc:{_NAME}{_FOLDER}/?|image:(/[^/\s]+)+/?")


# ---- quantities and names ----


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
        raise ValueError(f"should be a number of {allowed}; given {quantity!r}")
    return float(match[1]) * units[match[2]]


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _checked(value: str, check: Any) -> str:
    try:
        check(value)
    except ValueError as error:
        raise refusal(str(error)) from None
    return value


def _object(name: str) -> str:
    if name and not (len(name) <= 253 and _SUBDOMAIN.fullmatch(name)):
        raise refusal(f"should be the name of an object: a-z, 0-9, and - and . in between; given {name!r}")
    return name


def _image(name: str) -> str:
    if not name or any(letter.isspace() for letter in name):
        raise refusal(f"should be the name of an image, such as registry/name:tag; given {name!r}")
    return name


def _network(text: str) -> str:
    try:
        return str(ip_network(text))
    except ValueError as error:
        raise refusal(f"{error}; allowed: networks such as 10.0.0.0/16") from None


def _peer(text: str) -> str:
    if "/" in text:
        return _network(text)
    if not _LABEL.fullmatch(text):
        raise refusal(f"should be a namespace, or a network such as 10.0.0.0/16; given {text!r}")
    return text


def _source(text: str) -> str:
    if text.partition(":")[0] in ("s3", "pvc", "image", "gs") and not _STORE.fullmatch(text):
        allowed = f"{EMULATED}, a folder, s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER] or image:/FOLDER"
        raise refusal(f"should be {allowed}; given {text!r}")
    return text


def _url(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^/?#\s]+\S*", text):
        raise refusal(f"should be the URL of a server, such as http://localhost:9090; given {text!r}")
    return text


def _endpoint(text: str) -> str:
    if text and not re.fullmatch(r"https?://[^/\s]+", text):
        raise refusal(f"should be a URL without a path, such as http://store:9000; given {text!r}")
    return text


Cpu = Annotated[str, BeforeValidator(_as_text), AfterValidator(lambda text: _checked(text, cpu_cores))]
CpuOrProfile = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(lambda text: text if text in ("", PROFILE) else _checked(text, cpu_cores)),
]
Memory = Annotated[str, BeforeValidator(_as_text), AfterValidator(lambda text: _checked(text, memory_bytes))]
ObjectName = Annotated[str, AfterValidator(_object)]
File = Annotated[Path, BeforeValidator(lambda value: Path(value) if isinstance(value, str) else value)]


def _many(kind: Any) -> Any:
    """A list in files, a tuple in Python; one value stands for a list of it."""

    def as_tuple(value: Any) -> Any:
        return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value

    return Annotated[tuple[kind, ...], BeforeValidator(as_tuple)]


# ---- the sections ----


CLUSTER, MACHINE, RUN, MANIFESTS = "cluster", "machine", "run", "manifests"
"""Where a key matters: kept with a deployment on a cluster; for a run on this machine; for each run, wherever; for
`ipa live manifests`."""


def _of(where: tuple[str, ...], default: Any, text: str, **bounds: Any) -> Any:
    return Field(default=default, description=text, json_schema_extra={"where": list(where)}, **bounds)


class ImageSettings(FileModel):
    """The image of all containers."""

    name: Annotated[str, AfterValidator(_image)] = _of(
        (CLUSTER,),
        f"ipa-pipelines:{version('ipa-pipelines')}",
        "the image; default: ipa-pipelines:VERSION, this program's version",
    )
    pull: Literal["Always", "IfNotPresent", "Never"] = _of((CLUSTER,), "IfNotPresent", "when to pull it")


class ModelSettings(FileModel):
    """Where the models are, and what a replica gets."""

    source: Annotated[str, AfterValidator(_source)] = _of(
        (CLUSTER, MACHINE),
        EMULATED,
        "emulated, or where real models are: on this machine a folder with [PIPELINE/]STAGE/VARIANT/; on a cluster "
        "s3://BUCKET[/FOLDER], pvc:CLAIM[/FOLDER] or image:/FOLDER",
    )
    s3_endpoint: Annotated[str, AfterValidator(_endpoint)] = _of(
        (CLUSTER,), "", "URL of the object store; default: Amazon S3"
    )
    s3_secret: ObjectName = _of(
        (CLUSTER,), "", "Secret with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the like; default: no credentials"
    )
    cpu: CpuOrProfile = _of(
        (CLUSTER,),
        "",
        "CPU request of a replica; profile: its profile's cores, as request and limit; default: 20m for emulated "
        "models, profile for real ones",
    )
    memory: Memory = _of((CLUSTER,), "256Mi", "memory request and limit of a replica")
    samples: str = _of(
        (RUN,),
        "",
        "what to send: a folder of files with its labels.jsonl, a .npz file whose rows are requests, or a .json file "
        "with a V2 request; default: zeros, shaped as the model's metadata says",
    )


class GatewayLimits(FileModel):
    """What requests may take of a gateway."""

    most_items: int | None = _of(
        (CLUSTER, MACHINE),
        None,
        "items that a request may become in a graph; beyond, it is answered with 413; default: 1000",
        ge=1,
    )
    most_json_bytes: int | None = _of(
        (CLUSTER, MACHINE),
        None,
        "most bytes of JSON in a request or an answer; binary data may be larger; default: 4194304",
        ge=1,
    )
    most_recorded_bytes: int | None = _of(
        (CLUSTER, MACHINE),
        None,
        "most bytes of the records of ended requests, 512 each row; default: an eighth of memory, at most 64 MiB",
        ge=1,
    )

    @classmethod
    def of(cls, text: str) -> GatewayLimits:
        """The limits that `as_text` wrote. Raises LiveError for anything else."""
        try:
            return cls.model_validate_json(text or "{}")
        except ValidationError as error:
            raise LiveError(f"--limits {text}: {error.errors()[0]['msg']}") from None

    def as_text(self) -> str:
        """The limits that are set, as JSON; empty if none is. For the command of a gateway's process."""
        given = {key: value for key in GatewayLimits.model_fields if (value := getattr(self, key)) is not None}
        return GatewayLimits(**given).model_dump_json(exclude_none=True) if given else ""


class GatewaySection(GatewayLimits):
    """The gateway: how many, their resources, ports and limits on requests."""

    count: int = _of((CLUSTER,), 1, "gateways: 1, or 2, of which one serves and the other takes over", ge=1, le=2)
    cpu: Cpu = _of((CLUSTER,), "250m", "CPU request of a gateway")
    memory: Memory = _of((CLUSTER,), "512Mi", "memory request and limit of a gateway")
    port: int = _of((MACHINE,), 0, "port for clients; 0: any free one", ge=0, le=65535)
    control_port: int = _of((MACHINE,), 0, "port of the control API and metrics; 0: any free one", ge=0, le=65535)


class AccessSettings(FileModel):
    """Who may send requests, and who reaches what."""

    token_secret: ObjectName = _of(
        (CLUSTER,), "", "Secret with the tokens of clients under the key token, one a line; default: they need none"
    )
    token_file: File | None = _of((RUN,), None, "file with the token that the load is sent with; default: none")
    control_token_file: File | None = _of(
        (RUN,),
        None,
        "call the gateway's control Service with the token in this file, as from inside the cluster; default: through "
        "the API server's proxy, with the token of its Secret",
    )
    origins: _many(str) = _of(  # type: ignore[valid-type]
        (CLUSTER,), (), "web pages that may send requests, such as https://video.example"
    )
    network_policy: bool = _of(
        (CLUSTER,),
        False,
        "restrict the connections of gateway and controller by NetworkPolicies; model servers always have one",
    )
    control_from: _many(Annotated[str, AfterValidator(_peer)]) = _of(  # type: ignore[valid-type]
        (CLUSTER,),
        (),
        "network_policy: namespaces and networks that reach the control port and the controller's metrics, besides the "
        "controller in the cluster",
    )
    api_networks: _many(Annotated[str, AfterValidator(_network)]) = _of(  # type: ignore[valid-type]
        (CLUSTER,), (), "network_policy: where the API server is; default: its ports, anywhere"
    )
    pod_networks: _many(Annotated[str, AfterValidator(_network)]) = _of(  # type: ignore[valid-type]
        (CLUSTER,), (), "where the gateway accepts replicas; default: at any address that is not local"
    )


class PodTemplate(FileModel):
    """A partial pod template, which is merged into ours as `kubectl patch` merges (see `pod_templates`)."""

    metadata: dict[str, Any] = Field(default_factory=dict, description="labels and annotations")
    spec: dict[str, Any] = Field(default_factory=dict, description="keys of a PodSpec")


class StageTemplate(PodTemplate):
    """That of a stage's model servers; `variants`: of those that serve one variant."""

    variants: dict[str, PodTemplate] = Field(default_factory=dict, description="variant -> a partial pod template")


class PodTemplates(FileModel):
    """What people add to pods; the more particular part is merged last."""

    pods: PodTemplate = Field(default=PodTemplate(), description="for all pods")
    gateway: PodTemplate = Field(default=PodTemplate(), description="for the gateway's")
    controller: PodTemplate = Field(default=PodTemplate(), description="for the controller's")
    models: PodTemplate = Field(default=PodTemplate(), description="for those of model servers")
    stages: dict[str, StageTemplate] = Field(default_factory=dict, description="stage -> for those of its servers")


class ClusterSettings(FileModel):
    """What is Kubernetes' own."""

    service_type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = _of(
        (CLUSTER,), "ClusterIP", "type of the Service through which clients reach the gateway"
    )
    ready_within_s: float = _of(
        (CLUSTER,),
        120.0,
        "seconds that a replica may take to become ready, beyond its start-up time, before its variant counts as "
        "failed; waiting for a node and for the image does not count",
        ge=1,
    )
    nodes_within_s: float = _of(
        (CLUSTER,),
        180.0,
        "seconds that replicas for which no node has room wait for another node, before policies get a lower limit on "
        "cores; 0 where none can come",
        ge=0,
    )
    pods: PodTemplates = _of((CLUSTER,), PodTemplates(), "what is merged into pods, under Kubernetes' own names")


class ControllerSettings(FileModel):
    """The controller: what it observes, how often it decides and changes pods, what it keeps."""

    source: Literal["gateway", "prometheus"] = _of(
        (RUN,), "gateway", "where policies get their observations: gateway, in exact seconds, or prometheus"
    )
    prometheus: Annotated[str, AfterValidator(_url)] = _of(
        (RUN,), "", "Prometheus server that scrapes the gateway; default: one is started"
    )
    prometheus_match: _many(str) = _of(  # type: ignore[valid-type]
        (RUN,), (), 'read only the series that have these labels, LABEL="VALUE"'
    )
    advise: bool = _of((RUN,), False, "decide and write the journal, but change nothing after the start")
    decision_timeout_s: float | None = _of(
        (RUN,), None, "seconds that a decision may take; default: the control interval, at most 5", gt=0
    )
    changes_per_minute: int = _of((RUN,), 30, "cluster: change the pods of a stage at most this often", ge=1)
    metrics_port: int | None = _of((RUN,), None, "serve the controller's own metrics on this port", ge=0, le=65535)
    metrics_host: str = _of((RUN,), "127.0.0.1", "address for metrics_port")
    state: File | None = _of((RUN,), None, "keep the journal in this file, and resume from it if it exists")
    in_cluster: bool = _of(
        (MANIFESTS,), False, "manifests: add a controller that runs in the cluster, with its permissions"
    )
    gitops: bool = _of(
        (MANIFESTS,),
        False,
        "manifests: leave out the stages' Deployments, which the controller in the cluster makes itself, for Argo CD "
        "and Flux",
    )
    state_claim: ObjectName = _of(
        (MANIFESTS,),
        "",
        "manifests: keep the controller's whole journal on this PersistentVolumeClaim; default: it lives as long as "
        "its pod; the latest entry, with what the policy has learnt, is in a ConfigMap",
    )
    monitor: bool = _of((MANIFESTS,), False, "manifests: add monitors and alert rules for the Prometheus operator")


class LiveSettings(FileModel):
    """The settings of a deployment. Every key has a default; those of a cluster are refused elsewhere."""

    schema_version: Literal[1] = Field(default=1, description="the version of the format")
    kind: Literal["deployment"] = Field(default="deployment", description="what the file is")
    image: ImageSettings = Field(default=ImageSettings(), description="the image of all containers")
    models: ModelSettings = Field(default=ModelSettings(), description="where models are, and what a replica gets")
    gateway: GatewaySection = Field(default=GatewaySection(), description="gateways and their limits on requests")
    access: AccessSettings = Field(default=AccessSettings(), description="who may send requests, and reach what")
    cluster: ClusterSettings = Field(default=ClusterSettings(), description="what is Kubernetes' own")
    controller: ControllerSettings = Field(default=ControllerSettings(), description="what decides, and how")

    @property
    def has_profile_cpu(self) -> bool:
        """Whether a replica's CPU request and limit are its profile's cores."""
        return (self.models.cpu or (EMULATED_CPU if self.models.source == EMULATED else PROFILE)) == PROFILE

    def rollout_within_s(self, start_up_s: float = 0.0) -> int:
        """How long a Deployment's rollout may go without progress: a node may have to come first.

        `cluster.ready_within_s` is longer than the minute and a half after which a kubelet looks again if it has missed
        that a pod became ready."""
        return ceil(start_up_s + self.cluster.ready_within_s) + ceil(self.cluster.nodes_within_s)

    def as_text(self) -> str:
        """What is kept with a deployment, as JSON."""
        return self.model_dump_json(exclude=_not_kept())

    @classmethod
    def from_text(cls, text: str) -> LiveSettings:
        """The settings that `as_text` wrote. Raises LiveError for anything else, such as the text of another
        version."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            problem = error.errors()[0]
            where = ".".join(map(str, problem["loc"]))
            raise LiveError(
                f"the settings on the cluster were made by another version ({where}: {problem['msg']}); run ipa live up"
            ) from None

    def given(self) -> Iterator[tuple[str, tuple[str, ...], Any]]:
        """The keys that are given and not at their defaults, such as `gateway.memory`: where each matters, its
        value."""
        for section, key, where in _keys():
            part = getattr(self, section)
            value = getattr(part, key)
            if key in part.model_fields_set and value != type(part).model_fields[key].default:
                yield f"{section}.{key}", where, value

    def check_for_machine(self) -> None:
        """Raise LiveError for a key that only matters on a cluster."""
        for key, where, value in self.given():
            if where == (CLUSTER,):
                raise LiveError(f"{key}: {value}: is of a cluster: --backend kubernetes")

    def check_deployed(self, there: LiveSettings) -> None:
        """Raise LiveError for a key that is kept with a deployment and is another `there`."""
        for key, where, value in self.given():
            section, _, name = key.partition(".")
            kept = getattr(getattr(there, section), name)
            if CLUSTER in where and kept != value:
                raise LiveError(f"{key}: {value}: the deployment has {kept}; on a cluster, give it to ipa live up")


SECTIONS = ("image", "models", "gateway", "access", "cluster", "controller")


def _keys() -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Section, key and where it matters."""
    for section in SECTIONS:
        for key, field in LiveSettings.model_fields[section].annotation.model_fields.items():  # type: ignore[union-attr]
            yield section, key, tuple(field.json_schema_extra["where"])


@cache
def _not_kept() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for section, key, where in _keys():
        if CLUSTER not in where:
            found.setdefault(section, set()).add(key)
    return found
