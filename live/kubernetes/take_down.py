"""Removing a pipeline from a cluster: the gateway first, which answers the requests inside."""

from __future__ import annotations

import time
from collections.abc import Callable, Container

from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.belongings import LOOKED_EVERY_S, belongings, refused
from ipa.live.kubernetes.names import GATEWAY
from ipa.live.kubernetes.settings import Deployed

LATE_S = 5.0
"""How much longer than it may a gateway's pod is waited for."""


def down(
    api: Api, deployed: Deployed, on_wait: Callable[[str], object] = lambda _: None, within_s: float = 120.0
) -> int:
    """Delete everything with this pipeline's labels and wait until it is gone; returns how many objects there were.

    The gateway goes first, and answers the requests inside while the models still serve. `on_wait` is told what is
    waited for, whenever that changes. Raises LiveError for objects that may not be deleted, RunError for objects that
    remain `within_s` after the gateway has ended.
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
    """End the gateway while all else is there, and wait for as long as its pods may take to answer what is inside.

    The root goes before it, alone: controllers see that the pipeline is down and make nothing anew.
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
    """Say a text unless it was the latest."""
    latest = [""]

    def said(text: str) -> None:
        if text != latest[0]:
            latest[0] = text
            say(text)

    return said
