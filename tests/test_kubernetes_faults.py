"""What the controller does while its cluster is unwell, through a proxy that fails on demand; and what it may do."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from live.kubernetes import deploy, in_cluster, names
from live.kubernetes.api import Api, connect
from live.kubernetes.lease import Lease
from live.kubernetes.settings import Deployed
from tests.cluster_world import needs_cluster
from tests.kubernetes_proxy import Proxy, proxied
from tests.live_world import sort
from tests.test_kubernetes_cluster import apply, deployed, namespace, observe, running, traffic, until, until_stands

pytestmark = needs_cluster

__all__ = ["deployed", "namespace"]


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with proxied() as made:
        yield made


def through(proxy: Proxy, folder: Path, token: str = "") -> Api:
    """A client that goes through the proxy, as another user if a token is given."""
    import kubernetes

    configuration = kubernetes.client.Configuration()
    kubernetes.config.load_kube_config(str(proxy.kubeconfig(folder, token)), client_configuration=configuration)
    configuration.retries = False
    return Api(kubernetes.client.ApiClient(configuration))


@pytest.mark.parametrize("status", [409, 429, 500])
def test_writes_that_are_refused_for_a_while_get_through_later(
    deployed: Deployed, tmp_path: Path, proxy: Proxy, status: int
) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path, api=through(proxy, tmp_path)) as backend, traffic(backend):
            proxy.fail("PATCH", "/deployments/", status, times=3)
            proxy.fail("PUT", "/scale", status, times=3)
            assert (await apply(backend, sort("large", 2))).accepted
            await until_stands(backend, sort("large", 2))
            assert not proxy._failures  # all six have been refused

    asyncio.run(story())


def test_a_watch_that_is_dropped_goes_on_and_misses_nothing(deployed: Deployed, tmp_path: Path, proxy: Proxy) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path, api=through(proxy, tmp_path)) as backend, traffic(backend):
            proxy.fail("GET", "watch=", 410, times=2)
            proxy.drop_watches()
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))
            await until(lambda: len(backend.stages["sort"].ready) == 2, "the watch goes on")
            assert backend._watch.lists >= 2  # a version that has expired: everything is listed anew
            ready = [each.ready_s for each in backend.stages["sort"].all]
            assert ready[0] == 0.0
            assert 0.0 < ready[1] < backend.now_s

    asyncio.run(story())


def test_while_the_api_server_is_away_traffic_goes_on_and_steps_hold(
    deployed: Deployed, tmp_path: Path, proxy: Proxy
) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path, api=through(proxy, tmp_path)) as backend, traffic(backend):
            proxy.is_away = True
            proxy.drop_watches()
            await until(lambda: backend._look_now.error, "a look fails")
            seen = await observe(backend)
            assert all(load != load for load in seen.load_rps)  # no sample, which is not zero load
            refused = await apply(backend, sort("small", 2))
            assert (refused.accepted, "does not answer" in refused.reason) == (False, True)
            await asyncio.sleep(3.0)
            proxy.is_away = False
            await until(lambda: not backend._look_now.error, "a look gets through")
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))

    asyncio.run(story())


def test_a_gateway_that_dies_comes_back_with_its_configuration_and_its_clock(
    deployed: Deployed, tmp_path: Path
) -> None:
    api = connect()

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            await apply(backend, sort("large", 1, batch=4))
            await until_stands(backend, sort("large", 1, batch=4))
            before = backend._epoch
            selector = names.as_query(names.selector(deployed.instance, names.GATEWAY))
            (pod,) = api.list("Pod", deployed.namespace, selector)["items"]
            path = f"/api/v1/namespaces/{deployed.namespace}/pods/{pod['metadata']['name']}"
            api.request("DELETE", path, grace_period_seconds=0)
            await until(lambda: backend._epoch != before, "the new gateway has been found")
            seen = await backend.client.observation(0.0, 0)
            assert abs(seen["time_s"] - backend.now_s) < 1.0
            async with traffic(backend):
                await asyncio.sleep(2.0)

    asyncio.run(story())


# ---- what a controller may do ----


def token_of(api: Api, deployed: Deployed, rules: Any) -> str:
    """The token of a ServiceAccount that may do what the rules say and nothing else."""
    for each in in_cluster.access(deployed, "tested", rules):
        api.apply(each)
    path = f"/api/v1/namespaces/{deployed.namespace}/serviceaccounts/tested/token"
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600}}
    return str(api.request("POST", path, body)["status"]["token"])


VERBS = {"GET": "get", "PUT": "update", "POST": "create", "PATCH": "patch", "DELETE": "delete"}


def used(seen: list[tuple[str, str, int]]) -> set[tuple[str, str]]:
    """(resource, verb) of requests, as rules name them; an apply that made an object has needed `create` too."""
    found = set()
    for method, path, status in seen:
        plain, _, query = path.partition("?")
        parts = plain.split("/namespaces/")[-1].split("/")[1:]
        resource = parts[0] + ("/proxy" if "proxy" in parts else "/scale" if parts[-1] == "scale" else "")
        verb = VERBS[method]
        if verb == "get" and len(parts) == 1:
            verb = "watch" if "watch=" in query else "list"
        found.add((resource, verb))
        if (verb, status) == ("patch", 201):
            found.add((resource, "create"))
    return found


def allowed(rules: Any) -> set[tuple[str, str]]:
    return {(resource, verb) for _, rule in rules for resource in rule["resources"] for verb in rule["verbs"]}


def test_the_role_suffices_and_nothing_in_it_is_unused(deployed: Deployed, tmp_path: Path, proxy: Proxy) -> None:
    token = token_of(connect(), deployed, in_cluster.RULES)
    api = through(proxy, tmp_path, token)

    async def story() -> None:
        async with running(deployed, tmp_path, api=api, lease=Lease(api, deployed)) as backend:
            for wanted in (sort("small", 2), sort("large", 3), sort("large", 1)):
                assert (await apply(backend, wanted)).accepted
                await until_stands(backend, wanted)
            await observe(backend)
            # A Deployment that is gone is made anew, and a ConfigMap that was changed is set right.
            stage = deployed.stage_name("sort")
            connect().delete("Deployment", deployed.namespace, stage)
            await until(lambda: backend._look_now.done, "it is made anew")
            await until_stands(backend, sort("large", 1))
            path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/{deployed.instance}"
            labels = {"metadata": {"labels": {names.PIPELINE: None}}}
            connect().request("PATCH", path, labels, content_type="application/merge-patch+json")
            await until(lambda: ("configmaps", "patch") in used(proxy.seen), "the label is set again")
            await until_stands(backend, sort("large", 1))

    asyncio.run(story())
    assert proxy.refused == []
    assert used(proxy.seen) == allowed(in_cluster.RULES)


def test_an_adviser_s_role_suffices_and_cannot_write(deployed: Deployed, tmp_path: Path, proxy: Proxy) -> None:
    from live.kubernetes.api import ApiError

    token = token_of(connect(), deployed, in_cluster.READ_ONLY_RULES)
    api = through(proxy, tmp_path, token)
    api.read_only = True

    async def story() -> None:
        async with running(deployed, tmp_path, api=api) as backend:
            assert (await observe(backend)).stages["sort"].replicas["small"].ready == 1

    asyncio.run(story())
    assert proxy.refused == []
    assert used(proxy.seen) == allowed(in_cluster.READ_ONLY_RULES)
    api.read_only = False  # even if the program had a mistake, the server would not
    for write in (
        lambda: api.scale(deployed.namespace, deployed.stage_name("sort"), 3),
        lambda: api.delete("ConfigMap", deployed.namespace, deployed.instance),
    ):
        with pytest.raises(ApiError) as refused:
            write()
        assert refused.value.status == 403


# ---- a controller that is killed ----


def controller(scenario: Path, deployed: Deployed, state: Path, *options: str) -> subprocess.Popen[str]:
    """`ipa live run --no-load` as a process of its own."""
    command = [sys.executable, "-m", "studies.cli", "live", "run", str(scenario), "--backend", "kubernetes"]
    command += ["--no-load", "--namespace", deployed.namespace, "--state", str(state), *options]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})


def steps(state: Path) -> list[int]:
    """The numbers of the steps in a journal, in order of writing."""
    if not state.exists():
        return []
    lines = state.read_text(encoding="utf-8").splitlines()
    return [json.loads(each)["observation"]["step"] for each in lines if each.endswith("}")]


def wait_for(holds: Any, process: subprocess.Popen[str], what: str, within_s: float = 60.0) -> float:
    """How long it took until something held."""
    since_s = time.monotonic()
    while not holds():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < since_s + within_s, f"waited {within_s:g} s in vain: {what}"
        time.sleep(0.1)
    return time.monotonic() - since_s


def test_a_controller_that_is_killed_and_started_again_goes_on_and_another_takes_over(
    deployed: Deployed, tmp_path: Path
) -> None:
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "schema_version: 1\nkind: scenario\npipeline: tiny.yaml\npolicy: static\ninterval_s: 1\nhistory_s: 3\n",
        encoding="utf-8",
    )
    state = tmp_path / "journal.jsonl"
    processes = [first := controller(scenario, deployed, state)]
    try:
        wait_for(lambda: len(set(steps(state))) >= 3, first, "three steps")
        holder = deploy.status(connect(), deployed)["controller"]
        processes.append(other := controller(scenario, deployed, tmp_path / "other.jsonl"))
        time.sleep(3.0)
        assert steps(tmp_path / "other.jsonl") == []  # it waits
        first.send_signal(signal.SIGKILL)
        first.wait()
        took_s = wait_for(lambda: deploy.status(connect(), deployed)["controller"] != holder, other, "it takes over")
        assert took_s < 15.0
        wait_for(lambda: steps(tmp_path / "other.jsonl"), other, "it decides")
        other.send_signal(signal.SIGTERM)
        assert other.wait(timeout=30) == 0
        done = max(steps(state))
        processes.append(again := controller(scenario, deployed, state, "--duration", "5"))
        assert again.wait(timeout=60) == 0
        assert steps(state)[-1] > done
        assert sorted(set(steps(state))) == list(range(1, max(steps(state)) + 1))  # none is twice, none left out
    finally:
        for process in processes:
            process.kill()
            if process.stderr:
                process.stderr.close()
            process.wait()
