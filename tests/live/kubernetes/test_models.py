"""Real models on a real cluster: each variant's pods have the one that is theirs, wherever it comes from."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.errors import RunError
from ipa.live.kubernetes import deploy, overview
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.settings import Deployed
from ipa.live.serving import digest_of, sums_of
from tests.live.kubernetes.test_cluster import WITHIN_S, Traffic, apply, namespace, running, until, until_stands
from tests.live.kubernetes.world import IMAGE, settings_of, tiny, volume
from tests.live.serving.models_world import BUCKET, models_folder, put_folder, s3_server, shut
from tests.live.world import sort

__all__ = ["namespace"]

pytestmark = pytest.mark.cluster

ROW = [1.0, 2.0, 3.0]
OF_SMALL, OF_LARGE = [3.0, 6.0, 9.0], [3.0, 5.0, 7.0]
"""What the two variants make of the row: 3 x, and 2 x + 1."""

SECRET = "store-keys"


class Asking(Traffic):
    """Asks for the row without a pause; `answers` are what came."""

    def __init__(self, url: str) -> None:
        self.answers: list[list[float]] = []
        super().__init__(url)

    async def _run(self) -> None:
        import aiohttp

        body = {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": ROW}]}
        async with aiohttp.ClientSession() as session:
            while True:
                async with session.post(self._url, json=body) as response:
                    self.answers += [each["data"] for each in (await response.json()).get("outputs", ())]
                    self.statuses.append(response.status)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[Asking]:
    made = Asking(url)
    yield made
    await made.stop()


@contextmanager
def up(namespace: str, folder: Path, models: str, **settings: Any) -> Iterator[Deployed]:
    """The tiny pipeline with real models, deployed with its small variant."""
    of_test: dict[str, Any] = {
        "image__name": IMAGE,
        "image__pull": "Never",
        "cluster__service_type": "NodePort",
        "cluster__ready_within_s": WITHIN_S,
        "models__source": models,
        "models__cpu": "100m",
    }
    made = tiny(folder, namespace, settings_of(**{**of_test, **settings}))
    try:
        deploy.up(connect(), made, sort(), within_s=WITHIN_S)
        asyncio.run(until_reached(client_url(connect(), made), WITHIN_S))
        yield made
    finally:
        deploy.down(connect(), made, within_s=WITHIN_S)
        assert not list(deploy.belongings(connect(), made))


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models") / "root"
    root.mkdir()
    return models_folder(root)


@pytest.fixture(scope="module")
def host(namespace: str) -> str:
    """This machine's address as pods may reach it; skips where they do not."""
    import kubernetes.config

    loaded = kubernetes.config.new_client_from_config()
    there = urlsplit(loaded.configuration.host)
    with socket.create_connection((there.hostname or "", there.port or 443), 5.0) as connection:
        address = str(connection.getsockname()[0])
    with socket.socket() as listener:
        listener.bind((address, 0))
        listener.listen()
        port = listener.getsockname()[1]
        code = f"import socket; socket.create_connection(('{address}', {port}), 5)"
        if _phase_of_a_pod_that_runs(namespace, code) != "Succeeded":
            pytest.skip(f"pods do not reach this machine at {address}, where the S3 server would be")
    return address


def _phase_of_a_pod_that_runs(namespace: str, code: str) -> str:
    api = connect()
    container = {"name": "reaches", "image": IMAGE, "imagePullPolicy": "Never", "command": ["python", "-c", code]}
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "reaches", "namespace": namespace},
        "spec": {"restartPolicy": "Never", "containers": [container]},
    }
    path = f"/api/v1/namespaces/{namespace}/pods"
    api.request("POST", path, pod)
    until_s = time.monotonic() + WITHIN_S
    try:
        while (phase := api.request("GET", f"{path}/reaches")["status"].get("phase", "")) in ("Pending", "Running"):
            assert time.monotonic() < until_s, "a pod that tries this machine's address does not end"
            time.sleep(0.3)
        return str(phase)
    finally:
        api.request("DELETE", f"{path}/reaches")


@pytest.fixture
def server(host: str, tmp_path: Path, models: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """An S3 server with the models, whole below `all` and without large below `some`; and who may read there."""
    with s3_server(tmp_path, host) as url:
        put_folder(url, models, "all")
        put_folder(url, models / "tiny" / "sort" / "small", "some/tiny/sort/small")
        yield url, shut(url)


@contextmanager
def secret(namespace: str, keys: Mapping[str, str]) -> Iterator[str]:
    api, path = connect(), f"/api/v1/namespaces/{namespace}/secrets"
    api.request("POST", path, {"kind": "Secret", "metadata": {"name": SECRET}, "stringData": dict(keys)})
    try:
        yield SECRET
    finally:
        api.request("DELETE", f"{path}/{SECRET}")


def test_variants_come_from_an_object_store_and_a_switch_fetches_the_other(
    namespace: str, tmp_path: Path, server: tuple[str, dict[str, str]]
) -> None:
    url, keys = server

    async def story(deployed: Deployed) -> None:
        async with running(deployed, tmp_path) as backend, asking(backend.url) as asked:
            await until(lambda: asked.answers, "the first answer")
            assert (await apply(backend, sort("large"))).accepted
            await until_stands(backend, sort("large"))
            await until(lambda: asked.answers[-1] == OF_LARGE, "an answer of the large one")
            kinds = [asked.answers[0]] + [
                now for now, before in zip(asked.answers[1:], asked.answers, strict=False) if now != before
            ]
            assert kinds[0] == OF_SMALL
            assert kinds[-1] == OF_LARGE
            assert all(each in (OF_SMALL, OF_LARGE) for each in kinds)

    with (
        secret(namespace, keys) as name,
        up(namespace, tmp_path, f"s3://{BUCKET}/all", models__s3_endpoint=url, models__s3_secret=name) as deployed,
    ):
        asyncio.run(story(deployed))


def test_a_variant_that_the_store_lacks_is_rolled_back_while_traffic_goes_on(
    namespace: str, tmp_path: Path, server: tuple[str, dict[str, str]]
) -> None:
    url, keys = server

    failed: list[str] = []

    async def story(deployed: Deployed) -> None:
        how: dict[str, Any] = {"on_rollback": lambda _, why: failed.append(why)}
        async with running(deployed, tmp_path, **how) as backend, asking(backend.url) as asked:
            assert (await apply(backend, sort("large"))).accepted
            await until(lambda: failed, "the variant is given up")
            await until_stands(backend, sort())
            assert "rolled back to small" in failed[0]
            assert f"s3://{BUCKET}/some/tiny/sort/large: there is nothing at {url}" in failed[0]
            assert not (await apply(backend, sort("large"))).accepted
            assert all(each == OF_SMALL for each in asked.answers)

    with (
        secret(namespace, keys) as name,
        up(
            namespace,
            tmp_path,
            f"s3://{BUCKET}/some",
            models__s3_endpoint=url,
            models__s3_secret=name,
            cluster__ready_within_s=60.0,
        ) as deployed,
    ):
        asyncio.run(story(deployed))


@pytest.mark.parametrize(
    ("source", "key", "why"),
    [
        (f"s3://{BUCKET}/none", "", "there is nothing at"),
        (f"s3://{BUCKET}/all", "wrong", "no access at"),
        (f"s3://{BUCKET}/all", None, f'secret "{SECRET}" not found'),
    ],
)
def test_what_keeps_the_first_models_from_coming_is_said_by_up(
    namespace: str, tmp_path: Path, server: tuple[str, dict[str, str]], source: str, key: str | None, why: str
) -> None:
    url, keys = server
    wrong = {**keys, **({"AWS_SECRET_ACCESS_KEY": key} if key else {})}

    def tried(name: str) -> str:
        with (
            pytest.raises(RunError) as error,
            up(
                namespace,
                tmp_path,
                source,
                models__s3_endpoint=url,
                models__s3_secret=name,
                cluster__ready_within_s=60.0,
            ),
        ):
            pass
        return str(error.value)

    if key is None:
        assert why in tried(SECRET)
    else:
        with secret(namespace, wrong) as name:
            assert why in tried(name)


def test_models_come_from_a_volume(namespace: str, tmp_path: Path, models: Path) -> None:
    with volume(namespace, "shelf", models, "ReadOnlyMany"):
        with up(namespace, tmp_path, "pvc:shelf") as deployed:
            asyncio.run(_both_variants_answer(deployed, tmp_path))
        # A variant that is not there has its model server crash, which says what it lacks.
        with (
            pytest.raises(RunError, match="/models/nowhere/tiny/sort/small: no such folder"),
            up(namespace, tmp_path, "pvc:shelf/nowhere", cluster__ready_within_s=60.0),
        ):
            pass


def test_a_model_that_is_exchanged_during_a_run_is_served_by_no_replica(namespace: str, tmp_path: Path) -> None:
    """The replica that finds it does not start, and says so; the one that serves goes on as it was."""
    (tmp_path / "own").mkdir(mode=0o755)
    for folder in (tmp_path, *tmp_path.parents):
        if folder.owner() == tmp_path.owner() and folder.stat().st_mode & 0o001 == 0:
            folder.chmod(folder.stat().st_mode | 0o001)
    own = models_folder(tmp_path / "own")

    async def story(deployed: Deployed) -> None:
        async with running(deployed, tmp_path) as backend, asking(backend.url) as asked:
            began_with = {"sort/small": digest_of(sums_of(own / "tiny" / "sort" / "small"))}
            await until(lambda: backend.models == began_with, "the model is fixed")
            with (own / "tiny" / "sort" / "small" / "model.py").open("a") as file:
                file.write("# version 2\n")
            assert (await apply(backend, sort(replicas=2))).accepted
            await until(lambda: "holds another model" in backend.look.waits_for, "the other model is named")

            def is_said() -> bool:
                said = overview.status(connect(), deployed)["stages"]["sort"]
                return began_with["sort/small"] in said["problem"] and said["ready"] == 1

            await until(is_said, "status says it too, and one serves")
            assert all(each == OF_SMALL for each in asked.answers)

    with volume(namespace, "own", own, "ReadOnlyMany"), up(namespace, tmp_path, "pvc:own") as deployed:
        asyncio.run(story(deployed))


def test_models_come_from_the_image(namespace: str, tmp_path: Path) -> None:
    baked = os.environ.get("IPA_MODELS_IMAGE")
    if baked is None:
        pytest.skip("IPA_MODELS_IMAGE names no image with the models of tests.live.serving.models_world at /models")
    with up(namespace, tmp_path, "image:/models", image__name=baked) as deployed:
        asyncio.run(_both_variants_answer(deployed, tmp_path))


async def _both_variants_answer(deployed: Deployed, folder: Path) -> None:
    async with running(deployed, folder) as backend, asking(backend.url) as asked:
        await until(lambda: asked.answers, "the first answer")
        assert asked.answers[0] == OF_SMALL
        assert (await apply(backend, sort("large"))).accepted
        await until_stands(backend, sort("large"))
        await until(lambda: asked.answers[-1] == OF_LARGE, "an answer of the large one")
