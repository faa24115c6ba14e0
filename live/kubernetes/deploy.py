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
    or layout has changed. Raises LiveError for a refusal, RunError if the pipeline does not become ready.
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
    until_s = time.monotonic() + within_s + deployed.layout.nodes_within_s
    while True:
        lease.acquire()
        try:
            wanted, there = wanted_of(deployed, first, read_stages(api, deployed)), read_pods(api, deployed)
        except ApiError as error:
            if not error.is_transient or time.monotonic() > until_s:
                raise LiveError(refused(error, deployed)) from None
            time.sleep(LOOKED_EVERY_S)
            continue
        look = reconciler.reconcile(wanted, there, may_write=lambda: lease.is_held)
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
    left = leftovers(api, deployed)
    selector = names.as_query(names.selector(deployed.instance, GATEWAY))
    until_s = time.monotonic() + within_s
    while left and time.monotonic() < until_s:
        found = api.list("Pod", deployed.namespace, selector)["items"]
        if not any("deletionTimestamp" in each["metadata"] for each in found):
            break
        time.sleep(LOOKED_EVERY_S)
    for kind, name in left:
        api.delete(kind, deployed.namespace, name)


# ---- what that would change ----


CREATE, CHANGE, KEEP, DELETE = "create", "change", "keep", "delete"


@dataclass(frozen=True, slots=True)
class Step:
    """What `up` will do to one object; `fields` are those it changes."""

    action: str
    kind: str
    name: str
    fields: tuple[str, ...] = ()


def plan(api: Api, deployed: Deployed, first: Configuration) -> list[Step]:
    """The steps of `up`, by a server-side dry run of everything, and what it would delete.

    Raises LiveError for what the server would refuse, and for objects that have our names but are not ours.
    """
    steps = []
    try:
        found = api.get("ConfigMap", deployed.namespace, deployed.instance)
        owner = None if found is None else owner_of(found)
        states = read_stages(api, deployed)
        configuration = wanted_of(deployed, first, states)
        for manifest in (root(deployed), *everything(deployed, configuration, owner, api.groups())):
            given = api.get(manifest["kind"], deployed.namespace, manifest["metadata"]["name"])
            check_ours(manifest["kind"], given, deployed)
            api.apply(manifest, dry_run=True)
            steps.append(_step(manifest, given))
        steps.insert(1, _step_of_secret(api, deployed))
        steps += [Step(DELETE, kind, name) for kind, name in leftovers(api, deployed)]
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    return steps


def _step_of_secret(api: Api, deployed: Deployed) -> Step:
    """The token of the control port is made once and then stays: `up` never reads or writes it again."""
    given = api.get("Secret", deployed.namespace, deployed.control_name)
    check_ours("Secret", given, deployed)
    return Step(CREATE if given is None else KEEP, "Secret", deployed.control_name)


def _step(manifest: Manifest, given: dict[str, Any] | None) -> Step:
    kind, name = manifest["kind"], manifest["metadata"]["name"]
    if given is None:
        return Step(CREATE, kind, name)
    changed = drift(manifest, {"apiVersion": manifest["apiVersion"], "kind": kind, **given})
    return Step(CHANGE if changed else KEEP, kind, name, tuple(changed))


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
    said = _once(on_wait)
    try:
        there = list(belongings(api, deployed))
        _drain(api, deployed, set(there), said)
        until_s = time.monotonic() + within_s
        while left := list(belongings(api, deployed)):
            if time.monotonic() > until_s:
                raise RunError(f"{len(left)} objects remain: {', '.join(f'{kind} {name}' for kind, name in left[:5])}")
            # What a controller still creates, such as its Lease, until it sees that the root is gone, is deleted too.
            for kind, name in left:
                if kind != "Pod":
                    api.delete(kind, deployed.namespace, name)
            time.sleep(LOOKED_EVERY_S)
            if pods_left := [name for kind, name in left if kind == "Pod"]:
                said(f"waiting for {len(pods_left)} pods to end: {', '.join(pods_left)}")
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    return len(there)


def _drain(api: Api, deployed: Deployed, belonging: Container[tuple[str, str]], said: Callable[[str], object]) -> None:
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
    while there := api.list("Pod", namespace, selector)["items"]:
        longest_s = max(each["spec"].get("terminationGracePeriodSeconds", 30) for each in there)
        if time.monotonic() > asked_s + longest_s + LATE_S:
            return  # its node does not answer; the rest need not wait for it
        pods_there = ", ".join(each["metadata"]["name"] for each in there)
        said(f"waiting for the gateway to answer the requests inside, at most {longest_s:g} s: {pods_there}")
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
    """Kind and name of the objects of stages that are not in the pipeline's file any more. Raises ApiError."""
    stages = {*map(deployed.stage_name, deployed.stages)}
    selector = f"{names.of_instance(deployed.instance)},{names.COMPONENT}={MODEL_SERVER},{names.STAGE}"
    return [
        (kind, name)
        for kind in kinds(api)
        if kind in ("Deployment", "PodDisruptionBudget")
        for each in api.list(kind, deployed.namespace, selector)["items"]
        if (name := each["metadata"]["name"]) not in stages
    ]


def check_ours(kind: str, given: Mapping[str, Any] | None, deployed: Deployed) -> None:
    """Raise LiveError for an object that exists and is not this pipeline's."""
    if given is None:
        return
    meta, wanted = given["metadata"], {names.INSTANCE: deployed.instance, "app.kubernetes.io/part-of": names.PART_OF}
    if any((meta.get("labels") or {}).get(key) != value for key, value in wanted.items()):
        raise LiveError(
            f"{kind} {meta['name']} in namespace {meta['namespace']} is not ours (it lacks "
            f"{names.as_query(wanted)}); choose another --name"
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
