"""A controller in the cluster: what `ipa live manifests` prints, applied, controls a pipeline of one's own."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import deploy, names
from ipa.live.kubernetes.api import ApiError, connect, path_of
from ipa.live.kubernetes.controller_manifests import METRICS_PORT
from ipa.live.kubernetes.gateway_manifests import control_secret
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.settings import Deployed
from ipa.live.server_answers import DEFAULT_BODY
from tests.command import answer, ipa
from tests.live.kubernetes.test_cluster import namespace
from tests.live.kubernetes.test_faults import execute
from tests.live.kubernetes.world import IMAGE, remembered, tiny, volume
from tests.live.world import metric_values, steps

pytestmark = pytest.mark.cluster

__all__ = ["namespace"]

WITHIN_S = 180.0
"""How long a test waits for a cluster on a machine that is busy."""

SCENARIO = """\
schema_version: 1
kind: scenario
pipeline: tiny.yaml
interval_s: 2
history_s: 4
trace: load.csv
policy: {name: %s}
"""
LOAD = "second,requests\n0,1\n1,1\n"

RATE = "rate, variants: {sort: small}, batch: 1, margin: 4, predictor: {name: reactive, window_s: 4}"
"""A replica for each 10 requests a second, although one takes 50: none is lost where pods start slowly."""

STEPS = "rate, variants: {sort: small}, batch: 1, margin: 15, predictor: {name: reactive, window_s: 4}"
"""A replica for each 3.1 requests a second: four for 11."""
STEADY = "guards: {scale_down_window_s: 15}\n"
"""Seconds without a request, as when the machine stands still, take no replica away."""
GUARDS = "guards: {max_step_up: 1, max_step_down: 1, scale_down_window_s: 10}\n"

PREDICTOR = """
class Always:
    reads = ()

    def predict(self, observation):
        return 60.0
"""

WRITTEN_BY_SERVERS = ("managedFields", "resourceVersion", "generation")

T = TypeVar("T")


def until(holds: Callable[[], T], what: str) -> T:
    """Wait until something holds, and what it is then. A pod that the API server cannot reach has not answered yet."""
    until_s = time.monotonic() + WITHIN_S
    last = ""
    while True:
        try:
            if found := holds():
                return found
        except ApiError as error:
            if not error.is_transient:
                raise
            last = f" ({error})"
        assert time.monotonic() < until_s, f"waited {WITHIN_S:g} s in vain: {what}{last}"
        time.sleep(0.5)


class World:
    """What has been applied for a scenario, and what is to be seen of it."""

    def __init__(self, deployed: Deployed, scenario: Path) -> None:
        self.api = connect()
        self.deployed = deployed
        self.where = (scenario, "--namespace", deployed.namespace)

    def printed(self, *options: str) -> list[dict[str, Any]]:
        """What is printed, as far as the server has such objects."""
        layout = ("--image", IMAGE, "--set", "image.pull=Never", "--set", "cluster.service_type=NodePort")
        printed = ipa("live", "manifests", *self.where, *layout, *options)
        assert printed.exit_code == 0, printed.stderr
        groups = self.api.groups() | {"v1"}
        return [each for each in yaml.safe_load_all(printed.stdout) if each["apiVersion"] in groups]

    def apply(self, *options: str) -> None:
        """Apply what is printed."""
        self.api.create(control_secret(self.deployed))
        for each in self.printed(*options):
            self.api.apply(each)

    def out_of_sync(self, *options: str) -> list[str]:
        """The names of objects that would be changed if what is printed were applied again, as `kubectl diff` says."""

        def content(given: Mapping[str, Any]) -> dict[str, Any]:
            meta = {key: value for key, value in given["metadata"].items() if key not in WRITTEN_BY_SERVERS}
            return {**given, "metadata": meta, "status": None, "kind": None, "apiVersion": None}

        def is_changed(manifest: dict[str, Any]) -> bool:
            there = self.api.get(manifest["kind"], self.deployed.namespace, manifest["metadata"]["name"])
            return there is None or content(self.api.apply(manifest, dry_run=True)) != content(there)

        return [each["metadata"]["name"] for each in self.printed(*options) if is_changed(each)]

    def pods(self, component: str) -> list[dict[str, Any]]:
        """The pods of a component that are ready and not ending."""
        selector = names.as_query(names.selector(self.deployed.instance, component))
        found: list[dict[str, Any]] = self.api.list("Pod", self.deployed.namespace, selector)["items"]
        return [
            each
            for each in found
            if "deletionTimestamp" not in each["metadata"]
            and all(of["ready"] for of in each["status"].get("containerStatuses") or [{"ready": False}])
        ]

    def restarts(self) -> list[int]:
        """How often the container of each controller's pod has been started again."""
        return [each["status"]["containerStatuses"][0]["restartCount"] for each in self.pods(names.CONTROLLER)]

    def memory_of_replicas(self) -> list[str]:
        return [
            each["spec"]["containers"][0]["resources"]["limits"]["memory"] for each in self.pods(names.MODEL_SERVER)
        ]

    def status(self) -> dict[str, Any]:
        said: dict[str, Any] = answer("live", "status", *self.where, "--json")
        return said

    def path(self, pod: dict[str, Any]) -> str:
        return path_of("Pod", self.deployed.namespace, pod["metadata"]["name"])

    def log(self, pod: dict[str, Any]) -> str:
        """What a controller's container has logged since its start."""
        return str(self.api._send("GET", f"{self.path(pod)}/log", "log", within_s=WITHIN_S).data, "utf-8")

    def logged_steps(self, pod: dict[str, Any]) -> list[int]:
        """The numbers of the steps in that log."""
        return [int(each) for each in re.findall(r"^step (\d+):", self.log(pod), re.MULTILINE)]

    def steps(self, pod: dict[str, Any]) -> list[int]:
        """The same once there is one. A step is logged when it is in the journal, and after status may name it."""
        return until(lambda: self.logged_steps(pod), "its log has a step")

    def remembered(self) -> int:
        """The number of the step that the cluster remembers, which a controller that is killed may have gone beyond."""
        return remembered(self.deployed)

    def logged_replicas(self, pod: dict[str, Any]) -> list[int]:
        """The replicas that the steps in that log have decided on, each time that they are others."""
        found = [int(each) for each in re.findall(r"^step .* sort small b1 x(\d+)", self.log(pod), re.MULTILINE)]
        return [each for each, _ in groupby(found)]

    def served_by(self) -> dict[str, int]:
        """Variant -> its pods that serve."""
        return dict(Counter(pod["variant"] for pod in self.stage()["pods"] if pod["state"] == "ready"))

    def wanted(self) -> dict[str, tuple[int, float]]:
        """Variant -> its replicas and its share in tenths, as the cluster has been told."""
        first = self.stage()["wanted"]
        return {
            each["variant"]: (each["replicas"], round(each.get("share", 1.0), 1))
            for each in (first, *first.get("beside", ()))
        }

    def metrics(self, pod: dict[str, Any]) -> dict[tuple[str, ...], float]:
        """What a controller's pod would be scraped for."""
        path = f"{self.path(pod)}:{METRICS_PORT}/proxy/metrics"
        return metric_values(self.api._send("GET", path, "metrics", within_s=WITHIN_S).data.decode())

    def is_controlled_by(self, pod: dict[str, Any], beyond: int = 0) -> bool:
        """Whether status names this pod as the controller, with steps beyond some, and nothing that keeps it."""
        said = self.status()
        is_it = str(said["controller"]).startswith(pod["metadata"]["name"])
        return is_it and (said["step"] or 0) > beyond and not said["troubles"]

    def is_controlled(self, beyond: int) -> bool:
        """The same of any pod: while controllers are replaced there may be two."""
        return any(self.is_controlled_by(pod, beyond) for pod in self.pods(names.CONTROLLER))

    def stage(self) -> dict[str, Any]:
        said: dict[str, Any] = self.status()["stages"]["sort"]
        return said


@contextmanager
def asked(world: World, rps: int) -> Iterator[None]:
    """A load meanwhile, however long that takes; every request is answered with 200."""
    url = client_url(world.api, world.deployed)
    asyncio.run(until_reached(url, WITHIN_S))  # the network learns later than the API server that the gateway is ready
    is_over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        statuses = pool.submit(asyncio.run, answers(url, rps, is_over))
        try:
            yield
        finally:
            is_over.set()
        assert set(statuses.result(WITHIN_S)) == {200}


async def answers(url: str, rps: int, is_over: threading.Event) -> list[int]:
    """The statuses of requests that are sent until something is over; what a pause has kept from being sent is not made
    up for."""
    import aiohttp

    async def ask() -> int:
        async with session.post(f"{url}/v2/models/tiny/infer", json=DEFAULT_BODY) as response:
            await response.read()
            return response.status

    async with aiohttp.ClientSession() as session:
        asking, due_s = [], time.monotonic()
        while not is_over.is_set():
            asking.append(asyncio.create_task(ask()))
            due_s = max(due_s + 1 / rps, time.monotonic() - 0.5)
            await asyncio.sleep(max(due_s - time.monotonic(), 0.0))
        return await asyncio.gather(*asking)


@pytest.fixture
def world(namespace: str, tmp_path: Path) -> Iterator[World]:
    scenario = tmp_path / "scenario.yaml"
    (tmp_path / "load.csv").write_text(LOAD, encoding="utf-8")
    made = World(tiny(tmp_path, namespace), scenario)
    yield made
    deploy.down(made.api, made.deployed, within_s=WITHIN_S)


def test_what_is_printed_controls_a_pipeline_from_inside_until_it_is_taken_down(world: World) -> None:
    world.where[0].write_text(SCENARIO % RATE + STEADY, encoding="utf-8")
    world.apply("--set", "controller.in_cluster=true")
    (first,) = until(lambda: world.pods(names.CONTROLLER), "the controller's pod is ready")
    until(lambda: world.is_controlled_by(first, 2), "status names it, and its steps")
    until(lambda: world.stage()["ready"] == 1, "its replica is ready")
    assert world.stage()["wanted"]["replicas"] == 1

    def are_as_asked(said: dict[tuple[str, ...], float]) -> bool:
        is_well = not any(value for (name, *_), value in said.items() if name == "ipa_trouble")
        decides = said["ipa_decisions_total", "optimal"] > 2.0 and said["ipa_observed_load_rps",] > 10.0
        return is_well and decides and said["ipa_desired_replicas", "sort", "small"] == 2.0

    def stands() -> bool:
        stage = world.stage()
        return (stage["wanted"]["replicas"], stage["ready"]) == (2, 2)

    with asked(world, rps=15):
        until(lambda: world.stage()["ready"] == 2, "it has added a replica")
        until(lambda: are_as_asked(world.metrics(first)), "its metrics say what it does")

        done = world.steps(first)[-1]
        (started,) = until(world.restarts, "it is ready")  # one that came before its gateway was started again
        execute(world.deployed, first["metadata"]["name"], "import os, signal; os.kill(1, signal.SIGTERM)")
        until(lambda: world.restarts() == [started + 1], "its container is started again")
        until(lambda: world.is_controlled_by(first, done), "it goes on")
        assert world.steps(first)[0] > done  # from the journal

        done = world.remembered()
        world.api.request("DELETE", world.path(first), grace_period_seconds=0)
        (second,) = until(lambda: world.pods(names.CONTROLLER), "another pod is ready")
        assert second["metadata"]["uid"] != first["metadata"]["uid"]
        until(lambda: world.is_controlled_by(second, done), "status names it, and its steps")
        assert world.steps(second)[0] > done  # from the cluster's memory
        until(stands, "both replicas are there")
    until(lambda: world.stage()["replicas"] == 1 and world.stage()["complete"], "it takes the replica away")
    until(lambda: world.metrics(second).get(("ipa_replicas", "sort", "ready", "small")) == 1.0, "its metrics say so")

    done = world.steps(second)[-1]
    world.apply("--set", "controller.in_cluster=true", "--set", "models.memory=200Mi")
    until(lambda: world.memory_of_replicas() == ["200Mi"], "the new layout is rolled out")
    until(lambda: world.is_controlled(done), "it goes on")
    assert world.memory_of_replicas() == ["200Mi"]

    assert "objects deleted" in ipa("live", "down", *world.where, "--yes").stdout
    assert list(deploy.belongings(world.api, world.deployed)) == []
    assert world.pods(names.CONTROLLER) == []


def test_a_journal_on_a_claim_is_continued_by_the_next_pod(world: World, tmp_path: Path) -> None:
    """Also where the controller had none before, and where its pod is replaced as in any rollout."""
    kept = tmp_path / "kept"
    kept.mkdir()
    kept.chmod(0o777)  # a folder of the node, whose owner nobody changes
    world.where[0].write_text(SCENARIO % RATE, encoding="utf-8")
    with volume(world.deployed.namespace, "kept", kept, "ReadWriteOnce"):
        world.apply("--set", "controller.in_cluster=true")
        world.apply("--set", "controller.in_cluster=true", "--set", "controller.state_claim=kept")

        def ready(*earlier: dict[str, Any]) -> list[dict[str, Any]]:
            """The controller's pod that has the claim, unless it is one of the earlier ones."""
            known = {each["metadata"]["uid"] for each in earlier}
            pods = [each for each in world.pods(names.CONTROLLER) if each["metadata"]["uid"] not in known]
            return [each for each in pods if "kept-state" in {volume["name"] for volume in each["spec"]["volumes"]}]

        (first,) = until(ready, "the controller's pod is ready")
        until(lambda: world.is_controlled_by(first, 3), "status names it, and its steps")
        in_pods = {*world.steps(first)}
        done = max(in_pods)
        world.api.request("DELETE", world.path(first), grace_period_seconds=0)
        (second,) = until(lambda: ready(first), "another pod is ready")
        until(lambda: world.is_controlled_by(second, done), "it goes on")
        assert world.steps(second)[0] > done

        in_pods |= {*world.steps(second)}
        done = max(in_pods)
        path = path_of("Deployment", world.deployed.namespace, f"{world.deployed.instance}-controller")
        again = {"spec": {"template": {"metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "now"}}}}}
        merge = "application/merge-patch+json"
        world.api.request("PATCH", path, again, content_type=merge, field_manager="kubectl")
        (third,) = until(lambda: ready(first, second), "a third pod is ready")
        until(lambda: world.is_controlled_by(third, done), "it goes on")
        assert world.steps(third)[0] > done
        (journal,) = kept.iterdir()
        kept_steps = steps(journal)
        assert kept_steps == sorted(kept_steps)
        assert {*kept_steps} >= in_pods
        deploy.down(world.api, world.deployed, within_s=WITHIN_S)


def test_an_adviser_inside_decides_by_a_file_of_one_s_own_and_changes_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "predictor.py").write_text(PREDICTOR, encoding="utf-8")
    advice = f"rate, variants: {{sort: small}}, batch: 1, predictor: {tmp_path / 'predictor.py'}:Always"
    world.where[0].write_text(SCENARIO % advice, encoding="utf-8")
    world.apply("--set", "controller.advise=true")
    (pod,) = until(lambda: world.pods(names.CONTROLLER), "the adviser's pod is ready")
    until(lambda: world.pods(names.GATEWAY) and world.stage()["ready"], "the pipeline is ready")
    with asked(world, rps=5):
        wanted, ready = ("ipa_desired_replicas", "sort", "small"), ("ipa_replicas", "sort", "ready", "small")
        advised = {wanted: 2.0, ready: 1.0}
        until(lambda: advised.items() <= world.metrics(pod).items(), "it decides, and sees what there is")
        started = until(world.restarts, "it is ready")  # one that came before its gateway was started again
    until(lambda: world.metrics(pod)["ipa_refusals_total",] > 3.0, "it goes on")
    until(lambda: advised.items() <= world.metrics(pod).items(), "it still advises that")
    until(lambda: world.restarts() == started, "it is ready, and has not been started again")
    assert (world.stage()["replicas"], world.status()["controller"]) == (1, None)
    role = world.api.get("Role", world.deployed.namespace, pod["spec"]["serviceAccountName"])
    assert role is not None
    assert {verb for rule in role["rules"] for verb in rule["verbs"]} == {"get", "list", "watch"}


def test_guards_hold_a_controller_inside_to_one_replica_at_a_time(world: World) -> None:
    """The load leaps, so that the policy wants four replicas at once; when it is over, one. All the while the objects
    are as they were printed."""
    world.where[0].write_text(SCENARIO % STEPS + GUARDS, encoding="utf-8")
    world.apply(
        "--set", "controller.in_cluster=true", "--set", "controller.gitops=true", "--set", "access.network_policy=true"
    )
    (pod,) = until(lambda: world.pods(names.CONTROLLER), "the controller's pod is ready")
    until(lambda: world.is_controlled_by(pod, 2) and world.stage()["ready"] == 1, "it controls one replica")
    with asked(world, rps=11):
        until(lambda: world.wanted()["small"][0] >= 4, "four replicas are wanted")
    until(lambda: world.stage()["replicas"] == 1 and world.stage()["complete"], "one is left")
    # Its controller notes on the stage's Deployment, between two reads perhaps, that all its replicas are ready.
    until(
        lambda: (
            not world.out_of_sync(
                "--set",
                "controller.in_cluster=true",
                "--set",
                "controller.gitops=true",
                "--set",
                "access.network_policy=true",
            )
        ),
        "nothing is out of sync",
    )
    until(lambda: world.logged_replicas(pod)[-1] == 1, "the step that took the last one away is logged")
    replicas = world.logged_replicas(pod)
    assert (replicas[0], max(replicas) >= 4) == (1, True)
    assert all(abs(after - before) == 1 for before, after in pairwise(replicas))
