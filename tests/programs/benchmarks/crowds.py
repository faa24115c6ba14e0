"""What a crowd at another address costs honest clients of a gateway: requests by the dozen on each connection, clients
that go away, large heads, and requests that become many items."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tests.live import load_client
from tests.live.serving.hostile import NO_ANSWER
from tests.live.serving.serving_plane import Process, entry, plane, put, until_ready, wanted
from tests.profiles.test_graph_file import HEAD, stage
from tests.programs.benchmarks import gateway, hostile
from tests.programs.benchmarks.tables import Column, Table, Value

CROWD = "127.0.0.2"
"""Where the crowd is; honest clients are at 127.0.0.1."""
SECONDS = 10.0
CONNECTIONS, AT_ONCE = 60, 16
"""So many connections, each with so many requests on their way."""
GONE_RPS, FANS_RPS, ITEMS = 20.0, 2.0, 999
HEADS, HEADERS, HEADER_BYTES = 900, 100, 8000
HONEST_RPS = 10.0


def crowds() -> Table:
    """Latency of honest clients alone and beside each crowd, and the gateway's memory."""
    return Table(
        name="crowds",
        title=f"Honest clients beside a crowd at another address, for {SECONDS:g} s each",
        columns=(
            Column("pipeline", "pipeline"),
            Column("beside", "honest clients beside"),
            Column("requests", "requests", ",d"),
            Column("not_200", "not 200", "d"),
            Column("p50_ms", "p50 ms", ".1f"),
            Column("p99_ms", "p99 ms", ".1f"),
            Column("peak_mb", "peak MB", ".0f"),
            Column("answers", "the crowd's answers"),
        ),
        rows=tuple(_rows()),
        notes=(
            f"Honest: {HONEST_RPS:g}/s. Of `fan`, one becomes 2 items of 1 ms each, and one of the crowd {ITEMS}.",
            "Peak: resident memory of the gateway, so far.",
        ),
    )


def _rows() -> Iterator[dict[str, Value]]:
    path = f"/v2/models/{gateway.PIPELINE}/infer"
    message = gateway.message("json")
    with gateway.running() as quick:
        gateway.configure(quick, 1, 0.0)
        attacks = {
            f"{CONNECTIONS} connections, one request at a time": partial(_send, quick.url, message, 1),
            f"{CONNECTIONS} connections, {AT_ONCE} at a time": partial(_send, quick.url, message, AT_ONCE),
            "the same, of nonsense": partial(_send, quick.url, load_client.encoded(path, b"{}"), AT_ONCE),
            f"{HEADS} heads of {HEADERS} x {HEADER_BYTES} B": partial(_heads, quick.url, path),
        }
        yield from _beside("no service time", quick, message, attacks)
    with gateway.running(factor=0.2) as slow:
        gateway.configure(slow, 1, 0.0)
        attacks = {f"{GONE_RPS:g}/s that have gone": partial(_go, slow.url, message)}
        yield from _beside("a fifth of the profile's", slow, message, attacks)
    with _fanning() as fan:
        attacks = {f"{FANS_RPS:g}/s of {ITEMS} items": partial(_fan, fan.url, _photo(ITEMS))}
        yield from _beside("fan", fan, _photo(2), attacks)


def _beside(
    name: str, process: Process, message: bytes, attacks: Mapping[str, Callable[[], Counter[int]]]
) -> Iterator[dict[str, Value]]:
    with hostile.elsewhere() as sender:
        asyncio.run(hostile.honest(process.url, message, None, HONEST_RPS))  # warm up
        for beside in ("nobody", *attacks):
            sending = sender.submit(attacks[beside]) if beside in attacks else None
            honest = asyncio.run(hostile.honest(process.url, message, sending, HONEST_RPS))
            answers = Counter[int]() if sending is None else sending.result()
            yield {
                "pipeline": name,
                "beside": beside,
                "requests": honest.statuses.total(),
                "not_200": honest.statuses.total() - honest.statuses[200],
                "p50_ms": 1e3 * median(honest.latencies_s),
                "p99_ms": 1e3 * float(np.quantile(honest.latencies_s, 0.99)),
                "peak_mb": hostile.peak_mb(process),
                "answers": " ".join(f"{status}:{count}" for status, count in sorted(answers.items())),
            }


# ---- the crowds, in a process of their own ----


async def _open(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port), local_addr=(CROWD, 0))


def _for_a_while(one: Callable[[Counter[int]], Awaitable[None]], count: int) -> Counter[int]:
    """So many of these for SECONDS; the statuses that they have seen."""
    statuses: Counter[int] = Counter()

    async def every() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(SECONDS):
                await asyncio.gather(*[one(statuses) for _ in range(count)])

    asyncio.run(every())
    return statuses


async def _answers(reader: asyncio.StreamReader, statuses: Counter[int], count: int) -> None:
    """Read so many answers."""
    for _ in range(count):
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        statuses[int(head[9:12])] += 1
        await reader.readexactly(int(head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]))


def _send(url: str, message: bytes, at_once: int) -> Counter[int]:
    async def one(statuses: Counter[int]) -> None:
        while True:
            reader, writer = await _open(url)
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                while True:
                    writer.write(message * at_once)
                    await _answers(reader, statuses, at_once)
            writer.transport.abort()

    return _for_a_while(one, CONNECTIONS)


def _go(url: str, message: bytes) -> Counter[int]:
    async def one(statuses: Counter[int]) -> None:
        while True:
            _, writer = await _open(url)
            writer.write(message)
            await asyncio.sleep(0.01)
            writer.transport.abort()
            statuses[NO_ANSWER] += 1
            await asyncio.sleep(1.0 / GONE_RPS)

    return _for_a_while(one, 1)


def _fan(url: str, message: bytes) -> Counter[int]:
    async def one(statuses: Counter[int]) -> None:
        tasks = []
        while True:
            tasks.append(asyncio.create_task(ask(statuses)))
            await asyncio.sleep(1.0 / FANS_RPS)

    async def ask(statuses: Counter[int]) -> None:
        reader, writer = await _open(url)
        writer.write(message)
        await _answers(reader, statuses, 1)

    return _for_a_while(one, 1)


def _heads(url: str, path: str) -> Counter[int]:
    lines = [f"X-{number}: {'y' * HEADER_BYTES}\r\n" for number in range(HEADERS)]
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{''.join(lines)}".encode()

    async def one(statuses: Counter[int]) -> None:
        line = b""
        with suppress(OSError):
            reader, writer = await _open(url)
            writer.write(head)
            line = await reader.readline()
        statuses[int(line[9:12]) if line else NO_ANSWER] += 1

    return _for_a_while(one, HEADS)


# ---- a graph in which a request says how many items it becomes ----

SPLIT = """
import numpy as np


class Model:
    def predict(self, inputs):
        return {"row": np.repeat(inputs["n"], inputs["n"]), "count": inputs["n"]}
"""
WORK = """
import time


class Model:
    def predict(self, inputs):
        time.sleep(0.001 * len(inputs["row"]))
        return {"done": inputs["row"]}

    def metadata(self):
        return {"outputs": [{"name": "done", "datatype": "INT64", "shape": [-1]}]}
"""
FAN = (
    HEAD
    + "stages:\n"
    + stage("split", "    after: []\n    output_rows: {row: count}\n")
    + stage("work", "    after: [{stage: split, items: 2, spread: 1, items_from: row}]\n    inputs: {row: row}\n")
    + "accuracy: {combine: product}\n"
)


def _photo(count: int) -> bytes:
    """A request that becomes so many items."""
    tensor: dict[str, Any] = {"name": "n", "datatype": "INT64", "shape": [1], "data": [count]}
    return load_client.encoded("/v2/models/traffic/infer", json.dumps({"inputs": [tensor]}).encode())


@contextmanager
def _fanning() -> Iterator[Process]:
    with TemporaryDirectory() as folder, plane(Path(folder)) as up:
        (up.folder / "traffic.yaml").write_text(FAN)
        process = up.gateway("--pipeline", str(up.folder / "traffic.yaml"), "--sla", "600")
        for name, text in (("split", SPLIT), ("work", WORK)):
            (up.folder / f"{name}.py").write_text(text)
            server = up.server("--backend", f"{up.folder / name}.py:Model", "--model", "only")
            until_ready(server.url)
            up.listed[name] = [entry(0, server.url, "only")]
        control = process.urls["control_url"] + "/control/"
        put(control + "configuration", {name: wanted("only") for name in up.listed})
        put(control + "replicas", up.listed)
        yield process
