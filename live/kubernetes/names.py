"""How the objects of a deployed pipeline are named, and the labels and annotations by which they are found again."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import sha256

PART_OF = "ipa-pipelines"
"""The value of `app.kubernetes.io/part-of` and `managed-by` on all our objects; `down` touches nothing without it."""
FIELD_MANAGER = "ipa-pipelines"

NAME = "app.kubernetes.io/name"
INSTANCE = "app.kubernetes.io/instance"
COMPONENT = "app.kubernetes.io/component"
PIPELINE, STAGE, VARIANT, CORES = "ipa/pipeline", "ipa/stage", "ipa/variant", "ipa/cores"

GATEWAY, MODEL_SERVER, CONTROLLER = "gateway", "model-server", "controller"
"""The components."""

WANTED = "ipa/wanted"
"""On a stage's Deployment: the wanted configuration, as JSON."""
SOUND = "ipa/sound"
"""On a stage's Deployment: the latest configuration to be rolled out completely; a failed one is rolled back to it."""
FAILED = "ipa/failed"
"""On a stage's Deployment: which variants never became ready, and when that was found, as JSON."""
TEMPLATE = "ipa/template"
"""On pod templates: a digest of the pod's specification, by which pods of the present template are recognised."""
CONTENT = "ipa/content"
"""On pod templates: a digest of what they mount, so that another pipeline file means new pods."""
REPORT = "ipa/report"
"""On the Lease: what its holder reports with each renewal, as JSON."""
HOLD = "ipa/hold"
"""The kill switch, on the pipeline's ConfigMap: with the value "true" the controller changes nothing."""
REPLICAS = "ipa/replicas"
"""On a stage's Deployment: how many replicas we last asked for; any other number is somebody else's."""
DESIRED = "deployment.kubernetes.io/desired-replicas"
"""On a ReplicaSet: the replicas of its Deployment when its controller last scaled it."""
REVISION = "deployment.kubernetes.io/revision"
"""On a ReplicaSet: a number that grows with each rollout of its Deployment; the present one has the largest."""

RESERVED = (
    "ipa/",
    *(NAME, INSTANCE, COMPONENT, "app.kubernetes.io/part-of", "app.kubernetes.io/managed-by"),
    *("deployment.kubernetes.io/", "pod-template-hash"),
)
"""The prefixes of labels and annotations by which objects are found again; nobody else may set them."""
TOKEN_KEY = "token"
"""The key of Secrets with tokens."""

LONGEST_LABEL = 63
_LABEL = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")


def label(text: str) -> str:
    """A text as a label's value: unchanged if it is a valid one, else shortened and made unique by a digest."""
    if len(text) <= LONGEST_LABEL and _LABEL.fullmatch(text):
        return text
    return _with_digest(re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-._"), text, LONGEST_LABEL)


def name(*parts: str) -> str:
    """An object's name (a DNS label): the parts joined if that is a valid one, else made unique by a digest."""
    text = "-".join(parts)
    plain = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if plain == text and len(plain) <= LONGEST_LABEL - 10:
        return plain
    return _with_digest(plain, "\0".join(parts), LONGEST_LABEL - 10)


def labels(instance: str, pipeline: str, component: str, **own: str) -> dict[str, str]:
    """The labels of an object; `more` are stage, variant and cores."""
    named = {f"ipa/{key}": label(value) for key, value in own.items()}
    return {**selector(instance, component), PIPELINE: label(pipeline), **_ours(), **named}


def selector(instance: str, component: str, **own: str) -> dict[str, str]:
    """The labels that select a component's pods; they never change."""
    return {
        NAME: f"ipa-{component}",
        INSTANCE: instance,
        COMPONENT: component,
        **{f"ipa/{key}": label(value) for key, value in own.items()},
    }


def of_instance(instance: str) -> str:
    """The label selector, as a query, of everything that belongs to an instance."""
    return as_query({"app.kubernetes.io/part-of": PART_OF, INSTANCE: instance})


def url(host: str, port: int) -> str:
    """The URL of a server at a host name, an IPv4 or an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def as_query(labels: Mapping[str, str]) -> str:
    return ",".join(f"{key}={value}" for key, value in labels.items())


def _ours() -> dict[str, str]:
    return {"app.kubernetes.io/part-of": PART_OF, "app.kubernetes.io/managed-by": PART_OF}


def _with_digest(plain: str, text: str, longest: int) -> str:
    digest = sha256(text.encode()).hexdigest()[:8]
    return f"{plain[: longest - 9].strip('-._')}-{digest}".lstrip("-")
