"""Processes that make the runs of answers: warm, so that a run is all there is to wait for, and each easily replaced.

A policy may raise, print, hang or end its process: that is the end of one run, and said. A run that nobody waits for
is broken off at its next decision, or with its process where that does not come soon.
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
from ipa.studies.explore.answers import plain_run
from ipa.studies.explore.coarse import coarse_part
from ipa.studies.explore.inside import inside
from ipa.studies.explore.plan import planned
from ipa.studies.explore.take import FORMS, taken
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared

PATIENCE_S = 1.0
"""How long a run may take to its next decision once nobody waits for it."""

LOOK_EVERY_S = 0.02
STOP = "stop"


@dataclass(frozen=True)
class Wanted:
    """A scenario and what is wanted of its run: the "summary", its curves "drawn" too, its "inside"; of the beginning
    of a long load, what is "drawn" of a run, and of a load that is none nothing ("brief") or the whole ("first"); or
    instead of a run the "plan" for a load; or what is taken along of it and `others` together, one of `FORMS`."""

    scenario: Scenario
    view: str = "summary"
    load_rps: float = 0.0
    others: tuple[Scenario, ...] = ()


class RunError(Error):
    """A run that ended without a result; the text says why."""


class SupersededError(Error):
    """Nobody waits for the answer any more."""


class _Stopped(Exception):  # noqa: N818
    """Out of a run that is broken off."""


class Worker:
    """One process, started when it is first needed, and again when it has ended."""

    def __init__(self) -> None:
        self._process: Any = None
        self._pipe: Connection[Any, Any] | None = None

    def start(self) -> Connection[Any, Any]:
        """The pipe to the process, which runs from now on."""
        if self._pipe is None:
            if hasattr(signal, "pthread_sigmask"):  # Ctrl-C is for the command: what is started here inherits this
                signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            # Started by a server of its own where there is one: forking a process with threads is not safe.
            ways = multiprocessing.get_all_start_methods()
            context: Any = multiprocessing.get_context("forkserver" if "forkserver" in ways else "spawn")
            if "forkserver" in ways:
                context.set_forkserver_preload([__name__])
            pipe, its = context.Pipe()
            process = context.Process(target=_work, args=(its,), daemon=True)
            process.start()
            its.close()
            self._process, self._pipe = process, pipe  # there, once it runs
        return self._pipe

    def run(self, wanted: Wanted, is_stale: Callable[[], bool]) -> dict[str, Any]:
        """What is wanted. Raises RunError, or SupersededError once `is_stale`."""
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
        """Wait until the process has answered; tell it to stop once nobody wants its answer."""
        told_s: float | None = None
        while not pipe.poll(LOOK_EVERY_S):
            if told_s is None and is_stale():
                pipe.send(STOP)
                told_s = monotonic()
            elif told_s is not None and monotonic() - told_s > PATIENCE_S:
                self.close()
                raise SupersededError("a newer question was asked")

    def close(self) -> int | None:
        """End the process, if there is one; its exit code."""
        if self._pipe is None:
            return None
        self._pipe.close()
        self._pipe = None
        self._process.join(0.2)  # one that is ending by itself has its own exit code
        self._process.kill()
        self._process.join()
        return int(self._process.exitcode)


class Crew:
    """So many workers, which make the runs of all questions in the order in which they were asked."""

    def __init__(self, size: int) -> None:
        self._workers = [Worker() for _ in range(size)]
        self._idle: SimpleQueue[Worker] = SimpleQueue()
        self._threads = ThreadPoolExecutor(size, "runs")
        for worker in self._workers:
            self._threads.submit(self._begin, worker)  # a process takes a second to be there

    def _begin(self, worker: Worker) -> None:
        try:
            worker.start()
        finally:
            self._idle.put(worker)

    def run_all(self, chosen: Sequence[Sequence[Wanted]], is_stale: Callable[[], bool]) -> list[list[dict[str, Any]]]:
        """What is wanted of each policy, by seed. Raises as `Worker.run`, as soon as one does."""
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
    """A run for each task that comes, until nobody is there to send more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.dup2(2, 1)  # what policies print
    with suppress(Error):  # warm: what a run needs is imported, and the engine compiled
        plain_run(simulate(Scenario(pipeline="video", trace="constant:1", window=((0, 20),))), True)
    with suppress(EOFError, OSError, KeyboardInterrupt):
        while True:
            task = pipe.recv()
            if task != STOP:  # which came too late: the run had ended
                pipe.send(_made(pipe, *task))


_shared = Shared()
"""Of coarse answers: loads are read once."""


def _coarse(scenario: Scenario, view: str, look: Callable[[float], object]) -> dict[str, Any]:
    part = coarse_part(scenario, _shared)
    if part is None and view == "brief":
        return {}
    shorter, whole_s = part or (scenario, None)
    return {**plain_run(simulate(shorter, look, shared=_shared), True), "whole_s": whole_s}


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
        return "found", inside(run) if view == "inside" else plain_run(run, view == "drawn")
    except _Stopped:
        return STOP, pipe.recv()
    except Error as error:
        return "error", str(error)
    except Exception as error:  # a policy's, or ours
        last = traceback.extract_tb(error.__traceback__)[-1]
        return "error", f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {error}"
