"""How long clients are without answers when the gateway's pod goes, on the cluster that KUBECONFIG names.

    python -m tests.live.kubernetes.gateway_outage [TIMES] [GATEWAYS]

A client asks every 20 ms, each request on a connection of its own. The pod (of two gateways, that of the one that
serves) is deleted as an eviction or a drain deletes it, with its time to finish, and then as where its node dies, with
none. The figures are the longest time between two answers, how many requests got no answer, and when, in seconds after
the deletion, the successor was seen to pass each step of its start: `listens` and `replicas` are from its log.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import threading
import time
from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any
from uuid import uuid4

from ipa.live.kubernetes import deploy, names
from ipa.live.kubernetes.api import Api, connect
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.settings import Deployed
from ipa.live.server_answers import DEFAULT_BODY
from tests.live.kubernetes.world import IMAGE, settings_of, tiny
from tests.live.world import sort

EVERY_S = 0.02
BEFORE_S, AFTER_S, WITHIN_S = 3.0, 8.0, 120.0


class Start:
    """The steps of the start of the next gateway's pod, as they come; `steps`: name -> when (time.time)."""

    def __init__(self, api: Api, deployed: Deployed, known: Collection[str]) -> None:
        self._api = api
        self._namespace = deployed.namespace
        self._selector = names.as_query(names.selector(deployed.instance, names.GATEWAY))
        self._known = known
        self.steps: dict[str, float] = {}
        self.pod = ""
        said = api.list("Pod", self._namespace, self._selector)
        self._version = said["metadata"]["resourceVersion"]
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        for event in self._api.watch("Pod", self._namespace, self._selector, self._version):
            now_s, pod = time.time(), event["object"]
            if event["type"] == "BOOKMARK" or pod["metadata"]["name"] in self._known:
                continue
            self.pod = pod["metadata"]["name"]
            for step in _steps(pod):
                self.steps.setdefault(step, now_s)
            if "ready" in self.steps:
                return

    def read_log(self) -> None:
        """Add when the watch beside the gateway first knew its replicas."""
        path = f"/api/v1/namespaces/{self._namespace}/pods/{self.pod}/log?container=replica-lister"
        answer = self._api._client.request(
            "get", path, serialize=False, query_params=[], header_params={}, _request_timeout=5.0
        )
        for line in map(json.loads, answer.data.decode().splitlines()):
            if line.get("event") == "replicas":
                self.steps.setdefault("knows", datetime.fromisoformat(line["time"]).timestamp())


def _steps(pod: dict[str, Any]) -> Iterator[str]:
    status = pod.get("status", {})
    conditions = {each["type"] for each in status.get("conditions", ()) if each["status"] == "True"}
    yield "created"
    if "PodScheduled" in conditions:
        yield "scheduled"
    if all("running" in each["state"] for each in status.get("containerStatuses", ({"state": {}},))):
        yield "runs"
    if "Ready" in conditions:
        yield "ready"


def gateways(api: Api, deployed: Deployed) -> list[str]:
    """The names of the gateways' pods that are to stay."""
    selector = names.as_query(names.selector(deployed.instance, names.GATEWAY))
    pods = [each["metadata"] for each in api.list("Pod", deployed.namespace, selector)["items"]]
    return [meta["name"] for meta in pods if "deletionTimestamp" not in meta]


async def serving(api: Api, deployed: Deployed) -> str:
    """The name of the only gateway's pod, or of the one that holds the Lease while another waits."""
    while True:
        known = gateways(api, deployed)
        if deployed.settings.gateway.count == 1 and len(known) == 1:
            return known[0]
        lease = api.get("Lease", deployed.namespace, deployed.gateway_name) or {}
        holder = str((lease.get("spec") or {}).get("holderIdentity") or "")
        if holder in known and len(known) == deployed.settings.gateway.count:
            return holder
        await asyncio.sleep(EVERY_S)


async def outage(api: Api, deployed: Deployed, grace_s: int | None) -> tuple[float, int, int, dict[str, float]]:
    """Delete the gateway's pod under load.

    The longest time without an answer [s], requests not answered, and all; the successor's steps [s].
    """
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

    known = gateways(api, deployed)
    path = f"/api/v1/namespaces/{deployed.namespace}/pods/{await serving(api, deployed)}"
    how = {} if grace_s is None else {"grace_period_seconds": grace_s}
    connector = aiohttp.TCPConnector(force_close=True, limit=0)
    timeout = aiohttp.ClientTimeout(total=5.0, sock_connect=1.0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session, asyncio.TaskGroup() as group:
        begun_s = time.monotonic()
        deleted_s = deleted_at_s = 0.0
        start = await asyncio.to_thread(Start, api, deployed, known)
        while not deleted_s or not any(at_s > deleted_s + AFTER_S for at_s in answered_s):
            group.create_task(ask(session))
            await asyncio.sleep(EVERY_S)
            if not deleted_s and time.monotonic() > begun_s + BEFORE_S:
                deleted_s, deleted_at_s = time.monotonic(), time.time()
                await asyncio.to_thread(api.request, "DELETE", path, **how)
            if time.monotonic() > begun_s + WITHIN_S:
                break
    moments = sorted(answered_s)
    gaps = [later - earlier for earlier, later in pairwise(moments)]
    await asyncio.to_thread(start.read_log)
    steps = {step: at_s - deleted_at_s for step, at_s in sorted(start.steps.items(), key=lambda each: each[1])}
    return max(gaps), lost, lost + len(moments), steps


def main(times: int, count: int) -> None:
    """Deploy the tiny pipeline in a namespace of its own, measure, and remove it."""
    api, namespace = connect(), f"ipa-outage-{uuid4().hex[:6]}"
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    api.request("POST", "/api/v1/namespaces", made)
    with tempfile.TemporaryDirectory() as folder:
        layout = settings_of(
            image__name=IMAGE, image__pull="Never", cluster__service_type="NodePort", gateway__count=count
        )
        deployed = tiny(Path(folder), namespace, layout)
        try:
            deploy.up(api, deployed, sort("small", 2), within_s=WITHIN_S)
            asyncio.run(until_reached(client_url(api, deployed)))
            for grace_s in (None, 0):
                how = "with its time to finish" if grace_s is None else "with none"
                all_s = []
                for _ in range(times):
                    longest_s, lost, asked, steps = asyncio.run(outage(api, deployed, grace_s))
                    all_s.append(longest_s)
                    told = ", ".join(f"{step} {after_s:.2f}" for step, after_s in steps.items())
                    print(f"{how}: {longest_s:.2f} s without an answer, {lost} of {asked} not answered ({told})")
                    deploy.up(api, deployed, sort("small", 2), within_s=WITHIN_S)
                print(f"{how}: median {median(all_s):.2f} s, longest {max(all_s):.2f} s", flush=True)
        finally:
            deploy.down(api, deployed)
            api.request("DELETE", f"/api/v1/namespaces/{namespace}")


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    main(*given, *(5, 1)[len(given) :])
