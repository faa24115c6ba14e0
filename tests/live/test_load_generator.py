"""The load generator is open loop: what it sends, when, and what a latency is, whatever the server does."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any

import numpy as np
import pytest

pytest.importorskip("aiohttp")

from aiohttp import web

from ipa import traces
from ipa.live import load_generator
from ipa.live.errors import LiveError, RunError
from ipa.live.load_generator import LoadJob, generate, write_job
from ipa.live.plane import free_port
from ipa.live.sent import UNANSWERED, UNREACHABLE, Sent
from ipa.live.server_answers import DEFAULT_BODY, zeros_for
from ipa.live.tokens import TokenFile, create_token_file
from ipa.sim import stream
from ipa.studies import Scenario, simulate
from ipa.studies.runs.live_runs import late_warning, load_table
from tests.live.world import PATIENCE_S, hanging_server

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(answer: Answer, metadata: dict[str, Any] | None = None, status: int = 404) -> Any:
    """A V2 server of the model `m` on loopback; its URL. Without metadata, it answers with the status."""

    async def describe(_: web.Request) -> web.Response:
        return web.json_response(metadata) if metadata else web.Response(status=status, text="no such\x1b[2J model")

    app = web.Application()
    app.router.add_post("/v2/models/m/infer", answer)
    app.router.add_get("/v2/models/m", describe)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


def sent_to(answer: Answer, scheduled_s: list[float], patience_s: float = 30.0, first: int = 0) -> Sent:
    async def story() -> Sent:
        async with serving(answer) as url:
            job = LoadJob(url, "m", time.monotonic() + 0.05, patience_s, DEFAULT_BODY, first)
            return await generate(job, np.array(scheduled_s))

    return asyncio.run(story())


async def at_once(_: web.Request) -> web.Response:
    return web.json_response({})


def test_requests_are_numbered_and_carry_their_number_as_id() -> None:
    ids = []

    async def note(request: web.Request) -> web.Response:
        body = await request.json()
        ids.append(body["id"])
        assert body["inputs"] == DEFAULT_BODY["inputs"]
        return web.json_response({})

    sent = sent_to(note, [0.0, 0.01, 0.02], first=7)
    assert sorted(ids) == ["7", "8", "9"]
    assert sent.request.tolist() == [7, 8, 9]
    assert sent.status.tolist() == [200] * 3


def test_a_slow_server_is_not_spared_and_latency_counts_from_the_schedule() -> None:
    gate = asyncio.Event()
    inside = 0

    async def slow(_: web.Request) -> web.Response:
        nonlocal inside
        inside += 1
        if inside == 20:
            gate.set()  # answers come once all are here: a closed loop would never send the second
        await gate.wait()
        return web.json_response({})

    scheduled_s = [0.02 * k for k in range(20)]
    sent = sent_to(slow, scheduled_s)
    assert sent.status.tolist() == [200] * 20
    latency_s = load_table(sent)["latency_s"]
    assert (sent.lateness_s >= 0.0).all()
    np.testing.assert_allclose(latency_s, sent.end_s - np.array(scheduled_s))
    assert latency_s[0] >= 0.38  # the first waited for the last


def test_every_way_to_end_has_its_outcome() -> None:
    async def by_number(request: web.Request) -> web.StreamResponse:
        number = int((await request.json())["id"])
        if number == 3:
            await asyncio.sleep(60.0)
        if number == 4:
            assert request.transport is not None
            request.transport.abort()
        status = (200, 504, 500, 200, 200, 503, 503)[number]
        return web.Response(status=status, headers={"Retry-After": "8"} if number == 5 else {})

    sent = sent_to(by_number, [0.0, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06], patience_s=3.0)
    assert sent.status.tolist() == [200, 504, 500, UNANSWERED, UNREACHABLE, 503, 503]
    table = load_table(sent)
    assert table["outcome"].tolist() == ["completed", "dropped", "failed", "unfinished", "failed", "dropped", "failed"]
    assert np.isfinite(table["latency_s"]).tolist() == [True] + [False] * 6
    assert np.isfinite(table["end_s"]).tolist() == [True, True, True, False, True, True, True]


def test_where_nobody_listens_all_fail() -> None:
    job = LoadJob(f"http://127.0.0.1:{free_port()}", "m", time.monotonic(), 5.0, DEFAULT_BODY)
    sent = asyncio.run(generate(job, np.array([0.0, 0.01])))
    assert sent.status.tolist() == [UNREACHABLE] * 2
    assert sent.reason.tolist() == ["no connection: Connection refused"] * 2


def test_a_connection_that_is_not_made_in_time_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_generator, "CONNECT_S", 0.1)
    with hanging_server() as url:
        sent = asyncio.run(generate(LoadJob(url, "m", time.monotonic(), 60.0, DEFAULT_BODY), np.array([0.0])))
    assert sent.status.tolist() == [UNREACHABLE]
    assert sent.reason[0].startswith("no connection: Connection timeout")
    assert load_table(sent)["outcome"].tolist() == ["failed"]


def test_reasons_that_differ_in_numbers_are_one_and_no_answer_writes_to_a_terminal(tmp_path: Path) -> None:
    async def by_number(request: web.Request) -> web.StreamResponse:
        number = int((await request.json())["id"])
        if number == 2:
            return web.Response(status=500, text="\x1b[2Jgone\nfor\ngood")
        return web.json_response({"error": f"gone after {number} s"}, status=500)

    sent = sent_to(by_number, [0.0, 0.05, 0.1])
    first, again, other = sent.reason.tolist()
    assert first == again
    assert first in ("HTTP status 500: gone after 0 s", "HTTP status 500: gone after 1 s")
    assert other == "HTTP status 500: [2Jgone for good"
    sent.write(tmp_path / "sent.npz")
    assert Sent.read(tmp_path / "sent.npz").reason.tolist() == [first, again, other]


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([{"name": "x", "datatype": "FP32", "shape": [10**6, 10**5]}], "has more than 16777216 elements"),
        ([{"name": "x", "datatype": "FP32", "shape": [1e400]}], "each should have name, datatype and shape"),
        ([{"name": "x"}], "each should have name, datatype and shape"),
        ("all", "each should have name, datatype and shape"),
    ],
)
def test_a_model_that_describes_no_possible_input_is_an_error_in_one_line(inputs: Any, said: str) -> None:
    async def story() -> None:
        async with serving(at_once, {"name": "m", "inputs": inputs}) as url:
            await zeros_for(url, "m")

    with pytest.raises(LiveError, match=said):
        asyncio.run(story())


@pytest.mark.long
def test_of_long_and_of_compressed_answers_only_the_beginning_is_kept() -> None:
    """64 MiB sixteen times: as they are, and as bombs of 64 kB that nobody inflates."""
    bomb = zlib.compress(bytes(2**26), wbits=31)

    async def long(request: web.Request) -> web.StreamResponse:
        if int((await request.json())["id"]) % 2:
            return web.Response(body=bomb, headers={"Content-Encoding": "gzip"})
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(256):
            await response.write(bytes(2**18))
        return response

    tracemalloc.start()
    try:
        sent = sent_to(long, [0.0] * 16)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert sent.status.tolist() == [200] * 16
    assert peak < 2**26


def test_lateness_is_measured_and_told() -> None:
    async def story() -> Sent:
        async with serving(at_once) as url:
            job = LoadJob(url, "m", time.monotonic() - 1.0, 30.0, DEFAULT_BODY)  # the schedule began a second ago
            return await generate(job, np.array([0.0, 0.5, 1.3]))

    lateness = asyncio.run(story()).lateness()
    assert lateness["sent_late"] >= 2
    assert lateness["lateness_max_s"] >= 1.0
    assert late_warning({"sent_late": 1, "lateness_p99_s": 0.02}, 100) == ""
    assert late_warning({"sent_late": 2, "lateness_p99_s": 0.02}, 100) == (
        "Warning: 2 % of the requests were sent more than 10 ms late (p99 20 ms): this machine could not keep up with "
        "the load"
    )
    assert late_warning({"sent_late": 0}, 0) == ""


def test_a_live_load_arrives_when_the_simulated_one_does() -> None:
    """The same trace, process and seed give the same moments, to the bit."""
    scenario = Scenario(pipeline="video", trace="bursty", window=((0.0, 30.0),), seed=5)
    trace = traces.find("bursty", seed=5).window([(0.0, 30.0)])
    arrivals_s = traces.arrivals(trace, "poisson", stream(5, "arrivals"))
    assert simulate(scenario).tables["requests"]["arrival_s"].tolist() == arrivals_s.tolist()


def test_told_to_end_it_writes_what_it_has_sent(tmp_path: Path) -> None:
    """A process of its own, ended by SIGTERM in the midst of its schedule."""

    async def story() -> None:
        here = asyncio.Event()

        async def note(_: web.Request) -> web.Response:
            here.set()
            return web.json_response({})

        async with serving(note) as url:
            job = LoadJob(url, "m", time.monotonic(), 60.0, DEFAULT_BODY)
            write_job(job, np.array([0.0, 1000.0]), tmp_path / "job.npz")
            command = [
                sys.executable,
                "-m",
                "ipa.live.load_generator",
                str(tmp_path / "job.npz"),
                str(tmp_path / "sent.npz"),
            ]
            process = Popen(command)
            try:
                await asyncio.wait_for(here.wait(), PATIENCE_S)
                process.send_signal(signal.SIGTERM)
                assert await asyncio.to_thread(process.wait, PATIENCE_S) == 0
            finally:
                process.kill()
                process.wait()

    asyncio.run(story())
    sent = Sent.read(tmp_path / "sent.npz")
    assert (sent.request.tolist(), sent.scheduled_s.tolist()) == ([0], [0.0])
    assert sent.status[0] in (200, UNANSWERED)  # the answer may come later than the signal
    assert sent.sent_s[0] > 0.0


def test_the_metadata_of_a_model_gives_a_request_of_zeros() -> None:
    inputs = [
        {"name": "image", "datatype": "UINT8", "shape": [-1, 2, 2]},
        {"name": "text", "datatype": "BYTES", "shape": [-1, 1]},
    ]

    async def story() -> dict[str, Any]:
        async with serving(at_once, {"name": "m", "inputs": inputs}) as url:
            return await zeros_for(url, "m")

    assert asyncio.run(story())["inputs"] == [
        {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2], "data": [0, 0, 0, 0]},
        {"name": "text", "datatype": "BYTES", "shape": [1, 1], "data": [""]},
    ]


def test_a_model_that_is_not_there_is_told() -> None:
    """In the server's words, of which none reach the terminal as commands."""

    async def story() -> None:
        async with serving(at_once) as url:
            await zeros_for(url, "m")

    with pytest.raises(LiveError, match=r"/v2/models/m: HTTP status 404: no such \[2J model$"):
        asyncio.run(story())
    with pytest.raises(RunError, match="no V2 server answers"):
        asyncio.run(zeros_for(f"http://127.0.0.1:{free_port()}", "m"))


def test_a_server_that_fails_ends_a_run_and_is_no_wrong_input() -> None:
    async def story() -> None:
        async with serving(at_once, status=503) as url:
            await zeros_for(url, "m")

    with pytest.raises(RunError, match=r"/v2/models/m: HTTP status 503: "):
        asyncio.run(story())


def test_requests_carry_the_token_that_a_file_holds_and_the_job_s_file_names_it_only(tmp_path: Path) -> None:
    given = []

    async def note(request: web.Request) -> web.Response:
        given.append(request.headers["Authorization"])
        return web.json_response({})

    create_token_file(tmp_path / "token")
    (token,) = TokenFile(tmp_path / "token").read()

    async def story() -> LoadJob:
        async with serving(note) as url:
            job = LoadJob(url, "m", time.monotonic(), 30.0, DEFAULT_BODY, token_file=str(tmp_path / "token"))
            assert (await generate(job, np.array([0.0, 0.0]))).status.tolist() == [200, 200]
            return job

    write_job(asyncio.run(story()), np.array([0.0]), tmp_path / "job.npz")
    assert given == [f"Bearer {token}"] * 2
    assert token.encode() not in (tmp_path / "job.npz").read_bytes()


def test_a_token_that_cannot_be_read_is_told_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(LiveError, match=r"none: the token cannot be read: No such file"):
        asyncio.run(zeros_for("http://127.0.0.1:1", "m", str(tmp_path / "none")))


def test_answers_are_read_only_once_all_is_written(tmp_path: Path) -> None:
    """A load generator may be killed while it writes: answers first, then what was sent, at once."""
    result = tmp_path / "sent.npz"
    load_generator.answers_file(result).write_text("")
    assert load_generator.read_answers(result) == {}
    load_generator.answers_file(result).write_text('{"3": "a cat"}')
    result.touch()
    assert load_generator.read_answers(result) == {3: "a cat"}
