"""Waits until a deployed pipeline is ready for a run and reachable, and finds the URL for clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address

from ipa.live.errors import LiveError, RunError
from ipa.live.gateway_client import GatewayClient, RefusedError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look
from ipa.live.server_answers import unhealthy
from ipa.policies import Configuration

READY_WITHIN_S = 600.0
"""How long the first configuration may take to become ready, beyond the start-up times of its replicas and the time
that a node may take to come."""
ASK_EVERY_S = 0.2


NOT_READY = "its pods are not all ready yet"


async def until_gateway(
    client: GatewayClient, look: Callable[[], Look], failed: asyncio.Future[None], within_s: float
) -> None:
    """Wait until a gateway is ready, by the latest `look`, and answers this machine. Raises RunError if none does, and
    the error of `failed` once that has one."""

    async def lacks() -> str:
        if not look().is_gateway_there:
            return NOT_READY
        # The cluster calls a gateway ready a moment before each node's proxy leads to it.
        return "" if await client.is_ready() else "it runs, and does not answer this controller"

    await _until("gateway", lacks, look, lambda: bool(look().gateway_problem), failed, within_s)


async def until_whole(
    client: GatewayClient,
    look: Callable[[], Look],
    pods: Callable[[], Iterable[Pod]],
    initial: Configuration,
    failed: asyncio.Future[None],
    within_s: float,
) -> None:
    """Wait until `initial` is in force and exactly its replicas are there, ready. Raises as `until_gateway`."""
    is_configured = False

    async def lacks() -> str:
        nonlocal is_configured
        if not is_configured:
            try:
                await client.configure(initial)
                is_configured = True
            except RunError as error:
                return str(error)
            except RefusedError as refusal:
                raise RunError(f"the gateway refused the first configuration: {refusal}") from None
        return "" if look().is_complete(initial) and is_alone(pods(), initial) else NOT_READY

    await _until("first configuration", lacks, look, lambda: bool(look().hopeless), failed, within_s)


async def _until(
    what: str,
    lacks: Callable[[], Awaitable[str]],
    look: Callable[[], Look],
    is_hopeless: Callable[[], bool],
    failed: asyncio.Future[None],
    within_s: float,
) -> None:
    until_s = time.monotonic() + within_s
    while True:
        if failed.done():
            failed.result()
        if not (why := await lacks()):
            return
        if is_hopeless() or time.monotonic() > until_s:
            raise RunError(f"the {what} did not become ready: {look().hopeless or look().waits_for or why}")
        await asyncio.sleep(ASK_EVERY_S)


def longest_s(deployed: Deployed, initial: Configuration) -> float:
    return (
        READY_WITHIN_S
        + deployed.settings.cluster.nodes_within_s
        + max(
            deployed.plane.pipeline.stage(name).variant(desired.variant).start_up_s * desired.replicas
            for name, desired in initial.items()
        )
    )


def is_alone(pods: Iterable[Pod], wanted: Configuration) -> bool:
    """Whether the pods are the wanted ones and no others, not even some that are ending."""
    there = [pod for pod in pods if not pod.is_over]
    replicas = sum(stage.replicas for stage in wanted.values())
    return len(there) == replicas and all(pod.is_serving for pod in there)


# ---- where clients reach it ----


REACHED_WITHIN_S = 30.0
"""How long it may take until clients reach the gateway: the network learns of a new Service with some delay."""


async def until_reached(url: str, within_s: float = REACHED_WITHIN_S) -> None:
    """Wait until the gateway answers this machine, so that no request of the load is wasted. Raises RunError."""
    import aiohttp

    until_s = time.monotonic() + within_s
    async with aiohttp.ClientSession() as session:
        while problem := await unhealthy(session, f"{url.rstrip('/')}/v2/health/live", within_s=2.0):
            if time.monotonic() > until_s:
                raise RunError(
                    f"the gateway cannot be reached at {url} ({problem}): give --url, or see cluster.service_type"
                )
            await asyncio.sleep(ASK_EVERY_S)


def client_url(api: Api, deployed: Deployed) -> str:
    """Where clients outside reach the pipeline: its Service's load balancer, or a node's port.

    Raises LiveError if its Service does not exist or cannot be reached from outside.
    """
    try:
        service = api.get("Service", deployed.namespace, deployed.instance)
        if service is None:
            raise LiveError(f"no Service {deployed.instance} in namespace {deployed.namespace}; run ipa live up")
        port = service["spec"]["ports"][0]
        ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if ingress:
            return names.url(ingress[0].get("ip") or ingress[0]["hostname"], port["port"])
        if service["spec"]["type"] != "NodePort":
            raise LiveError(
                f"Service {deployed.instance} of type {service['spec']['type']} cannot be reached from outside: "
                f"give --url, or deploy with --set cluster.service_type=NodePort"
            )
        nodes = api.request("GET", "/api/v1/nodes")["items"]
    except ApiError as error:
        raise LiveError(f"cannot find out where clients reach the pipeline ({error}): give --url") from None
    # The port is open on the addresses of the Service's families alone; servers before 1.20 name none.
    families = service["spec"].get("ipFamilies") or ["IPv4", "IPv6"]
    addresses = [each for node in nodes for each in node["status"]["addresses"]]
    by_type = {each["type"]: each["address"] for each in reversed(addresses) if _family(each["address"]) in families}
    address = by_type.get("ExternalIP") or by_type.get("InternalIP")
    if address is None:
        raise LiveError(f"no node has an address ({' or '.join(families)}): give --url")
    return names.url(address, port["nodePort"])


def _family(address: str) -> str:
    """IPv4 or IPv6; a node's name is neither."""
    try:
        return f"IPv{ip_address(address).version}"
    except ValueError:
        return ""
