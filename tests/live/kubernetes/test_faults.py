"""What the controller does while its cluster is unwell, through a proxy that fails on demand; and what it may do."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import controller_manifests, manifests, names, overview, permissions
from ipa.live.kubernetes.api import Api, connect
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.reconcile import STALE_READS
from ipa.live.kubernetes.settings import Deployed
from ipa.live.monitoring import from_prometheus
from ipa.live.monitoring.prometheus_server import find_prometheus
from ipa.live.plane import free_port
from ipa.live.server_answers import DEFAULT_BODY
from ipa.policies import Controller, Entry, Journal, create
from tests.live.kubernetes.proxy import Passed, Proxy, proxied
from tests.live.kubernetes.test_cluster import (
    WITHIN_S,
    apply,
    controllers,
    deployed,
    gateways,
    kubectl_scale,
    namespace,
    observe,
    running,
    said_by_status,
    traffic,
    until,
    until_said,
    until_stands,
    until_well,
)
from tests.live.kubernetes.world import cordoned, quota, remembered, settings_of
from tests.live.world import metric_values, sort, steps

pytestmark = pytest.mark.cluster

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
            proxy.fail("PATCH", "/deployments/", status, times=6)
            assert (await apply(backend, sort("large", 2))).accepted
            await until_stands(backend, sort("large", 2))
            assert not proxy._failures  # all six have been refused
            tries = STALE_READS if status == 409 else 1  # a conflict is read again at once, in the same pass
            assert controllers(backend)["ipa_look_failures_total",] >= 6.0 / tries
            await until_well(backend)

    asyncio.run(story())


def test_a_watch_that_is_dropped_goes_on_and_misses_nothing(deployed: Deployed, tmp_path: Path, proxy: Proxy) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path, api=through(proxy, tmp_path)) as backend, traffic(backend):
            proxy.fail("GET", "watch=", 410, times=10**6)
            proxy.drop_watches()

            def is_said() -> bool:  # not between two tries
                said = backend.troubles().get("no_api", "")
                return "watch pods" in said and controllers(backend)["ipa_trouble", "no_api"] == 1.0

            await until(is_said, "its own words and its metrics name it")
            await until(lambda: backend._watch.lists >= 2, "a version has expired: everything is listed anew")
            proxy.recover()
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))
            await until(lambda: len(backend.stages["sort"].ready) == 2, "the watch goes on")
            ready = [each.ready_s for each in backend.stages["sort"].all]
            assert ready[0] == 0.0
            assert 0.0 < ready[1] < backend.now_s
            await until_well(backend)

    asyncio.run(story())


def test_while_the_api_server_is_away_traffic_goes_on_and_steps_hold(
    deployed: Deployed, tmp_path: Path, proxy: Proxy
) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path, api=through(proxy, tmp_path)) as backend, traffic(backend):
            proxy.is_away = True
            proxy.drop_watches()
            await until(lambda: backend.look.error, "a look fails")
            assert controllers(backend)["ipa_trouble", "no_api"] == 1.0
            seen = await asyncio.to_thread(backend.observe)
            assert backend.troubles()["no_sample"].startswith("the gateway does not answer")
            assert all(load != load for load in seen.load_rps)  # no sample, which is not zero load
            refused = await asyncio.to_thread(backend.apply, sort("small", 2))
            assert not refused.accepted
            assert "does not answer" in refused.reason or refused.reason.startswith("the Lease is not renewed")
            await until(lambda: "no_lease" in backend.troubles(), "it is not sure any more that it alone writes")
            await until(lambda: "has not renewed" in said_by_status(backend).get("no_controller", ""), "status says so")
            proxy.is_away = False
            await until(lambda: not backend.look.error, "a look gets through")
            await observe(backend)  # as at each step
            await until_well(backend)
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))

    asyncio.run(story())


@pytest.mark.alone
@pytest.mark.skipif("IPA_RESTART_API_SERVER" not in os.environ, reason="IPA_RESTART_API_SERVER names no command")
def test_an_api_server_that_is_restarted_is_waited_for(deployed: Deployed, tmp_path: Path) -> None:
    """The command restarts the real one; Lease and watch are kept or taken up again, and no request is lost."""

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            failures = controllers(backend)["ipa_look_failures_total",]
            restart = await asyncio.create_subprocess_shell(os.environ["IPA_RESTART_API_SERVER"])
            await until(lambda: backend.look.error, "a look fails")
            assert controllers(backend)["ipa_trouble", "no_api"] == 1.0
            assert await restart.wait() == 0
            await until(lambda: not backend.look.error, "a look gets through")
            assert controllers(backend)["ipa_look_failures_total",] > failures
            await until_well(backend)
            assert (await apply(backend, sort("large", 2))).accepted
            await until_stands(backend, sort("large", 2))
            await until(lambda: len(backend.stages["sort"].ready) == 2, "the watch goes on")

    asyncio.run(story())


def test_a_gateway_that_dies_comes_back_with_its_configuration_and_its_clock(
    deployed: Deployed, tmp_path: Path
) -> None:
    api = connect()

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            await apply(backend, sort("large", 1, batch=4))
            await until_stands(backend, sort("large", 1, batch=4))
            before = backend.client._epoch
            selector = names.as_query(names.selector(deployed.instance, names.GATEWAY))
            (pod,) = api.list("Pod", deployed.namespace, selector)["items"]
            path = f"/api/v1/namespaces/{deployed.namespace}/pods/{pod['metadata']['name']}"
            with quota(api, deployed.namespace, WITHIN_S, pods="1"):  # no successor before a look has found none
                api.request("DELETE", path, grace_period_seconds=0)
                await until(lambda: "no_gateway" in backend.troubles(), "a look finds none")
                assert controllers(backend)["ipa_trouble", "no_gateway"] == 1.0
            await until(lambda: backend.client._epoch != before, "the new gateway has been found")
            await until_well(backend)
            asked_s = backend.now_s
            seen = await backend.client.observation(0.0, 0)
            assert asked_s - 1.0 < seen["time_s"] < backend.now_s + 1.0
            # Its Service leads to it a moment after its pod is ready; an older kube-proxy accepts connections before.
            await until_reached(backend.url, WITHIN_S)
            async with traffic(backend):
                await asyncio.sleep(2.0)

    asyncio.run(story())


# ---- memory, nodes, clocks ----

GROWS = """
import os, runpy, sys, threading, time

def grow():
    while not os.path.exists("/tmp/grow"):
        time.sleep(0.1)
    os.remove("/tmp/grow")
    held = b"x" * 2**30

threading.Thread(target=grow, daemon=True).start()
runpy.run_module("ipa.live.serving.server", run_name="__main__", alter_sys=True)
"""
"""A model server that takes a gigabyte once a file is there."""


def test_a_replica_that_runs_out_of_memory_is_started_again_while_the_other_serves(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = manifests._model_server

    def growing(*of: Any) -> Any:
        made = whole(*of)
        return made | {"command": ["python", "-c", GROWS]} if of[2].variant == "large" else made

    monkeypatch.setattr(manifests, "_model_server", growing)

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            await apply(backend, sort("large", 2))
            await until_stands(backend, sort("large", 2))
            async with traffic(backend):
                stage = backend.stages["sort"]
                await until(lambda: len(stage.ready) == 2 and not stage.draining, "two serve alone")
                victim = next(pod for pod in backend._pods.values() if pod.variant == "large")
                await asyncio.to_thread(execute, deployed, victim.name, "open('/tmp/grow', 'w')")
                await until(lambda: backend._pods[victim.uid].restarts == 1, "its container is started again")
                await until(lambda: len(stage.ready) == 2, "both serve")
                await until_stands(backend, sort("large", 2))
                assert stage.failed_variants == ()
                assert [each.is_gone for each in stage.all if each.variant == "large"].count(True) == 1
                assert controllers(backend)["ipa_replica_failures_total", "sort", "large"] == 1.0
                # Who watches has seen it; who asks later may find it cleared away by the kubelet.
                await until(lambda: backend._pods[victim.uid].crash == "OOMKilled, exit code 137", "it is said why")
                (said,) = overview.status(connect(), deployed)["stages"].values()
                (crash,) = [pod["crash"] for pod in said["pods"] if pod["name"] == victim.name]
                assert crash in ("OOMKilled, exit code 137", "")
                await until(
                    lambda: gateways(deployed)["ipa_replicas", "sort", "ready", "large"] == 2.0, "both are used"
                )
            await until_well(backend)

    asyncio.run(story())


def execute(deployed: Deployed, pod: str, program: str) -> None:
    """Run some Python in a pod."""
    import kubernetes

    client = kubernetes.config.new_client_from_config()
    call = kubernetes.client.CoreV1Api(client).connect_get_namespaced_pod_exec
    command = ["python", "-c", program]
    how = {"stderr": True, "stdin": False, "stdout": True, "_preload_content": False}
    running = kubernetes.stream.stream(call, pod, deployed.namespace, command=command, **how)
    running.run_forever(timeout=WITHIN_S)
    running.sock.shutdown()


@pytest.mark.alone
def test_a_cordoned_node_is_want_of_room_until_it_is_open_again(deployed: Deployed, tmp_path: Path) -> None:
    deployed = replace(deployed, settings=settings_of(deployed.settings, cluster__nodes_within_s=3.0))

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            with cordoned(connect()):
                assert (await apply(backend, sort("small", 3))).accepted
                await until_said(backend, "no_room", "2 of 3 pods find no node with room")
                (said,) = overview.status(connect(), deployed)["stages"].values()
                assert [pod["state"] for pod in said["pods"]].count("unschedulable") == 2
                await until(lambda: backend._room.cores == 1, "no node has come")
                assert (await observe(backend)).limit_cores == 1
                assert (await observe(backend)).stages["sort"].failed_variants == ()
            await until_stands(backend, sort("small", 3))
            await until_well(backend)
            assert (await observe(backend)).limit_cores is None

    asyncio.run(story())


@pytest.mark.alone
def test_a_variant_whose_node_comes_after_its_rollout_was_given_up_is_not_rolled_back(
    deployed: Deployed, tmp_path: Path
) -> None:
    """Kubernetes gives it up after 21 s; a node autoscaler takes minutes."""
    deployed = replace(
        deployed, settings=settings_of(deployed.settings, cluster__ready_within_s=20.0, cluster__nodes_within_s=0.0)
    )
    api = connect()

    def reason() -> str:
        stage = api.get("Deployment", deployed.namespace, deployed.stage_name("sort"))
        assert stage is not None
        return str({each["type"]: each for each in stage["status"]["conditions"]}["Progressing"]["reason"])

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            with cordoned(api):
                assert (await apply(backend, sort("large", 2))).accepted
                await until(lambda: reason() == "ProgressDeadlineExceeded", "Kubernetes gives the rollout up")
                await until_said(backend, "no_room", "pods find no node with room")
            await until_stands(backend, sort("large", 2))
            assert (sum(backend.rollbacks.values()), backend.stages["sort"].failed_variants) == (0, ())
            await until_well(backend)

    asyncio.run(story())


@pytest.mark.parametrize("hours", [1, -1])
def test_a_clock_that_is_set_changes_nothing(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy, hours: int
) -> None:
    right = time.time

    async def story() -> None:
        api = through(proxy, tmp_path)
        lease, other = Lease(api, deployed), Lease(connect(), deployed, "other")
        async with running(deployed, tmp_path, api=api, lease=lease) as backend, traffic(backend):
            stage = backend.stages["sort"]
            stage.excluded["large"] = api.time_s()
            await until(lambda: "large" in backend.look.stages["sort"].failed, "the cluster knows that it is left out")
            failed_s = stage.excluded["large"]
            with monkeypatch.context() as patch:
                patch.setattr(time, "time", lambda: right() + 3600.0 * hours)
                # Pods that a list finds are dated by the server's clock, and so is what is remembered.
                proxy.fail("GET", "watch=", 410, times=1)
                proxy.drop_watches()
                assert (await apply(backend, sort("small", 2))).accepted
                await until_stands(backend, sort("small", 2))
                await until(lambda: len(stage.ready) == 2, "both serve")
                assert all(-2.0 <= each.created_s <= each.ready_s <= backend.now_s for each in stage.all)
                stage.excluded.clear()  # as in a controller that starts now
                await until(lambda: stage.failed_variants == ("large",), "it is known from the cluster")
                assert stage.excluded["large"] == failed_s
                assert not await asyncio.to_thread(other.acquire)
                await until(lambda: lease.is_held and not lease.is_lost, "it is renewed")
                seen = overview.status(api, deployed)
                assert (seen["controller"], "no_controller" in seen["troubles"]) == (lease.identity, False)
                await until(lambda: controllers(backend)["ipa_trouble", "no_lease"] == 0.0, "its metrics say so")
            assert not await asyncio.to_thread(other.acquire)
            await until(lambda: lease.is_held and not lease.is_lost, "it is still ours")

    asyncio.run(story())


# ---- Prometheus ----

SCRAPES = """\
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: ipa
    metrics_path: {path}
    static_configs: [{{targets: ["{target}"]}}]
"""

NOT_A_NUMBER = b"""\
# TYPE ipa_requests_received_total counter
ipa_requests_received_total{pipeline="tiny"} NaN
"""


class Prometheus:
    """A real server that scrapes the gateway by way of the API server, through the proxy."""

    def __init__(self, proxy: Proxy, deployed: Deployed, folder: Path) -> None:
        service = f"/api/v1/namespaces/{deployed.namespace}/services/http:{deployed.control_name}:control"
        text = SCRAPES.format(path=f"{service}/proxy/metrics", target=proxy.url.removeprefix("http://"))
        (folder / "prometheus.yml").write_text(text, encoding="utf-8")
        self._folder, self._port = folder, free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                find_prometheus(),
                f"--config.file={self._folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={self._folder / 'data'}",
                f"--web.listen-address=127.0.0.1:{self._port}",
            ],
            stderr=subprocess.DEVNULL,
        )

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed")
def test_without_samples_of_prometheus_the_configuration_is_held(
    deployed: Deployed, tmp_path: Path, proxy: Proxy
) -> None:
    prometheus = Prometheus(proxy, deployed, tmp_path)

    async def story() -> None:
        source = from_prometheus(prometheus.url)
        async with running(deployed, tmp_path, source=source) as backend, traffic(backend):
            journal = Journal()
            controller = Controller(backend.plane.pipeline, create("ipa", backend.plane.pipeline), journal)

            async def until_steps(holds: Any, what: str) -> None:
                """Step every second until an entry is as it should be; all along nothing that stands is changed."""
                until_s = time.monotonic() + WITHIN_S
                while True:
                    backend.begin_step(len(journal.entries))
                    entry = await asyncio.to_thread(controller.step, backend)
                    if holds(entry):
                        return
                    assert time.monotonic() < until_s, f"in vain: {what}; the latest: {entry.observation}"
                    await asyncio.sleep(1.0)

            def is_sampled(entry: Entry) -> bool:
                return any(load == load for load in entry.observation.load_rps) and not backend.troubles()

            def is_held(entry: Entry, said: str) -> bool:
                is_unknown = all(load != load for load in entry.observation.load_rps)
                return is_unknown and said in backend.troubles().get("no_sample", "")

            await until_steps(is_sampled, "it is scraped")
            for fault, said in (("down", "Cannot connect"), ("stale", " s old"), ("NaN", " s old")):
                match fault:
                    case "down":
                        prometheus.stop()
                    case "stale":
                        proxy.scraped = 503, b""
                    case _:
                        proxy.scraped = 200, NOT_A_NUMBER
                await until_steps(partial(is_held, said=said), f"{fault}: no sample")
                held = journal.entries[-1]
                assert held.decision.configuration == held.observation.configuration
                await until_said(backend, "no_sample", said)
                proxy.scraped = None
                if fault == "down":
                    prometheus.start()
                await until_steps(is_sampled, f"after {fault} samples again")
                await until_well(backend)

    try:
        asyncio.run(story())
    finally:
        prometheus.stop()


# ---- a node ----


@pytest.fixture
def kubelet() -> int:
    """The process of the only node's kubelet, on this machine."""
    found = subprocess.run(["pgrep", "-x", "kubelet"], capture_output=True, text=True, check=False).stdout.split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    nodes = connect().request("GET", "/api/v1/nodes")["items"]
    if len(found) != 1 or [node["status"]["nodeInfo"]["bootID"] for node in nodes] != [boot]:
        pytest.skip("the only node is not this machine")
    return int(found[0])


@pytest.mark.alone
def test_a_lost_node_is_named_and_counts_against_no_variant(deployed: Deployed, tmp_path: Path, kubelet: int) -> None:
    """Its kubelet goes silent in the midst of a rollout."""
    (node,) = (each["metadata"]["name"] for each in connect().request("GET", "/api/v1/nodes")["items"])

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            os.kill(kubelet, signal.SIGSTOP)
            try:
                assert (await apply(backend, sort("large", 2))).accepted
                await until_said(backend, "lost_node", f"node {node} not ready")
                assert overview.status(connect(), deployed)["stages"]["sort"]["problem"].startswith(f"node {node}")
            finally:
                os.kill(kubelet, signal.SIGCONT)
            await until_stands(backend, sort("large", 2))
            await until_well(backend)
            assert (sum(backend.rollbacks.values()), backend.stages["sort"].failed_variants) == (0, ())

    asyncio.run(story())


# ---- what a controller may do ----


def token_of(api: Api, deployed: Deployed, rules: Any) -> str:
    """The token of a ServiceAccount that may do what the rules say and nothing else."""
    for each in controller_manifests.access(deployed, "tested", rules):
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
        if "/namespaces/" not in plain:
            continue  # what it asks about its own permissions
        parts = plain.split("/namespaces/")[-1].split("/")[1:]
        resource = parts[0] + ("/proxy" if "proxy" in parts else "")
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
    rules = permissions.from_outside(permissions.RULES)
    token = token_of(connect(), deployed, rules)
    api = through(proxy, tmp_path, token)
    connect().delete("Lease", deployed.namespace, deployed.instance)  # as where `kubectl apply` has deployed it

    async def story() -> None:
        async with running(deployed, tmp_path, api=api, lease=Lease(api, deployed)) as backend:
            for wanted in (sort("small", 2), sort("large", 3), sort("large", 1)):
                assert (await apply(backend, wanted)).accepted
                await until_stands(backend, wanted)
            await observe(backend)
            # Newer servers record who scales; autoscalers are listed where that may be one.
            kubectl_scale(connect(), deployed, 2, "kube-controller-manager")
            await until(lambda: "sort" in backend.look.foreign, "another's replicas are set back")
            await until_stands(backend, sort("large", 1))
            # A Deployment that is gone is made anew, and a ConfigMap that was changed is set right.
            stage = deployed.stage_name("sort")
            connect().delete("Deployment", deployed.namespace, stage)
            await until(lambda: ("deployments", "create") in used(proxy.seen), "it is made anew")
            await until_stands(backend, sort("large", 1))
            path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/{deployed.instance}"
            labels = {"metadata": {"labels": {names.PIPELINE: None}}}
            connect().request("PATCH", path, labels, content_type="application/merge-patch+json")
            await until(lambda: ("configmaps", "patch") in used(proxy.seen), "the label is set again")
            await until_stands(backend, sort("large", 1))

    asyncio.run(story())
    assert proxy.refused == []
    assert used(proxy.seen) == allowed(rules)


def test_an_adviser_s_role_suffices_and_cannot_write(deployed: Deployed, tmp_path: Path, proxy: Proxy) -> None:
    from ipa.live.kubernetes.api import ApiError

    rules = permissions.from_outside(permissions.READ_ONLY_RULES)
    token = token_of(connect(), deployed, rules)
    api = through(proxy, tmp_path, token)
    api.read_only = True

    async def story() -> None:
        async with running(deployed, tmp_path, api=api) as backend:
            assert (await observe(backend)).stages["sort"].replicas["small"].ready == 1
            kubectl_scale(connect(), deployed, 2)  # ReplicaSets are read while something is missing
            await until(lambda: ("replicasets", "list") in used(proxy.seen), "it looks for what keeps the other away")

    with quota(connect(), deployed.namespace, WITHIN_S, pods="1"):
        asyncio.run(story())
    assert proxy.refused == []
    assert used(proxy.seen) == allowed(rules)
    api.read_only = False  # even if the program had a mistake, the server would not
    for write in (
        lambda: api.scale(deployed.namespace, deployed.stage_name("sort"), 3),
        lambda: api.delete("ConfigMap", deployed.namespace, deployed.instance),
    ):
        with pytest.raises(ApiError) as refused:
            write()
        assert refused.value.status == 403


@pytest.mark.parametrize(
    ("resource", "verbs", "said"),
    [
        ("leases", ("get", "create", "update"), "get leases.coordination.k8s.io {name} (holds the Lease,"),
        ("pods", ("list", "watch"), "list pods (sees replicas:"),
    ],
)
def test_a_controller_whose_role_lacks_something_names_it_and_ends(
    deployed: Deployed, tmp_path: Path, proxy: Proxy, resource: str, verbs: tuple[str, ...], said: str
) -> None:
    rules = [each for each in permissions.RULES if resource not in each[1]["resources"]]
    kubeconfig = proxy.kubeconfig(tmp_path, token_of(connect(), deployed, rules))
    process = controller(tmp_path / "tiny.yaml", deployed, tmp_path / "journal.jsonl", kubeconfig=kubeconfig)
    _, told = process.communicate(timeout=2 * WITHIN_S)
    assert process.returncode == 1, told
    (error,) = [line for line in told.splitlines() if line.startswith("Error: ")]
    assert f"this account may not, in namespace {deployed.namespace}: " in error
    assert said.format(name=deployed.instance) in error
    for verb in verbs:
        assert f"{verb} {resource}" in error
    assert "Traceback" not in told


# ---- a controller that is killed ----


def controller(
    scenario: Path, deployed: Deployed, state: Path, *options: str, kubeconfig: Path | None = None
) -> subprocess.Popen[str]:
    """`ipa live run --no-load` as a process of its own."""
    command = [
        sys.executable,
        "-m",
        "ipa",
        "live",
        "run",
        str(scenario),
        "--backend",
        "kubernetes",
    ]
    command += ["--no-load", "--namespace", deployed.namespace, "--set", f"controller.state={state!s}", *options]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    environment |= {} if kubeconfig is None else {"KUBECONFIG": str(kubeconfig)}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def ask(url: str, stopping: threading.Event) -> set[int]:
    """Ask the pipeline again and again until stopped; the statuses of the answers."""
    body = json.dumps(DEFAULT_BODY).encode()
    request = urllib.request.Request(f"{url}/v2/models/tiny/infer", body, {"Content-Type": "application/json"})
    found = set()
    while not stopping.wait(0.1):
        try:
            with urllib.request.urlopen(request, timeout=WITHIN_S) as response:
                found.add(response.status)
        except urllib.error.HTTPError as error:
            found.add(error.code)
    return found


def scraped(port: int) -> dict[tuple[str, ...], float]:
    """The metrics that a controller serves; none before it does."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10.0) as response:
            return metric_values(response.read().decode())
    except OSError:
        return {}


def wait_for(holds: Any, process: subprocess.Popen[str], what: str, within_s: float = WITHIN_S) -> None:
    """Until something holds."""
    since_s = time.monotonic()
    while not holds():
        assert process.poll() is None, process.stderr.read() if process.stderr else ""
        assert time.monotonic() < since_s + within_s, f"waited {within_s:g} s in vain: {what}"
        time.sleep(0.1)


SWITCH = """
from ipa.policies import Decision, StageConfiguration

class Switch:
    \"\"\"Two of the large ones once a file is there.\"\"\"

    def __init__(self, pipeline):
        pass

    def decide(self, observation, memory):
        import os

        wanted = {"sort": StageConfiguration("large", 4, 2, 0.0, 2)}
        return Decision(wanted if os.path.exists("switch") else observation.configuration, {})
"""


def test_a_controller_that_is_killed_in_a_rollout_is_succeeded_by_one_that_ends_it_and_goes_on_itself(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: Proxy
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("policy.py").write_text(SWITCH, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))
    scenario = tmp_path / "scenario.yaml"
    scenario.write_text(
        "schema_version: 1\nkind: scenario\npipeline: tiny.yaml\npolicy: policy.py:Switch\n"
        "interval_s: 1\nhistory_s: 3\n",
        encoding="utf-8",
    )
    state, port = tmp_path / "journal.jsonl", free_port()

    def status() -> dict[str, Any]:
        return overview.status(connect(), deployed)

    def changes_no_more(passed: Passed) -> None:
        """The first controller changes the variant, and is killed before it sets the replicas."""
        if "/deployments/" in passed.path and b"large" in passed.body:
            proxy.fail("PATCH", "/deployments/", 500, times=10**6)

    processes = [first := controller(scenario, deployed, state, kubeconfig=proxy.kubeconfig(tmp_path))]
    asking = ThreadPoolExecutor()
    stopping = threading.Event()
    answered = asking.submit(ask, client_url(connect(), deployed), stopping)
    try:
        wait_for(lambda: len(set(steps(state))) >= 3, first, "three steps")
        holder = status()["controller"]
        processes.append(
            other := controller(
                scenario, deployed, tmp_path / "other.jsonl", "--set", f"controller.metrics_port={port!s}"
            )
        )
        wait_for(lambda: scraped(port).get(("ipa_trouble", "no_lease")) == 1.0, other, "its metrics say that it waits")
        assert steps(tmp_path / "other.jsonl") == []
        early = max(steps(state))
        proxy.note = changes_no_more
        with quota(connect(), deployed.namespace, WITHIN_S, pods="2"):  # the rollout does not end before the kill
            Path("switch").touch()
            wait_for(
                lambda: status()["stages"]["sort"]["wanted"]["variant"] == "large", first, "the variant is changed"
            )
            wait_for(lambda: remembered(deployed) > early, first, "the cluster remembers a later step")
            other.send_signal(signal.SIGSTOP)  # until status has been asked while none controls
            first.send_signal(signal.SIGKILL)
            first.wait()
            left, latest = status(), remembered(deployed)
            assert (left["stages"]["sort"]["complete"], left["stages"]["sort"]["replicas"]) == (False, 1)
        wait_for(lambda: status()["stages"]["sort"]["complete"], other, "there is room again")
        wait_for(lambda: "has not renewed" in str(status()["troubles"]), other, "status says that none controls")
        other.send_signal(signal.SIGCONT)
        assert f"-{other.pid}-" not in holder
        wait_for(lambda: f"-{other.pid}-" in str(status()["controller"]), other, "it takes over")
        wait_for(lambda: len(steps(tmp_path / "other.jsonl")) > 1, other, "it decides")
        # It goes on from the latest step that the cluster remembers, and not from those at its own start.
        assert steps(tmp_path / "other.jsonl")[0] == latest
        wait_for(
            lambda: status()["stages"]["sort"]["complete"] and status()["stages"]["sort"]["replicas"] == 2,
            other,
            "it ends the rollout",
        )
        wait_for(lambda: not status()["troubles"], other, "status names no trouble")
        said = {("ipa_trouble", "no_lease"): 0.0, ("ipa_replicas", "sort", "ready", "large"): 2.0}
        wait_for(lambda: said.items() <= scraped(port).items(), other, "its metrics say so")
        other.send_signal(signal.SIGTERM)
        assert other.wait(timeout=WITHIN_S) == 0
        own, done = max(steps(state)), max(steps(tmp_path / "other.jsonl"))
        processes.append(again := controller(scenario, deployed, state, "--duration", "5"))
        assert again.wait(timeout=2 * WITHIN_S) == 0
        stopping.set()
        assert answered.result() == {200}
        # It goes on from where the other has ended, which the cluster remembers, although its own journal ends earlier.
        assert steps(state) == sorted(steps(state))
        recalled, first_step, *_ = sorted({step for step in steps(state) if step > own})
        assert done - 1 <= recalled <= done
        assert first_step == recalled + 1
    finally:
        stopping.set()
        asking.shutdown()
        for process in processes:
            process.kill()
            if process.stderr:
                process.stderr.close()
            process.wait()
