"""Worker processes that make the runs of answers; they are warm and replaceable.

A policy that raises, prints, hangs or ends its process affects one run only, and is reported. A superseded run is
cancelled at its next decision; if that does not come soon, its process is killed.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from time import monotonic
from typing import Any

from ipa.errors import Error
from ipa.studies.explore.coarse import coarse_part
from ipa.studies.explore.figures import Kept
from ipa.studies.explore.inside import inside
from ipa.studies.explore.plan import planned
from ipa.studies.explore.take import FORMS, taken
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared

PATIENCE_S = 1.0
"""How long a superseded run may take to its next decision before its process is killed."""

LOOK_EVERY_S = 0.02
STOP = "stop"


@dataclass(frozen=True)
class Wanted:
    """A task: a scenario, and which `view` of its run is requested: "summary"; "drawn", with tables; "inside", for
    moments and decisions. "brief" and "first" are "drawn" for the beginning of a long load; if the load is not long,
    "brief" is empty and "first" covers all of it. "plan" is the plan for a load instead of a run; one of `FORMS` is a
    file of the runs of the scenario and `others`."""

    scenario: Scenario
    view: str = "summary"
    load_rps: float = 0.0
    others: tuple[Scenario, ...] = ()


class RunError(Error):
    """A run that ended without a result; the text says why."""


class SupersededError(Error):
    """The question has been superseded by a newer one, or another run of it has failed."""


class _Stopped(Exception):  # noqa: N818
    """Ends a run that is cancelled."""


class Worker:
    """One process, started on first use, and restarted after it has ended."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection[Any, Any] | None = None

    def start(self) -> Connection[Any, Any]:
        """Start the process if needed; returns the pipe to it."""
        if self._pipe is None:
            if hasattr(signal, "pthread_sigmask"):  # Ctrl-C is for the command; children inherit this
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            # Use a fork server where available: forking a process with threads is not safe.
            ways = multiprocessing.get_all_start_methods()
            context: Any = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
            if "forkserver" in ways:
                context.set_forkserver_preload([__name__])
            pipe, its = context.Pipe()
            process = context.Process(target=_work, args=(its,), daemon=True)
            process.start()
            its.close()
            self._process, self._pipe = process, pipe  # set only once it runs
        return self._pipe

    def run(self, wanted: Wanted, is_stale: Callable[[], bool]) -> dict[str, Any]:
        """Execute a task. Raises RunError if the run fails, SupersededError once `is_stale`."""
        try:
            pipe = self.start()
            scenarios = [each.as_dict() for each in (wanted.scenario, *wanted.others)]
            pipe.send((scenarios, wanted.view, wanted.load_rps))
            self._await(pipe, is_stale)
            kind, found = pipe.recv()
        except (EOFError, OSError):
            code = self.close()
            raise RunError(f"the run ended its process: exit code {code}") from None
        if kind == STOP:
            raise SupersededError("a newer question was asked")
        if kind == "error":
            raise RunError(str(found))
        return dict(found)

    def _await(self, pipe: Connection[Any, Any], is_stale: Callable[[], bool]) -> None:
        """Wait until the process has answered; tell it to stop once the task is stale."""
        told_s: float | None = None
        while not pipe.poll(LOOK_EVERY_S):
            if told_s is None and is_stale():
                pipe.send(STOP)
                told_s = monotonic()
            elif told_s is not None and monotonic() - told_s > PATIENCE_S:
                self.close()
                raise SupersededError("a newer question was asked")

    def close(self) -> int | None:
        """End the process and return its exit code; None if there is none."""
        if self._pipe is None:
            return None
        self._pipe.close()
        self._pipe = None
        self._process.join(0.2)  # a process that is ending by itself keeps its own exit code
        self._process.kill()
        self._process.join()
        return int(self._process.exitcode)


class Crew:
    """A pool of workers for the runs of all questions, first in, first out."""

    def __init__(self, size: int) -> None:
        self._workers = [Worker() for _ in range(size)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(size, "runs")
        for worker in self._workers:
            self._threads.submit(self._begin, worker)  # a process takes a second to start

    def _begin(self, worker: Worker) -> None:
        try:
            worker.start()
        finally:
            self._idle.put(worker)

    def run_all(self, chosen: Sequence[Sequence[Wanted]], is_stale: Callable[[], bool]) -> list[list[dict[str, Any]]]:
        """Execute the tasks of each policy, by seed. Raises as `Worker.run`; the first failure cancels the others."""
        failed: list[Error] = []
        several = sum(map(len, chosen)) > 1

        def given_up() -> bool:
            return bool(failed) or is_stale()

        def one(wanted: Wanted) -> dict[str, Any]:
            worker = self._idle.get()
            try:
                if given_up():
                    raise SupersededError("a newer question was asked")
                return worker.run(wanted, given_up)
            except RunError as error:
                of = wanted.scenario
                whose = f"{of.policy.title}, seed {of.seed}: " if several else ""
                failed.append(RunError(f"{whose}{error}"))
            except SupersededError as error:
                failed.append(error)
            finally:
                self._idle.put(worker)
            return {}

        made = [[self._threads.submit(one, each) for each in of_policy] for of_policy in chosen]
        found = [[future.result() for future in of_policy] for of_policy in made]
        if failed:
            raise failed[0]
        return found

    def close(self) -> None:
        """End all processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for worker in self._workers:
            worker.close()


# ---- in the process ----


def _work(pipe: Connection[Any, Any]) -> None:
    """Execute each task from the pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(2, 1)  # policies print to stderr
    with suppress(Error):  # warm up: import what a run needs, compile the engine
        Kept.of(simulate(Scenario(pipeline="video", trace="constant:1", window=((0, 20),))), True)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            task = pipe.recv()
            if task != STOP:  # too late: the run had ended
                pipe.send(_made(pipe, *task))


_shared = Shared()
"""The loads of coarse answers, read once."""


def _coarse(scenario: Scenario, view: str, look: Callable[[float], object]) -> dict[str, Any]:
    part = coarse_part(scenario, _shared)
    if part is None and view == "brief":
        return {}
    shorter, whole_s = part or (scenario, None)
    return {"run": Kept.of(simulate(shorter, look, shared=_shared), True), "whole_s": whole_s}


def _made(pipe: Connection[Any, Any], data: list[dict[str, Any]], view: str, load_rps: float) -> tuple[str, Any]:
    def look(_: float) -> None:
        if pipe.poll():
            raise _Stopped

    try:
        scenarios = [Scenario.model_validate(each) for each in data]
        if view in FORMS:
            return "found", taken(scenarios, view, look)
        if view == "plan":
            return "found", planned(scenarios[0], load_rps)
        if view in ("brief", "first"):
            return "found", _coarse(scenarios[0], view, look)
        run = simulate(scenarios[0], look)
        return "found", inside(run) if view == "inside" else {"run": Kept.of(run, view == "drawn")}
    except _Stopped:
        return STOP, pipe.recv()
    except Error as error:
        return "error", str(error)
    except Exception as error:  # from a policy, or from us
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "error", f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {error}"
