"""Executors of runs: on this machine, by worker processes that never outlive this one, or elsewhere.

Many runs take one path, led by `runner`: a plan of runs with keys (`plan`), an executor that makes them chunk by chunk,
a store that keeps them (`store`), and finally a table.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from time import perf_counter
from typing import Any, Protocol
from uuid import uuid4

from ipa.errors import Error
from ipa.studies.many import workers
from ipa.studies.many.child import Child, ProcessEndedError, with_place
from ipa.studies.many.making import Making
from ipa.studies.many.outcome import FinishedRun
from ipa.studies.many.plan import PlannedRun
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared

Chunk = list[PlannedRun]
"""Runs that a worker makes in one task."""

CHUNK_S = 0.5
"""How long a chunk should take: long enough that the cost of handing it over is negligible, short enough to show
progress and to lose little by an interrupt."""

ATTEMPTS = 2
"""A run fails when it has ended its process this often: the first time may have another cause."""


@dataclass(frozen=True)
class Done:
    """A finished chunk: for each run, its key and its outcome or the error that ended it."""

    ended: list[tuple[str, FinishedRun | str]]
    took_s: float


class Executor(Protocol):
    """Makes runs; `where` names the place in a few words."""

    @property
    def where(self) -> str: ...

    def make(self, making: Making, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """Make the runs of all chunks and `keep` each finished chunk; chunks are taken shortly before their turn.

        Raises KeyboardInterrupt after an interrupt, WorkerError if workers or their scheduler are lost.
        """


@dataclass(frozen=True)
class Local:
    """Worker processes of this machine; `workers` 1: this process itself."""

    workers: int
    say: Callable[[str], object] = lambda _: None
    mark: str = field(default_factory=lambda: uuid4().hex)  # names the cache that its runs share

    @property
    def where(self) -> str:
        return f"{self.workers} process{'es' if self.workers > 1 else ''} of this machine"

    def make(self, making: Making, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """As `Executor.make`; an interrupt lets the running chunks finish, a second one kills them.

        If a worker is killed, the unfinished runs are repeated one by one, to find the run that caused it.
        """
        task, rest = partial(make, making, self.mark), iter(chunks)
        with closing(Child()) as child:
            while True:
                try:
                    workers.run_all(task, rest, self.workers, lambda _, done: keep(done))
                    return
                except workers.WorkerKilledError as killed:
                    self.say(f"{killed}: the runs under way are made again, one by one")
                    following = list(islice(rest, 2))
                    again, rest = list(killed.tasks), chain(following, rest)
                    if len(following) == 1:  # a single chunk would be made in this process, which its runs may end
                        again, rest = again + following, iter(())
                    for chunk in again:
                        keep(make_apart(child, making, chunk))


def summaries(scenarios: Iterable[Scenario], shared: Shared | None = None) -> Iterator[dict[str, Any] | str]:
    """The summary of each run, in order, as `simulate(scenario).summary`; or the text of the error that ended it.

    `shared`: the cache of the runs, by default that of this thread. A scenario's `records` says what a run records;
    "none" is the fastest. Memory stays bounded for any number of runs.

    An unexpected exception, a bug in this program, ends the iteration; a note names the run.
    """
    for scenario in scenarios:
        try:
            yield simulate(scenario, shared=shared).summary
        except Error as error:
            yield str(error)
        except Exception as error:
            error.add_note(f"in the run of {scenario.policy.title} on {scenario.trace}, seed {scenario.seed}")
            raise


def make(making: Making, cache: str, chunk: Sequence[PlannedRun]) -> Done:
    """Make the runs of a chunk, one after the other, in this process.

    Chunks with the same name `of` share a cache; files must not change meanwhile.
    """
    began_s = perf_counter()
    if cache not in _AT_HAND:
        _AT_HAND.clear()
        _AT_HAND[cache] = Shared()
    ended = [(run.key, outcome(making, run, _AT_HAND[cache])) for run in chunk]
    return Done(ended, perf_counter() - began_s)


_AT_HAND: dict[str, Shared] = {}


def outcome(making: Making, planned: PlannedRun, shared: Shared) -> FinishedRun | str:
    """The outcome of a run, or the error that ended it."""
    try:
        return making(planned, shared)
    except Error as error:
        return str(error)
    except Exception as error:  # one run of many must not end the others
        return f"an error of this program, please report it: {with_place(error)}"


def make_apart(child: Child, making: Making, chunk: Chunk) -> Done:
    """Make the runs of a chunk in a separate process; one that ends it `ATTEMPTS` times has failed."""
    began_s = perf_counter()
    ended = [(run.key, _made_apart(child, making, run)) for run in chunk]
    return Done(ended, perf_counter() - began_s)


def _made_apart(child: Child, making: Making, planned: PlannedRun) -> FinishedRun | str:
    code = 0
    for _ in range(ATTEMPTS):
        try:
            done: Done = child.call(make, making, "", [planned])
        except ProcessEndedError as error:
            code = error.code
        else:
            return done.ended[0][1]
    if code >= 0:
        return f"the run ended its process, in each of {ATTEMPTS} attempts: exit code {code}"
    name = signal.Signals(-code).name
    return f"the process of the run was killed, in each of {ATTEMPTS} attempts: {name} (out of memory?)"
