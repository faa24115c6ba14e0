"""Standing processes: warm, for all who ask, and for tasks that somebody waits for; a newer question cancels them.

A task that raises, prints, hangs or ends its process affects nothing else, and is reported. A superseded one is
cancelled at its next look; if that does not come soon, its process is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from queue import SimpleQueue
from threading import Event
from typing import Any

from ipa.studies.many.child import Child, ProcessEndedError, SupersededError
from ipa.studies.many.executor import Chunk, Done, make
from ipa.studies.many.making import Making


class StandingProcesses:
    """`size` processes for the tasks of all callers, in their order; each warms up first."""

    def __init__(self, size: int, warm_up: Callable[[], object]) -> None:
        self.size = size
        self._children = [Child() for _ in range(size)]
        self._idle: SimpleQueue[Child] = SimpleQueue()
        self.threads = ThreadPoolExecutor(size, "tasks")
        for child in self._children:
            self.threads.submit(self._begin, child, warm_up)  # a process takes a second to start

    def _begin(self, child: Child, warm_up: Callable[[], object]) -> None:
        try:
            child.call(warm_up)
        finally:
            self._idle.put(child)

    def call(self, function: Callable[..., Any], *arguments: Any, is_stale: Callable[[], bool]) -> Any:
        """What a function returns in one of the processes. Raises as `Child.call`."""
        return self.threads.submit(self.called, is_stale, function, *arguments).result()

    def called(self, is_stale: Callable[[], bool], function: Callable[..., Any], *arguments: Any) -> Any:
        """The same in one of `threads`."""
        child = self._idle.get()
        try:
            if is_stale():
                raise SupersededError
            return child.call(function, *arguments, is_stale=is_stale)
        finally:
            self._idle.put(child)

    def close(self) -> None:
        """End all processes."""
        self.threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.close(for_good=True)


@dataclass(frozen=True)
class Standing:
    """The executor of standing processes for one question, which ends once `is_stale`."""

    processes: StandingProcesses
    is_stale: Callable[[], bool]

    @property
    def where(self) -> str:
        return f"{self.processes.size} standing processes of this machine"

    def make(self, making: Making, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Executor.make`. Raises SupersededError once `is_stale`, and what `keep` raises; that ends the others."""
        if self.is_stale():
            raise SupersededError
        has_ended = Event()

        def made(chunk: Chunk) -> Done:
            def is_cancelled() -> bool:
                return has_ended.is_set() or self.is_stale()

            try:
                done: Done = self.processes.called(is_cancelled, make, making, "", chunk)
            except ProcessEndedError as error:
                return Done([(run.key, str(error)) for run in chunk], 0.0)
            return done

        try:
            for future in as_completed([self.processes.threads.submit(made, chunk) for chunk in chunks]):
                keep(future.result())
        finally:
            has_ended.set()
