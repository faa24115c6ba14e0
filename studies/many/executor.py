"""Where runs are made: on this machine, by worker processes of which none outlives this one, or elsewhere.

Many runs take one path: a plan of runs, each with a key (`plan`), an executor, which makes them chunk by chunk, what
keeps them as they come (`store`), and in the end a table. `runner` leads along it; what is held in memory is gathered.
"""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from pathlib import Path
from queue import SimpleQueue
from time import perf_counter
from typing import IO, Any, Literal, Protocol, TypeVar
from uuid import uuid4

from ipa.errors import Error
from ipa.studies.many import workers
from ipa.studies.many.outcome import Outcome, outcome_of, summary_of
from ipa.studies.many.plan import PlannedRun
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared, brought
from ipa.traces import Trace

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
R = TypeVar("R")

Kept = Literal["all", "summary"]
"""What is kept of a run: what a study's tables and pages need, or its summary alone."""

Chunk = list[PlannedRun]
"""Some runs, which a worker makes in one go."""

CHUNK_S = 0.5
"""How long a chunk should take: long enough that handing it over costs next to nothing, short enough that progress is
seen, and that an interrupt loses little."""

ATTEMPTS = 2
"""How often a run may end its process before it is blamed: once may be somebody else's doing."""

SERVE = (sys.executable, "-P", "-c", "from ipa.studies.many import executor; executor.serve()")


@dataclass(frozen=True)
class Done:
    """A chunk that has ended: for each run its key with what came of it, or the error that ended it."""

    ended: list[tuple[str, Outcome | str]]
    took_s: float


class Executor(Protocol):
    """Where runs are made. `where` says so in a few words."""

    @property
    def where(self) -> str: ...

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """Make the runs of all chunks and `keep` each that has ended; a chunk is taken shortly before its turn.

        Raises KeyboardInterrupt after an interrupt, WorkerError where workers or what holds them together are lost.
        """


@dataclass(frozen=True)
class Local:
    """So many worker processes; one: this process itself."""

    workers: int
    say: Callable[[str], object] = lambda _: None
    mark: str = field(default_factory=lambda: uuid4().hex)  # of what its runs have in common

    @property
    def where(self) -> str:
        return f"{self.workers} process{'es' if self.workers > 1 else ''} of this machine"

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Executor.make`: an interrupt lets the chunks that have begun finish, a second one ends them.

        Where a worker is killed, the runs under way are made again one by one, so that it is seen whose doing it was.
        """
        task, rest = partial(make, kept, self.mark), iter(chunks)
        with closing(Child(kept, {})) as child:
            while True:
                try:
                    workers.run_all(task, rest, self.workers, lambda _, done: keep(done))
                    return
                except workers.WorkerKilledError as killed:
                    self.say(f"{killed}: the runs under way are made again, one by one")
                    left = list(islice(rest, 2))
                    again, rest = list(killed.tasks), chain(left, rest)
                    if len(left) == 1:  # alone, it would be made in this process, which its runs may end
                        again, rest = again + left, iter(())
                    for chunk in again:
                        keep(child.make(chunk))


def gathered(
    function: Callable[[T], R],
    tasks: Mapping[K, T],
    jobs: int,
    on_finished: Callable[[K, R], object] = lambda _, __: None,
) -> dict[K, R]:
    """What a function makes of each task, `jobs` at a time on this machine, by the task's key. Raises as `run_all`."""
    keys, found = list(tasks), {}

    def keep(place: int, result: R) -> None:
        found[keys[place]] = result
        on_finished(keys[place], result)

    workers.run_all(function, tasks.values(), jobs, keep)
    return found


def summaries(scenarios: Iterable[Scenario], shared: Shared | None = None) -> Iterator[dict[str, Any] | str]:
    """The summary of each run, in order, as `simulate(scenario).summary`; or the text of the error that ended it.

    What several of the runs need is found, drawn or computed once, and kept in `shared`, by default what all runs of
    this thread share. A scenario's `records` says what a run records; "none" is the fastest. Memory stays bounded,
    whatever the number of runs.

    An error that is not one of ours, a bug in this program, ends the iteration; a note says in which run.
    """
    for scenario in scenarios:
        try:
            yield simulate(scenario, shared=shared).summary
        except Error as error:
            yield str(error)
        except Exception as error:
            error.add_note(f"in the run of {scenario.policy.title} on {scenario.trace}, seed {scenario.seed}")
            raise


def make(kept: Kept, of: str, chunk: Sequence[PlannedRun]) -> Done:
    """Make the runs of a chunk, one after the other, in this process.

    What runs have in common is kept from one chunk to the next `of` the same name, while files stay as they are.
    """
    began_s = perf_counter()
    if of not in _AT_HAND:
        _AT_HAND.clear()
        _AT_HAND[of] = Shared()
    ended = [(each.key, outcome(kept, each, _AT_HAND[of])) for each in chunk]
    return Done(ended, perf_counter() - began_s)


_AT_HAND: dict[str, Shared] = {}


def outcome(kept: Kept, planned: PlannedRun, shared: Shared) -> Outcome | str:
    """The outcome of a run, or the error that ended it."""
    try:
        run = simulate(Scenario.model_validate(planned.data), shared=shared)
        return outcome_of(run) if kept == "all" else summary_of(run)
    except Error as error:
        return str(error)
    except Exception as error:  # one run of many must not end the others
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return f"an error of this program, please report it: {where}: {type(error).__name__}: {error}"


@dataclass
class Child:
    """A process of its own for runs: one that ends it, by a policy's doing or for want of memory, ends nothing else.

    It is started when it is needed, and again after it has ended; `loads` go along by their names. There a run is in
    the main thread, where the time limit of decisions holds, whatever thread asks for it.
    """

    kept: Kept
    loads: Mapping[str, Trace]
    _process: subprocess.Popen[bytes] | None = None

    def make(self, chunk: Chunk) -> Done:
        """Make the runs of a chunk; one that ends the process twice has failed."""
        began_s = perf_counter()
        ended = [(each.key, self._made(each)) for each in chunk]
        return Done(ended, perf_counter() - began_s)

    def _made(self, planned: PlannedRun) -> Outcome | str:
        for _ in range(ATTEMPTS):
            try:
                process = self._running()
                _send(process.stdin, planned)
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
