"""One live run on loopback: plane, controller and load, from the first process to the last."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from ipa.live.backend import LiveBackend
from ipa.live.collect import Collector
from ipa.live.control import control
from ipa.live.deadline import Deadline
from ipa.live.errors import RunError
from ipa.live.gateway_client import RefusedError
from ipa.live.launcher import in_words, log_end
from ipa.live.load import DEFAULT_BODY, UNANSWERED, FloatArray, Job, Sent, write_job
from ipa.live.loopback import LoopbackBackend
from ipa.live.monitoring import GatewaySource, Source
from ipa.live.monitoring.prometheus import PrometheusSource
from ipa.live.monitoring.server import open_prometheus
from ipa.live.plane import LOAD, Plane
from ipa.live.view import View, Watch
from ipa.policies import Applied, Backend, Configuration, Controller, Entry, Journal, Observation
from ipa.sim import Records, laws

LEAD_S = 0.5
"""From everything being ready to t = 0."""


@dataclass(frozen=True)
class Control:
    """How a run is controlled and watched.

    `source` is "gateway" or "prometheus"; with the latter `prometheus` is the URL of a server that scrapes the gateway,
    or None to start one, `prometheus_match` further label matchers. `advise`: decide and journal, and change nothing.
    """

    interval_s: float
    history_rps: tuple[float, ...]
    source: str = "gateway"
    prometheus: str | None = None
    advise: bool = False
    first_step: int = 1
    prometheus_match: tuple[str, ...] = ()


@dataclass(frozen=True)
class Load:
    """What is sent: requests at these moments, shape (requests,), of a load of `duration_s`; answers are waited for
    until `patience_s` after it."""

    arrivals_s: FloatArray
    duration_s: float
    patience_s: float
    body: dict[str, Any] = field(default_factory=lambda: DEFAULT_BODY)


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
    on_backend: Callable[[LiveBackend], object] = lambda _: None,
    backend_in: Callable[[Path], LiveBackend] | None = None,
) -> Finished:
    """Run until every request of the load has ended; SIGINT or SIGTERM ends it early.

    `initial` stands ready at t = 0. `on_view` is told every second how things stand, `on_step` each entry of the
    journal and how long the decision took [s], `on_backend` the backend before it is opened. `backend_in` makes the
    backend, given a folder for its logs; None: one of processes on this machine. A second SIGINT ends the program at
    once. No process is left behind, however the run ends.

    Raises RunError where plane or load do not come up.
    """
    with TemporaryDirectory(prefix="ipa-live-") as name:
        folder = Path(name)
        backend = LoopbackBackend(plane, folder, how.history_rps) if backend_in is None else backend_in(folder)
        backend.on_failed = journal.failed
        on_backend(backend)
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

    def __init__(self, backend: LiveBackend, folder: Path) -> None:
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
        backend: LiveBackend,
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
        self._load = load
        self._how = how
        self._collector = Collector(backend.client, tuple(backend.stages))
        self._watch = Watch(backend, self._collector, journal, load.duration_s, on_view)
        self._on_step = on_step
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
        return PrometheusSource.of(self._backend, url, history_s, self._how.prometheus_match)

    async def go(self) -> None:
        """From t = 0 until every request has ended, or the bound."""
        backend, load = self._backend, self._load
        origin_s = time.monotonic() + LEAD_S
        await backend.start(origin_s)
        patience_s = load.duration_s - (load.arrivals_s[-1] if len(load.arrivals_s) else 0.0) + load.patience_s
        job = Job(backend.url, backend.plane.pipeline.name, origin_s, patience_s, load.body)
        write_job(job, load.arrivals_s, self._job)
        self._log = backend.run_process("load", LOAD, [str(self._job), str(self._result)], self._on_load_ended)
        watching = backend.spawn(self._watch.run())
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
            self._backend.fail(f"the load generator has ended ({in_words(status)}):\n{log_end(self._log)}")

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


def _broken_laws(records: Records, is_whole: bool, has_lost_replicas: bool) -> Iterator[str]:
    """The laws that a live run breaks, of those that it can be held to.

    The integral of L9 is an engine's own. A batch tried again starts after those that overtook it (L3). Of a run that
    is not whole, or not the load's alone, batches lack members.
    """
    for law in laws.violations(records, eager=False):
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
