"""One live run on loopback: plane, controller and load, from the first process to the last."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from live.collect import Collector
from live.control import control
from live.deadline import Deadline
from live.errors import RunError
from live.gateway_client import RefusedError
from live.launcher import log_end
from live.load import DEFAULT_BODY, UNANSWERED, FloatArray, Job, Sent, write_job
from live.loopback import LoopbackBackend, ended
from live.monitoring import GatewaySource, Reading, Source, SourceError, quantiles
from live.monitoring.prometheus import PrometheusSource
from live.monitoring.server import open_prometheus
from live.plane import LOAD, Plane
from policies import (
    Applied,
    Backend,
    Configuration,
    Controller,
    Entry,
    Journal,
    LatencyQuantiles,
    Observation,
    ReplicaCounts,
    StageConfiguration,
)
from sim.laws import violations
from sim.records import Records

LEAD_S = 0.5
"""From everything being ready to t = 0."""
SHOWN_EVERY_S = 1.0
RECENT_S = 10.0
"""Of the last how many seconds the latencies shown are."""


@dataclass(frozen=True)
class Control:
    """How a run is controlled and watched.

    `source` is "gateway" or "prometheus"; with the latter `prometheus` is the URL of a server that scrapes the gateway,
    or None to start one. `advise`: decide and journal, and change nothing.
    """

    interval_s: float
    history_rps: tuple[float, ...]
    source: str = "gateway"
    prometheus: str | None = None
    advise: bool = False
    first_step: int = 1


@dataclass(frozen=True)
class Load:
    """What is sent: requests at these moments, shape (requests,), of a load of `duration_s`; answers are waited for
    until `patience_s` after it."""

    arrivals_s: FloatArray
    duration_s: float
    patience_s: float
    body: dict[str, Any] = field(default_factory=lambda: DEFAULT_BODY)


@dataclass(frozen=True)
class StageView:
    """One stage as it stands."""

    configuration: StageConfiguration
    replicas: Mapping[str, ReplicaCounts]
    queue_length: int
    in_service: int
    latency: LatencyQuantiles
    failed_variants: tuple[str, ...]
    failures: Mapping[str, int]


@dataclass(frozen=True)
class View:
    """A run as it stands: what a person wants to see of it every second.

    `load_rps` is that of the last whole second (NaN: none yet), `latency` of what completed in the last 10 s; `ended`
    and `violations` count requests since the start; `cores` are of all replicas that exist. `failures`: replicas that
    died, by variant.
    """

    time_s: float
    duration_s: float
    load_rps: float
    entry: Entry | None
    stages: Mapping[str, StageView]
    latency: LatencyQuantiles
    sla_s: float
    ended: int
    violations: int
    cores: int
    mean_cores: float
    url: str


@dataclass(frozen=True)
class Finished:
    """What a live run left behind; `ended` says why it ended early, empty where it did not.

    `broken_laws` are the laws of the model that the records do not keep, one sentence each.
    """

    records: Records
    sent: Sent
    ended: str
    lost: int
    foreign: int
    held: int
    broken_laws: tuple[str, ...]


class Advised:
    """A backend that sees all and changes nothing."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def observe(self) -> Observation:
        """What the backend observes."""
        return self._backend.observe()

    def apply(self, configuration: Configuration) -> Applied:
        """Nothing is applied."""
        return Applied(False, "advise: nothing is changed")


async def run(
    plane: Plane,
    controller: Controller,
    deadline: Deadline,
    journal: Journal,
    initial: Configuration,
    load: Load,
    how: Control,
    on_view: Callable[[View], object] = lambda _: None,
    on_step: Callable[[Entry, float], object] = lambda *_: None,
    backend_in: Callable[[Path], LoopbackBackend] | None = None,
) -> Finished:
    """Run until every request of the load has ended; SIGINT or SIGTERM ends it early.

    `initial` stands ready at t = 0. `on_view` is told every second how things stand, `on_step` each entry of the
    journal and how long the decision took [s]. `backend_in` makes the backend, given a folder for its logs; None: one
    of processes on this machine. A second SIGINT ends the program at once. No process is left behind, however the run
    ends.

    Raises RunError where plane or load do not come up.
    """
    with TemporaryDirectory(prefix="ipa-live-") as name:
        folder = Path(name)
        backend = LoopbackBackend(plane, folder, how.history_rps) if backend_in is None else backend_in(folder)
        stopping = _Stopping(backend, folder)
        try:
            await stopping.must(backend.open(initial))
            live = _Run(backend, controller, deadline, journal, load, how, on_view, on_step)
            await stopping.must(live.prepare(folder))
            await stopping.may(live.go())
            return await live.finish(stopping.why)
        finally:
            await backend.close()
            stopping.close()


class _Stopping:
    """What ends a run early: a signal, or a failure of the backend; `why` says which."""

    def __init__(self, backend: LoopbackBackend, folder: Path) -> None:
        self._backend = backend
        self._folder = folder
        self._asked = asyncio.Event()
        self.why = ""
        is_main = threading.current_thread() is threading.main_thread()
        self._numbers = (signal.SIGINT, signal.SIGTERM) if is_main else ()  # elsewhere none arrive
        for number in self._numbers:
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        if self._asked.is_set():
            self._backend.launcher.kill()
            shutil.rmtree(self._folder, ignore_errors=True)
            os._exit(1)
        self._asked.set()

    async def must(self, work: Coroutine[Any, Any, None]) -> None:
        """Do some work. Raises RunError or KeyboardInterrupt where the run has to end before it is done."""
        if not await self.may(work):
            if self._asked.is_set():
                raise KeyboardInterrupt
            raise RunError(self.why)

    async def may(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do some work until the run has to end early; whether it was done."""
        doing = asyncio.ensure_future(work)
        asked = asyncio.ensure_future(self._asked.wait())
        events: set[asyncio.Future[Any]] = {doing, asked, self._backend.failed}
        await asyncio.wait(events, return_when=asyncio.FIRST_COMPLETED)
        asked.cancel()
        if doing.done():
            doing.result()
            return True
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)
        failure = self._backend.failed.exception() if self._backend.failed.done() else None
        self.why = "interrupted" if failure is None else str(failure)
        return False

    def close(self) -> None:
        for number in self._numbers:
            asyncio.get_running_loop().remove_signal_handler(number)


class _Run:
    """The run proper: what happens from t = 0 on."""

    def __init__(
        self,
        backend: LoopbackBackend,
        controller: Controller,
        deadline: Deadline,
        journal: Journal,
        load: Load,
        how: Control,
        on_view: Callable[[View], object],
        on_step: Callable[[Entry, float], object],
    ) -> None:
        self._backend = backend
        self._controller = controller
        self._deadline = deadline
        self._journal = journal
        self._load = load
        self._how = how
        self._on_view = on_view
        self._on_step = on_step
        self._collector = Collector(backend.client, tuple(backend.stages))
        self._eyes = GatewaySource(backend.client, 1)
        self._recent: deque[tuple[float, float]] = deque()  # when a request completed, and its latency
        self._ended = self._violations = 0
        self._load_ended = asyncio.Event()

    async def prepare(self, folder: Path) -> None:
        """Everything that has to stand before t = 0."""
        self._result, self._job = folder / "sent.npz", folder / "job.npz"
        self._backend.source = await self._source(folder)

    async def _source(self, folder: Path) -> Source:
        history_s = len(self._how.history_rps)
        if self._how.source == "gateway":
            return GatewaySource(self._backend.client, history_s)
        url = self._how.prometheus
        if url is None:
            url = await open_prometheus(self._backend, folder, [self._backend.control_url])
        pipeline = self._backend.plane.pipeline.name
        stages = tuple(self._backend.stages)
        session = self._backend.session
        return PrometheusSource(session, url, pipeline, stages, history_s, lambda: self._backend.now_s)

    async def go(self) -> None:
        """From t = 0 until every request has ended, or the bound."""
        backend, load = self._backend, self._load
        origin_s = time.monotonic() + LEAD_S
        await backend.start(origin_s)
        patience_s = load.duration_s - (load.arrivals_s[-1] if len(load.arrivals_s) else 0.0) + load.patience_s
        job = Job(backend.url, backend.plane.pipeline.name, origin_s, patience_s, load.body)
        write_job(job, load.arrivals_s, self._job)
        self._log = backend.run_process("load", LOAD, [str(self._job), str(self._result)], self._on_load_ended)
        watching = backend.spawn(self._watch())
        try:
            await asyncio.gather(self._until_all_ended(), self._steps())
        finally:
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    async def _until_all_ended(self) -> None:
        await self._load_ended.wait()
        await asyncio.sleep(max(self._load.duration_s - self._backend.now_s, 0.0))

    def _on_load_ended(self, status: int) -> None:
        self._load_ended.set()
        if status != 0:
            self._backend.fail(f"the load generator has ended ({ended(status)}):\n{log_end(self._log)}")

    async def _steps(self) -> None:
        """The control loop: it ends with the load's duration."""
        advised = Advised(self._backend) if self._how.advise else None
        await control(
            self._controller,
            self._backend,
            self._how.interval_s,
            self._load.duration_s,
            on_step=lambda entry: self._on_step(entry, self._deadline.decision_s),
            first=self._how.first_step,
            applied_by=advised,
        )

    async def finish(self, why: str) -> Finished:
        """Stop the load, if it goes on, and put together what the run has left."""
        backend, load = self._backend, self._load
        end_s = backend.now_s
        if not self._load_ended.is_set():
            backend.launcher.signal("load", signal.SIGTERM)
            with suppress(TimeoutError):
                async with asyncio.timeout(5.0):
                    await self._load_ended.wait()
        with suppress(RunError, RefusedError):
            await self._collector.fetch()
        sent = Sent.read(self._result) if self._result.is_file() else _presumed(load.arrivals_s, end_s)
        duration_s = load.duration_s if not why else min(load.duration_s, max(end_s, 1.0))
        records = self._collector.records(sent, backend.stages, backend.configured, duration_s, end_s)
        collected = self._collector
        is_whole = not (why or collected.lost or collected.foreign)
        has_lost_replicas = any(stage.deaths for stage in backend.stages.values())
        broken = tuple(_broken_laws(records, is_whole, has_lost_replicas))
        return Finished(records, sent, why, collected.lost, collected.foreign, self._deadline.held, broken)

    # ---- what a person sees ----

    async def _watch(self) -> None:
        """Collect records and show how things stand, every second of the run's clock."""
        while True:
            await asyncio.sleep(SHOWN_EVERY_S - self._backend.now_s % SHOWN_EVERY_S)
            try:
                self._count(await self._collector.fetch())
                reading = await self._eyes.read(self._backend.now_s)
            except (RunError, RefusedError, SourceError):
                continue  # a gateway that has died ends the run by its exit
            self._on_view(self._view(reading))

    def _count(self, records: list[dict[str, Any]]) -> None:
        sla_s = self._backend.plane.pipeline.sla_s
        for record in records:
            latency_s = record["end_s"] - record["arrival_s"]
            is_completed = record["outcome"] == "completed"
            self._ended += 1
            self._violations += not (is_completed and latency_s <= sla_s)
            if is_completed:
                self._recent.append((record["end_s"], latency_s))
        while self._recent and self._recent[0][0] < self._backend.now_s - RECENT_S:
            self._recent.popleft()

    def _view(self, reading: Reading) -> View:
        backend, now_s = self._backend, reading.time_s
        entries = self._journal.entries
        return View(
            time_s=now_s,
            duration_s=self._load.duration_s,
            load_rps=reading.load_rps[-1] if reading.load_rps else float("nan"),
            entry=entries[-1] if entries else None,
            stages={
                name: StageView(
                    configuration=stage.configuration,
                    replicas=stage.counts(),
                    queue_length=reading.stages[name].queue_length,
                    in_service=reading.stages[name].in_service,
                    latency=reading.stages[name].latency,
                    failed_variants=stage.failed_variants,
                    failures=dict(stage.deaths),
                )
                for name, stage in backend.stages.items()
            },
            latency=quantiles([latency_s for _, latency_s in self._recent]),
            sla_s=backend.plane.pipeline.sla_s,
            ended=self._ended,
            violations=self._violations,
            cores=sum(stage.cores for stage in backend.stages.values()),
            mean_cores=sum(stage.core_s(now_s) for stage in backend.stages.values()) / max(now_s, 1e-9),
            url=backend.url,
        )


def _broken_laws(records: Records, is_whole: bool, has_lost_replicas: bool) -> Iterator[str]:
    """The laws that a live run breaks, of those that it can be held to.

    The integral of L9 is an engine's own. A batch tried again starts after those that overtook it (L3). Of a run that
    is not whole, or not the load's alone, batches lack members.
    """
    for law in violations(records, eager=False):
        is_excused = (
            law.startswith("L9")
            or (has_lost_replicas and law.startswith("L3"))
            or (not is_whole and "does not have the members it says" in law)
        )
        if not is_excused:
            yield law


def _presumed(arrivals_s: FloatArray, end_s: float) -> Sent:
    """What a load generator that left no account was to send until a moment."""
    count = int(np.searchsorted(arrivals_s, end_s))
    unknown = np.full(count, np.nan)
    return Sent(
        np.arange(count), arrivals_s[:count], unknown, unknown.copy(), np.full(count, UNANSWERED, dtype=np.int64)
    )
