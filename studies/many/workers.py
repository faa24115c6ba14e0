"""Tasks on worker processes. An interrupt ends them cleanly, and no worker outlives this process."""

from __future__ import annotations

import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import ExitStack, contextmanager, suppress
from itertools import chain, islice
from math import ceil, inf
from pathlib import Path
from queue import SimpleQueue
from types import FrameType
from typing import Any, Generic, NoReturn, TypeVar

from ipa.studies.scenario import WorkerError

T = TypeVar("T")
R = TypeVar("R")
Handler = Callable[[int, FrameType | None], Any]

PER_CORE = 2
"""The most workers per core: a second one helps only if a policy waits for something, a third never."""

AHEAD = 3
"""Tasks handed over per worker, including the one in progress, so that no worker waits for its next task."""


OPEN_FILES, OPEN_FILES_PER_WORKER = 16, 4
"""How many files this process has open at once with workers: its own, and the pipes of each."""


class WorkerKilledError(WorkerError):
    """A worker was killed from outside; `tasks` were taken but have no kept result."""

    def __init__(self, tasks: Sequence[Any]) -> None:
        super().__init__("a worker process was killed (out of memory? try fewer --jobs)")
        self.tasks = tasks


CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUP = Path("/proc/self/cgroup")


def cores() -> int:
    """How many cores this process may use: its CPU affinity, limited by its container's quota."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, ceil(min(allowed, _quota_cores())))


def _quota_cores() -> float:
    """The least quota, in cores, of this process's control groups and their parents; inf without one.

    Version 1 has a hierarchy for each controller, version 2 one for all; a machine may have both.
    """
    with suppress(OSError):
        quotas = [inf]
        for line in OWN_CGROUP.read_text().splitlines():
            number, controllers, own = line.split(":", 2)
            paths = (Path(own.strip("/")), *Path(own.strip("/")).parents)
            if (number, controllers) == ("0", ""):
                quotas += [_quota_in(CGROUPS / path, "cpu.max") for path in paths]
            elif "cpu" in controllers.split(","):
                names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
                quotas += [
                    _quota_in(CGROUPS / mount / path, *names) for mount in {controllers, "cpu"} for path in paths
                ]
        return min(quotas)
    return inf


def _quota_in(group: Path, *names: str) -> float:
    with suppress(OSError, ValueError, ZeroDivisionError):
        quota_us, period_us = " ".join((group / name).read_text() for name in names).split()
        if float(quota_us) > 0:  # in version 1, -1 is no quota
            return float(quota_us) / float(period_us)
    return inf  # in version 2, "max" is no quota


def run_all(function: Callable[[T], R], tasks: Iterable[T], jobs: int, keep: Callable[[int, R], object]) -> None:
    """Call `function` on every task, `jobs` at a time, and `keep` with the place and result of each finished one.

    Tasks are taken shortly before their turn, so there may be any number of them. With workers, SIGINT or SIGTERM lets
    running tasks finish and keeps their results; then KeyboardInterrupt is raised. A second signal kills the workers.
    Raises WorkerKilledError if a worker is killed from outside. A single task, or tasks one at a time, run in this
    process, where `os._exit` raises WorkerError.
    """
    rest = iter(tasks)
    first = list(islice(rest, jobs))
    if len(first) <= 1:
        for place, task in enumerate(chain(first, rest)):
            with _exit_said():
                result = function(task)
            keep(place, result)
    else:
        _Crew[T, R](len(first)).run(function, chain(first, rest), keep)


@contextmanager
def _exit_said() -> Iterator[None]:
    """A context in which `os._exit` in this process, say by a policy, raises WorkerError: it would end the command
    silently."""
    owner, end = os.getpid(), os._exit

    def say(status: int) -> NoReturn:
        if os.getpid() != owner:  # a fork of this process may exit
            end(status)
        raise WorkerError(f"os._exit({status}) was called, which would have ended this process and all its runs")

    os._exit = say
    try:
        yield
    finally:
        os._exit = end


@contextmanager
def terminable(*further: signal.Signals) -> Iterator[None]:
    """A context in which SIGTERM, and further signals, raise KeyboardInterrupt, as SIGINT does."""
    with _handled((signal.SIGTERM, *further), signal.default_int_handler):
        yield


CLOSED_TERMINAL = (signal.SIGHUP,) if hasattr(signal, "SIGHUP") else ()
"""The signal of a terminal that is closed, where there is one."""


@contextmanager
def interrupt_noted() -> Iterator[Callable[[], bool]]:
    """A context in which the first SIGINT or SIGTERM raises nothing; the yielded function says whether one has come.

    It is for calls of a library in this thread: an exception raised within one of its finalisers or callbacks would be
    swallowed, and one within its locks could make it wait for ever. A second signal has its usual effect.
    """
    noted: list[int] = []
    with ExitStack() as handling:

        def note(number: int, _: FrameType | None) -> None:
            noted.append(number)
            handling.close()

        handling.enter_context(_handled((signal.SIGINT, signal.SIGTERM), note))
        yield lambda: bool(noted)


class _Crew(Generic[T, R]):
    """A pool of workers for one list of tasks.

    An interrupt raises nothing in here, where it could hit a half-made pool or a half-kept result: it is queued among
    the results.
    """

    def __init__(self, size: int) -> None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        _check_open_files(size)
        context = multiprocessing.get_context(_way_to_start())
        self._ahead = AHEAD * size
        self._owner = os.getpid()
        self._others = multiprocessing.active_children()
        self._pool = ProcessPoolExecutor(size, context, _become_worker, (os.getcwd(),))
        self._line: SimpleQueue[Future[R] | None] = SimpleQueue()
        self._is_interrupted = self._is_killed = self._is_ending = False

    def run(self, function: Callable[[T], R], tasks: Iterable[T], keep: Callable[[int, R], object]) -> None:
        from concurrent.futures.process import BrokenProcessPool

        places: dict[Future[R], int] = {}
        under_way: dict[int, T] = {}
        waiting = enumerate(tasks)
        with _handled((signal.SIGINT, signal.SIGTERM), self._interrupt):
            try:
                while not self._is_interrupted:
                    for place, task in islice(waiting, self._ahead - len(places)):
                        under_way[place] = task
                        future = self._pool.submit(function, task)
                        places[future] = place
                        future.add_done_callback(self._line.put)
                    if not places or (finished := self._line.get()) is None:
                        break
                    place, result = places.pop(finished), finished.result()
                    del under_way[place]
                    keep(place, result)
            except BrokenProcessPool:
                if not self._is_interrupted:
                    raise WorkerKilledError(list(under_way.values())) from None
            finally:
                self._is_ending = True  # no more workers are started
                if self._is_killed:
                    self._kill()  # and one that was being born meanwhile, for which the pool would wait for ever
                self._pool.shutdown(cancel_futures=True)
            if self._is_interrupted:
                for future, place in places.items():
                    if future.done() and not future.cancelled() and future.exception() is None:
                        keep(place, future.result())
                raise KeyboardInterrupt

    def _interrupt(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._owner:  # a worker just forked still has its parent's handlers
            if number == signal.SIGTERM:
                os._exit(1)
        elif self._is_interrupted:
            self._kill()
        else:
            self._is_interrupted = True
            self._line.put(None)

    def _kill(self) -> None:
        import multiprocessing

        self._is_killed = True
        for process in multiprocessing.active_children():
            if process not in self._others:
                process.kill()
        if self._is_ending:
            self._cut()

    def _cut(self) -> None:
        """Close the sending end of the results: a worker killed while sending leaves an incomplete result, and the pool
        would wait for the rest for ever."""
        results: Any = self._pool._result_queue
        results._writer.close()


def _check_open_files(workers: int) -> None:
    """Raise WorkerError where so few files may be open at once that workers would wait for each other for ever."""
    if sys.platform == "win32":
        return
    from resource import RLIM_INFINITY, RLIMIT_NOFILE, getrlimit, setrlimit

    allowed, most = getrlimit(RLIMIT_NOFILE)
    needed = OPEN_FILES + OPEN_FILES_PER_WORKER * workers
    if allowed == RLIM_INFINITY or allowed >= needed:
        return
    if most != RLIM_INFINITY and most < needed:
        raise WorkerError(
            f"at most {allowed} files may be open at once here; {workers} workers need {needed}: raise the limit with "
            f"`ulimit -n {needed}`, or use --jobs 1"
        )
    setrlimit(RLIMIT_NOFILE, (needed, most))


@contextmanager
def _handled(numbers: Sequence[signal.Signals], handler: Handler) -> Iterator[None]:
    """Let `handler` handle the signals within the block, except ignored ones; no effect outside the main thread."""
    before: dict[signal.Signals, Any] = {}
    try:
        if threading.current_thread() is threading.main_thread():
            for number in numbers:
                if signal.getsignal(number) not in (signal.SIG_IGN, None):
                    before[number] = signal.signal(number, handler)
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _way_to_start() -> str:
    """The start method of workers. Forking is fast, and safe unless a thread may hold a lock, as in a notebook. macOS
    and Windows have no safe fork."""
    is_notebook = "IPython" in sys.modules and threading.active_count() > 1
    return "fork" if sys.platform == "linux" and not is_notebook else "spawn"


def _become_worker(folder: str) -> None:
    """Leave interrupts to the parent, which lets running tasks finish; send what policies print to stderr."""
    os.chdir(folder)  # a spawned process begins in the parent's original folder
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    gc.freeze()  # objects inherited by a fork live as long as it does and need no collection
    sys.stdout = sys.stderr
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """End this worker as soon as its parent is gone: nothing else would end it."""
    from multiprocessing import parent_process

    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
