"""The loopback backend with real processes: rollouts, deaths, failures, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import time
from collections.abc import Mapping, Sequence
from math import isnan
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from ipa import profiles
from ipa.live import loopback
from ipa.live.errors import RunError
from ipa.live.gateway_client import DirectWay, GatewayClient
from ipa.live.launcher import log_end
from ipa.live.loopback import LoopbackBackend
from ipa.live.plane import Plane, Serves, server_settings
from ipa.live.server_answers import DEFAULT_BODY
from ipa.live.server_settings import ServerSettings
from ipa.live.stage_replicas import Replica
from ipa.live.tokens import TokenFile, create_token_file
from ipa.policies import Applied, Configuration, Observation, ReplicaCounts
from tests.live.world import HISTORY, descendants, is_alive, pipeline_file, running, sort, until


async def ask(backend: LoopbackBackend) -> int:
    """One request; the status of its answer."""
    async with backend.session.post(f"{backend.url}/v2/models/tiny/infer", json=DEFAULT_BODY) as response:
        await response.read()
        return response.status


async def apply(backend: LoopbackBackend, configuration: Configuration) -> Applied:
    return await asyncio.to_thread(backend.apply, configuration)


async def observe(backend: LoopbackBackend) -> Observation:
    return await asyncio.to_thread(backend.observe)


def test_a_rollout_serves_all_the_time_and_its_timeline_is_the_rule_s(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path, stop_s=0.2) as backend:
            stage = backend.stages["sort"]
            assert await ask(backend) == 200
            assert await apply(backend, sort("large", 1, batch=4)) == Applied(True)
            assert [batch for _, batch in backend.configured["sort"]] == [1, 4]  # at once, before any replica is there
            statuses = []
            while not stage.all[0].is_gone:
                statuses.append(await ask(backend))
            assert set(statuses) == {200}
            small, large = stage.all
            assert large.ready_s - large.created_s >= 0.3  # the profile's start-up
            assert large.ready_s <= small.removed_s  # one replica may not be missing
            assert small.gone_s - small.removed_s >= 0.2  # the stop time
            assert (await observe(backend)).stages["sort"].replicas == {"large": ReplicaCounts(ready=1)}

    asyncio.run(story())


@pytest.mark.long
def test_an_observation_says_what_has_happened_since_the_last_one(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as backend:
            backend.begin_step(1)
            await observe(backend)
            for _ in range(3):
                await ask(backend)
            backend.begin_step(2)
            seen = await observe(backend)
            sorting = seen.stages["sort"]
            assert (seen.pipeline, seen.step, seen.limit_cores, seen.sample_age_s) == ("tiny", 2, None, 0.0)
            assert (sorting.arrivals, sorting.completions, sorting.drops, sorting.failures) == (3, 3, 0, 0)
            assert (sorting.queue_length, sorting.in_service, sorting.failed_variants) == (0, 0, ())
            assert sorting.configuration == sort()["sort"]
            assert seen.latency is not None
            assert sorting.latency is not None
            assert 0.02 <= sorting.latency.p50_s <= seen.latency.p99_s
            assert sorting.busy_fraction is not None
            assert 0.0 < sorting.busy_fraction < 1.0
            assert len(seen.load_rps) == 3  # the history's length
            assert all(count >= 0.0 for count in seen.load_rps)

    asyncio.run(story())


def test_a_replica_that_is_killed_is_replaced_and_its_batch_tried_again(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as backend:
            assert await apply(backend, sort(replicas=2)) == Applied(True)
            stage = backend.stages["sort"]
            await until(lambda: len(stage.ready) == 2, "two replicas")
            asking = [asyncio.create_task(ask(backend)) for _ in range(30)]
            await asyncio.sleep(0.05)
            os.kill(backend.launcher.pids["sort-0"], signal.SIGKILL)
            assert await asyncio.gather(*asking) == [200] * 30
            await until(lambda: [replica.number for replica in stage.ready] == [1, 2], "a replacement")
            assert stage.all[0].removed_s == stage.all[0].gone_s
            assert stage.deaths["small"] == 1

    asyncio.run(story())


@pytest.mark.long
def test_a_replica_that_does_not_answer_ready_again_after_a_failed_batch_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes connections and answers nobody, as one whose model never returns and lets nothing else run."""
    monkeypatch.setattr(loopback, "SUSPENDED_WITHIN_S", 1.0)

    async def story() -> None:
        async with running(tmp_path) as backend:
            stage = backend.stages["sort"]
            os.kill(backend.launcher.pids["sort-0"], signal.SIGSTOP)
            await ask(backend)  # it is told, or served by the next one, whichever comes first
            await until(lambda: [each.number for each in stage.ready] == [1], "another takes its place")
            assert await ask(backend) == 200
            assert stage.deaths["small"] == 1

    asyncio.run(story())


@pytest.mark.long
def test_a_real_model_is_given_the_time_that_it_takes_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both those that a run begins with and those that are added; an emulated one has to be ready at once."""
    folder = tmp_path / "models" / "tiny" / "sort"
    for variant in ("small", "large"):
        (folder / variant).mkdir(parents=True)
        (folder / variant / "model.py").write_text(
            "import time\n\nclass Model:\n    def __init__(self):\n        time.sleep(1)\n\n"
            "    def predict(self, inputs):\n        return inputs\n"
        )
    open_gateway = LoopbackBackend._open_gateway

    async def opened(backend: LoopbackBackend) -> None:
        await open_gateway(backend)
        monkeypatch.setattr(loopback, "READY_WITHIN_S", 0.0)

    monkeypatch.setattr(LoopbackBackend, "_open_gateway", opened)

    async def story() -> None:
        async with running(tmp_path, models=str(tmp_path / "models")) as backend:
            await apply(backend, sort(replicas=2))
            stage = backend.stages["sort"]
            await until(lambda: len(stage.ready) == 2, "two replicas")
            assert len(stage.all) == 2

    asyncio.run(story())


@pytest.mark.long
def test_a_run_serves_the_models_that_it_began_with_and_no_others(tmp_path: Path) -> None:
    """A file that is exchanged during the run is served by no replica that starts later; its log says why."""
    folder = tmp_path / "models" / "tiny" / "sort"
    for variant in ("small", "large"):
        (folder / variant).mkdir(parents=True)
        (folder / variant / "model.py").write_text(
            "class Model:\n    def predict(self, inputs):\n        return inputs\n"
        )

    async def story() -> None:
        async with running(tmp_path, models=str(tmp_path / "models")) as backend:
            stage = backend.stages["sort"]
            await apply(backend, sort(replicas=2))
            await until(lambda: len(stage.ready) == 2, "two replicas of what was there")
            with (folder / "large" / "model.py").open("a") as file:
                file.write("# version 2\n")
            await apply(backend, sort("large"))
            await until(lambda: stage.failed_variants, "three failures")
            assert (await observe(backend)).stages["sort"].failed_variants == ("large",)
            assert await ask(backend) == 200
            assert {replica.variant for replica in stage.ready} == {"small"}
            refused = next(replica for replica in stage.all if replica.variant == "large")
            said = log_end(backend._log(refused.name))
            assert "holds another model" in said
            assert backend.models["sort/large"] in said

    asyncio.run(story())


@pytest.mark.long
@pytest.mark.parametrize(
    ("rows_small", "rows_large", "batches", "refused"),
    [
        (1, -1, "up to 4", "small"),  # of which the run begins with a replica
        (-1, 1, "up to 4", "large"),  # to which a later decision may come
        (-1, -1, "up to 4", ""),
        (1, 1, "of 1 alone", ""),
    ],
)
def test_a_model_of_fixed_rows_is_refused_at_the_start_where_the_pipeline_has_batches(
    tmp_path: Path, rows_small: int, rows_large: int, batches: str, refused: str
) -> None:
    for variant, rows in (("small", rows_small), ("large", rows_large)):
        folder = tmp_path / "models" / "tiny" / "sort" / variant
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(
            "class Model:\n    def metadata(self):\n"
            f"        x = {{'name': 'x', 'datatype': 'FP32', 'shape': [{rows}, 1]}}\n"
            "        return {'inputs': [x], 'outputs': []}\n\n"
            "    def predict(self, inputs):\n        return inputs\n"
        )

    async def story() -> None:
        path = pipeline_file(tmp_path)
        if batches == "of 1 alone":
            lines = path.read_text().splitlines(keepends=True)
            path.write_text("".join(line for line in lines if "batch: 4" not in line))
        plane = Plane(profiles.load(str(path)), str(path), models=str(tmp_path / "models"))
        backend = LoopbackBackend(plane, tmp_path, HISTORY)
        try:
            await backend.open(sort())
        finally:
            await backend.close()

    if refused:
        why = f"stage sort: {refused} takes exactly 1 rows at a time.*batches of up to 4.*`figures` of {refused}"
        with pytest.raises(RunError, match=why):
            asyncio.run(story())
    else:
        asyncio.run(story())


@pytest.mark.long
def test_where_removal_loses_a_removed_replica_takes_its_request_with_it(tmp_path: Path) -> None:
    """Two replicas serve a request each until a file is there; one of them goes: its client is told at once."""
    done = tmp_path / "done"
    for variant in ("small", "large"):
        folder = tmp_path / "models" / "tiny" / "sort" / variant
        folder.mkdir(parents=True)
        (folder / "model.py").write_text(
            "import time\nfrom pathlib import Path\n\nclass Model:\n    def predict(self, inputs):\n"
            f"        while not Path({str(done)!r}).exists():\n            time.sleep(0.01)\n        return inputs\n"
        )

    async def story() -> None:
        async with running(tmp_path, models=str(tmp_path / "models"), removal="lose") as backend:
            await apply(backend, sort(replicas=2))
            await until(lambda: len(backend.stages["sort"].ready) == 2, "two replicas")
            asked = [asyncio.ensure_future(ask(backend)) for _ in range(2)]
            while (await observe(backend)).stages["sort"].in_service < 2:
                await asyncio.sleep(0.02)
            await apply(backend, sort())
            await until(lambda: any(each.done() for each in asked), "a client is told")
            done.touch()
            assert sorted(await asyncio.gather(*asked)) == [200, 502]
            gone = backend.stages["sort"].all[1]
            assert gone.is_gone
            assert backend.stages["sort"].deaths == {}

    asyncio.run(story())


@pytest.mark.long
def test_a_replica_is_removed_when_the_gateway_has_learnt_of_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then it may take batches, however long the gateway does not answer, and also if the run ends meanwhile."""

    async def story() -> None:
        async with running(tmp_path) as backend:
            stage = backend.stages["sort"]
            (first,) = stage.all
            tell = backend.client.list_replicas
            told_s: list[float] = []

            async def list_replicas(replicas: Mapping[str, Sequence[Replica]]) -> None:
                if first.is_removed and not told_s:
                    told_s.append(backend.now_s)
                    assert isnan(stage.records().removed_s[0])
                    raise RunError("the gateway does not answer")
                await tell(replicas)

            monkeypatch.setattr(backend.client, "list_replicas", list_replicas)
            await apply(backend, sort("large"))
            await until(lambda: first.is_gone, "it is gone")
            assert first.removed_s >= told_s[0] + loopback.LOOKED_AT_EVERY_S

    asyncio.run(story())


@pytest.mark.long
def test_a_replica_that_dies_before_time_0_costs_nothing_and_is_replaced_at_once(tmp_path: Path) -> None:
    """Times before are of another clock: one that had been up for long would keep the variant's next replica back."""

    async def story() -> None:
        path = pipeline_file(tmp_path)
        backend = LoopbackBackend(Plane(profiles.load(str(path)), str(path)), tmp_path, HISTORY)
        try:
            await backend.open(sort())
            backend._origin_s -= 1000.0
            stage = backend.stages["sort"]
            os.kill(backend.launcher.pids["sort-0"], signal.SIGKILL)
            await until(lambda: stage.all[0].is_gone, "it is gone")
            await backend.start(time.monotonic() + 0.5)
            await until(lambda: len(stage.ready) == 1, "another is ready")
            first, second = stage.all
            assert (first.created_s, first.removed_s, first.gone_s) == (0.0, 0.0, 0.0)
            os.kill(backend.launcher.pids["sort-1"], signal.SIGKILL)
            await until(lambda: second.is_gone, "it is gone, too")
            assert 0.0 <= second.created_s <= second.ready_s <= second.gone_s
        finally:
            await backend.close()

    asyncio.run(story())


@pytest.mark.long
def test_a_variant_that_cannot_start_is_observed_as_failed_and_the_old_one_serves_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def settings(plane: Plane, source: str, serves: Serves) -> ServerSettings:
        not_profiled = serves._replace(cores=7) if serves.variant == "large" else serves  # the server exits
        return server_settings(plane, source, not_profiled)

    monkeypatch.setattr(loopback, "server_settings", settings)

    async def story() -> None:
        async with running(tmp_path) as backend:
            await apply(backend, sort("large"))
            stage = backend.stages["sort"]
            await until(lambda: stage.failed_variants, "three failures")
            assert (await observe(backend)).stages["sort"].failed_variants == ("large",)
            assert await ask(backend) == 200
            assert [replica.variant for replica in stage.ready] == ["small"]
            await apply(backend, sort("small", 2))
            await until(lambda: len(stage.ready) == 2, "the sound variant")

    asyncio.run(story())


@pytest.mark.long
def test_a_configuration_that_the_gateway_refuses_changes_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as backend:
            answer = await apply(backend, sort(batch=64))
            assert not answer.accepted
            assert answer.reason.startswith("the gateway refused it: ")
            assert "64" in answer.reason
            crowd = await apply(backend, sort(replicas=251))
            assert crowd.reason == "251 replicas: one machine runs at most 250; see limit_cores"
            assert (await observe(backend)).configuration == sort()

    asyncio.run(story())


@pytest.mark.long
def test_without_a_gateway_there_is_no_sample_and_the_run_fails(tmp_path: Path) -> None:
    async def story() -> None:
        async with running(tmp_path) as backend:
            os.kill(backend.launcher.pids["gateway"], signal.SIGKILL)
            with pytest.raises(RunError, match=r"the gateway has ended \(killed by signal 9\)"):
                await backend.failed
            seen = await observe(backend)
            assert all(count != count for count in seen.load_rps)  # NaN, not 0
            assert seen.sample_age_s >= 0.0
            answer = await apply(backend, sort(replicas=2))
            assert not answer.accepted
            assert answer.reason.startswith("the gateway does not answer PUT /control/configuration")

    asyncio.run(story())


@pytest.mark.long
def test_clients_that_come_before_the_run_has_begun_are_refused_and_do_not_stop_it(tmp_path: Path) -> None:
    async def story() -> None:
        path = pipeline_file(tmp_path)
        backend = LoopbackBackend(Plane(profiles.load(str(path)), str(path)), tmp_path, HISTORY)
        try:
            await backend.open(sort())
            asking = [asyncio.create_task(ask(backend)) for _ in range(30)]
            assert await ask(backend) == 503
            await backend.start(time.monotonic())  # whatever is inside
            assert set(await asyncio.gather(*asking)) <= {200, 503}
            assert await ask(backend) == 200
        finally:
            await backend.close()

    asyncio.run(story())


def test_a_gateway_that_cannot_have_its_port_ends_the_run_before_it_begins(tmp_path: Path) -> None:
    async def story() -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            with pytest.raises(RunError, match=rf"(.|\n)*cannot listen: 127.0.0.1 port {port}: (.|\n)*in use") as told:
                async with running(tmp_path, port=port):
                    raise AssertionError("it has begun")
            assert str(told.value).startswith("the gateway has ended")
            assert "Usage: python -m ipa.live.serving.gateway [OPTIONS]" in str(told.value)

    asyncio.run(story())


@pytest.mark.long
@pytest.mark.parametrize("how", ["closed", "killed"])
def test_no_process_outlives_its_run(tmp_path: Path, how: str) -> None:
    async def story() -> set[int]:
        async with running(tmp_path) as backend:
            await apply(backend, sort(replicas=3))
            await until(lambda: len(backend.stages["sort"].ready) == 3, "three replicas")
            there = descendants(backend.launcher.pid)
            assert sorted(there.values()) == ["gateway", "sort-0", "sort-1", "sort-2"]
            if how == "killed":
                os.kill(backend.launcher.pid, signal.SIGKILL)
                with pytest.raises(RunError, match="the launcher of the processes has died"):
                    await backend.failed
                await until(lambda: not any(map(is_alive, there)), "the kernel ends the children")
        return set(there)

    assert not any(map(is_alive, asyncio.run(story())))


@pytest.mark.long
def test_the_control_token_of_a_run_is_its_user_s_alone_and_in_no_other_file(tmp_path: Path) -> None:
    elsewhere = TokenFile(tmp_path / "elsewhere")
    create_token_file(elsewhere.path)

    async def story() -> None:
        async with running(tmp_path) as backend:
            path = tmp_path / "control-token"
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            (token,) = TokenFile(path).read()
            assert (await observe(backend)).stages["sort"].replicas["small"].ready == 1
            process = Path(f"/proc/{backend.launcher.pids['gateway']}")
            others = [each for each in tmp_path.iterdir() if each != path]
            for each in (*others, process / "cmdline", process / "environ"):
                assert token.encode() not in each.read_bytes()
            async with backend.session.get(f"{backend.control_url}/control/records") as answer:
                assert answer.status == 401
            way = DirectWay(backend.session, backend.control_url, elsewhere)
            with pytest.raises(RunError, match=r"the gateway at http://.* refuses the token in .*/elsewhere: needs"):
                await GatewayClient(way).records(0)

    asyncio.run(story())


@pytest.mark.long
@pytest.mark.parametrize("when_full", ["replace", "wait"])
def test_no_more_cores_exist_than_the_limit_allows(tmp_path: Path, when_full: str) -> None:
    """Within two cores, a large replica of two comes once the small ones are gone; where it has to wait, one stays."""

    async def story() -> None:
        async with running(tmp_path, most_cores=2, when_full=when_full, stop_s=0.3) as backend:
            stage = backend.stages["sort"]
            assert await apply(backend, sort(replicas=2)) == Applied(True)
            await until(lambda: len(stage.ready) == 2, "there is room for another small one")
            assert await apply(backend, sort("large")) == Applied(True)
            if when_full == "replace":
                await until(lambda: [replica.variant for replica in stage.ready] == ["large"], "it is rolled out")
                assert await ask(backend) == 200
                assert stage.room_lack(backend.now_s).times == 1
                assert stage.room_lack(backend.now_s).lasted_s >= 0.3
                first, second, large = stage.all
                assert large.created_s >= max(first.gone_s, second.gone_s)
            else:
                await until(lambda: stage.room_lack(backend.now_s).lasted_s > 1.0, "it waits")
                assert [replica.variant for replica in stage.ready] == ["small"]
                assert len(stage.all) == 2
                assert await apply(backend, sort()) == Applied(True)
                moments_s = (0.0, 5.0)
                await until(
                    lambda: len({stage.room_lack(backend.now_s + more_s) for more_s in moments_s}) == 1, "it has room"
                )

    asyncio.run(story())
