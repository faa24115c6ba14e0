"""The Kubernetes backend before a cluster of memory, whose Deployments are rolled out at once: stories by hand."""

from __future__ import annotations

import asyncio
import copy
import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ipa.live.errors import RunError
from ipa.live.kubernetes import kubernetes_backend as backend_module
from ipa.live.kubernetes import names, readiness
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend
from ipa.live.kubernetes.manifests import as_text
from ipa.live.kubernetes.pace import ChangeLimit
from ipa.live.kubernetes.permissions import needed
from ipa.live.kubernetes.stage_state import Look
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.live_backend import NO_CHANGE
from ipa.live.logs import LineFormatter
from ipa.live.monitoring import Reading
from ipa.policies import Applied, Configuration, ReplicaCounts, StageConfiguration
from tests.live.kubernetes.fake import Cluster, HeldLease, apply, running, stand, story, three_variants
from tests.live.kubernetes.world import language, tiny
from tests.live.world import HISTORY, PATIENCE_S, sort, until, until_now


def test_a_decision_is_in_force_in_the_queues_and_then_rolled_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        wanted = sort("large", 3, batch=4)
        assert await apply(backend, wanted) == Applied(True)
        assert cluster.configured[-1]["sort"]["batch"] == 4
        await until(lambda: backend.look.is_complete(wanted), "it is rolled out")
        await until(lambda: len(backend.stages["sort"].ready) == 3, "the watch has seen it")
        seen = await asyncio.to_thread(backend.observe)
        assert seen.stages["sort"].replicas == {"large": ReplicaCounts(ready=3)}
        first, *_ = backend.stages["sort"].all
        assert (first.variant, first.created_s, first.ready_s) == ("small", 0.0, 0.0)
        assert first.is_gone

    story(tmp_path, monkeypatch, told)


def test_language_models_are_rolled_out_with_as_many_requests_at_once_as_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def wanted(variant: str, replicas: int, batch: int, cores: int) -> Configuration:
        return {"sort": StageConfiguration(variant, batch, replicas, 0.0, cores)}

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        larger = wanted("large", 2, 8, 24)
        assert await apply(backend, larger) == Applied(True)
        assert cluster.configured[-1]["sort"]["batch"] == 8
        await until(lambda: backend.look.is_complete(larger), "it is rolled out")
        await until(lambda: len(backend.stages["sort"].ready) == 2, "the watch has seen it")
        seen = await asyncio.to_thread(backend.observe)
        assert seen.stages["sort"].replicas == {"large": ReplicaCounts(ready=2)}
        assert [each.cores for each in backend.stages["sort"].ready] == [24, 24]  # what they cost

    story(tmp_path, monkeypatch, told, deployed=language(tmp_path), initial=wanted("small", 1, 4, 11))


def test_a_variant_that_will_not_start_is_rolled_back_and_its_decisions_have_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[tuple[int, str]] = []

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.treat("large", crashes=True)
        backend.begin_step(7)
        assert (await apply(backend, sort("large"))).accepted
        backend.begin_step(8)
        assert (await apply(backend, sort("large"))).accepted
        await until(lambda: backend.stages["sort"].failed_variants == ("large",), "it is given up")
        await until(lambda: backend.look.is_complete(sort()), "the old one stands")
        assert cluster.configured[-1]["sort"]["variant"] == "small"
        again = await apply(backend, sort("large"))
        assert again == Applied(False, "sort: variant large has failed to start and is left out for now")
        why = "sort: rolled back to small: variant large: CrashLoopBackOff after 5 restarts"
        assert failed == [(7, why), (8, why)]  # step 8 kept what step 7 had chosen
        assert backend.rollbacks["sort", "large"] == 1
        assert backend.troubles() == {"failed_variant": "left out: sort: large"}
        (stage,) = cluster.stages
        assert '{"large": ' in stage["metadata"]["annotations"][names.FAILED]  # for the next controller

    story(tmp_path, monkeypatch, told, on_rollback=lambda step, why: failed.append((step, why)))


def test_a_decision_that_comes_while_a_look_finds_the_one_before_failing_is_not_blamed_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A look takes its time: what it says is of what was wanted when it began."""
    failed: list[tuple[int, str]] = []
    passes, middle = KubernetesBackend._pass, {"sort": replace(sort()["sort"], variant="middle")}

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        async def meanwhile(itself: KubernetesBackend, wanted: Configuration) -> Look:
            look = await passes(itself, wanted)
            if look.failed and backend.wanted == sort("large"):
                backend.begin_step(8)
                assert (await backend._apply(middle)).accepted
            return look

        monkeypatch.setattr(KubernetesBackend, "_pass", meanwhile)
        cluster.treat("large", crashes=True)
        backend.begin_step(7)
        assert (await apply(backend, sort("large"))).accepted
        await until(lambda: backend.look.is_complete(middle), "the later decision is carried out")
        assert (failed, backend.stages["sort"].failed_variants) == ([], ())

    how: dict[str, Any] = {"on_rollback": lambda *what: failed.append(what), "deployed": three_variants(tmp_path)}
    story(tmp_path, monkeypatch, told, **how)


def test_want_of_room_bounds_the_cores_that_a_policy_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        assert (await asyncio.to_thread(backend.observe)).limit_cores is None
        cluster.room = 2
        await apply(backend, sort("small", 4))
        await until(lambda: backend._room.cores is not None, "the refusal is seen")
        await until(lambda: len(backend.stages["sort"].ready) == 2, "two have room")
        await until(lambda: backend._room.cores == 2, "both are counted")
        seen = await asyncio.to_thread(backend.observe)
        assert (seen.limit_cores, seen.stages["sort"].failed_variants) == (2, ())
        assert "exceeded quota" in backend.troubles()["no_room"]
        cluster.room = None
        cluster.go_on()
        await until(lambda: backend._room.cores is None, "there is room for all")
        assert (await asyncio.to_thread(backend.observe)).limit_cores is None
        assert backend.troubles() == {}

    story(tmp_path, monkeypatch, told)


def test_a_gateway_that_was_started_anew_gets_its_configuration_and_the_clock_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        backend._origin_s -= 500.0  # a run that is some minutes old
        await backend.start(backend._origin_s)
        cluster.origin_s, cluster.epoch = time.monotonic(), "second"
        cluster.configured.append({})
        await until(lambda: cluster.configured[-1], "it is configured")
        seen = await asyncio.to_thread(backend.observe)
        assert abs(seen.time_s - backend.now_s) < 5.0  # not 500 s off
        assert seen.time_s > 500.0
        cluster.ended = [{"id": "7", "arrival_s": 0.25, "end_s": None, "stages": [{"enqueue_s": 0.25}]}]
        said = await backend.client.records(0)
        (record,) = said["records"]
        assert said["started"]  # none of them is passed over
        arrived_s = cluster.origin_s + 0.25 - backend._origin_s
        assert record["arrival_s"] == record["stages"][0]["enqueue_s"] == pytest.approx(arrived_s, abs=5.0)
        assert record["end_s"] is None

    story(tmp_path, monkeypatch, told)


def test_a_gateway_that_has_another_configuration_gets_the_wanted_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        wanted = cluster.configured[-1]
        cluster.configured.append({"sort": {**wanted["sort"], "batch": 2}})
        await until(lambda: cluster.configured[-1] == wanted, "it is set right")
        count = len(cluster.configured)
        await asyncio.sleep(0.3)
        assert len(cluster.configured) == count

    story(tmp_path, monkeypatch, told)


# ---- when to look again ----


@pytest.mark.parametrize(
    ("look", "back_off_s", "expected_s"),
    [
        (Look(), 0.0, 2.0),
        (Look(stopped={"sort": "paused"}), 0.0, 5.0),
        (Look(done=("sort: 1 -> 2 replicas",)), 0.0, 0.2),
        (Look(error="away"), 8.0, 8.0),  # a server that is away is not asked twice a second
    ],
)
def test_how_long_the_next_look_may_wait(look: Look, back_off_s: float, expected_s: float) -> None:
    assert backend_module.pause_s(look, back_off_s) == expected_s


def test_a_first_configuration_that_fails_ends_the_run_whatever_stood_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it asks now and then, and would find it rolled back."""

    def prepare(cluster: Cluster) -> None:
        stand(cluster, sort("large"))
        cluster.treat("small", crashes=True)
        monkeypatch.setattr(readiness, "ASK_EVERY_S", 0.5)
        monkeypatch.setattr(readiness, "READY_WITHIN_S", 5.0)

    with pytest.raises(RunError, match="did not become ready: sort: variant small: CrashLoopBackOff"):
        story(tmp_path, monkeypatch, None, prepare=prepare)  # type: ignore[arg-type]


# ---- one that takes over ----


def test_a_controller_that_takes_the_gateways_clock_over_knows_how_long_its_replicas_have_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That of a gateway which is hours old."""

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        (replica,) = backend.stages["sort"].all
        replica.ready_s = backend.now_s - 600.0
        cluster.origin_s = time.monotonic() - 8 * 3600.0
        await backend.start(0.0)
        assert backend.now_s - replica.ready_s == pytest.approx(600.0, abs=60.0)
        seen = await asyncio.to_thread(backend.observe)
        assert seen.stages["sort"].failed_variants == ("large",)

    def prepare(cluster: Cluster) -> None:
        stand(cluster, sort(), {names.FAILED: json.dumps({"large": time.time() - 100.0})})

    story(tmp_path, monkeypatch, told, prepare=prepare, adopts=True)


def test_a_controller_that_has_waited_goes_on_with_what_stands_when_its_turn_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def run() -> None:
        lease = HeldLease()
        lease.is_held = False

        def prepare(cluster: Cluster) -> None:
            stand(cluster, sort())

            def in_time() -> None:
                stand(cluster, sort("large", 3, batch=4))
                lease.is_held = True

            asyncio.get_running_loop().call_later(0.3, in_time)

        async with running(tmp_path, monkeypatch, prepare, lease=lease, adopts=True) as (backend, cluster):
            assert backend.wanted == sort("large", 3, batch=4)
            await until(lambda: backend.look.is_complete(backend.wanted), "a look finds it whole")
            assert cluster.made == 4  # the small one before, and three large ones

    asyncio.run(run())


def test_a_controller_that_has_waited_ends_where_another_pipeline_has_been_deployed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(cluster: Cluster) -> None:
        assert cluster.root is not None
        stand(cluster, sort())
        cluster.root["data"] = {**cluster.root["data"], "pipeline.yaml": "another"}
        cluster.refusal = AssertionError("nothing may be written")

    async def told(*_: Any) -> None:
        raise AssertionError("it has begun")

    with pytest.raises(RunError, match="ipa-tiny has been redeployed"):
        story(tmp_path, monkeypatch, told, prepare=prepare, lease=HeldLease(), adopts=True)


def test_a_layout_in_the_words_of_an_older_version_is_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def prepare(cluster: Cluster) -> None:
        assert cluster.root is not None
        stand(cluster, sort())
        layout = json.loads(cluster.root["data"]["settings.json"])
        assert layout["models"].pop("s3_secret") == ""
        cluster.root["data"] = {**cluster.root["data"], "settings.json": json.dumps(layout)}

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        await until(lambda: "ipa-tiny" in cluster.written, "it is written in ours")
        assert not backend.failed.done()

    story(tmp_path, monkeypatch, told, prepare=prepare, adopts=True)


def test_a_controller_that_begins_in_a_rollout_that_fails_rolls_it_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(cluster: Cluster) -> None:
        cluster.treat("large", crashes=True)
        stand(cluster, sort())
        stand(cluster, sort("large"), {names.SOUND: as_text(sort()["sort"])})

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        await until(lambda: backend.wanted == sort(), "it is rolled back")
        await until(lambda: backend.look.is_complete(sort()), "the old one stands")
        await until(lambda: cluster.configured[-1]["sort"]["variant"] == "small", "the gateway knows")

    story(tmp_path, monkeypatch, told, prepare=prepare, adopts=True)


def test_a_controller_begins_where_not_all_find_room_and_pods_of_before_are_still_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(cluster: Cluster) -> None:
        cluster.room = 2
        stand(cluster, sort("small", 3))
        evicted = copy.deepcopy(cluster.pods[0])
        evicted["metadata"]["uid"] = evicted["metadata"]["name"] = "evicted"
        evicted["status"]["phase"] = "Failed"
        cluster.strays.append(evicted)

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        await until(lambda: backend._room.cores is not None, "the want of room is seen")
        await until(lambda: len(backend.stages["sort"].ready) == 2, "two serve")
        assert (await asyncio.to_thread(backend.observe)).limit_cores == 2  # what has been evicted holds nothing

    story(tmp_path, monkeypatch, told, prepare=prepare, adopts=True)


def test_one_who_only_reads_sees_what_others_want_and_rolls_nothing_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def prepare(cluster: Cluster) -> None:
        stand(cluster, sort())
        cluster.read_only = True
        cluster.refusal = AssertionError("nothing may be written")

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.refusal = None
        cluster.treat("large", crashes=True)
        stand(cluster, sort("large"), {names.SOUND: as_text(sort()["sort"])})
        cluster.refusal = AssertionError("nothing may be written")
        await until(lambda: backend.look.failed, "it fails")
        seen = await asyncio.to_thread(backend.observe)
        assert seen.configuration == sort("large")
        assert (backend.rollbacks, cluster.configured) == ({}, [])

    story(tmp_path, monkeypatch, told, prepare=prepare)


def test_one_who_only_advises_says_too_which_steps_were_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        late = "step 8 was skipped: step 7 took too long"
        backend.begin_step(9, late)
        backend.advises = True
        assert await apply(backend, sort("large")) == Applied(False, f"{NO_CHANGE}; {late}")
        assert backend.wanted == sort()

    story(tmp_path, monkeypatch, told)


# ---- what it may do ----


def test_a_permission_that_lacks_is_named_before_anything_is_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(cluster: Cluster) -> None:
        cluster.lacking = {("watch", "pods"), ("get", "leases"), ("patch", "deployments"), ("patch", "replicasets")}

    with pytest.raises(RunError) as refused:
        story(tmp_path, monkeypatch, None, prepare=forbid)  # type: ignore[arg-type]
    said = str(refused.value)
    assert said.startswith("this account may not, in namespace default: watch pods (sees replicas: ")
    assert "; get leases.coordination.k8s.io ipa-tiny (holds the Lease, " in said
    assert "; patch deployments.apps ipa-tiny-gateway (" in said
    assert "; patch deployments.apps ipa-tiny-stage-sort (" in said
    assert "replicasets" not in said  # it can do without


def test_a_permission_that_it_can_do_without_is_a_warning_and_changes_are_made_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        (warning,) = [record for record in caplog.records if "done without" in record.getMessage()]
        assert (
            LineFormatter()
            .format(warning)
            .endswith(
                "warning: not allowed, and can be done without: permission: patch replicasets.apps "
                "(tells a rollout's refusals from those before, and keeps replicas from being shared out: names "
                "carry hashes)"
            )
        )

    def forbid(cluster: Cluster) -> None:
        cluster.lacking = {("patch", "replicasets")}

    story(tmp_path, monkeypatch, told, prepare=forbid)


def test_one_who_only_reads_needs_no_permission_to_write(tmp_path: Path) -> None:
    needs = {(each.verb, each.resource) for each in needed(tiny(tmp_path), read_only=True, is_inside=False)}
    assert {verb for verb, _ in needs} == {"get", "list", "watch"}
    assert not {resource for _, resource in needs} & {"leases", "deployments/scale"}


def test_pods_that_cannot_be_listed_are_said_to_be_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The server does not say what is allowed, and then refuses."""
    monkeypatch.setattr(backend_module, "READ_WITHIN_S", 0.2)

    def forbid(cluster: Cluster) -> None:
        def refused(*_: object, **__: object) -> Any:
            raise ApiError("GET pods", 403, "pods is forbidden")

        cluster.may = cluster.list = refused  # type: ignore[method-assign]
        monkeypatch.setattr(PodWatch, "start", start_and_be_refused)

    start = PodWatch.start

    def start_and_be_refused(watch: PodWatch) -> None:
        start(watch)
        until_now(lambda: "the watch of the pods is interrupted" in caplog.text, "the list is refused")

    with pytest.raises(RunError, match=r"pods could not be listed within 0.2 s: GET pods: HTTP 403: pods is forbidden"):
        story(tmp_path, monkeypatch, None, prepare=forbid)  # type: ignore[arg-type]
    lines = [LineFormatter().format(record) for record in caplog.records]
    assert any(
        line.endswith("the watch of the pods is interrupted: problem: GET pods: HTTP 403: pods is forbidden")
        for line in lines
    )
    assert any("what this account may do is not known: problem: GET pods: HTTP 403" in line for line in lines)


def test_what_stops_it_and_that_it_goes_on_stand_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.refusal = ApiError("PATCH", 409, 'conflict with "someone"', ("image: conflict",))
        await apply(backend, sort("large", 1))
        await until(lambda: backend.look.stopped, "it is stopped")
        cluster.refusal = None
        await until(lambda: backend.look.is_complete(sort("large", 1)), "it has gone on")

    story(tmp_path, monkeypatch, told)
    lines = [LineFormatter().format(record).partition(" ")[2] for record in caplog.records]
    why = 'another manager owns what has to change: conflict with "someone"'
    assert f"error: stopped: nothing is changed here until somebody acts: stage: sort; problem: {why}" in lines
    assert "warning: goes on: stage: sort" in lines


def test_why_the_lease_is_waited_for_stands_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Another holds it, then it cannot be read, then it is ours."""
    lease = HeldLease()
    lease.is_held, lease.holder, lease.retry_s = False, "another", 0.0
    turns = iter([("another", ""), ("another", ""), ("another", "GET leases: HTTP 403: forbidden"), None])

    def acquire() -> bool:
        turn = next(turns)
        lease.holder, lease.problem = turn or ("ours", "")
        return turn is None

    lease.acquire = acquire  # type: ignore[method-assign]
    asyncio.run(lease.take(ThreadPoolExecutor(), lambda: ""))
    assert [LineFormatter().format(record).partition(" ")[2] for record in caplog.records] == [
        "warning: waiting for the Lease: problem: held by another",
        "warning: waiting for the Lease: problem: GET leases: HTTP 403: forbidden",
        "warning: the Lease is ours",
    ]


# ---- one writer ----


def test_without_the_lease_decisions_are_refused_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = HeldLease()

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        count = len(cluster.configured)
        lease.is_held, lease.holder = False, "another"
        refused = await apply(backend, sort("large", 2))
        assert refused == Applied(False, "the Lease is held by another")
        assert (backend.wanted, len(cluster.configured)) == (sort(), count)
        lease.is_held, lease.holder = True, "ours"
        assert (await apply(backend, sort("large", 2))).accepted

    story(tmp_path, monkeypatch, told, lease=lease)


def test_a_lease_that_runs_out_in_the_middle_of_a_look_ends_its_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lease = HeldLease()

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        await until(lambda: backend.look.is_complete(sort()), "all is quiet")
        cluster.written.clear()
        cluster.before_write = lambda: setattr(lease, "is_held", False)  # type: ignore[method-assign]
        assert (await apply(backend, sort("large", 2))).accepted
        await until(lambda: backend.look.error or backend.look.done, "it has looked")
        await asyncio.sleep(0.3)
        assert cluster.written == ["ipa-tiny-stage-sort"]
        assert backend.troubles()["no_lease"] == "not renewed in time"

    story(tmp_path, monkeypatch, told, lease=lease)


def test_the_lease_is_given_back_after_the_last_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log: list[str] = []

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        writing = threading.Event()

        def slow() -> None:
            writing.set()
            time.sleep(0.5)
            log.append("written")

        cluster.before_write = slow  # type: ignore[method-assign]
        assert (await apply(backend, sort("large", 3))).accepted
        await asyncio.to_thread(writing.wait)

    story(tmp_path, monkeypatch, told, lease=HeldLease(log), finish=lambda: log.append("finished"))
    assert sorted(log[:2]) == ["finished", "written"]
    assert log[2:] == ["released"]


# ---- what keeps it from its work ----


class Scraped:
    """A source whose newest sample is some seconds old."""

    sample_age_s = 0.0

    async def read(self, now_s: float) -> Reading:
        return Reading(now_s, (5.0,) * len(HISTORY), self.sample_age_s, {})


@pytest.mark.parametrize(("gateways_s", "step"), [(8 * 3600.0, 1), (11.0, 5000)])
def test_silence_is_told_by_the_time_since_the_step_before_whatever_the_gateway_s_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateways_s: float, step: int
) -> None:
    """A gateway that has run for hours before its controller, and one that was started anew before."""

    scraped = Scraped()

    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.origin_s = time.monotonic() - gateways_s
        await backend.start(0.0)
        for sample_age_s, is_silent in ((1.0, False), (60.0, True)):
            backend._observer.begin_at(backend.now_s - 10.0)
            scraped.sample_age_s = sample_age_s
            backend.begin_step(step)
            seen = await asyncio.to_thread(backend.observe)
            assert seen.time_s == pytest.approx(gateways_s, abs=5.0)
            assert seen.elapsed_s == pytest.approx(10.0, abs=5.0)
            assert seen.is_silent is is_silent
            assert ("no_sample" in backend.troubles()) is is_silent

    story(tmp_path, monkeypatch, told, adopts=True, source=lambda _: scraped)


def test_a_stage_without_a_replica_that_is_ready_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        assert "no_replica" not in backend.troubles()
        (pod,) = cluster.pods
        pod["status"]["conditions"] = [{"type": "Ready", "status": "False"}]  # as where its node is lost
        cluster.tell("MODIFIED", pod)
        await until(lambda: "no_replica" in backend.troubles(), "it is seen")
        assert backend.troubles()["no_replica"] == "sort: none of its 1 replicas is ready"

    story(tmp_path, monkeypatch, told)


def test_held_stopped_and_hasty_decisions_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        assert cluster.root is not None
        cluster.root["metadata"]["annotations"] = {names.HOLD: "true"}
        await until(lambda: backend.look.is_held, "the switch is seen")
        cluster.unread = ApiError("GET", 503, "away")
        await until(lambda: backend.look.error, "a look fails")
        assert (await apply(backend, sort("small", 2))).reason.startswith("held: the annotation ipa/hold")
        cluster.unread = None
        cluster.configured.append({})
        await asyncio.sleep(0.3)
        assert cluster.configured[-1] == {}  # the gateway's configuration is left as it is, too
        assert (await apply(backend, sort("small", 2))).reason.startswith("held: the annotation ipa/hold")
        cluster.root["metadata"]["annotations"] = {}
        await until(lambda: not backend.look.is_held, "it is off")
        cluster.refusal = ApiError("PATCH", 409, 'conflict with "someone"', ("image: conflict",))
        assert (await apply(backend, sort("large"))).accepted
        await until(lambda: backend.look.stopped, "the conflict is seen")
        assert "someone" in (await apply(backend, sort())).reason
        cluster.refusal = None
        await until(lambda: backend.look.is_complete(sort("large")), "it goes on by itself")
        assert (await apply(backend, sort())).reason == "too fast: 1 changes within a minute; at most 1"

    story(tmp_path, monkeypatch, told, pace=ChangeLimit(1))


def test_a_pipeline_that_is_deployed_anew_ends_the_run_and_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        assert cluster.root is not None
        cluster.root["data"] = {**cluster.root["data"], "settings.json": "{}"}
        cluster.refusal = AssertionError("nothing may be written")
        with pytest.raises(RunError, match="ipa-tiny has been redeployed"):
            await asyncio.wait_for(asyncio.shield(backend.failed), PATIENCE_S)

    story(tmp_path, monkeypatch, told)


def test_a_pipeline_that_is_taken_down_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def told(backend: KubernetesBackend, cluster: Cluster) -> None:
        cluster.root = None
        with pytest.raises(RunError, match="ipa-tiny no longer exists"):
            await asyncio.wait_for(asyncio.shield(backend.failed), PATIENCE_S)

    story(tmp_path, monkeypatch, told)
