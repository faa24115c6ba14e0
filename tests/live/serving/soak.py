"""Load on a serving plane while it is reconfigured every second, replicas are killed and clients dawdle: `make soak`.

Every request must end in exactly one outcome, the same for its client as in the gateway's books, and the gateway may
not grow. It exits with 1 and says what was lost otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from tests.live.serving.books import STATUSES, is_lawful
from tests.live.serving.serving_plane import Process, call, entry, get, plane, put, until, wanted
from tests.live.serving.test_fuzz import resources

STAGES = {"object-detection": ("yolov5n", "yolov5s"), "image-classification": ("resnet18", "resnet34")}
PIPELINE, FACTOR, SLA_S = "video", "0.02", 1.0
RECORDS, RECORDED_BYTES = 1_000_000, 2**31
"""The books of all requests are kept."""
SLOW_SHARE = 0.02


@dataclass
class Soak:
    """One soak: what was asked, how it was answered, and what the gateway's books say."""

    seed: int
    seconds: float
    load_rps: float
    folder: Path
    answers: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    kills: int = 0
    configurations: int = 0

    def run(self) -> dict[str, Any]:
        """The figures of the soak; `lost` says what went wrong, and is empty where nothing did."""
        self.random = random.Random(self.seed)
        with plane(self.folder) as up:
            self.up = up
            books = ("--records", str(RECORDS), "--limits", json.dumps({"most_recorded_bytes": RECORDED_BYTES}))
            self.gateway = up.gateway("--pipeline", PIPELINE, "--sla", str(SLA_S), *books, "--log-level", "error")
            self.replicas: dict[str, list[tuple[int, Process, str]]] = {stage: [] for stage in STAGES}
            self.numbers = dict.fromkeys(STAGES, 0)
            for stage in STAGES:
                for variant in STAGES[stage]:
                    self.create(stage, variant)
            self.reconfigure()
            before = resources(self.gateway)
            asyncio.run(self.under_load())
            records = self.records()
            after = resources(self.gateway)
            exit_code = self.gateway.terminate()
            return self.judged(records, before, after, exit_code)

    # ---- the control plane ----

    def create(self, stage: str, variant: str) -> None:
        server = self.up.emulated(PIPELINE, stage, variant, "--factor", FACTOR, "--seed", str(self.seed))
        until(lambda: call("GET", server.url + "/v2/health/ready")[0] == 200, "a replica is ready")
        self.replicas[stage].append((self.numbers[stage], server, variant))
        self.numbers[stage] += 1

    def reconfigure(self) -> None:
        """Another configuration, and the list of replicas as they are."""
        control = self.gateway.urls["control_url"] + "/control/"
        configuration = {
            stage: wanted(
                self.random.choice(variants), self.random.choice([1, 2, 4, 8]), self.random.choice([0.0, 0.005, 0.02])
            )
            for stage, variants in STAGES.items()
        }
        put(control + "configuration", configuration)
        listed = {
            stage: [entry(number, server.url, variant) for number, server, variant in replicas]
            for stage, replicas in self.replicas.items()
        }
        put(control + "replicas", listed)
        self.configurations += 1

    def disturb(self) -> None:
        """Kill or stop one replica of a stage, put another in its place; then reconfigure."""
        stage = self.random.choice(list(STAGES))
        number, server, variant = self.random.choice(self.replicas[stage])
        time.sleep(1.0 + self.random.random())
        if not self.kills or self.random.random() < 0.7:
            server.kill()
            self.kills += 1
        else:
            server.popen.terminate()
        self.reconfigure()  # as a control plane that has not seen it yet
        self.replicas[stage] = [each for each in self.replicas[stage] if each[0] != number]
        self.create(stage, variant)
        self.reconfigure()

    async def control(self, end_s: float) -> None:
        """Another configuration every second, and a replica less and one more as fast as they can be made."""
        disturbing: asyncio.Task[None] | None = None
        while (now_s := time.monotonic()) < end_s - 1.0:
            if disturbing is None or disturbing.done():
                disturbing = asyncio.create_task(asyncio.to_thread(self.disturb))
            await asyncio.to_thread(self.reconfigure)
            await asyncio.sleep(max(0.0, now_s + 1.0 - time.monotonic()))
        if disturbing is not None:
            await disturbing

    # ---- the load ----

    async def under_load(self) -> None:
        end_s = time.monotonic() + self.seconds
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=60)) as session:
            controlling = asyncio.create_task(self.control(end_s))
            tasks, sent, start_s = set(), 0, time.monotonic()
            while time.monotonic() < end_s:
                while sent < (time.monotonic() - start_s) * self.load_rps:
                    ask = self.ask_slowly if self.random.random() < SLOW_SHARE else self.ask
                    task = asyncio.create_task(ask(session, f"r{sent}"))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    sent += 1
                await asyncio.sleep(0.005)
            await controlling
            await asyncio.gather(*tasks)

    @staticmethod
    def message(name: str) -> bytes:
        tensor = {"name": "x", "datatype": "INT64", "shape": [1], "data": [int(name[1:])]}
        return json.dumps({"id": name, "inputs": [tensor]}).encode()

    async def ask(self, session: aiohttp.ClientSession, name: str) -> None:
        url = f"{self.gateway.url}/v2/models/{PIPELINE}/infer"
        try:
            async with session.post(url, data=self.message(name)) as response:
                self.answered(name, response.status, await response.read())
        except (aiohttp.ClientError, TimeoutError) as error:
            self.broken.append(f"{name}: {type(error).__name__}: {error}")

    async def ask_slowly(self, _: aiohttp.ClientSession, name: str) -> None:
        """A client that sends its body bit by bit, and reads as slowly; half of them hang up without reading."""
        host, port = self.gateway.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        body = self.message(name)
        asked = f"POST /v2/models/{PIPELINE}/infer HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
        head = f"{asked}Content-Length: {len(body)}\r\n\r\n"
        for start in range(0, len(body), 20):
            writer.write((head.encode() if not start else b"") + body[start : start + 20])
            await writer.drain()
            await asyncio.sleep(0.02)
        if int(name[1:]) % 2:
            self.answers[name] = -1
        else:
            await asyncio.sleep(0.2)
            answer = await reader.read()
            self.answered(name, int(answer[9:12]), answer.partition(b"\r\n\r\n")[2])
        writer.close()

    def answered(self, name: str, status: int, body: bytes) -> None:
        if name in self.answers:
            self.broken.append(f"{name}: answered twice")
        self.answers[name] = status
        message = json.loads(body)
        if status == 200 and (message["id"] != name or message["outputs"][0]["data"] != [int(name[1:])]):
            self.broken.append(f"{name}: got another's answer: {message}")

    # ---- the judgement ----

    def records(self) -> list[dict[str, Any]]:
        url = self.gateway.urls["control_url"] + "/control/"

        def is_empty() -> bool:
            stages = get(url + "observation")["stages"].values()
            return all(stage["queue_length"] == stage["in_service"] == 0 for stage in stages)

        until(is_empty, "all requests have ended")
        found: list[dict[str, Any]] = []
        while (answer := get(f"{url}records?after={len(found)}"))["records"]:
            found += answer["records"]
        return found

    def judged(
        self, records: list[dict[str, Any]], before: dict[str, int], after: dict[str, int], exit_code: int
    ) -> dict[str, Any]:
        outcomes = Counter(record["outcome"] for record in records)
        books = Counter(record["id"] for record in records)
        lost = list(self.broken)
        lost += [f"{name}: in the books {books[name]} times" for name in self.answers if books[name] != 1]
        lost += [f"{name}: in the books, but never asked" for name in books if name not in self.answers]
        for record in records:
            status = self.answers.get(record["id"], -1)
            if status not in (-1, *STATUSES[record["outcome"]]):
                lost.append(f"{record['id']}: {record['outcome']}, yet answered {status}")
            if not is_lawful(record):
                lost.append(f"{record['id']}: times out of order: {record}")
        logged = self.gateway.log.read_text()
        if exit_code or logged:
            lost.append(f"the gateway ended with {exit_code}, log: {logged[:2000]}")
        if after["files"] > before["files"] + 64:
            lost.append(f"open files grew from {before['files']} to {after['files']}")
        kept = 4096 * len(records)  # the records themselves
        if after["bytes"] > before["bytes"] + 64 * 2**20 + kept:
            lost.append(f"memory grew from {before['bytes']} to {after['bytes']} bytes")
        return {
            "seconds": self.seconds,
            "requests": len(self.answers),
            "outcomes": dict(sorted(outcomes.items())),
            "hung_up": sum(status == -1 for status in self.answers.values()),
            "configurations": self.configurations,
            "kills": self.kills,
            "memory_mb": [round(each["bytes"] / 2**20) for each in (before, after)],
            "lost": lost,
        }


def soak(seconds: float, load_rps: float, seed: int) -> dict[str, Any]:
    """The figures of one soak."""
    with tempfile.TemporaryDirectory() as folder:
        return Soak(seed, seconds, load_rps, Path(folder)).run()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--load", type=float, default=100.0, help="requests per second")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    figures = soak(arguments.seconds, arguments.load, arguments.seed)
    lost = figures.pop("lost")
    print(json.dumps(figures, indent=2))
    for line in lost[:50]:
        print(line, file=sys.stderr)
    sys.exit(bool(lost))


if __name__ == "__main__":
    main()
