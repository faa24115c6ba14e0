"""What all live backends have in common, whatever their replicas are."""

from __future__ import annotations

import asyncio
import signal
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ipa.live.errors import RunError
from ipa.live.gateway_client import GatewayClient, RefusedError
from ipa.live.launcher import Launcher, log_end
from ipa.live.monitoring import Access, SourceMaker
from ipa.live.observer import Observer
from ipa.live.plane import Plane
from ipa.live.stage_replicas import StageReplicas
from ipa.policies import Applied, Configuration, Observation
from ipa.sim import Held, rules

if TYPE_CHECKING:
    import aiohttp

T = TypeVar("T")

OnRollback = Callable[[int, str], object]
"""Called with the number of a step whose decision was rolled back, and why."""

TROUBLES: Mapping[str, str] = {
    "no_sample": "nothing has been sampled since the previous step, or the source does not answer: policies hold "
    "the configuration",
    "no_lease": "another controller holds the Lease, or it cannot be renewed: nothing is changed",
    "no_api": "the latest look at the cluster failed, or the watch of its pods was interrupted: the "
    "controller tries again",
    "no_gateway": "no gateway is ready: requests fail, and policies hold the configuration until Kubernetes has "
    "started another",
    "no_replica": "no replica of a stage is ready: its requests wait for one until they are dropped",
    "held": "the kill switch is on: nothing is changed",
    "stopped": "another manager owns or has paused an object that must change, or the API server forbids the "
    "change: it is left as it is, and decisions that change it are refused",
    "foreign_scaler": "another has set a stage's replicas: they are set back, or left to it while it keeps "
    "setting them",
    "lost_node": "a node with replicas or the gateway is not ready: requests go elsewhere, and it counts against "
    "no variant",
    "no_room": "quota or nodes have no room for all replicas: policies get a lower limit on cores",
    "failed_variant": "a variant does not become ready, or is avoided because it has failed",
}
"""What may keep a controller from its work: kind -> what it is, and what follows."""

NO_CHANGE = "advise: nothing is changed"
"""Why decisions are not applied where steps only advise."""

ENDED_POLLED_EVERY_S = 0.02
"""How often a closing run checks whether its processes have ended."""


class LiveBackend(ABC):
    """Implements `ipa.policies.interface.Backend` in real time: a gateway with its queues, and replicas that converge.

    It is created and lives in an event loop; `observe` and `apply` are called from another thread. `apply` sets the
    desired configuration; one task, the reconcile loop, compares it with the actual state and acts (level-triggered: an
    event only wakes it). Other processes of a run, such as the load, are children of the launcher on this machine.

    `connect` makes the client of the gateway's control API; `source`, the source of observations. `on_rollback` is
    called for each accepted decision that is undone later.

    `url` is where the load goes, `control_url` the gateway's control API (empty: not reached by a URL). `failed` is
    done, with RunError, once the run cannot go on. `rollbacks` counts rollbacks by stage and variant, `look_failures`
    the looks that failed. With `advises`, it observes, and applies no decision.
    """

    url: str
    control_url = ""
    look_failures = 0
    advises = False
    stages: Mapping[str, StageReplicas]

    def __init__(
        self,
        plane: Plane,
        folder: Path,
        history_rps: tuple[float, ...],
        connect: Callable[[aiohttp.ClientSession], GatewayClient],
        source: SourceMaker,
        on_rollback: OnRollback,
    ) -> None:
        import aiohttp

        self.plane = plane
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.launcher = Launcher(self._on_launcher)
        self.rollbacks: Counter[tuple[str, str]] = Counter()
        self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self.client = connect(self.session)
        access = Access(plane.pipeline, self.client, self.session, len(history_rps), lambda: self.now_s)
        self._observer = Observer(plane, history_rps, source(access))
        self._on_rollback = on_rollback
        self._folder = folder
        self._loop = asyncio.get_running_loop()
        self._origin_s = time.monotonic()
        self._wake = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._step, self._late = 0, ""
        self._most_cores = plane.most_cores
        self._is_shared = False

    # ---- the run ----

    @abstractmethod
    async def open(self, initial: Configuration) -> None:
        """Wait until `initial` is ready. Raises RunError, with the reason, if it does not become so."""

    @abstractmethod
    async def start(self, origin_s: float) -> None:
        """Set the run's t = 0 to a moment of `time.monotonic()`."""

    @property
    def now_s(self) -> float:
        return time.monotonic() - self._origin_s

    @property
    def wanted(self) -> Configuration:
        """What the replicas converge to."""
        return {name: stage.configuration for name, stage in self.stages.items()}

    @property
    def models(self) -> Mapping[str, str]:
        """The digests of the run's real models, by STAGE/VARIANT, as fixed so far; a replica that finds another model
        does not start."""
        return {}

    @property
    def limit_held_cores(self) -> int | None:
        """The limit that the cores of all replicas are never above, by the run's clock; None: there is no such."""
        return None

    @property
    def configured(self) -> dict[str, list[tuple[float, int]]]:
        """The batch sizes in force at each stage, as (since when, size)."""
        return {name: stage.batches for name, stage in self.stages.items()}

    async def close(self) -> None:
        """End every process of the run on this machine with SIGTERM, and those that remain with SIGKILL."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for name in list(self.launcher.pids):
            self.launcher.signal(name, signal.SIGTERM)
        patience_s = time.monotonic() + self.plane.stop_s + 2.0
        while self.launcher.pids and time.monotonic() < patience_s:
            await asyncio.sleep(ENDED_POLLED_EVERY_S)
        await self.launcher.close()
        await self.session.close()
        if self.failed.done():
            self.failed.exception()  # marks it as retrieved

    def troubles(self) -> dict[str, str]:
        """What keeps the controller from its work now: kind, of `TROUBLES` -> a sentence."""
        return {"no_sample": self._observer.trouble} if self._observer.trouble else {}

    def fail(self, text: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(RunError(text))

    # ---- observe and apply: called from another thread ----

    def begin_step(self, step: int, late: str = "") -> None:
        """Number the next step; `late` tells the journal why the steps before it were skipped."""
        self._step, self._late = step, late

    def observe(self) -> Observation:
        """The present observation; without a sample the load is NaN, and policies hold."""
        return self._in_loop(self._observe())

    def apply(self, configuration: Configuration) -> Applied:
        """Put batch sizes and timeouts in force before this returns; the replicas converge."""
        return self._in_loop(self._apply(configuration))

    def limit_to(self, exist_cores: int) -> None:
        """From the next decision on, no more cores exist than this, or than the run's own limit."""
        own_cores, self._is_shared = self.plane.most_cores, True
        self._most_cores = exist_cores if own_cores is None else min(exist_cores, own_cores)

    def claim_cores(self, decided: Configuration | None = None) -> int:
        """The most cores that may exist until the next decision: without one, or with this one.

        It holds: budgets are lowered to what a stage may still need.
        """
        return self._in_loop(self._claim_cores(decided))

    async def _claim_cores(self, decided: Configuration | None) -> int:
        cores = 0
        for name, stage in self.stages.items():
            held = _held(stage)
            cores += held.most(stage.configuration, None if decided is None else decided[name])
            if stage.budget_cores is not None:
                stage.budget_cores = held.most(stage.configuration)
        return cores

    def _in_loop(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

    async def _apply(self, configuration: Configuration) -> Applied:
        refusal = NO_CHANGE if self.advises else self._refusal(configuration)
        if refusal:
            return self._refused(refusal)
        before_s = self.now_s
        try:
            await self.client.configure(configuration)
        except RefusedError as error:
            return self._refused(f"the gateway refused it: {error}")
        except RunError as failure:
            return self._refused(str(failure))
        for name, stage in self.stages.items():
            stage.configuration = configuration[name]
            stage.note_batch(configuration[name].batch, before_s, self.now_s)
        self._set_budgets()
        self._wake.set()
        return Applied(True, self._late)

    def _set_budgets(self) -> None:
        """Divide the limit of cores among the stages, for the decision that has just taken effect (rule 5)."""
        if self._most_cores is None:
            return
        stages = self.stages.values()
        desired_cores = [stage.configuration.replicas * stage.configuration.cores for stage in stages]
        budgets = rules.budgets_within(self._most_cores, [stage.cores for stage in stages], desired_cores)
        for stage, budget_cores in zip(stages, budgets, strict=True):
            stage.budget_cores = budget_cores

    def _refused(self, why: str) -> Applied:
        """The outcome of a decision that is not applied: why, and why steps before this one were skipped."""
        return Applied(False, "; ".join(filter(None, (why, self._late))))

    @abstractmethod
    def _refusal(self, configuration: Configuration) -> str:
        """Why a configuration is refused now; empty if it is not."""

    async def _observe(self) -> Observation:
        return await self._observer.observe(self._step, self.now_s, self.stages)

    # ---- the reconcile loop ----

    async def _reconcile_loop(self) -> None:
        while True:
            self._wake.clear()
            wait_s = await self._reconcile()
            # Not wait_for, which in Python 3.11 may lose a cancellation that comes with the event.
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._wake.wait()

    @abstractmethod
    async def _reconcile(self) -> float:
        """One pass: compare everything and act; returns the longest time until the next pass [s]."""

    # ---- processes and tasks ----

    async def _open_launcher(self, modules: Sequence[str], pipeline: str = "") -> None:
        """Start the launcher; processes of `modules`, with the pipeline, then start in a moment."""
        await self.launcher.open(modules, self._log("launcher"), pipeline)

    def run_process(self, name: str, module: str, arguments: list[str], on_exit: Callable[[int], object]) -> Path:
        """Start a process of the run, such as the load; return the path of its log. `on_exit` is called with its exit
        status."""
        log = self._log(name)
        self.launcher.start(name, module, arguments, log, on_exit)
        return log

    def _on_launcher(self) -> None:
        self.fail(f"the launcher of the processes has died:\n{log_end(self._log('launcher'))}")

    def _log(self, name: str) -> Path:
        return self._folder / f"{name}.log"

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine as a task; an exception in it ends the run."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.fail(str(error) if isinstance(error, RunError) else f"a defect of this program: {error!r}")


def _held(stage: StageReplicas) -> Held:
    """What exists of a stage; without a budget of cores, it has what its configuration needs."""
    wanted = stage.configuration
    current = sum((each.variant, each.cores) == (wanted.variant, wanted.cores) for each in stage.existing)
    budget_cores = stage.cores + wanted.total_cores if stage.budget_cores is None else stage.budget_cores
    return Held(stage.cores, current, budget_cores)
