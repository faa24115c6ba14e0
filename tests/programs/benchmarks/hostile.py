"""What hostile bodies cost honest clients: a gateway with 512 MiB, without them, with a thousand, and with bodies that
stall, by turns."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache, partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path
from statistics import median

import numpy as np

from tests.live import load_client
from tests.live.serving import hostile
from tests.live.serving.serving_plane import Process, until
from tests.programs.benchmarks.tables import Column, Table, Value

MEMORY_BYTES = 512 * 2**20
ROUNDS, BODIES, AT_ONCE = 10, 100, 4
"""In every round, so many bodies are sent, so many at a time."""
STALLED, STALLED_BYTES = 80, 2**20
"""So many bodies of that size stop half-way and stay."""
HONEST_RPS, CONNECTIONS, QUIET_S = 50.0, 16, 6.0


def hostile_bodies() -> Table:
    """Latency of honest clients alone and beside hostile ones, and the gateway's memory."""
    return Table(
        name="hostile",
        title=f"In each of {ROUNDS} rounds {BODIES} hostile bodies, {AT_ONCE} at a time, then {STALLED} stalled ones",
        columns=(
            Column("beside", "honest clients beside"),
            Column("requests", "requests", ",d"),
            Column("not_200", "not 200", "d"),
            Column("p50_ms", "p50 ms", ".2f"),
            Column("p99_ms", "p99 ms", ".2f"),
            Column("most_ms", "most ms", ".0f"),
            Column("peak_mb", "peak MB", ".0f"),
            Column("answers", "hostile answers"),
        ),
        rows=tuple(_rows()),
        notes=(
            f"Honest: {HONEST_RPS:g}/s on {CONNECTIONS} connections, 64 float32 as JSON.",
            "Peak: resident memory of the gateway, which may have 512 MiB: before the first attack, and of all.",
        ),
    )


def _rows() -> Iterator[dict[str, Value]]:
    from tests.programs.benchmarks import gateway

    message = gateway.message("json")
    path = f"/v2/models/{gateway.PIPELINE}/infer"
    beside = {name: (load_client.Answers(), Counter[int]()) for name in ("alone", "hostile bodies", "stalled bodies")}
    options = ("--most-inside", str(MEMORY_BYTES // 4))
    with gateway.running(*options) as process, _limited(process, MEMORY_BYTES), elsewhere() as sender:
        gateway.configure(process, 1, 0.0)
        asyncio.run(honest(process.url, message, None))  # warm up
        before_mb = peak_mb(process)
        for number in range(ROUNDS):
            sends: dict[str, Callable[[], Future[Counter[int]]]] = {
                "hostile bodies": partial(sender.submit, _send, process.url, path, number * BODIES),
                "stalled bodies": partial(sender.submit, _stall, process.url, path),
            }
            for name, (so_far, answers) in beside.items():
                sending = sends[name]() if name in sends else None
                _add(so_far, asyncio.run(honest(process.url, message, sending)))
                answers.update(sending.result() if sending else ())
        after_mb = peak_mb(process)
    for name, (so_far, answers) in beside.items():
        yield {
            "beside": name,
            "requests": so_far.statuses.total(),
            "not_200": so_far.statuses.total() - so_far.statuses[200],
            "p50_ms": 1e3 * median(so_far.latencies_s),
            "p99_ms": 1e3 * float(np.quantile(so_far.latencies_s, 0.99)),
            "most_ms": 1e3 * max(so_far.latencies_s),
            "peak_mb": before_mb if name == "alone" else after_mb,
            "answers": " ".join(f"{status}:{count}" for status, count in sorted(answers.items())),
        }


async def honest(
    url: str, message: bytes, sending: Future[Counter[int]] | None, rate_rps: float = HONEST_RPS
) -> load_client.Answers:
    """Honest requests while others are sent, or for a quiet while."""
    answers, stop = load_client.Answers(), asyncio.get_running_loop().time() + QUIET_S
    connections = [await load_client.connect(url) for _ in range(CONNECTIONS)]
    tasks: set[asyncio.Task[None]] = set()

    async def one(connection: load_client.Connection) -> None:
        sent_s = asyncio.get_running_loop().time()
        answers.statuses[await connection.send(message)] += 1
        answers.latencies_s.append(asyncio.get_running_loop().time() - sent_s)
        connections.append(connection)  # to go on with

    while asyncio.get_running_loop().time() < stop if sending is None else not sending.done():
        if connections:  # a gateway that does not answer must not be filled by those who wait
            task = asyncio.create_task(one(connections.pop()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
        await asyncio.sleep(1.0 / rate_rps)
    await asyncio.gather(*tasks)
    for connection in connections:
        connection.close()
    return answers


@contextmanager
def elsewhere() -> Iterator[ProcessPoolExecutor]:
    """A process for the hostile client, which has a machine of its own: here it goes behind everybody else."""
    with ProcessPoolExecutor(1, get_context("spawn"), os.nice, (15,)) as pool:
        pool.submit(_prepared).result()
        yield pool


@cache
def _bodies() -> tuple[hostile.Hostile, ...]:
    return tuple(hostile.kinds().values())


def _prepared() -> None:
    """Make the bodies, which takes seconds, before anything is measured."""
    _bodies()


def _send(url: str, path: str, first: int) -> Counter[int]:
    """Send a round of bodies, from the `first` of an endless row of all kinds; how often which status came back."""
    bodies = islice(cycle(_bodies()), first, first + BODIES)
    statuses: Counter[int] = Counter()

    async def some() -> None:
        for body in bodies:
            statuses[await hostile.send(url, path, body)] += 1

    async def every() -> None:
        await asyncio.gather(*[some() for _ in range(AT_ONCE)])

    asyncio.run(every())
    return statuses


def _stall(url: str, path: str) -> Counter[int]:
    """Begin bodies that stop half-way, and keep their connections for as long as a quiet round lasts."""
    host, port = url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {STALLED_BYTES}\r\n\r\n".encode()
    statuses: Counter[int] = Counter()

    async def one() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(head + b" " * (STALLED_BYTES // 2))
        line = b""
        with suppress(TimeoutError, ConnectionError):
            line = await asyncio.wait_for(reader.readline(), QUIET_S)
        statuses[int(line[9:12]) if line else hostile.NO_ANSWER] += 1
        writer.transport.abort()

    async def every() -> None:
        await asyncio.gather(*[one() for _ in range(STALLED)])

    asyncio.run(every())
    return statuses


def _add(to: load_client.Answers, more: load_client.Answers) -> None:
    to.statuses += more.statuses
    to.latencies_s += more.latencies_s


def peak_mb(process: Process) -> float:
    """The most resident memory that a process and its children have had."""
    pids = [process.popen.pid]
    children = Path(f"/proc/{pids[0]}/task/{pids[0]}/children")
    if children.exists():
        pids += map(int, children.read_text().split())
    total = 0
    for pid in pids:
        status = Path(f"/proc/{pid}/status").read_text()
        total += int(status.partition("VmHWM:")[2].split()[0])
    return total / 1024


def _removed(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:  # a process is still in it
        return False
    return True


@contextmanager
def _limited(process: Process, most_bytes: int) -> Iterator[None]:
    """Keep a process and its future children within a memory cgroup, where this user may make one."""
    for root, key in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root) / f"ipa-benchmark-{os.getpid()}"
        try:
            group.mkdir()
            (group / key).write_text(str(most_bytes))
            (group / "cgroup.procs").write_text(str(process.popen.pid))
        except OSError:
            if group.is_dir():
                group.rmdir()
            continue
        try:
            yield
        finally:
            process.kill()
            until(partial(_removed, group), "the gateway has ended")
        return
    raise RuntimeError("a memory limit needs a cgroup that this user may write")
