"""Deploying a pipeline to a cluster or changing it there, what that would change, and taking it down again."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import CORE, OLDER, VERSIONS, Api, ApiError
from ipa.live.kubernetes.difference import drift
from ipa.live.kubernetes.gateway_manifests import control_secret
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.manifests import everything, owner_of, root, surroundings
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.reconcile import Reconciler
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look, read_pods, read_stages, wanted_of
from ipa.policies import Configuration


def up(
    api: Api,
    deployed: Deployed,
    first: Configuration,
    on_look: Callable[[Look], object] = lambda _: None,
    within_s: float = 600.0,
) -> None:
    """Apply everything and wait until it is ready, in the configuration wanted before, or `first` if there was none:
    `within_s` beyond the time that a node may take to come.

    Stages that the pipeline no longer has are deleted last, once the gateway that used them has ended.

    The Deployments are written under the Lease. A controller that holds it writes them itself, or ends if the pipeline
    or settings have changed. Raises LiveError for a refusal, RunError if the pipeline does not become ready.
    """
    try:
        owner = owner_of(api.apply(root(deployed)))
        api.create(control_secret(deployed, owner))
        for manifest in surroundings(deployed, owner, api.groups()):
            api.apply(manifest)
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    lease = Lease(api, deployed)
    try:
        _until_ready(api, deployed, first, on_look, within_s, lease)
    finally:
        lease.release()
    try:
        _delete_leftovers(api, deployed, within_s)
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None


def _until_ready(
    api: Api,
    deployed: Deployed,
    first: Configuration,
    on_look: Callable[[Look], object],
    within_s: float,
    lease: Lease,
) -> None:
    reconciler = Reconciler(api, deployed)
    until_s = time.monotonic() + within_s + deployed.settings.cluster.nodes_within_s
    while True:
        lease.acquire()
        try:
            wanted, pods = wanted_of(deployed, first, read_stages(api, deployed)), read_pods(api, deployed)
        except ApiError as error:
            if not error.is_transient or time.monotonic() > until_s:
                raise LiveError(refused(error, deployed)) from None
            time.sleep(LOOKED_EVERY_S)
            continue
        look = reconciler.reconcile(wanted, pods, may_write=lambda: lease.is_held)
        on_look(look)
        if look.is_complete(wanted):
            return
        trouble = look.hopeless
        if look.is_down or look.is_changed:
            trouble = "it has meanwhile been taken down or redeployed by another"
        if trouble or time.monotonic() > until_s:
            why = trouble or look.waits_for or "its pods are not all ready yet"
            raise RunError(f"it did not become ready: {why}")
        time.sleep(max(reconciler.pause_s, LOOKED_EVERY_S))


def _delete_leftovers(api: Api, deployed: Deployed, within_s: float) -> None:
    """Delete the objects of former stages, once no terminating gateway can still send requests there."""
    former = leftovers(api, deployed)
    selector = names.as_query(names.selector(deployed.instance, GATEWAY))
    until_s = time.monotonic() + within_s
    while former and time.monotonic() < until_s:
        gateway_pods = api.list("Pod", deployed.namespace, selector)["items"]
        if not any("deletionTimestamp" in pod["metadata"] for pod in gateway_pods):
            break
        time.sleep(LOOKED_EVERY_S)
    for kind, name in former:
        api.delete(kind, deployed.namespace, name)


# ---- what that would change ----


CREATE, CHANGE, KEEP, DELETE = "create", "change", "keep", "delete"


@dataclass(frozen=True, slots=True)
class DeployStep:
    """What `up` will do to one object; `fields` are those it changes."""

    action: str
    kind: str
    name: str
    fields: tuple[str, ...] = ()


def plan(api: Api, deployed: Deployed, first: Configuration) -> list[DeployStep]:
    """The steps of `up`, by a server-side dry run of everything, and what it would delete.

    Raises LiveError for what the server would refuse, and for objects that have our names but are not ours.
    """
    steps = []
    try:
        root_object = api.get("ConfigMap", deployed.namespace, deployed.instance)
        owner = None if root_object is None else owner_of(root_object)
        states = read_stages(api, deployed)
        configuration = wanted_of(deployed, first, states)
        for manifest in (root(deployed), *everything(deployed, configuration, owner, api.groups())):
            existing = api.get(manifest["kind"], deployed.namespace, manifest["metadata"]["name"])
            check_ours(manifest["kind"], existing, deployed)
            api.apply(manifest, dry_run=True)
            steps.append(_step(manifest, existing))
        steps.insert(1, _step_of_secret(api, deployed))
        steps += [DeployStep(DELETE, kind, name) for kind, name in leftovers(api, deployed)]
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    return steps


def _step_of_secret(api: Api, deployed: Deployed) -> DeployStep:
    """The token of the control port is made once and then stays: `up` never reads or writes it again."""
    secret = api.get("Secret", deployed.namespace, deployed.control_name)
    check_ours("Secret", secret, deployed)
    return DeployStep(CREATE if secret is None else KEEP, "Secret", deployed.control_name)


def _step(manifest: Manifest, existing: dict[str, Any] | None) -> DeployStep:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if existing is None:
        return DeployStep(CREATE, kind, name)
    changed = drift(manifest, {"apiVersion": manifest["apiVersion"], "kind": kind, **existing})
    return DeployStep(CHANGE if changed else KEEP, kind, name, tuple(changed))


# ---- the way back ----


LATE_S = 5.0
"""How long a gateway's pod is waited for beyond its grace period."""


def down(
    api: Api, deployed: Deployed, on_wait: Callable[[str], object] = lambda _: None, within_s: float = 120.0
) -> int:
    """Delete everything with this pipeline's labels and wait until it is gone; returns the number of objects.

    The gateway is deleted first, and answers the requests inside while the models still serve. `on_wait` is called with
    what is waited for, whenever that changes. Raises LiveError for objects that may not be deleted, RunError for
    objects that remain `within_s` after the gateway has ended.
    """
    report = _once(on_wait)
    try:
        objects = list(belongings(api, deployed))
        _drain(api, deployed, set(objects), report)
        until_s = time.monotonic() + within_s
        while remaining := list(belongings(api, deployed)):
            if time.monotonic() > until_s:
                some = ", ".join(f"{kind} {name}" for kind, name in remaining[:5])
                raise RunError(f"{len(remaining)} objects remain: {some}")
            # What a controller still creates, such as its Lease, until it sees that the root is gone, is deleted too.
            for kind, name in remaining:
                if kind != "Pod":
                    api.delete(kind, deployed.namespace, name)
            time.sleep(LOOKED_EVERY_S)
            if pods_left := [name for kind, name in remaining if kind == "Pod"]:
                report(f"waiting for {len(pods_left)} pods to end: {', '.join(pods_left)}")
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    return len(objects)


def _drain(
    api: Api, deployed: Deployed, belonging: Container[tuple[str, str]], report: Callable[[str], object]
) -> None:
    """Delete the gateway before the rest, and wait until its pods have answered the requests inside, at most their
    grace period.

    The root is deleted before it, without its dependents: controllers see that the pipeline is down and recreate
    nothing.
    """
    namespace = deployed.namespace
    if ("ConfigMap", deployed.instance) in belonging:
        api.delete("ConfigMap", namespace, deployed.instance, alone=True)
    for name in (names.name(deployed.instance, "controller"), deployed.gateway_name):
        if ("Deployment", name) in belonging:
            api.delete("Deployment", namespace, name)
    selector = names.as_query(names.selector(deployed.instance, GATEWAY))
    asked_s = time.monotonic()
    while gateway_pods := api.list("Pod", namespace, selector)["items"]:
        longest_s = max(pod["spec"].get("terminationGracePeriodSeconds", 30) for pod in gateway_pods)
        if time.monotonic() > asked_s + longest_s + LATE_S:
            return  # its node does not answer; the rest need not wait for it
        pods_there = ", ".join(pod["metadata"]["name"] for pod in gateway_pods)
        report(f"waiting for the gateway to answer the requests inside, at most {longest_s:g} s: {pods_there}")
        time.sleep(LOOKED_EVERY_S)


def _once(say: Callable[[str], object]) -> Callable[[str], None]:
    latest = [""]

    def said(text: str) -> None:
        if text != latest[0]:
            latest[0] = text
            say(text)

    return said


# ---- what belongs to a pipeline ----


LOOKED_EVERY_S = 0.5
"""How often the state is polled while waiting for objects to be ready, or gone."""

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
    "PrometheusRule",
    "Pod",
)
"""Everything that a deployed pipeline may consist of."""


def belongings(api: Api, deployed: Deployed) -> Iterator[tuple[str, str]]:
    """Kind and name of everything with this pipeline's labels."""
    for kind in kinds(api):
        if kind == "Secret":  # read by its name: listing them needs permission to read all
            yield from _our_secret(api, deployed)
            continue
        listed = api.list(kind, deployed.namespace, names.of_instance(deployed.instance))
        yield from ((kind, item["metadata"]["name"]) for item in listed["items"])


def kinds(api: Api) -> list[str]:
    """The kinds that the server has, of those that a deployed pipeline may consist of."""
    groups = api.groups() | {CORE}
    return [kind for kind in KINDS if {VERSIONS.get(kind, CORE), OLDER.get(kind)} & groups]


def _our_secret(api: Api, deployed: Deployed) -> Iterator[tuple[str, str]]:
    secret = api.get("Secret", deployed.namespace, deployed.control_name)
    if secret is not None and (secret["metadata"].get("labels") or {}).get(names.INSTANCE) == deployed.instance:
        yield "Secret", deployed.control_name


def leftovers(api: Api, deployed: Deployed) -> list[tuple[str, str]]:
    """Kind and name of the objects of stages that are not in the pipeline's file any more. Raises ApiError."""
    stages = {*map(deployed.stage_name, deployed.stages)}
    selector = f"{names.of_instance(deployed.instance)},{names.COMPONENT}={MODEL_SERVER},{names.STAGE}"
    return [
        (kind, name)
        for kind in kinds(api)
        if kind in ("Deployment", "PodDisruptionBudget")
        for item in api.list(kind, deployed.namespace, selector)["items"]
        if (name := item["metadata"]["name"]) not in stages
    ]


def check_ours(kind: str, existing: Mapping[str, Any] | None, deployed: Deployed) -> None:
    """Raise LiveError for an object that exists and is not this pipeline's."""
    if existing is None:
        return
    meta, labels = existing["metadata"], {names.INSTANCE: deployed.instance, "app.kubernetes.io/part-of": names.PART_OF}
    if any((meta.get("labels") or {}).get(key) != value for key, value in labels.items()):
        raise LiveError(
            f"{kind} {meta['name']} in namespace {meta['namespace']} is not ours (it lacks "
            f"{names.as_query(labels)}); choose another --name"
        )


def refused(error: ApiError, deployed: Deployed) -> str:
    """A refusal of the API server as a sentence for people."""
    if error.status == 404 and "namespaces" in error.text:
        return f"namespace {deployed.namespace} does not exist: kubectl create namespace {deployed.namespace}"
    if error.status == 403:
        return f"not allowed: {error.text}"
    if error.status == 409 and error.causes:
        return f"another field manager owns what has to change: {error.text}"
    return f"the API server: {error}"
