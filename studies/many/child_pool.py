"""Tasks that somebody waits for, in warm processes: the first failure or a newer question cancels the others.

A task that raises, prints, hangs or ends its process affects nothing else, and is reported. A superseded one is
cancelled at its next look; if that does not come soon, its process is killed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import Generic, Protocol, TypeVar

from ipa.errors import Error
from ipa.studies.many.child import Child, ProcessEndedError, SupersededError, TaskError


class TitledTask(Protocol):
    """What a task is called where there are several."""

    @property
    def title(self) -> str: ...


T = TypeVar("T", bound=TitledTask)
R = TypeVar("R")


class ChildPool(Generic[T, R]):
    """`size` processes that call a function with the tasks of all callers, in their order; first, each warms up."""

    def __init__(self, size: int, function: Callable[[T], R], warm_up: Callable[[], object]) -> None:
        self._function = function
        self._children = [Child() for _ in range(size)]
        self._idle: SimpleQueue[Child] = SimpleQueue()
        self._threads = ThreadPoolExecutor(size, "tasks")
        for child in self._children:
            self._threads.submit(self._begin, child, warm_up)  # a process takes a second to start

    def _begin(self, child: Child, warm_up: Callable[[], object]) -> None:
        try:
            child.call(warm_up)
        finally:
            self._idle.put(child)

    def call_all(self, groups: Sequence[Sequence[T]], is_stale: Callable[[], bool]) -> list[list[R]]:
        """What the function returns for each task of each group. The first failure cancels the others.

        Raises TaskError if a task fails or ends its process, with its title if there are several; SupersededError once
        `is_stale`.
        """
        failures: list[Error] = []
        several = sum(map(len, groups)) > 1

        def is_cancelled() -> bool:
            return bool(failures) or is_stale()

        def result_of(task: T) -> R | None:
            child = self._idle.get()
            try:
                if is_cancelled():
                    raise SupersededError
                result: R = child.call(self._function, task, is_stale=is_cancelled)
                return result
            except (TaskError, ProcessEndedError) as error:
                failures.append(TaskError(f"{task.title}: {error}" if several else str(error)))
            except SupersededError as error:
                failures.append(error)
            finally:
                self._idle.put(child)
            return None

        futures = [[self._threads.submit(result_of, task) for task in group] for group in groups]
        results = [[future.result() for future in group] for group in futures]
        if failures:
            raise failures[0]
        return results  # type: ignore[return-value]  # without a failure, none is None

    def close(self) -> None:
        """End all processes."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for child in self._children:
            child.close()
