"""What on the API server belongs to a deployed pipeline, and what to say of what may not be touched."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import CORE, OLDER, VERSIONS, Api, ApiError
from ipa.live.kubernetes.names import MODEL_SERVER
from ipa.live.kubernetes.settings import Deployed

LOOKED_EVERY_S = 0.5
"""How often somebody who waits looks whether objects stand, or are gone."""

KINDS = (
    "Deployment",
    "PodDisruptionBudget",
    "NetworkPolicy",
    "Service",
    "RoleBinding",
    "Role",
    "ServiceAccount",
    "Lease",
    "Secret",
    "ConfigMap",
    "ServiceMonitor",
    "PodMonitor",
    "Pod",
)
"""Everything that a deployed pipeline may consist of."""


def belongings(api: Api, deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Kind and name of everything with this pipeline's labels."""
    for kind in kinds(api):
        if kind == "Secret":  # asked for by its name: to list them one has to be allowed to read all
            yield from _our_secret(api, deployed)
            continue
        found = api.list(kind, deployed.namespace, names.of_instance(deployed.instance))
        yield from ((kind, each["metadata"]["name"]) for each in found["items"])


def kinds(api: Api) -> list[str]:
    """The kinds that the server has, of those that a deployed pipeline may consist of."""
    groups = api.groups() | {CORE}
    return [kind for kind in KINDS if {VERSIONS.get(kind, CORE), OLDER.get(kind)} & groups]


def _our_secret(api: Api, deployed: Deployed) -> Iterator[tuple[str, str]]:
    found = api.get("Secret", deployed.namespace, deployed.control_name)
    if found is not None and (found["metadata"].get("labels") or {}).get(names.INSTANCE) == deployed.instance:
        yield "Secret", deployed.control_name


def leftovers(api: Api, deployed: Deployed) -> list[tuple[str, str]]:
    """Kind and name of what is left of stages that the pipeline had under an earlier file. Raises ApiError."""
    stages = {
        deployed.stage_name(stage, lane) for stage in deployed.stages for lane in (0, *deployed.further_lanes(stage))
    }
    selector = f"{names.of_instance(deployed.instance)},{names.COMPONENT}={MODEL_SERVER},{names.STAGE}"
    return [
        (kind, name)
        for kind in kinds(api)
        if kind in ("Deployment", "PodDisruptionBudget")
        for each in api.list(kind, deployed.namespace, selector)["items"]
        if (name := each["metadata"]["name"]) not in stages
    ]


def check_ours(given: Mapping[str, object] | None, deployed: Deployed) -> None:
    """Raise LiveError for an object that exists and is not this pipeline's."""
    meta = (given or {}).get("metadata")
    if not isinstance(meta, dict):
        return
    labels = meta.get("labels") or {}
    wanted = {names.INSTANCE: deployed.instance, "app.kubernetes.io/part-of": names.PART_OF}
    if any(labels.get(key) != value for key, value in wanted.items()):
        kind = (given or {}).get("kind", "object")
        raise LiveError(
            f"{kind} {meta.get('name')} in namespace {meta.get('namespace')} is not ours (it lacks "
            f"{names.as_query(wanted)}); choose another --name"
        )


def refused(error: ApiError, deployed: Deployed) -> str:
    """What a refusal of the API server means to a person."""
    if error.status == 404 and "namespaces" in error.text:
        return f"namespace {deployed.namespace} does not exist: kubectl create namespace {deployed.namespace}"
    if error.status == 403:
        return f"not allowed: {error.text}"
    if error.status == 409 and error.causes:
        return f"another field manager owns what has to change: {error.text}"
    return f"the API server: {error}"
