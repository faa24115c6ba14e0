"""The live loop, for runs with and without a load of their own: it opens a backend, takes control steps, and closes it.

A step is due every interval; one that would be late is skipped.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, closing, suppress
from dataclasses import dataclass
from math import ceil, inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, TypeVar

from ipa.live.controller_metrics import ControllerMetrics, serving
from ipa.live.errors import RunError
from ipa.live.live_backend import LiveBackend, OnRollback
from ipa.live.live_controller import Call, LiveController
from ipa.live.monitoring import PrometheusServer, SourceMaker, from_gateway, from_prometheus
from ipa.live.plane import LOOPBACK
from ipa.live.sending import Finished, Schedule, Sending, View
from ipa.live.stopping import Stopping
from ipa.policies import Configuration, Entry, Journal
from ipa.profiles import Pipeline


class BackendMaker(Protocol):
    """Makes the backend of a run, in its event loop; its logs go to `folder`."""

    def __call__(self, *, folder: Path, source: SourceMaker, on_rollback: OnRollback) -> LiveBackend: ...


@dataclass(frozen=True)
class Prometheus:
    """A Prometheus server that scrapes the gateway.

    `url` None: one is started for the run. `matchers` choose the gateway's series (see `from_prometheus`).
    """

    url: str | None = None
    matchers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Setup:
    """The settings of a live run.

    A control step is due every `interval_s`. `prometheus`: the source of observations; None: the gateway itself. With
    `advise`, steps decide and journal, and change nothing. The controller's own metrics are served at `metrics_port` of
    `metrics_host`; None: nowhere.
    """

    pipeline: Pipeline
    make_backend: BackendMaker
    interval_s: float
    prometheus: Prometheus | None = None
    advise: bool = False
    metrics_port: int | None = None
    metrics_host: str = LOOPBACK


LEAD_S = 0.5
"""From everything being ready to t = 0."""


def run_with_load(
    setup: Setup,
    controller: LiveController,
    initial: Configuration,
    schedule: Schedule,
    on_view: Callable[[View], object] = lambda _: None,
) -> Finished:
    """Send a load, and run until each of its requests has ended; `initial` is ready at t = 0.

    `on_view` is called every second with a view of the run. Once the load is
    being sent, a signal or a failure ends the run early; before that, it raises (see `in_loop`).
    """

    async def send(loop: Loop) -> Finished:
        sending = Sending(schedule, loop.backend, controller.journal, loop.folder, on_view)
        origin_s = time.monotonic() + LEAD_S
        await loop.stopping.must_finish(loop.backend.start(origin_s))
        return await loop.send(sending, schedule.duration_s, origin_s)

    return in_loop(send, setup, controller, initial)


def run_without_load(
    setup: Setup,
    controller: LiveController,
    initial: Configuration,
    duration_s: float | None = None,
    on_step: Callable[[Entry], object] = lambda _: None,
    recall: Callable[[Journal], object] = lambda _: None,
) -> None:
    """Control a pipeline whose load comes from elsewhere, for `duration_s` (None: without end) or until a signal.

    Steps are due at multiples of the interval on the gateway's clock; `on_step` is called with each new entry. Once no
    other controller is active, `recall` adds decisions from elsewhere to the journal, and the first step resumes from
    there. Raises as `in_loop`, and RunError for a failure later on; a signal raises nothing.
    """

    async def control(loop: Loop) -> None:
        await loop.resume(recall)
        await loop.take_over(duration_s)

    with suppress(KeyboardInterrupt):
        in_loop(control, setup, controller, initial, on_step)


T = TypeVar("T")


@dataclass(frozen=True)
class Loop:
    """An open backend, its controller, and what may end the run early; `folder` is the run's own, `name` that of one of
    several in a run."""

    setup: Setup
    controller: LiveController
    backend: LiveBackend
    stopping: Stopping
    folder: Path
    on_step: Callable[[Entry], object]
    name: str = ""

    async def send(self, sending: Sending, duration_s: float, origin_s: float) -> Finished:
        """Send a load of this duration, and take steps, from t = 0 on, until all has ended."""
        sending.start(origin_s)
        is_over, _ = await asyncio.gather(
            self.stopping.finishes(sending.until_all_ended()),
            self.take_steps(until_s=duration_s),
        )
        return await sending.finish("" if is_over else self.stopping.why)

    async def resume(self, recall: Callable[[Journal], object]) -> None:
        """Add what `recall` knows to the journal, resume from there, and take over the gateway's clock."""
        await asyncio.to_thread(recall, self.controller.journal)
        self.controller.resume()
        await self.stopping.must_finish(self.backend.start(0.0))

    async def take_over(self, duration_s: float | None) -> None:
        """Take steps for `duration_s` (None: without end), at multiples of the interval on the gateway's clock."""
        now_s, interval_s = self.backend.now_s, self.setup.interval_s
        await self.take_steps(
            since_s=now_s // interval_s * interval_s, until_s=inf if duration_s is None else now_s + duration_s
        )
        self.stopping.check()

    async def take_steps(self, *, since_s: float = 0.0, until_s: float = inf) -> None:
        """Take the steps that are due: every interval after `since_s`, before `until_s`, until something ends the run.

        A step is taken in a thread of its own, and one that has begun always ends first. A step that falls due before
        the previous one is done is skipped, and the journal shows it: the numbers have a gap, and the next entry's
        outcome says why.
        """
        interval_s, backend, turn, late = self.setup.interval_s, self.backend, 1, ""
        while since_s + turn * interval_s < until_s:
            if not await self.stopping.sleep(max(since_s + turn * interval_s - backend.now_s, 0.0)):
                return
            step = self.controller.first_step + turn - 1
            backend.begin_step(step, late)
            try:
                entry = await _in_thread(lambda: self.controller.step(backend))
            except RunError as error:  # its decision is in no journal, and not applied
                backend.fail(str(error))
                return
            self.on_step(entry)
            following = max(turn + 1, ceil((backend.now_s - since_s) / interval_s))
            late = _skipped(step + 1, step + following - turn - 1, step)
            turn = following


def in_loop(
    use: Callable[[Loop], Awaitable[T]],
    setup: Setup,
    controller: LiveController,
    initial: Configuration,
    on_step: Callable[[Entry], object] = lambda _: None,
) -> T:
    """Call `use` with a backend on which `initial` is ready; `on_step` is called with each new entry.

    SIGINT or SIGTERM ends it early, a second one ends the program at once. No process is left behind. Raises RunError
    if the backend does not start, KeyboardInterrupt for a signal before it has, LiveError for a taken metrics port.
    """

    async def main(metrics: ControllerMetrics | None) -> T:
        with closing(Stopping()) as stopping:
            async with opened(setup, controller, initial, stopping, on_step, metrics=metrics) as loop:
                return await use(loop)

    with serving(setup.metrics_port, setup.pipeline, setup.metrics_host) as metrics:
        return asyncio.run(main(metrics))


@asynccontextmanager
async def opened(
    setup: Setup,
    controller: LiveController,
    initial: Configuration,
    stopping: Stopping,
    on_step: Callable[[Entry], object] = lambda _: None,
    *,
    metrics: ControllerMetrics | None = None,
    name: str = "",
) -> AsyncIterator[Loop]:
    """A backend on which `initial` is ready, closed at the end; `name`: of several in one run. Raises as `in_loop`."""

    def stepped(entry: Entry) -> None:
        if metrics is not None:
            metrics.step(entry, controller.deadline.decision_s)
        on_step(entry)

    with TemporaryDirectory(prefix="ipa-live-") as path:
        folder = Path(path)
        source, server = _source(setup.prometheus, folder)
        backend = setup.make_backend(folder=folder, source=source, on_rollback=controller.journal.failed)
        if setup.advise:
            backend.advises = True

        def end_at_once() -> None:
            backend.launcher.kill()
            shutil.rmtree(folder, ignore_errors=True)

        stopping.follow(backend.failed, end_at_once, name)
        try:
            if metrics is not None:
                metrics.follow(backend)
            await stopping.must_finish(backend.open(initial))
            if server is not None:
                await stopping.must_finish(server.start(backend.run_process, [backend.control_url]))
            yield Loop(setup, controller, backend, stopping, folder, stepped, name)
        finally:
            await backend.close()


def _source(prometheus: Prometheus | None, folder: Path) -> tuple[SourceMaker, PrometheusServer | None]:
    """The maker of the source of observations, and the server to start for it, if any."""
    if prometheus is None:
        return from_gateway, None
    if prometheus.url is not None:
        return from_prometheus(prometheus.url, prometheus.matchers), None
    server = PrometheusServer(folder)
    return from_prometheus(server.url, prometheus.matchers), server


def _skipped(first: int, last: int, during: int) -> str:
    if last < first:
        return ""
    which = f"step {first} was" if first == last else f"steps {first} to {last} were"
    return f"{which} skipped: step {during} took too long"


async def _in_thread(function: Callable[[], Entry]) -> Entry:
    """Call a function in a thread, since it may itself wait for this event loop."""
    loop = asyncio.get_running_loop()
    done = asyncio.Event()
    call = Call(function, lambda: loop.call_soon_threadsafe(done.set))
    await done.wait()
    return call.result()
