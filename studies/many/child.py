"""A process of its own for runs: one that ends it, by a policy's doing or for want of memory, ends nothing else.

There a run is in the main thread, where the time limit of decisions holds, whatever thread asks for it.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from time import perf_counter
from typing import IO, Any

from ipa.studies.many.asked import Asked
from ipa.studies.many.outcome import Outcome
from ipa.studies.many.runner import Chunk, Done, Kept, outcome
from ipa.studies.scenario import Shared, brought
from ipa.traces import Trace

ATTEMPTS = 2
"""How often a run may end its process before it is blamed: once may be somebody else's doing."""

SERVE = (sys.executable, "-P", "-c", "from ipa.studies.many import child; child.serve()")


@dataclass
class Child:
    """The process, started when it is needed, and again after it has ended. `loads` go along by their names."""

    kept: Kept
    loads: Mapping[str, Trace]
    _process: subprocess.Popen[bytes] | None = None

    def make(self, chunk: Chunk) -> Done:
        """Make the runs of a chunk; one that ends the process twice has failed."""
        began_s = perf_counter()
        ended = [(each.key, self._made(each)) for each in chunk]
        return Done(ended, perf_counter() - began_s)

    def _made(self, asked: Asked) -> Outcome | str:
        for _ in range(ATTEMPTS):
            try:
                process = self._running()
                _send(process.stdin, asked)
                made: Outcome | str = pickle.load(process.stdout)  # type: ignore[arg-type]
                return made
            except (EOFError, OSError, pickle.UnpicklingError):  # it ended, perhaps within its answer
                code = self.close()
        if code >= 0:
            return f"the run ended its process, in each of {ATTEMPTS} attempts: exit code {code}"
        name = signal.Signals(-code).name
        return f"the process of the run was killed, in each of {ATTEMPTS} attempts: {name} (out of memory?)"

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self._process = subprocess.Popen(SERVE, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            _send(self._process.stdin, (self.kept, self.loads))
        return self._process

    def close(self) -> int:
        """End the process, if there is one; its exit code."""
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.kill()  # changes nothing where it is ending by itself
        with suppress(OSError), process:  # what could not be sent any more
            pass
        return process.wait()


def serve() -> None:
    """What the process does: a run for each that comes, until nobody is there to send more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # its parent ends it
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what policies print
    tasks: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_receive, args=(tasks,), daemon=True).start()
    kept, loads = tasks.get()
    shared = Shared()
    with brought(loads):
        while True:
            _send(answers, outcome(kept, tasks.get(), shared))


def _receive(tasks: SimpleQueue[Any]) -> None:
    try:
        while True:
            tasks.put(pickle.load(sys.stdin.buffer))
    finally:
        os._exit(1)


def _send(pipe: IO[bytes] | None, value: object) -> None:
    assert pipe is not None
    pickle.dump(value, pipe)
    pipe.flush()
