"""The Kubernetes backend on a cluster: the one that KUBECONFIG names, with our image on it (docs/kubernetes.md)."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.controller_metrics import ControllerMetrics
from ipa.live.gateway_client import GatewayClient
from ipa.live.kubernetes import deploy, manifests, names, overview
from ipa.live.kubernetes.api import Api, ApiError, connect
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend, Options
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.readiness import client_url, until_reached
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import read_stages, wanted_of
from ipa.live.server_answers import DEFAULT_BODY
from ipa.policies import Applied, Configuration, Observation
from tests.live.kubernetes.world import IMAGE, own_namespace, quota, settings_of, tiny, two_stages, with_options
from tests.live.world import HISTORY, metric_values, sort

pytestmark = pytest.mark.cluster

WITHIN_S = 180.0
"""How long a test waits for a cluster on a machine that is busy. A controller of Kubernetes that a quota has kept from
its work tries again at intervals that double."""

STOOD_STILL = re.compile("^the Lease is |does not answer")
"""Why a decision is refused after seconds in which the machine stood still."""


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    with own_namespace(WITHIN_S) as name:
        yield name


@pytest.fixture
def deployed(namespace: str, tmp_path: Path) -> Iterator[Deployed]:
    """The tiny pipeline, deployed; taken down after the test."""
    layout = settings_of(
        image__name=IMAGE, image__pull="Never", cluster__service_type="NodePort", cluster__ready_within_s=WITHIN_S
    )
    made = tiny(tmp_path, namespace, layout)
    deploy.up(connect(), made, sort(), within_s=WITHIN_S)
    yield made
    assert deploy.down(connect(), made, within_s=WITHIN_S) > 5
    assert not list(deploy.belongings(connect(), made))


@asynccontextmanager
async def running(
    deployed: Deployed, folder: Path, api: Api | None = None, initial: Configuration | None = None, **how: Any
) -> AsyncIterator[KubernetesBackend]:
    """A backend on what is deployed, its clock started."""
    api = api or connect()
    how.setdefault("lease", None if api.read_only else Lease(api, deployed))
    how.setdefault("url", client_url(connect(), deployed))
    await until_reached(how["url"], WITHIN_S)
    options = with_options(how)
    backend = KubernetesBackend(deployed, api, folder, HISTORY, **options)
    try:
        await backend.open(initial or sort())
        await backend.start(time.monotonic())
        yield backend
    finally:
        await backend.close()


class Traffic:
    """Asks without a pause, one request at a time; `statuses` of the answers."""

    def __init__(self, url: str) -> None:
        self.statuses: list[int] = []
        self._url = f"{url}/v2/models/tiny/infer"
        self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        import aiohttp

        async with aiohttp.ClientSession() as session:
            while True:
                async with session.post(self._url, json=DEFAULT_BODY) as response:
                    await response.read()
                    self.statuses.append(response.status)
                await asyncio.sleep(0.05)

    async def stop(self) -> None:
        """End once some have been answered, and fail where one was not as it should be."""
        await until(lambda: self._task.done() or len(self.statuses) > 10, "requests are answered")
        assert not self._task.done()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        assert set(self.statuses) == {200}


@asynccontextmanager
async def traffic(backend: KubernetesBackend) -> AsyncIterator[Traffic]:
    """Requests all the while; each is answered, and the gateway's metrics say so."""
    asking = Traffic(backend.url)
    yield asking
    await asking.stop()
    said = await asyncio.to_thread(gateways, backend.deployed)
    assert said["ipa_requests_total", "completed"] >= len(asking.statuses)
    assert not any(said["ipa_requests_total", outcome] for outcome in ("failed", "dropped", "unfinished"))


# ---- what `status` and the metrics say ----


def gateways(deployed: Deployed) -> dict[tuple[str, ...], float]:
    """The metrics of the gateway: name and labels, but for the pipeline's -> value."""
    path = f"/api/v1/namespaces/{deployed.namespace}/services/http:{deployed.control_name}:control/proxy/metrics"
    return metric_values(connect()._send("GET", path, "metrics", within_s=WITHIN_S).data.decode())


def controllers(backend: KubernetesBackend) -> dict[tuple[str, ...], float]:
    """The metrics of the controller of a backend, as they would be scraped now."""
    metrics = ControllerMetrics(backend.plane.pipeline)
    metrics.look(backend)
    return metric_values(metrics.of_process.text().decode())


async def until_said(backend: KubernetesBackend, kind: str, what: str) -> None:
    """Wait until status names a trouble, of which the controller's metrics and its own words tell too."""

    def is_said() -> bool:
        return what in backend.troubles().get(kind, "") and controllers(backend)["ipa_trouble", kind] == 1.0

    await until(is_said, f"{kind}: {what}")
    await until(lambda: what in said_by_status(backend).get(kind, ""), f"status says {kind}: {what}")


async def until_well(backend: KubernetesBackend) -> None:
    """Wait until status and metrics name no trouble."""

    def is_well() -> bool:
        said = said_by_status(backend)
        metrics = any(value for (name, *_), value in controllers(backend).items() if name == "ipa_trouble")
        return not (said or backend.troubles() or metrics)

    await until(is_well, "no trouble is left")


def said_by_status(backend: KubernetesBackend) -> dict[str, str]:
    said: dict[str, str] = overview.status(connect(), backend.deployed)["troubles"]
    return said


async def apply(backend: KubernetesBackend, configuration: Configuration) -> Applied:
    """Decide, and again while what refuses it is that the machine has stood still for seconds."""
    until_s = time.monotonic() + WITHIN_S
    while True:
        applied = await asyncio.to_thread(backend.apply, configuration)
        if not STOOD_STILL.search(applied.reason) or time.monotonic() > until_s:
            return applied
        await asyncio.sleep(0.1)


async def observe(backend: KubernetesBackend) -> Observation:
    """Observe, and again while the gateway has not answered in time: the counts then go on."""
    until_s = time.monotonic() + WITHIN_S
    while True:
        observation = await asyncio.to_thread(backend.observe)
        if "no_sample" not in backend.troubles() or time.monotonic() > until_s:
            return observation
        await asyncio.sleep(0.1)


async def until_stands(backend: KubernetesBackend, configuration: Configuration) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not (backend.look.is_complete(configuration) and backend.wanted == configuration):
        assert time.monotonic() < until_s, f"{backend.look}"
        await asyncio.sleep(0.1)


async def until(holds: Any, what: str) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < until_s, f"waited {WITHIN_S:g} s in vain: {what}"
        await asyncio.sleep(0.1)


def test_variant_batch_and_replicas_are_rolled_out_while_every_request_is_answered(
    deployed: Deployed, tmp_path: Path
) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend) as asking:
            stage = backend.stages["sort"]
            for wanted in (sort("small", 3), sort("large", 2, batch=4), sort("small", 1)):
                assert (await apply(backend, wanted)).accepted
                await until_stands(backend, wanted)
            assert [batch for _, batch in backend.configured["sort"]] == [1, 4, 1]
            await until(lambda: len(asking.statuses) > 10, "requests are answered")
            seen = await observe(backend)
            assert seen.stages["sort"].completions > 10
            assert seen.stages["sort"].configuration == sort("small", 1)["sort"]
            by_variant = {variant: sum(each.variant == variant for each in stage.all) for variant in ("small", "large")}
            assert by_variant["large"] == 2
            large = [each for each in stage.all if each.variant == "large"]
            # The profile's start-up; who watches may see one of the two a moment late.
            assert max(each.ready_s - each.created_s for each in large) >= 0.3
            assert stage.core_s(backend.now_s) > 0.0

    asyncio.run(story())


def test_what_is_deployed_again_is_left_alone(deployed: Deployed) -> None:
    api = connect()
    assert wanted_of(deployed, sort("large"), read_stages(api, deployed)) == sort()
    assert {step.action for step in deploy.plan(api, deployed, sort())} == {"keep"}


def test_what_a_controller_remembers_outlives_another_up_and_one_delete_removes_all(
    deployed: Deployed, tmp_path: Path
) -> None:
    api = connect()

    def notes() -> dict[str, str]:
        stage = api.get("Deployment", deployed.namespace, deployed.stage_name("sort"))
        assert stage is not None
        return {key: value for key, value in stage["metadata"]["annotations"].items() if key.startswith("ipa/")}

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))
            await until(lambda: names.SOUND in notes(), "it is known to be sound")
            before = notes()
            # While a controller holds the Lease, and after.
            await asyncio.to_thread(deploy.up, api, deployed, sort("large"), within_s=WITHIN_S)
            assert notes() == before
        deploy.up(api, deployed, sort("large"), within_s=WITHIN_S)
        assert notes() == before

    asyncio.run(story())
    api.delete("ConfigMap", deployed.namespace, deployed.instance)
    until_s = time.monotonic() + WITHIN_S
    while left := list(deploy.belongings(api, deployed)):
        assert time.monotonic() < until_s, left
        time.sleep(0.5)
    deploy.up(api, deployed, sort(), within_s=WITHIN_S)  # for the fixture to take down


def test_a_pipeline_that_is_taken_down_under_load_answers_what_it_has_taken(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of 20 clients sends its next request after the answer. The gateway ends while the models serve, so whoever
    was inside is answered; afterwards nobody can connect any more."""
    import aiohttp

    # The Service goes when all clients have been turned away. An older kube-proxy listens at the node port itself:
    # while it takes the Service's rules away, whoever still tries to connect is accepted there, and then reset.
    all_ended = threading.Event()
    api = connect()
    delete = api.delete

    def delete_in_turn(kind: str, *where: str, **how: Any) -> Any:
        assert kind != "Service" or all_ended.wait(WITHIN_S)
        return delete(kind, *where, **how)

    monkeypatch.setattr(api, "delete", delete_in_turn)
    made = tiny(tmp_path, namespace)
    deploy.up(connect(), made, sort(), within_s=WITHIN_S)
    url = client_url(connect(), made)
    asyncio.run(until_reached(url, WITHIN_S))
    told: list[str] = []

    async def client(statuses: list[int]) -> None:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=WITHIN_S, sock_connect=5.0)) as session:
            while True:
                try:
                    async with session.post(f"{url}/v2/models/tiny/infer", json=DEFAULT_BODY) as response:
                        await response.read()
                        statuses.append(response.status)
                except (aiohttp.ClientConnectorError, aiohttp.ServerTimeoutError):
                    return

    async def story() -> list[int]:
        statuses: list[int] = []
        clients = [asyncio.create_task(client(statuses)) for _ in range(20)]
        await until(lambda: len(statuses) > 100, "they are served")
        began_s = time.monotonic()
        down = asyncio.create_task(asyncio.to_thread(deploy.down, api, made, told.append))
        try:
            await asyncio.gather(*clients)
        finally:
            all_ended.set()
        assert await down > 5
        print(f"down after {time.monotonic() - began_s:.1f} s, {len(statuses)} requests answered")
        return statuses

    assert set(asyncio.run(story())) <= {200, 503}  # 503: a new connection came while the old ones were closed
    assert told[0].startswith("waiting for the gateway to answer the requests inside, at most ")
    assert not list(deploy.belongings(connect(), made))


def test_objects_of_others_are_neither_taken_over_nor_deleted(namespace: str, tmp_path: Path) -> None:
    from ipa.live.errors import LiveError

    api, made = connect(), replace(tiny(tmp_path, namespace), name="other")
    theirs = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "other", "namespace": namespace}}
    api.request("POST", f"/api/v1/namespaces/{namespace}/configmaps", theirs)
    with pytest.raises(LiveError, match=r"ConfigMap other in namespace .* is not ours"):
        deploy.plan(api, made, sort())
    assert deploy.down(api, made) == 0
    assert api.get("ConfigMap", namespace, "other") is not None


TOO_MUCH = ["-c", "held = b'x' * 2**30"]
"""A gigabyte, in a container that may have a quarter of it."""


@pytest.mark.parametrize(
    ("changed", "how", "ready_within_s"),
    [
        ({"args": ["--no-such-option"]}, "(Error, exit code 2)", 60.0),
        ({"command": ["python"], "args": TOO_MUCH}, "(OOMKilled, exit code 137)", 60.0),
        ({"image": "local/none:1"}, "ErrImageNeverPull", 60.0),
    ],
    ids=["crashes", "needs too much memory", "has no image"],
)
def test_a_variant_that_does_not_start_is_rolled_back_and_left_out(
    deployed: Deployed,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changed: dict[str, Any],
    how: str,
    ready_within_s: float,
) -> None:
    whole = manifests._model_server
    deployed = replace(deployed, settings=settings_of(deployed.settings, cluster__ready_within_s=ready_within_s))

    def crashing(deployed: Deployed, stage: str, wanted: Any) -> Any:
        made = whole(deployed, stage, wanted)
        return made | changed if wanted.variant == "large" else made

    monkeypatch.setattr(manifests, "_model_server", crashing)
    failed: list[tuple[int, str]] = []

    async def story() -> None:
        told: dict[str, Any] = {"on_rollback": lambda *what: failed.append(what)}
        async with running(deployed, tmp_path, **told) as backend, traffic(backend):
            backend.begin_step(3)
            assert (await apply(backend, sort("large"))).accepted
            await until(lambda: backend.stages["sort"].failed_variants == ("large",), "the variant is given up")
            await until_said(backend, "failed_variant", "large")
            assert controllers(backend)["ipa_rollbacks_total", "sort", "large"] == 1.0
            ((step, why),) = failed
            assert step == 3
            assert why.startswith("sort: rolled back to small: variant large: ")
            assert how in why
            await until_stands(backend, sort())
            seen = await observe(backend)
            assert seen.stages["sort"].failed_variants == ("large",)
            assert seen.stages["sort"].configuration == sort()["sort"]
            again = await apply(backend, sort("large"))
            assert not again.accepted
            assert "variant large has failed to start" in again.reason
            assert bool(backend.stages["sort"].deaths["large"]) == ("exit code" in how)
        status = overview.status(connect(), deployed)["stages"]["sort"]
        assert status["failed_variants"] == ["large"]
        # What an earlier controller found out holds for the next.
        async with running(deployed, tmp_path) as backend:
            assert backend.stages["sort"].failed_variants == ("large",)

    asyncio.run(story())


def test_a_missing_image_stops_the_rollout_and_not_the_traffic(deployed: Deployed, tmp_path: Path) -> None:
    wrong = replace(deployed, settings=settings_of(deployed.settings, image__name="local/none:1"))

    async def story() -> None:
        backend = KubernetesBackend(wrong, connect(), tmp_path, HISTORY, Options(url=client_url(connect(), deployed)))
        asking = Traffic(backend.url)
        with pytest.raises(Exception, match="ErrImageNeverPull"):
            await backend.open(sort())
        await backend.close()
        await asking.stop()

        def problem() -> str:
            return str(overview.status(connect(), deployed)["stages"]["sort"]["problem"])

        # The gateway's pod has the same image, and may have been the first to say it.
        await until(lambda: "ErrImageNeverPull" in problem(), "status names it")
        async with running(deployed, tmp_path) as right:  # the right image, and all is well
            assert right.stages["sort"].ready

    asyncio.run(story())


def test_the_kill_switch_keeps_everything_as_it_is_until_it_is_off(deployed: Deployed, tmp_path: Path) -> None:
    api = connect()
    path = f"/api/v1/namespaces/{deployed.namespace}/configmaps/{deployed.instance}"

    def hold(value: str | None) -> None:
        patch = {"metadata": {"annotations": {names.HOLD: value}}}
        api.request("PATCH", path, patch, content_type="application/merge-patch+json", field_manager="kubectl-annotate")

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            hold("true")
            await until(lambda: backend.look.is_held, "the annotation is seen")
            refused = await apply(backend, sort("small", 2))
            assert (refused.accepted, refused.reason[:5]) == (False, "held:")
            await until_said(backend, "held", "the annotation ipa/hold")
            hold(None)
            await until(lambda: not backend.look.is_held, "the annotation is gone")
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))

    asyncio.run(story())


def kubectl_scale(api: Api, deployed: Deployed, replicas: int, manager: str = "kubectl") -> None:
    """As `kubectl scale` does, or another that scales."""
    path = f"/apis/apps/v1/namespaces/{deployed.namespace}/deployments/{deployed.stage_name('sort')}/scale"
    patch = {"spec": {"replicas": replicas}}
    api.request("PATCH", path, patch, content_type="application/merge-patch+json", field_manager=manager)


def test_replicas_that_another_sets_are_set_back_and_said(deployed: Deployed, tmp_path: Path) -> None:
    api = connect()
    path = f"/apis/apps/v1/namespaces/{deployed.namespace}/deployments/{deployed.stage_name('sort')}"

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            patch = {"spec": {"replicas": 2}}
            api.request("PATCH", path, patch, content_type="application/merge-patch+json", field_manager="someone")
            await until_said(backend, "foreign_scaler", "sort: 'someone' had set 2 replicas, which were set back")
            await until_stands(backend, sort())
            kubectl_scale(api, deployed, 3)
            await until_said(backend, "foreign_scaler", "had set 3 replicas, which were set back")
            await until_stands(backend, sort())
            assert (await apply(backend, sort("large"))).accepted
            await until_stands(backend, sort("large"))

    asyncio.run(story())


def test_an_autoscaler_is_named_and_left_alone_until_it_is_deleted(deployed: Deployed, tmp_path: Path) -> None:
    """It wants three replicas at least and tries every 15 s, with no metrics server; somebody helps it."""
    api = connect()
    path = f"/apis/autoscaling/v1/namespaces/{deployed.namespace}/horizontalpodautoscalers"
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployed.stage_name("sort")}
    autoscaler = {
        "apiVersion": "autoscaling/v1",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "theirs", "namespace": deployed.namespace},
        "spec": {"scaleTargetRef": target, "minReplicas": 3, "maxReplicas": 5},
    }

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            api.request("POST", path, autoscaler)
            await until_said(backend, "foreign_scaler", "HorizontalPodAutoscaler theirs keeps setting its replicas")
            refused = await apply(backend, sort("small", 2))
            assert (refused.accepted, "HorizontalPodAutoscaler theirs" in refused.reason) == (False, True)
            assert (await apply(backend, sort())).accepted  # which leaves the stage as it is
            await asyncio.sleep(20.0)  # long enough for the autoscaler to act once more
            await until(lambda: len(backend.stages["sort"].ready) == 3, "there are as many as it wants")
            created = len(backend.stages["sort"].all)
            assert overview.status(api, deployed)["stages"]["sort"]["replicas"] == 3
            api.request("DELETE", f"{path}/theirs")
            await until_stands(backend, sort())
            assert len(backend.stages["sort"].all) == created
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))

    asyncio.run(story())


def _replicas(api: Api, deployed: Deployed) -> int:
    found = api.get("Deployment", deployed.namespace, deployed.stage_name("sort"))
    assert found is not None
    return int(found["spec"]["replicas"])


def test_a_stage_that_is_paused_stops_no_repair_of_another(namespace: str, tmp_path: Path) -> None:
    api, made = connect(), replace(two_stages(tmp_path, namespace), name="two")
    both = {"sort": sort()["sort"], "rank": sort()["sort"]}
    deploy.up(api, made, both, within_s=WITHIN_S)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/{made.stage_name('sort')}"

    def pause(value: bool) -> None:
        patch = {"spec": {"paused": value}}
        api.request("PATCH", path, patch, content_type="application/merge-patch+json", field_manager="kubectl-rollout")

    async def story() -> None:
        async with running(made, tmp_path, initial=both) as backend:
            async with traffic(backend):
                pause(True)
                await until_said(backend, "stopped", "sort: two-stage-sort is paused")
                more = {**both, "rank": sort("small", 2)["sort"]}
                assert (await apply(backend, more)).accepted
                await until(lambda: len(backend.stages["rank"].ready) == 2, "the other stage goes on")
                refused = await apply(backend, {**more, "sort": sort("large")["sort"]})
                assert refused.reason.startswith("stopped: sort: two-stage-sort is paused")
            # All of the stage's pods go with it: nobody can be served until there are others.
            before = backend.stages["rank"].ready
            api.delete("Deployment", namespace, made.stage_name("rank"))
            await until(lambda: all(each.is_gone for each in before), "its pods are gone")
            await until(lambda: len(backend.stages["rank"].ready) == 2, "it is repaired")
            pause(False)
            await until_stands(backend, more)
            await until_well(backend)

    try:
        asyncio.run(story())
    finally:
        deploy.down(api, made, within_s=WITHIN_S)


def test_stages_that_a_pipeline_no_longer_has_are_in_the_plan_and_deleted(namespace: str, tmp_path: Path) -> None:
    api = connect()
    before, after = (replace(two_stages(tmp_path, namespace, name), name="former") for name in ("rank", "label"))
    deploy.up(api, before, dict.fromkeys(("sort", "rank"), sort()["sort"]), within_s=WITHIN_S)
    try:
        configuration = dict.fromkeys(("sort", "label"), sort()["sort"])
        steps = deploy.plan(api, after, configuration)
        gone = {(step.kind, step.name) for step in steps if step.action == "delete"}
        assert gone == {(kind, "former-stage-rank") for kind in ("Deployment", "PodDisruptionBudget")}
        assert overview.status(api, after)["leftovers"] == ["former-stage-rank"]
        deploy.up(api, after, configuration, within_s=WITHIN_S)
        assert api.get("Deployment", namespace, "former-stage-rank") is None
        assert api.get("Deployment", namespace, "former-stage-label") is not None
        assert {step.action for step in deploy.plan(api, after, configuration)} == {"keep"}
    finally:
        deploy.down(api, after, within_s=WITHIN_S)


def test_an_only_replica_and_the_gateway_are_not_evicted(deployed: Deployed, tmp_path: Path) -> None:
    api = connect()
    version = "policy/v1" if "policy/v1" in api.groups() else "policy/v1beta1"

    def evict(name: str) -> int:
        eviction = {"apiVersion": version, "kind": "Eviction", "metadata": {"name": name}}
        try:
            api.request("POST", f"/api/v1/namespaces/{deployed.namespace}/pods/{name}/eviction", eviction)
        except ApiError as error:
            return error.status
        return 200

    def pods(component: str) -> list[str]:
        found = api.list("Pod", deployed.namespace, names.as_query(names.selector(deployed.instance, component)))
        return [each["metadata"]["name"] for each in found["items"] if "deletionTimestamp" not in each["metadata"]]

    def allowed(name: str) -> Any:
        found = api.get("PodDisruptionBudget", deployed.namespace, name) or {}
        return (found.get("status") or {}).get("disruptionsAllowed")

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            await until(lambda: allowed(deployed.gateway_name) == 0, "the budget knows the gateway")
            assert [evict(name) for name in pods(names.GATEWAY)] == [429]
            assert [evict(name) for name in pods(names.MODEL_SERVER)] == [429]
            assert (await apply(backend, sort("small", 2))).accepted
            await until_stands(backend, sort("small", 2))
            await until(lambda: allowed(deployed.stage_name("sort")) == 1, "one may go")
            with quota(api, deployed.namespace, WITHIN_S, pods="1"):  # the first one's successor does not come between
                assert sorted(evict(name) for name in pods(names.MODEL_SERVER)[:2]) == [200, 429]

    asyncio.run(story())


def test_a_pod_that_is_killed_is_replaced_and_the_gateway_finds_its_successor(
    deployed: Deployed, tmp_path: Path
) -> None:
    async def story() -> None:
        async with running(deployed, tmp_path, initial=sort("small", 2)) as backend, traffic(backend) as asking:
            first = next(iter(backend._pods.values()))
            path = f"/api/v1/namespaces/{deployed.namespace}/pods/{first.name}"
            connect().request("DELETE", path, grace_period_seconds=0)
            await until(lambda: first.uid not in backend._pods, "the pod is gone")
            await until_stands(backend, sort("small", 2))
            assert len([each for each in backend.stages["sort"].all if each.is_gone]) == 1
            answered = len(asking.statuses)  # but for a request that was there and waits until its replica is lost
            await until(lambda: len(asking.statuses) > answered + 1, "what was asked meanwhile is answered")

    asyncio.run(story())


def test_want_of_quota_becomes_a_core_limit_and_no_failed_variant(namespace: str, tmp_path: Path) -> None:
    api = connect()
    layout = settings_of(
        image__name=IMAGE,
        image__pull="Never",
        cluster__service_type="NodePort",
        models__cpu="100m",
        gateway__cpu="100m",
    )
    made = replace(tiny(tmp_path, namespace, layout), name="quota")
    two_replicas = {"requests.cpu": "310m"}  # of 100m each, and the gateway's two containers
    deploy.up(api, made, sort(), within_s=WITHIN_S)

    async def story() -> None:
        async with running(made, tmp_path) as backend, traffic(backend):
            assert (await apply(backend, sort("small", 4))).accepted
            await until(lambda: backend._room.cores is not None, "the refusal is seen")
            await until(lambda: len(backend.stages["sort"].ready) == 2, "two have room")
            await until_said(backend, "no_room", "exceeded quota")
            await until(lambda: backend._room.cores == 2, "both are counted")
            seen = await observe(backend)
            assert seen.limit_cores == 2
            assert seen.stages["sort"].failed_variants == ()
            assert "exceeded quota" in overview.status(api, made)["stages"]["sort"]["problem"]
            assert (await apply(backend, sort("small", 2))).accepted  # as a policy within the limit would
            await until_stands(backend, sort("small", 2))

    try:
        with quota(api, namespace, WITHIN_S, **two_replicas):
            asyncio.run(story())
    finally:
        deploy.down(api, made, within_s=WITHIN_S)


def test_a_second_controller_waits_for_the_lease_and_the_first_gives_it_back(
    deployed: Deployed, tmp_path: Path
) -> None:
    api = connect()

    async def story() -> None:
        one, two = Lease(api, deployed, "one"), Lease(api, deployed, "two")
        async with running(deployed, tmp_path, lease=one) as backend, traffic(backend) as asking:
            assert overview.status(api, deployed)["controller"] == "one"
            assert not await asyncio.to_thread(two.acquire)
            await until(lambda: len(asking.statuses) > 10, "requests are answered meanwhile")
        assert await asyncio.to_thread(two.acquire)
        two.release()

    asyncio.run(story())


def test_a_client_that_only_reads_cannot_write(deployed: Deployed, tmp_path: Path) -> None:
    from ipa.live.kubernetes.api import ReadOnlyError

    api = connect(read_only=True)
    for write in (
        lambda: api.scale(deployed.namespace, deployed.stage_name("sort"), 3),
        lambda: api.apply(manifests.root(deployed)),
        lambda: api.delete("ConfigMap", deployed.namespace, deployed.instance),
    ):
        with pytest.raises(ReadOnlyError, match="this client only reads"):
            write()

    async def story() -> None:
        async with running(deployed, tmp_path, api=api) as backend:
            seen = await observe(backend)
            assert seen.stages["sort"].replicas["small"].ready == 1
            assert not (await apply(backend, sort("small", 3))).accepted

    asyncio.run(story())
    stage = connect().get("Deployment", deployed.namespace, deployed.stage_name("sort"))
    assert stage is not None
    assert stage["spec"]["replicas"] == 1


def test_the_gateway_s_clock_is_this_machine_s(deployed: Deployed, tmp_path: Path) -> None:
    """On one machine there is one monotonic clock; the comparison finds that, through the API server's proxy."""

    async def story() -> None:
        async with running(deployed, tmp_path) as backend:
            assert isinstance(backend.client, GatewayClient)
            reading = await backend.client.clock()
            assert abs(reading.offset_s) <= 0.1

    asyncio.run(story())
