"""The backend whose replicas are processes on this machine."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from live.errors import RunError
from live.gateway_client import GatewayClient, RefusedError
from live.launcher import Launcher, log_end
from live.monitoring.reading import Reading, Source, SourceError, StageReading, window
from live.plane import GATEWAY, LOOPBACK, PRELOADED, SERVER, Plane, free_port, gateway_arguments, server_arguments
from live.replicas import STEADY_AFTER_S, Replica, StageReplicas
from policies import Applied, Configuration, Observation, StageObservation

T = TypeVar("T")

POLLED_EVERY_S = 0.02
"""Between two questions whether a starting replica is ready, or a draining one idle; at first."""
POLLED_AT_LEAST_EVERY_S = 0.2
"""Between two such questions of a replica that takes its time."""
READY_WITHIN_S = 30.0
"""How long beyond its start-up time a process may take until it is ready."""
STOPS_WITHIN_S = 30.0
"""How long beyond its stop time a process may take to end after SIGTERM; then it is killed."""
MOST_REPLICAS = 250
"""The most replicas that one machine is asked to run, each a process."""
LOOKED_AT_EVERY_S = 1.0
"""The reconcile loop looks at everything this often even if nothing has happened."""


class LoopbackBackend:
    """Implements `policies.interface.Backend` with a gateway and one model server a replica, all on loopback.

    It lives in an event loop; `observe` and `apply` are for a thread beside that loop. What is wanted is set by
    `apply`; one task, the reconcile loop, compares it with what there is and acts (level-triggered: an event only wakes
    it).
    `failed` is done, with RunError, once the run cannot go on.
    """

    most_replicas = MOST_REPLICAS

    def __init__(self, plane: Plane, folder: Path, history_rps: tuple[float, ...]) -> None:
        self.plane = plane
        self.stages: dict[str, StageReplicas] = {}
        self.configured: dict[str, list[tuple[float, int]]] = {}
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.launcher = Launcher(self._on_exit)
        self._folder = folder
        self._history_rps = history_rps
        self._loop = asyncio.get_running_loop()
        self._origin_s = time.monotonic()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._others: dict[str, Callable[[int], object]] = {}  # what to do when a process that is no replica ends
        self._replicas: dict[str, Replica] = {}  # by process name
        self._step, self._late = 0, ""
        self._observed_s, self._sampled_s = 0.0, 0.0
        self.source: Source | None = None

    # ---- the run ----

    async def open(self, initial: Configuration) -> None:
        """Start the gateway and the replicas of `initial`, and wait until all stand ready.

        Raises RunError, with the end of a log, where one does not come up.
        """
        import aiohttp

        at_start = sum(each.replicas for each in initial.values())
        if at_start > MOST_REPLICAS:
            raise RunError(f"{at_start} replicas: one machine runs at most {MOST_REPLICAS}; see limit_cores")
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.launcher.on_death = self._on_launcher
        await self.launcher.open(PRELOADED, self._log("launcher"), self.plane.source)
        await self._open_gateway()
        for stage in self.plane.pipeline.stages:
            wanted = initial[stage.name]
            replicas = StageReplicas(stage.name, wanted, self.plane.max_surge, self.plane.max_unavailable)
            self.stages[stage.name] = replicas
            self.configured[stage.name] = [(0.0, wanted.batch)]
            for _ in range(wanted.replicas):
                self._start(replicas.create(0.0), start_up_s=0.0)
        await self.client.configure(initial)
        await self._until_initial_ready()
        await self.client.list_replicas(self._listed())
        self.spawn(self._converge())

    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`."""
        self._origin_s = origin_s
        await self.client.start(origin_s)
        for stage in self.stages.values():
            for replica in stage.all:
                replica.created_s = replica.ready_s = 0.0
        self._wake.set()

    @property
    def now_s(self) -> float:
        """The run's clock."""
        return time.monotonic() - self._origin_s

    async def close(self) -> None:
        """End every process of the run: replicas and gateway by SIGTERM, what does not end by SIGKILL."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in list(self.launcher.pids):
            self.launcher.signal(name, signal.SIGTERM)
        patience_s = time.monotonic() + self.plane.stop_s + 2.0
        while self.launcher.pids and time.monotonic() < patience_s:
            await asyncio.sleep(POLLED_EVERY_S)
        await self.launcher.close()
        if hasattr(self, "session"):
            await self.session.close()
        if self.failed.done():
            self.failed.exception()  # has been looked at

    def run_process(self, name: str, module: str, arguments: list[str], on_exit: Callable[[int], object]) -> Path:
        """Start another process of the run, such as the load; the path of its log."""
        log = self._log(name)
        self._others[name] = on_exit
        self.launcher.start(name, module, arguments, log)
        return log

    # ---- the seam: from a thread beside the event loop ----

    def begin_step(self, step: int, late: str = "") -> None:
        """Number the step to come; `late` says, for the journal, why steps before it were skipped."""
        self._step, self._late = step, late

    def observe(self) -> Observation:
        """The present observation; where the source gives none, the load is NaN and the policies hold."""
        return self._in_loop(self._observe())

    def apply(self, configuration: Configuration) -> Applied:
        """Batch sizes and timeouts are in force when this returns; the replicas converge."""
        return self._in_loop(self._apply(configuration))

    def _in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _apply(self, configuration: Configuration) -> Applied:
        before_s = self.now_s
        wanted = sum(each.replicas for each in configuration.values())
        if wanted > self.most_replicas:
            return Applied(False, f"{wanted} replicas: one machine runs at most {self.most_replicas}; see limit_cores")
        try:
            await self.client.configure(configuration)
        except RefusedError as refusal:
            return Applied(False, f"the gateway refused it: {refusal}")
        except RunError as failure:
            return Applied(False, str(failure))
        for name, stage in self.stages.items():
            self._note_batch(name, configuration[name].batch, before_s)
            stage.configuration = configuration[name]
        self._wake.set()
        return Applied(True, self._late)

    def _note_batch(self, stage: str, batch: int, before_s: float) -> None:
        """A batch size came into force between the asking and now: the larger of the two held all that time."""
        latest = self.configured[stage][-1][1]
        if batch != latest:
            self.configured[stage].append((before_s if batch > latest else self.now_s, batch))

    async def _observe(self) -> Observation:
        assert self.source is not None
        try:
            reading = await self.source.read(self.now_s)
            self._sampled_s = reading.time_s - reading.sample_age_s
        except SourceError:
            reading = self._nothing()
        since_s, self._observed_s = self._observed_s, reading.time_s
        return Observation(
            pipeline=self.plane.pipeline.name,
            step=self._step,
            seed=self.plane.seed,
            time_s=reading.time_s,
            load_rps=window(reading.load_rps, self._history_rps, len(self._history_rps)),
            sample_age_s=reading.sample_age_s,
            limit_cores=self.plane.limit_cores,
            stages={
                name: _observed(stage, reading.stages.get(name, StageReading()), since_s, reading.time_s)
                for name, stage in self.stages.items()
            },
            latency=reading.latency,
        )

    def _nothing(self) -> Reading:
        """The reading where there is none: no sample, which is not zero load."""
        now_s = self.now_s
        unknown = (float("nan"),) * len(self._history_rps)
        return Reading(now_s, unknown, max(now_s - self._sampled_s, 0.0), {})

    # ---- the reconcile loop ----

    async def _converge(self) -> None:
        while True:
            self._wake.clear()
            wait_s = await self._look()
            # Not wait_for, which in Python 3.11 may lose a cancellation that comes with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    async def _look(self) -> float:
        """One look at everything, and what follows from it; in how many seconds to look again at the latest."""
        try:
            await self.client.list_replicas(self._listed())
            removed = [each for stage in self.stages.values() for each in self._roll_out(stage, self.now_s)]
            if removed:
                await self.client.list_replicas(self._listed())
        except RefusedError as refusal:
            self.fail(f"the gateway refused the list of replicas: {refusal}")
            return LOOKED_AT_EVERY_S
        except RunError:
            return LOOKED_AT_EVERY_S  # one that has died is found by its exit, one that is slow asked again
        for replica in removed:
            replica.removed_s = self.now_s  # until the gateway knew, a batch could start there
        waits_s = [LOOKED_AT_EVERY_S]
        for stage in self.stages.values():
            waits_s += [POLLED_EVERY_S for replica in stage.draining if not self._stop_if_idle(replica)]
            back_off_s = stage.back_off_left_s(self.now_s)
            waits_s += [back_off_s] if back_off_s > 0.0 else []
        return min(waits_s)

    def _roll_out(self, stage: StageReplicas, now_s: float) -> list[Replica]:
        """Start what the next rollout step creates; the replicas that it removes."""
        stage.note_steady(now_s)
        change = stage.roll_out(now_s)
        for replica in change.remove:
            replica.removed_s = now_s
        for _ in range(change.create):
            replica = stage.create(now_s)
            self._start(replica, self._start_up_s(replica))
        return change.remove

    def _stop_if_idle(self, replica: Replica) -> bool:
        """Ask a removed replica to end once its batch is done; whether that has been asked."""
        if replica.is_stopping:
            return True
        if replica.is_busy and not replica.is_starting:
            return False
        replica.is_stopping = True
        self.launcher.signal(replica.name, signal.SIGTERM)
        self.spawn(self._kill_later(replica))
        return True

    async def _kill_later(self, replica: Replica) -> None:
        await asyncio.sleep(self.plane.stop_s + STOPS_WITHIN_S)
        if not replica.is_gone:
            self.launcher.signal(replica.name, signal.SIGKILL)

    def _listed(self) -> dict[str, list[Replica]]:
        """What the gateway is told: ready replicas, and draining ones that may be busy."""
        return {
            name: [each for each in (*stage.ready, *stage.draining) if not each.is_starting]
            for name, stage in self.stages.items()
        }

    # ---- processes ----

    def _start(self, replica: Replica, start_up_s: float) -> None:
        port = free_port()
        replica.url = f"http://{LOOPBACK}:{port}"
        self._replicas[replica.name] = replica
        arguments = server_arguments(self.plane, replica, port, time.monotonic(), start_up_s)
        self.launcher.start(replica.name, SERVER, arguments, self._log(replica.name))
        self.spawn(self._await_ready(replica, start_up_s))

    def _start_up_s(self, replica: Replica) -> float:
        return self.plane.pipeline.stage(replica.stage).variant(replica.variant).start_up_s

    async def _await_ready(self, replica: Replica, start_up_s: float) -> None:
        """Ask the replica from when it should be ready until it is; kill it where that takes too long."""
        await asyncio.sleep(start_up_s)
        until_s = time.monotonic() + READY_WITHIN_S
        pause_s = POLLED_EVERY_S
        while not (replica.is_removed or replica.is_gone):
            if await self._answers_ready(replica.url):
                replica.ready_s = self.now_s
                self._wake.set()
                self.spawn(self._wake_after(STEADY_AFTER_S))
                return
            if time.monotonic() > until_s:
                self.launcher.signal(replica.name, signal.SIGKILL)
                return
            await asyncio.sleep(pause_s)
            pause_s = min(1.5 * pause_s, POLLED_AT_LEAST_EVERY_S)

    async def _wake_after(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._wake.set()

    async def _answers_ready(self, url: str) -> bool:
        import aiohttp

        try:
            async with self.session.get(f"{url}/v2/health/ready", timeout=aiohttp.ClientTimeout(total=2.0)) as response:
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError, OSError):
            return False

    async def _until_initial_ready(self) -> None:
        until_s = time.monotonic() + READY_WITHIN_S
        while waiting := [each for each in self._replicas.values() if each.is_starting]:
            if self.failed.done():
                self.failed.result()
            gone = next((each for each in waiting if each.is_gone), None)
            if gone is not None or time.monotonic() > until_s:
                late = gone or waiting[0]
                raise RunError(
                    f"replica {late.name} ({late.variant}) did not become ready:\n{log_end(self._log(late.name))}"
                )
            await asyncio.sleep(POLLED_EVERY_S)

    async def _open_gateway(self) -> None:
        port = self.plane.port or free_port()
        control_port = self.plane.control_port or free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        self.control_url = f"http://{LOOPBACK}:{control_port}"
        self.client = GatewayClient(self.session, self.control_url)
        log = self.run_process("gateway", GATEWAY, gateway_arguments(self.plane, port, control_port), self._on_gateway)
        until_s = time.monotonic() + READY_WITHIN_S
        while not await self.client.is_ready():
            if self.failed.done():
                self.failed.result()
            if time.monotonic() > until_s:
                raise RunError(f"the gateway did not become ready:\n{log_end(log)}")
            await asyncio.sleep(POLLED_EVERY_S)

    def _on_launcher(self) -> None:
        self.fail(f"the launcher of the processes has died:\n{log_end(self._log('launcher'))}")

    def _on_gateway(self, status: int) -> None:
        self.fail(f"the gateway has ended ({ended(status)}):\n{log_end(self._log('gateway'))}")

    def _on_exit(self, name: str, status: int) -> None:
        replica = self._replicas.get(name)
        if replica is None:
            on_exit = self._others.pop(name, None)
            if on_exit is not None:
                on_exit(status)
            return
        now_s = self.now_s
        replica.gone_s = now_s
        replica.is_busy = False
        if not replica.is_removed:
            self.stages[replica.stage].died(replica, now_s)
        self._wake.set()

    def fail(self, text: str) -> None:
        """The run cannot go on; the text says why."""
        if not self.failed.done():
            self.failed.set_exception(RunError(text))

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run something beside; a mistake in it ends the run."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.fail(f"a defect of this program: {task.exception()!r}")


def _observed(stage: StageReplicas, reading: StageReading, since_s: float, now_s: float) -> StageObservation:
    available_s = stage.available_s(since_s, now_s)
    return StageObservation(
        configuration=stage.configuration,
        arrivals=reading.arrivals,
        completions=reading.completions,
        drops=reading.drops,
        failures=reading.failures,
        queue_length=reading.queue_length,
        in_service=reading.in_service,
        replicas=stage.counts(),
        busy_fraction=min(reading.busy_s / available_s, 1.0) if available_s > 0.0 else 0.0,
        latency=reading.latency,
        failed_variants=stage.failed_variants,
    )


def ended(status: int) -> str:
    """An exit status in words."""
    return f"killed by signal {-status}" if status < 0 else f"exit status {status}"
