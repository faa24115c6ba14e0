"""A separate process for tasks: what ends it, by a policy or for lack of memory, ends nothing else.

Tasks are in its main thread, where the time limit of decisions works, whichever thread here asks for them.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from queue import Empty, SimpleQueue
from time import monotonic
from typing import IO, Any

from ipa.errors import Error
from ipa.studies.scenario import brought
from ipa.traces import Trace

SERVE = (sys.executable, "-P", "-c", "from ipa.studies.many import child; child.serve()")

PATIENCE_S = 1.0
"""How long a superseded task may take to its next look before its process is killed [s]."""

LOOK_EVERY_S = 0.02

_DONE, _FAILED, _STOPPED, _ENDED = "done", "failed", "stopped", "ended"


class TaskError(Error):
    """A task that has raised an error; the text says which."""


class ProcessEndedError(Error):
    """A task has ended its process; `code`: the exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the run ended its process: exit code {code}")
        self.code = code


class SupersededError(Error):
    """A newer question was asked, or another run of the question has failed."""

    def __init__(self) -> None:
        super().__init__("a newer question was asked")


@dataclass
class Child:
    """The process: started at first use, and again after it has ended; `loads` are sent to it by name.

    One thread asks for tasks at a time; any may end it meanwhile.
    """

    loads: Mapping[str, Trace] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None
    _answers: SimpleQueue[tuple[str, Any]] = field(default_factory=SimpleQueue)
    _reader: threading.Thread = field(default_factory=threading.Thread)
    _tasks: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _is_closed_for_good: bool = False

    def call(self, function: Callable[..., Any], *arguments: Any, is_stale: Callable[[], bool] | None = None) -> Any:
        """What a function of a module returns there. It and what it takes and returns are pickled.

        Raises TaskError if the function raises an exception, ProcessEndedError if the process ends, SupersededError
        once `is_stale`.
        """
        self._tasks += 1
        process = self._running()
        try:
            _send(process.stdin, (self._tasks, function, arguments))
            kind, value = self._answers.get() if is_stale is None else self._awaited(process, is_stale)
        except OSError:
            kind = _ENDED
        if kind == _ENDED:
            raise ProcessEndedError(self.close())
        if kind == _STOPPED:
            raise SupersededError
        if kind == _FAILED:
            raise TaskError(value)
        return value

    def _awaited(self, process: subprocess.Popen[bytes], is_stale: Callable[[], bool]) -> tuple[str, Any]:
        """The answer; once the task is stale, it is told to stop, and its process killed if it does not."""
        stopped_s: float | None = None
        while True:
            with suppress(Empty):
                return self._answers.get(timeout=LOOK_EVERY_S)
            if stopped_s is None and is_stale():
                _send(process.stdin, self._tasks)
                stopped_s = monotonic()
            elif stopped_s is not None and monotonic() > stopped_s + PATIENCE_S:
                self.close()
                return _STOPPED, None

    def _running(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._process is not None:
                return self._process
            if self._is_closed_for_good:
                raise ProcessEndedError(-signal.SIGKILL)
            process = self._process = subprocess.Popen(SERVE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            self._answers = SimpleQueue()
            self._reader = threading.Thread(target=_read, args=(process.stdout, self._answers), daemon=True)
            self._reader.start()
        with suppress(OSError):  # it has ended, as the task will find
            _send(process.stdin, self.loads)
        return process

    def close(self, *, for_good: bool = False) -> int:
        """End the process, if there is one, and return its exit code; `for_good`: it is not started again."""
        with self._lock:
            process, reader, self._process = self._process, self._reader, None
            self._is_closed_for_good = self._is_closed_for_good or for_good
        if process is None:
            return 0
        process.kill()  # no effect if it is ending by itself
        with suppress(OSError):  # unsent data
            assert process.stdin is not None
            process.stdin.close()
        code = process.wait()
        reader.join(PATIENCE_S)
        return code


def _read(answers: IO[bytes], queue: SimpleQueue[tuple[str, Any]]) -> None:
    """Queue the answers of a process until it ends, perhaps within one."""
    with answers, suppress(EOFError, OSError, pickle.UnpicklingError):
        while True:
            queue.put(pickle.load(answers))
    queue.put((_ENDED, None))


# ---- in the process ----


class StoppedError(BaseException):
    """Ends a task that is superseded; no error of a run, so whoever keeps those lets it pass."""


@dataclass
class _ChildState:
    task: int = 0
    stopped: int = 0


_state = _ChildState()


def look(_: float = 0.0) -> None:
    """End the present task if it is superseded: for the `on_step` of a run. Elsewhere, nothing happens."""
    if _state.stopped and _state.stopped == _state.task:
        raise StoppedError


def with_place(error: Exception) -> str:
    """An unexpected error in one line, with the place that raised it: `rule.py:12: ZeroDivisionError: ...`."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(last.filename).name}:{last.lineno}: {type(error).__name__}: {error}"


def serve() -> None:
    """The main function of the process: does the tasks that it receives until its parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what policies print
    tasks: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    with brought(tasks.get()):
        while True:
            _state.task, function, arguments = tasks.get()
            try:
                answer = _DONE, function(*arguments)
            except StoppedError:
                answer = _STOPPED, None
            except Error as error:
                answer = _FAILED, str(error)
            except Exception as error:  # from a policy, or from us
                answer = _FAILED, with_place(error)
            _send(answers, answer)


def _receive(tasks: SimpleQueue[Any]) -> None:
    try:
        while True:
            received = pickle.load(sys.stdin.buffer)
            if isinstance(received, int):
                _state.stopped = received
            else:
                tasks.put(received)
    finally:
        os._exit(1)


def _send(pipe: IO[bytes] | None, value: object) -> None:
    assert pipe is not None
    pickle.dump(value, pipe)
    pipe.flush()
