"""How long clients are without answers when the gateway's pod goes, on the cluster that KUBECONFIG names.

    python -m tests.live.kubernetes.gateway_outage [TIMES]

A client asks every 20 ms, each request on a connection of its own. The pod is deleted as an eviction or a drain deletes
it, with its time to finish, and then as where its node dies, with none. The figures are the longest time between two
answers, and how many requests got no answer.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from uuid import uuid4

from ipa.live.kubernetes import deploy, names
from ipa.live.kubernetes.api import Api, connect
from ipa.live.kubernetes.reach import client_url, until_reached
from ipa.live.kubernetes.settings import Deployed
from ipa.live.load_generator import DEFAULT_BODY
from tests.live.kubernetes.world import tiny
from tests.live.world import sort

EVERY_S = 0.02
BEFORE_S, AFTER_S, WITHIN_S = 3.0, 8.0, 120.0


async def outage(api: Api, deployed: Deployed, grace_s: int | None) -> tuple[float, int, int]:
    """Delete the gateway's pod under load: the longest time without an answer [s], requests not answered, and all."""
    import aiohttp

    url = f"{client_url(api, deployed)}/v2/models/tiny/infer"
    answered_s: list[float] = []
    lost = 0

    async def ask(session: aiohttp.ClientSession) -> None:
        nonlocal lost
        try:
            async with session.post(url, json=DEFAULT_BODY) as response:
                await response.read()
                if response.status == 200:
                    answered_s.append(time.monotonic())
                    return
        except (aiohttp.ClientError, TimeoutError):
            pass
        lost += 1

    selector = names.as_query(names.selector(deployed.instance, names.GATEWAY))
    (pod,) = [
        each
        for each in api.list("Pod", deployed.namespace, selector)["items"]
        if "deletionTimestamp" not in each["metadata"]
    ]
    path = f"/api/v1/namespaces/{deployed.namespace}/pods/{pod['metadata']['name']}"
    how = {} if grace_s is None else {"grace_period_seconds": grace_s}
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=5.0, sock_connect=1.0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        begun_s = time.monotonic()
        deleted_s = 0.0
        while not deleted_s or not any(at_s > deleted_s + AFTER_S for at_s in answered_s):
            group.create_task(ask(session))
            await asyncio.sleep(EVERY_S)
            if not deleted_s and time.monotonic() > begun_s + BEFORE_S:
                deleted_s = time.monotonic()
                await asyncio.to_thread(api.request, "DELETE", path, **how)
            if time.monotonic() > begun_s + WITHIN_S:
                break
    moments = sorted(answered_s)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    return max(gaps), lost, lost + len(moments)


def main(times: int) -> None:
    """Deploy the tiny pipeline in a namespace of its own, measure, and remove it."""
    api, namespace = connect(), f"ipa-outage-{uuid4().hex[:6]}"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    api.request("POST", "/api/v1/namespaces", made)
    with tempfile.TemporaryDirectory() as folder:
        deployed = tiny(Path(folder), namespace)
        try:
            deploy.up(api, deployed, sort("small", 2), within_s=WITHIN_S)
            asyncio.run(until_reached(client_url(api, deployed)))
            for grace_s in (None, 0):
                for _ in range(times):
                    longest_s, lost, asked = asyncio.run(outage(api, deployed, grace_s))
                    how = "with its time to finish" if grace_s is None else "with none"
                    print(f"{how}: {longest_s:.2f} s without an answer, {lost} of {asked} not answered", flush=True)
                    deploy.up(api, deployed, sort("small", 2), within_s=WITHIN_S)
        finally:
            deploy.down(api, deployed)
            api.request("DELETE", f"/api/v1/namespaces/{namespace}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
