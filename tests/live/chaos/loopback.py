"""The run on this machine: `ipa live run`, started again whenever a fault has ended it, as a service manager would."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from ipa.live.plane import LOOPBACK, free_port
from tests.live.chaos.books import Books
from tests.live.chaos.clock import Clock
from tests.live.chaos.history import History, Span, Usage
from tests.live.chaos.invariants import Bounds
from tests.live.chaos.pipeline import Wanted
from tests.live.chaos.relay import Relays
from tests.live.world import descendants, is_alive, metric_values, steps, usage

BOUNDS = Bounds(converges_within_s=120.0, most_bytes={"gateway": 512 * 2**20, "controller": 512 * 2**20})
UP_WITHIN_S = 180.0
GONE_WITHIN_S = 60.0
LOOKED_AT_EVERY_S = 0.1
USAGE_EVERY_S = 1.0
OWN_LOAD_RPS = 2
"""What the run's own load generator sends, beside the client that checks its answers."""


class LoopbackWorld:
    """A live run and its surroundings; `killed` says which fault is about to end it, empty if none is."""

    def __init__(self, history: History, folder: Path, seed: int, seconds: float) -> None:
        self.history = history
        self.wanted = Wanted(folder)
        self.clock = Clock(folder)
        self.relays = Relays()
        self.port = free_port()
        self.killed = ""
        self.pid = 0
        self.starts = 0
        self._folder = folder
        self._scratch = folder / "scratch"
        self._scratch.mkdir()
        self._seed, self._seconds = seed, seconds
        self._keeping: asyncio.Task[None] | None = None
        self._watching: list[asyncio.Task[None]] = []
        self._is_up = asyncio.Event()
        self._is_ending = False
        self._down_since_s = 0.0
        self._books: Books | None = None
        self._session: Any = None
        self._said = ""

    @property
    def url(self) -> str:
        """Where clients find the gateway."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def is_up(self) -> bool:
        """Whether the run serves."""
        return self._is_up.is_set()

    async def open(self) -> None:
        """Start the run, and wait until it serves."""
        import aiohttp

        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5.0))
        await self.relays.open()
        self._keeping = asyncio.create_task(self._keep())
        self._watching = [asyncio.create_task(self._watch()), asyncio.create_task(self._measure())]
        async with asyncio.timeout(UP_WITHIN_S):
            while not self.is_up:
                if self._keeping.done():
                    self._keeping.result()
                await asyncio.sleep(LOOKED_AT_EVERY_S)

    def parts(self, role: str) -> list[int]:
        """The processes of a role, in order of their names: gateway, launcher, load, controller, or replica."""
        if not self.pid or not is_alive(self.pid):
            return []
        if role == "controller":
            return [self.pid]
        found = descendants(self.pid)
        names = {"gateway": "gateway", "load": "load"}
        if role in names:
            return [pid for pid, name in found.items() if name == names[role]]
        if role == "launcher":
            interpreters = [pid for pid, name in found.items() if name.startswith("python")]
            return [pid for pid in interpreters if pid in descendants(self.pid, 1)]
        replicas = {pid: name for pid, name in found.items() if name.partition("-")[0] in self.wanted.now}
        return sorted(replicas, key=lambda pid: (replicas[pid].partition("-")[0], int(replicas[pid].partition("-")[2])))

    def command(self, out: str) -> list[str]:
        """The command line of a run; its results go to the folder `out`."""
        trace = f"constant:{OWN_LOAD_RPS}:{int(self._seconds) + 600}"
        options = {"--trace": trace, "--out": out, "--seed": self._seed}
        settings = ("--set", f"gateway.port={self.port}", "--set", "controller.state=state.jsonl")
        given = [str(each) for option in options.items() for each in option] + list(settings)
        module = ("-m", "tests.live.chaos.controlled", str(self.relays.port))
        return [sys.executable, *module, "live", "run", "scenario.yaml", *given]

    async def start(self, out: str) -> asyncio.subprocess.Process:
        """A run in a process of its own, in the folder with the pipeline."""
        environment = {**os.environ, **self.clock.environment, **self.wanted.environment, "TMPDIR": str(self._scratch)}
        return await asyncio.create_subprocess_exec(
            *self.command(out),
            cwd=self._folder,
            env=environment,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )

    # ---- kept alive ----

    async def _keep(self) -> None:
        while not self._is_ending:
            self.starts += 1
            self.killed = ""
            process = await self.start(f"run-{self.starts}")
            self.pid = process.pid
            told = asyncio.create_task(self._told(process))
            up = asyncio.create_task(self._until_up())
            parts: dict[int, str] = {}
            was_up = False
            while process.returncode is None:
                parts |= descendants(process.pid)
                was_up = was_up or up.done()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOKED_AT_EVERY_S):
                        await process.wait()
            up.cancel()
            self.went_down()
            await self._judge(process.returncode, await told, was_up, parts)
            await self.relays.forget()

    async def _until_up(self) -> None:
        """A run of which a part was killed before it was up answers for a moment, and ends."""
        while not await self._answers(f"{self.url}/v2/health/ready") or not await self._is_started() or self.killed:
            await asyncio.sleep(LOOKED_AT_EVERY_S)
        self.history.outages.append(Span(self._down_since_s, time.monotonic()))
        self._books = Books(self.history, self.control)
        self._is_up.set()

    async def _is_started(self) -> bool:
        text = await self.control("/control/records?limit=1")
        return text is not None and bool(json.loads(text)["started"])

    def went_down(self) -> None:
        """From now on there may be no gateway, until the run is up again."""
        if self.is_up:
            self._is_up.clear()
            self._down_since_s = time.monotonic()
            self._books = None

    async def _told(self, process: asyncio.subprocess.Process) -> str:
        assert process.stderr is not None
        return (await process.stderr.read()).decode(errors="replace")

    async def _judge(self, code: int | None, told: str, was_up: bool, parts: dict[int, str]) -> None:
        """What a run's end says of it."""
        defects = self.history.defects
        what = f"run {self.starts}, ended with {code} after {self.killed or 'nothing'}"
        self.history.ends.append(f"{what}: {told[-500:]}")
        if "Traceback" in told or "a defect of this program" in told:
            defects.append(f"{what}: {told[-2000:]}")
        elif not self.killed and not self._is_ending and was_up:
            defects.append(f"{what}: {told[-1000:]}")
        until_s = time.monotonic() + GONE_WITHIN_S
        while left := [f"{name} {pid}" for pid, name in parts.items() if is_alive(pid)]:
            if time.monotonic() > until_s:
                defects.append(f"{what}: it left behind: {', '.join(left)}")
                break
            await asyncio.sleep(LOOKED_AT_EVERY_S)
        results = self._folder / f"run-{self.starts}"
        if (manifest := results / "manifest.json").exists():
            laws = json.loads(manifest.read_text())["live"]["broken_laws"]
            defects += [f"{what}: {law}" for law in laws]
            if laws:
                kept = tempfile.mkdtemp(prefix="ipa-chaos-kept-")
                defects.append(f"its tables are kept in {shutil.copytree(results, kept, dirs_exist_ok=True)}")

    # ---- watched ----

    async def control(self, path: str) -> bytes | None:
        """A path of the gateway's control API, past the relay; None if it does not answer."""
        behind = self.relays.behind["control"]
        return await self._answers(f"http://{LOOPBACK}:{behind[-1]}{path}", self._token()) if behind else None

    def _token(self) -> dict[str, str]:
        """The header with the control port's token, which the run keeps in a file, if it has one."""
        found = max(self._scratch.glob("*/control-token"), key=lambda path: path.stat().st_mtime_ns, default=None)
        return {} if found is None else {"Authorization": f"Bearer {found.read_text().strip()}"}

    async def _answers(self, url: str, headers: Mapping[str, str] | None = None) -> bytes | None:
        import aiohttp

        try:
            async with self._session.get(url, headers=headers) as response:
                text: bytes = await response.read()
                return text if response.status == 200 else None
        except (aiohttp.ClientError, TimeoutError, OSError):
            return None

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            if (books := self._books) is not None:
                await books.read()

    async def _measure(self) -> None:
        while True:
            for part in BOUNDS.most_bytes:
                for pid in self.parts(part) if self.is_up else ():  # a run that ends writes its tables
                    files, resident_bytes = usage(pid)
                    if resident_bytes:
                        self.history.usage.append(Usage(time.monotonic(), part, pid, resident_bytes, files))
            await asyncio.sleep(USAGE_EVERY_S)

    # ---- the end ----

    async def unlike_wanted(self) -> str:
        """What does not stand as was decided last; empty if all does."""
        if not self.is_up:
            return "the run is not up"
        seen, metrics = await self.control("/control/observation"), await self.control("/metrics")
        if seen is None or metrics is None:
            return "the gateway does not answer"
        configured = json.loads(seen)["configuration"]
        if configured != self.wanted.now:
            return f"configured: {configured}"
        values = metric_values(metrics.decode())
        listed = {key[1:]: int(value) for key, value in values.items() if key[0] == "ipa_replicas" and value}
        ready = {(name, "ready", stage["variant"]): stage["replicas"] for name, stage in self.wanted.now.items()}
        if listed != ready:
            return f"listed: {listed}"
        running, expected = len(self.parts("replica")), sum(stage["replicas"] for stage in self.wanted.now.values())
        return "" if running == expected else f"{running} replicas run, for {expected}"

    async def close(self) -> None:
        """Read the books to their end, end the run, and see how it does."""
        if self._books is not None:
            for task in self._watching:
                task.cancel()
            await asyncio.gather(*self._watching, return_exceptions=True)
            if problem := await self._books.close():
                self.history.defects.append(f"the books at the end: {problem}")
        else:
            self.history.outages.append(Span(self._down_since_s, inf))
        self._is_ending = True
        for pid in self.parts("controller"):
            os.kill(pid, signal.SIGTERM)
        if self._keeping is not None:
            await asyncio.wait([self._keeping], timeout=GONE_WITHIN_S)
            if not self._keeping.done():
                self.history.defects.append(f"the run does not end within {GONE_WITHIN_S:g} s of SIGTERM")
                for pid in self.parts("controller"):
                    os.kill(pid, signal.SIGUSR1)
                    await asyncio.sleep(LOOKED_AT_EVERY_S)
                    os.kill(pid, signal.SIGKILL)
                await self._keeping
        self.history.steps.append(steps(self._folder / "state.jsonl"))

    async def kill(self) -> None:
        """Leave no process behind, whatever has happened."""
        if self._keeping is not None and not self._keeping.done():
            everyone = [*descendants(self.pid), self.pid] if self.pid else []
            self._keeping.cancel()
            for pid in everyone:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for task in (*self._watching, *filter(None, [self._keeping])):
            task.cancel()
        await asyncio.gather(*self._watching, *filter(None, [self._keeping]), return_exceptions=True)
        await self.relays.close()
        if self._session is not None:
            await self._session.close()
