"""Where clients outside the cluster reach a deployed pipeline, and waiting until they do."""

from __future__ import annotations

import asyncio
import time
from ipaddress import ip_address

from ipa.live.errors import LiveError, RunError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.settings import Deployed

REACHED_WITHIN_S = 30.0
"""How long it may take until clients reach the gateway: the network learns of a new Service with some delay."""
ASKED_EVERY_S = 0.2


async def until_reached(url: str, within_s: float = REACHED_WITHIN_S) -> None:
    """Wait until the gateway answers from here, so that no request of the load is wasted. Raises RunError."""
    until_s = time.monotonic() + within_s
    while problem := await _unreached(url):
        if time.monotonic() > until_s:
            raise RunError(f"the gateway cannot be reached at {url} ({problem}): give --url, or see --service")
        await asyncio.sleep(ASKED_EVERY_S)


async def _unreached(url: str) -> str:
    import aiohttp

    from ipa.live.load_generator import why_unreached

    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session,
            session.get(f"{url.rstrip('/')}/v2/health/live", allow_redirects=False) as response,
        ):
            return "" if response.status == 200 else f"HTTP status {response.status}"
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return why_unreached(error)


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
                f"give --url, or deploy with --service NodePort"
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
