"""Making the runs that a store lacks: each is kept as soon as its chunk has ended, and none is made twice."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Literal, Protocol

from ipa.errors import Error
from ipa.studies.many.asked import Asked
from ipa.studies.many.outcome import Outcome, outcome_of, summary_of
from ipa.studies.many.store import Store
from ipa.studies.runs import simulate
from ipa.studies.scenario import Scenario, Shared

Kept = Literal["all", "summary"]
"""What is kept of a run: what a study's tables and pages need, or its summary alone."""

Chunk = list[Asked]
"""Some runs, which a worker makes in one go."""

CHUNK_S = 0.5
"""How long a chunk should take: long enough that handing it over costs next to nothing, short enough that progress is
seen, and that an interrupt loses little."""

LARGEST_CHUNK = 256

LOOKED_UP = 500
"""Keys that are looked up in the store at a time."""


@dataclass(frozen=True)
class Done:
    """A chunk that has ended: for each run its key with what came of it, or the error that ended it."""

    ended: list[tuple[str, Outcome | str]]
    took_s: float


class Place(Protocol):
    """Where runs are made. `where` says so in a few words."""

    @property
    def where(self) -> str: ...

    @property
    def workers(self) -> int:
        """How many chunks it works on at a time, now."""
        ...

    def make(self, kept: Kept, chunks: Iterable[Chunk], keep: Callable[[Done], object]) -> None:
        """Make the runs of all chunks and `keep` each that has ended; a chunk is taken shortly before its turn.

        Raises KeyboardInterrupt after an interrupt, WorkerError where workers or what holds them together are lost.
        """
        ...


@dataclass(frozen=True)
class Ran:
    """How many of the runs that were asked for were made, were in the store, or share the run of another; how many of
    those made failed."""

    fresh: int = 0
    found: int = 0
    shared: int = 0
    failed: int = 0

    @property
    def others(self) -> str:
        """Which needed no run and which failed, in words; empty where all needed one that finished."""
        counts = ((self.failed, "failed"), (self.found, "were there"), (self.shared, "share the run of another"))
        return "".join(f"; {count} {what}" for count, what in counts if count)

    def __add__(self, other: Ran) -> Ran:
        return Ran(*(getattr(self, name) + getattr(other, name) for name in ("fresh", "found", "shared", "failed")))


def run_missing(
    asked: Iterable[Asked], store: Store, place: Place, kept: Kept, on_ended: Callable[[bool], object]
) -> Ran:
    """Make the runs that the store lacks, and keep them.

    `on_ended` is called for every run, found or made, with whether it has failed. A run that fails ends nothing: the
    error is kept in its place. The memory needed does not depend on how many runs there are. Raises as `Place.make`.
    """
    course = _Course(store, on_ended)
    place.make(kept, course.chunks(asked), course.keep)
    return Ran(course.fresh, course.found, course.shared, course.failed)


@dataclass
class _Course:
    """The counts of one call of `run_missing`, and the runs that have been handed over."""

    store: Store
    on_ended: Callable[[bool], object]
    under_way: set[str] = field(default_factory=set)
    size: int = 1
    fresh: int = 0
    found: int = 0
    shared: int = 0
    failed: int = 0

    def chunks(self, asked: Iterable[Asked]) -> Iterator[Chunk]:
        waiting = self._missing(asked)
        while chunk := list(islice(waiting, self.size)):
            yield chunk

    def _missing(self, asked: Iterable[Asked]) -> Iterator[Asked]:
        """Those to be made, each once."""
        begun = self.store.last()
        rest = iter(asked)
        while batch := list(islice(rest, LOOKED_UP)):
            before = self.store.among([each.key for each in batch], begun)
            made_now: set[str] = set()
            for each in batch:
                if before.get(each.key):
                    self.found += 1
                elif each.key in before or each.key in self.under_way or each.key in made_now:
                    self.shared += 1
                else:
                    self.under_way.add(each.key)
                    made_now.add(each.key)
                    self.fresh += 1
                    yield each
                    continue
                self.on_ended(False)

    def keep(self, done: Done) -> None:
        self.store.keep(done.ended)
        each_s = done.took_s / len(done.ended)
        self.size = max(1, min(LARGEST_CHUNK, 2 * self.size, int(CHUNK_S / max(each_s, 1e-6))))
        for key, outcome in done.ended:
            self.under_way.discard(key)
            self.failed += isinstance(outcome, str)
            self.on_ended(isinstance(outcome, str))


def make(kept: Kept, of: str, chunk: Sequence[Asked]) -> Done:
    """Make the runs of a chunk, one after the other, in this process.

    What runs have in common is kept from one chunk to the next `of` the same name, while files stay as they are.
    """
    began_s = perf_counter()
    shared = _shared(of)
    ended = [(each.key, outcome(kept, each, shared)) for each in chunk]
    return Done(ended, perf_counter() - began_s)


_AT_HAND: dict[str, Shared] = {}


def _shared(of: str) -> Shared:
    if of not in _AT_HAND:
        _AT_HAND.clear()
        _AT_HAND[of] = Shared()
    return _AT_HAND[of]


def outcome(kept: Kept, asked: Asked, shared: Shared) -> Outcome | str:
    """The outcome of a run, or the error that ended it."""
    try:
        run = simulate(Scenario.model_validate(asked.data), shared=shared)
        return outcome_of(run) if kept == "all" else summary_of(run)
    except Error as error:
        return str(error)
    except Exception as error:  # one run of many must not end the others
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(last.filename).name}:{last.lineno}"
        return f"an error of this program, please report it: {where}: {type(error).__name__}: {error}"
