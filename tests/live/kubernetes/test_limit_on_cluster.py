"""A limit of cores on the cluster that KUBECONFIG names holds for the pods that exist, starting and draining ones."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import deploy, names
from ipa.live.kubernetes.api import ApiError, connect
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import Configuration
from tests.live.kubernetes.rollouts import STAGE, WITHIN_S, asks, pipeline
from tests.live.kubernetes.world import own_namespace

pytestmark = pytest.mark.cluster

START_UP_S = 2.0


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    with own_namespace(WITHIN_S) as name:
        yield name


@contextmanager
def up(folder: Path, namespace: str, initial: Configuration, **plane: Any) -> Iterator[Deployed]:
    """Stages of three variants of one core, which start in two seconds and take one more to stop."""
    made = pipeline(folder, START_UP_S, namespace, list(initial))
    deployed = replace(made, plane=replace(made.plane, stop_s=1.0, **plane))
    try:
        deploy.up(connect(), deployed, initial, within_s=WITHIN_S)
        yield deployed
    finally:
        deploy.down(connect(), deployed, within_s=WITHIN_S)


class ExistingCores:
    """The cores of the pods that exist, as the API server tells each change: one exists until it is to go and no
    container of it runs or, as in a pending one, may yet start. `seen`: how many there were, and how many pods of them
    drained.

    Several pipelines of one namespace are followed by one watch, which tells their changes in the order in which they
    were made; two watches may be apart by seconds on a busy machine.
    """

    def __init__(self, *pipelines: Deployed) -> None:
        self.seen: list[tuple[int, int]] = []
        self._pods: dict[str, Mapping[str, Any]] = {}
        instances = ",".join(each.instance for each in pipelines)
        self._selector = f"{names.COMPONENT}={names.MODEL_SERVER},{names.INSTANCE} in ({instances})"
        self._namespace = pipelines[0].namespace
        self._is_over = threading.Event()
        listed = connect().list("Pod", self._namespace, self._selector)
        for pod in listed["items"]:
            self._note("ADDED", pod)
        self._thread = threading.Thread(target=self._watch, args=(listed["metadata"]["resourceVersion"],), daemon=True)
        self._thread.start()

    def of(self, pipeline: Deployed) -> int:
        """The cores of one pipeline that exist now."""
        labels = [pod["metadata"]["labels"] for pod in list(self._pods.values())]
        return sum(int(each[names.CORES]) for each in labels if each[names.INSTANCE] == pipeline.instance)

    def _watch(self, version: str) -> None:
        api = connect()
        while not self._is_over.is_set():
            try:
                for event in api.watch("Pod", self._namespace, self._selector, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] != "BOOKMARK":
                        self._note(event["type"], event["object"])
            except ApiError:
                time.sleep(0.05)  # goes on from the last version, so nothing is missed

    def _note(self, kind: str, pod: Mapping[str, Any]) -> None:
        uid, containers = pod["metadata"]["uid"], pod["status"].get("containerStatuses", [])
        is_to_go = "deletionTimestamp" in pod["metadata"]
        ended = is_to_go and containers and not any("running" in each["state"] for each in containers)
        if kind == "DELETED" or (ended and pod["status"]["phase"] != "Pending"):
            self._pods.pop(uid, None)
        else:
            self._pods[uid] = pod
        cores = [int(each["metadata"]["labels"][names.CORES]) for each in self._pods.values()]
        draining = sum("deletionTimestamp" in each["metadata"] for each in self._pods.values())
        self.seen.append((sum(cores), draining))

    def stop(self) -> None:
        self._is_over.set()


@asynccontextmanager
async def running(
    deployed: Deployed, folder: Path, initial: Configuration
) -> AsyncIterator[tuple[KubernetesBackend, ExistingCores]]:
    """A controller of what is deployed, and the cores that exist from then on."""
    backend = KubernetesBackend(deployed, connect(), folder, (0.0,))
    try:
        await backend.open(initial)
        await backend.start(time.monotonic())
        cores = await asyncio.to_thread(ExistingCores, deployed)
        yield backend, cores
        cores.stop()
    finally:
        await backend.close()


async def decide(backend: KubernetesBackend, configuration: Configuration, is_over: Callable[[], bool]) -> None:
    """Have a configuration applied, and wait until that is over."""
    applied = await asyncio.to_thread(backend.apply, configuration)
    assert applied.accepted, applied.reason
    async with asyncio.timeout(WITHIN_S):
        while not is_over():
            await asyncio.sleep(0.1)


def _is_complete(backend: KubernetesBackend, configuration: Configuration) -> bool:
    return backend.look.is_complete(configuration)


async def rolled_out(deployed: Deployed, folder: Path, *configurations: Configuration) -> tuple[ExistingCores, Any]:
    """The cores that existed while the stage came from the first of the configurations to the last, and the lack of
    room."""
    async with running(deployed, folder, configurations[0]) as (backend, cores):
        for each in configurations[1:]:
            await decide(backend, each, partial(_is_complete, backend, each))
        return cores, backend.stages[STAGE].room_lack(backend.now_s)


@pytest.mark.parametrize("most_cores", [2, 3, 4])
def test_a_rollout_keeps_the_limit_with_pods_that_start_and_drain(
    namespace: str, tmp_path: Path, most_cores: int
) -> None:
    """Two replicas are exchanged, then a third comes and all three are; without room one after the other."""
    steps = [{STAGE: each} for each in (asks("a", 2), asks("b", 2), asks("c", min(3, most_cores)))]
    with up(tmp_path, namespace, steps[0], most_cores=most_cores) as deployed:
        cores, lack = asyncio.run(rolled_out(deployed, tmp_path, *steps))
    assert max(count for count, _ in cores.seen) <= most_cores
    assert any(draining for _, draining in cores.seen)
    assert lack.times >= 1


def test_a_rollout_under_way_keeps_its_room_from_another_stage_that_grows(namespace: str, tmp_path: Path) -> None:
    """While the first stage's rollout adds one replica and drains another, the second is to have two more."""
    before, rolling, grown = (
        {STAGE: asks(variant, 2), "next": asks("a", replicas)} for variant, replicas in (("a", 1), ("b", 1), ("b", 3))
    )

    def draining(cores: ExistingCores) -> int:
        return cores.seen[-1][1]

    async def story(deployed: Deployed) -> ExistingCores:
        async with running(deployed, tmp_path, before) as (backend, cores):
            await decide(backend, rolling, lambda: cores.seen[-1][0] > 3)
            await decide(
                backend, grown, lambda: backend.look.stages[STAGE].has_reached(grown[STAGE]) and not draining(cores)
            )
            assert backend.stages["next"].room_lack(backend.now_s).times >= 1
            await decide(backend, grown, lambda: backend.look.is_complete(grown))  # what was given back is handed on
            return cores

    with up(tmp_path, namespace, before, most_cores=5, when_full="wait") as deployed:
        cores = asyncio.run(story(deployed))
    assert max(count for count, _ in cores.seen) <= 5
    assert any(count for _, count in cores.seen)


def test_without_a_limit_a_rollout_takes_more_cores_for_a_while(namespace: str, tmp_path: Path) -> None:
    """So the limit above is what keeps them."""
    before, after = {STAGE: asks("a", 2)}, {STAGE: asks("b", 2)}
    with up(tmp_path, namespace, before) as deployed:
        cores, lack = asyncio.run(rolled_out(deployed, tmp_path, before, after))
    assert max(count for count, _ in cores.seen) > 3
    assert lack.times == 0
