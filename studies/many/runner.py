"""Many runs that are kept in a folder: what its store lacks is made, and kept as it comes; nothing is made twice.

A study and a sweep are each a plan, and what they make of the store's runs in the end; all between is here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

from ipa.studies import results
from ipa.studies.many import store as stores
from ipa.studies.many import workers
from ipa.studies.many.bundle import Bundle
from ipa.studies.many.executor import CHUNK_S, Chunk, Done, Executor, Kept, Local
from ipa.studies.many.plan import PlannedRun
from ipa.studies.many.store import FINISHED, Store
from ipa.studies.scenario import Scenario, ScenarioError

LOCAL = "local"

LARGEST_CHUNK = 256

LOOKED_UP = 500
"""Keys that are looked up in the store at a time."""

Progress = Callable[[int], AbstractContextManager[Callable[[bool], object]]]
"""Given the number of runs; what the context manager yields is called after each of them, with whether it failed."""


def silent(_: int) -> AbstractContextManager[Callable[[bool], object]]:
    """The progress of those who do not look."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class Running:
    """How runs are made: kept in `folder`, `jobs` at a time (default: one per core), or on the cluster
    that `on` names.

    `log` is told how many runs there were, what of the folder is damaged, and what people should know of workers.
    """

    folder: Path
    jobs: int | None = None
    on: str = LOCAL
    progress: Progress = silent
    log: Callable[[str], object] = lambda _: None


@dataclass(frozen=True)
class Ran:
    """How many of the planned runs were made, were in the store, or share the run of another; how many of those made
    failed."""

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


@dataclass
class Session:
    """A folder that this command alone makes runs for: its store, what has been run, and for how long."""

    running: Running
    manifest: dict[str, Any]
    kept: Kept
    store: Store
    ran: Ran = Ran()
    where: str = ""
    ran_s: float = 0.0
    _began_s: float = field(default_factory=perf_counter)

    @contextmanager
    def executor(self, scenarios: Iterable[Scenario]) -> Iterator[Callable[[Iterable[PlannedRun], int], Ran]]:
        """Yields what makes those of some planned runs that the store lacks; 0 runs: without telling their progress.

        `scenarios` are those of all runs. Raises as `opened` and `run_missing`.
        """
        running = self.running
        with opened(
            running.on, running.jobs or workers.cores(), partial(Bundle.of, scenarios), running.log
        ) as executor:

            def run(planned: Iterable[PlannedRun], count: int) -> Ran:
                with (running.progress if count else silent)(count) as advance:
                    ran = run_missing(planned, self.store, executor, self.kept, advance)
                self.ran += ran
                return ran

            self.where = executor.where
            yield run
        self.ran_s = perf_counter() - self._began_s
        fresh = self.ran.fresh
        running.log(f"{fresh} {'run' if fresh == 1 else 'runs'} in {self.ran_s:.1f} s{self.ran.others}")

    def finish(self, **found: Any) -> None:
        """Write the manifest: all is there."""
        times = {"runs_s": self.ran_s, "whole_s": perf_counter() - self._began_s, "fresh_runs": self.ran.fresh}
        manifest = {**self.manifest, "ran_on": self.where, **times, **found, "finished": True}
        results.write_json(manifest, self.running.folder / results.MANIFEST)


@contextmanager
def begun(running: Running, manifest: dict[str, Any], kept: Kept) -> Iterator[Session]:
    """Have the folder alone for runs of the manifest's kind; the manifest says that they are not finished.

    Raises ScenarioError for a folder that holds anything else, that cannot be written or that another command runs
    for, and as `check`.
    """
    check(running.on)
    folder = running.folder
    results.claim(folder, resumable=True, kind=manifest["kind"])
    folder.mkdir(parents=True, exist_ok=True)
    with stores.opened(folder / FINISHED, running.log, alone=True) as store:
        results.write_json({**manifest, "finished": False}, folder / results.MANIFEST)
        yield Session(running, manifest, kept, store)


def check(on: str) -> None:
    """Raise ScenarioError for a word that names no executor, or one for which a package is missing."""
    if on != LOCAL and _scheduler(on) and find_spec("distributed") is None:
        raise ScenarioError(f"--on {on} needs distributed: pip install '.[dask]' in the checkout")


@contextmanager
def opened(
    on: str, jobs: int, bundle: Callable[[], Bundle], say: Callable[[str], object] = lambda _: None
) -> Iterator[Executor]:
    """The executor of that name: `local`, with `jobs` processes, or a cluster that is there, reached until the block
    ends.

    `bundle` gives what goes to a cluster; `say` is told what people should know of workers. Raises ScenarioError
    as `check`, WorkerError for a cluster that cannot be reached or whose program is another.
    """
    check(on)
    if on == LOCAL:
        yield Local(jobs, say)
        return
    from ipa.studies.many import dask_cluster

    with dask_cluster.connected(_scheduler(on), bundle(), say) as executor:
        yield executor


def _scheduler(on: str) -> str:
    """HOST:PORT of a Dask cluster's scheduler."""
    found = re.fullmatch(r"dask://([^\s/@]+:\d+)/?", on)
    if found is None:
        raise ScenarioError(f"--on {on}: should be {LOCAL} or dask://HOST:PORT")
    return found[1]


def run_missing(
    planned: Iterable[PlannedRun], store: Store, executor: Executor, kept: Kept, on_ended: Callable[[bool], object]
) -> Ran:
    """Make the runs that the store lacks, and keep them.

    `on_ended` is called for every run, found or made, with whether it has failed. A run that fails ends nothing: the
    error is kept in its place. The memory needed does not depend on how many runs there are. Raises as `Executor.make`.
    """
    hand_out = _HandOut(store, on_ended)
    executor.make(kept, hand_out.chunks(planned), hand_out.keep)
    return Ran(hand_out.fresh, hand_out.found, hand_out.shared, hand_out.failed)


@dataclass
class _HandOut:
    """The counts of one call of `run_missing`, and the runs that have been handed over."""

    store: Store
    on_ended: Callable[[bool], object]
    under_way: set[str] = field(default_factory=set)
    size: int = 1
    fresh: int = 0
    found: int = 0
    shared: int = 0
    failed: int = 0

    def chunks(self, planned: Iterable[PlannedRun]) -> Iterator[Chunk]:
        waiting = self._missing(planned)
        while chunk := list(islice(waiting, self.size)):
            yield chunk

    def _missing(self, planned: Iterable[PlannedRun]) -> Iterator[PlannedRun]:
        """Those to be made, each once."""
        begun = self.store.last()
        rest = iter(planned)
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
