"""Deploying a pipeline to a cluster, or changing it there."""

from __future__ import annotations

import time
from collections.abc import Callable

from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.belongings import LOOKED_EVERY_S, leftovers, refused
from ipa.live.kubernetes.gateway_manifests import control_secret
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.manifests import owner_of, root, surroundings
from ipa.live.kubernetes.names import GATEWAY
from ipa.live.kubernetes.reconciler import Reconciler
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.standing import pods, standing
from ipa.policies import Configuration


def up(
    api: Api,
    deployed: Deployed,
    first: Configuration,
    on_look: Callable[[Look], object] = lambda _: None,
    within_s: float = 600.0,
) -> None:
    """Apply everything and wait until it is ready, in the configuration wanted before, or in `first` if none was.

    Stages that the pipeline no longer has are deleted last, when the gateway that used them has finished.

    The Deployments are written under the Lease. A controller that holds it writes them itself, or ends if it sees
    another pipeline or layout. Raises LiveError for a refusal, RunError if the pipeline does not become ready.
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
        _until_stands(api, deployed, first, on_look, within_s, lease)
    finally:
        lease.release()
    try:
        _delete_leftovers(api, deployed, within_s)
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None


def _until_stands(
    api: Api,
    deployed: Deployed,
    first: Configuration,
    on_look: Callable[[Look], object],
    within_s: float,
    lease: Lease,
) -> None:
    reconciler = Reconciler(api, deployed)
    until_s = time.monotonic() + within_s
    while True:
        lease.acquire()
        try:
            wanted, there = standing(api, deployed, first), pods(api, deployed)
        except ApiError as error:
            if not error.is_transient or time.monotonic() > until_s:
                raise LiveError(refused(error, deployed)) from None
            time.sleep(LOOKED_EVERY_S)
            continue
        look = reconciler.look(wanted, there, may_write=lambda: lease.is_held)
        on_look(look)
        if look.is_complete(wanted, alone=False):  # a controller ends lanes, once nobody waits there
            return
        trouble = look.hopeless
        if look.is_down or look.is_changed:
            trouble = "it has meanwhile been taken down or redeployed by another"
        if trouble or time.monotonic() > until_s:
            why = trouble or look.waits_for or "its pods are not all ready yet"
            raise RunError(f"it did not become ready: {why}")
        time.sleep(max(reconciler.pause_s, LOOKED_EVERY_S))


def _delete_leftovers(api: Api, deployed: Deployed, within_s: float) -> None:
    """Delete what is left of earlier stages, once no gateway that is ending may still send requests there."""
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
