"""Many runs in a store: those that it lacks are made and kept as they finish; no run is made twice.

A comparison, a study, a sweep, a tuning or an explanation is a plan of runs and an evaluation of the finished ones;
this module does everything in between.
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
from ipa.studies.many.executor import CHUNK_S, Chunk, Done, Executor, Local
from ipa.studies.many.making import Making
from ipa.studies.many.plan import PlannedRun
from ipa.studies.many.store import FINISHED, Store
from ipa.studies.runs import Inputs
from ipa.studies.scenario import Scenario, ScenarioError

LOCAL = "local"

LARGEST_CHUNK = 256

LOOKED_UP = 500
"""How many keys are looked up in the store at a time."""

Progress = Callable[[int], AbstractContextManager[Callable[[bool], object]]]
"""Takes the number of runs; the function that its context manager yields is called after each run with whether it
failed."""


def silent(_: int) -> AbstractContextManager[Callable[[bool], object]]:
    """A progress that shows nothing."""
    return nullcontext(lambda _: None)


@dataclass(frozen=True)
class Running:
    """How runs are made: kept in `folder` (None: in memory), `jobs` at a time (default: one per core), or on the
    cluster `on`.

    `log` gets messages: the number of runs, damaged runs in the folder, and problems of workers.
    """

    folder: Path | None
    jobs: int | None = None
    on: str = LOCAL
    progress: Progress = silent
    log: Callable[[str], object] = lambda _: None


@dataclass(frozen=True)
class Ran:
    """How many planned runs were made (`fresh`), were in the store (`found`), or are equal to another one (`shared`);
    and how many of those made `failed`."""

    fresh: int = 0
    found: int = 0
    shared: int = 0
    failed: int = 0

    @property
    def others(self) -> str:
        """The counts other than `fresh`, in words; empty if they are all 0."""
        counts = ((self.failed, "failed"), (self.found, "were there"), (self.shared, "share the run of another"))
        return "".join(f"; {count} {words}" for count, words in counts if count)

    def __add__(self, further: Ran) -> Ran:
        return Ran(*(getattr(self, name) + getattr(further, name) for name in ("fresh", "found", "shared", "failed")))


class FailedError(Exception):
    """A run has failed, which ends the others."""


def end_by_failure(has_failed: bool) -> None:
    """The `on_ended` of runs that all have to succeed. Raises FailedError."""
    if has_failed:
        raise FailedError


@contextmanager
def failure_named(plan: Iterable[tuple[str, PlannedRun]], store: Store) -> Iterator[None]:
    """A context that a FailedError leaves as a ScenarioError with the error of the first run in the plan that has
    failed, after its name if it has one."""
    try:
        yield
    except FailedError:
        errors = store.errors()
        name, text = next((name, errors[run.key]) for name, run in plan if run.key in errors)
        raise ScenarioError(f"{name}: {text}" if name else text) from None


@dataclass
class RunsSession:
    """A store that this command alone writes to, the counts of its runs, and their time."""

    running: Running
    manifest: dict[str, Any]
    making: Making
    store: Store
    ran: Ran = Ran()
    where: str = ""
    ran_s: float = 0.0
    _began_s: float = field(default_factory=perf_counter)
    _ends_by_failure: bool = False

    @contextmanager
    def executor(self, scenarios: Iterable[Scenario]) -> Iterator[Callable[[Iterable[PlannedRun], int], Ran]]:
        """Yields a function that makes the planned runs missing in the store; its second argument is their number for
        the progress, 0 for none.

        `scenarios` are those of all runs. Raises as `opened` and `run_missing`.
        """
        running = self.running
        with opened(
            running.on, running.jobs or workers.cores(), partial(Bundle.of, scenarios), running.log
        ) as executor:

            def run(planned: Iterable[PlannedRun], count: int) -> Ran:
                with (running.progress if count else silent)(count) as advance:

                    def on_ended(has_failed: bool) -> None:
                        advance(has_failed)
                        if self._ends_by_failure:
                            end_by_failure(has_failed)

                    ran = run_missing(planned, self.store, executor, self.making, on_ended)
                self.ran += ran
                return ran

            self.where = executor.where
            yield run
        self.ran_s = perf_counter() - self._began_s
        fresh = self.ran.fresh
        if running.folder is not None:
            running.log(f"{fresh} {'run' if fresh == 1 else 'runs'} in {self.ran_s:.1f} s{self.ran.others}")

    @contextmanager
    def ended_by_failure(self, plan: Iterable[tuple[str, PlannedRun]]) -> Iterator[None]:
        """A context in which the first run that fails ends the others.

        Raises ScenarioError with the error of the first in the plan that has failed, after its name.
        """
        self._ends_by_failure = True
        with failure_named(plan, self.store):
            yield

    def finish(self, **findings: Any) -> None:
        """Write the manifest of the finished folder, if there is one, with the entries `found`."""
        if self.running.folder is None:
            return
        times = {"runs_s": self.ran_s, "whole_s": perf_counter() - self._began_s, "fresh_runs": self.ran.fresh}
        manifest = {**self.manifest, "ran_on": self.where, **times, **findings, "finished": True}
        results.write_json(manifest, self.running.folder / results.MANIFEST)


@contextmanager
def begun(
    running: Running, manifest: dict[str, Any], making: Making, scenarios: Iterable[Scenario] = ()
) -> Iterator[RunsSession]:
    """Lock the folder for runs of the manifest's kind, and mark its manifest as not finished.

    What the `scenarios` of the runs read is kept in the folder. Without a folder, the store is in memory. Raises
    ScenarioError if the folder holds anything else, cannot be written or is locked by another command, and as `check`.
    """
    check(running.on)
    folder = running.folder
    if folder is None:
        with stores.opened(Path(":memory:"), running.log) as store:
            yield RunsSession(running, manifest, making, store)
        return
    results.claim(folder, resumable=True, kind=manifest["kind"])
    with results.made_folder(folder), stores.opened(folder / FINISHED, running.log, alone=True) as store:
        manifest = {**manifest, "inputs": results.keep(Inputs.of(scenarios), folder)}
        results.write_json({**manifest, "finished": False}, folder / results.MANIFEST)
        yield RunsSession(running, manifest, making, store)


def check(on: str) -> None:
    """Raise ScenarioError if `on` names no executor, or a package for it is missing."""
    if on != LOCAL and _scheduler(on) and find_spec("distributed") is None:
        raise ScenarioError(f"--on {on} needs distributed: pip install '.[dask]' in the checkout")


@contextmanager
def opened(
    on: str, jobs: int, bundle: Callable[[], Bundle], say: Callable[[str], object] = lambda _: None
) -> Iterator[Executor]:
    """The executor of that name: `local` with `jobs` processes, or an existing cluster, connected within the block.

    `bundle` makes the bundle for a cluster; `say` gets messages about workers. Raises ScenarioError as `check`,
    WorkerError if the cluster cannot be reached or has another version of the program.
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
    address = re.fullmatch(r"dask://([^\s/@]+:[0-9]+)/?", on)
    if address is None:
        raise ScenarioError(f"--on {on}: should be {LOCAL} or dask://HOST:PORT")
    return address[1]


def run_missing(
    planned: Iterable[PlannedRun], store: Store, executor: Executor, making: Making, on_ended: Callable[[bool], object]
) -> Ran:
    """Make the runs that the store lacks, and keep them.

    `on_ended` is called for every run, found or made, with whether it has failed. A failed run does not stop the
    others: its error is kept in its place. Memory is bounded for any number of runs. Raises as `Executor.make`.
    """
    hand_out = _HandOut(store, on_ended)
    executor.make(making, hand_out.chunks(planned), hand_out.keep)
    return Ran(hand_out.fresh, hand_out.found, hand_out.shared, hand_out.failed)


@dataclass
class _HandOut:
    """The counts of one call of `run_missing`, and the runs that are being made."""

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
        """The runs to make, each once."""
        begun = self.store.last()
        rest = iter(planned)
        while batch := list(islice(rest, LOOKED_UP)):
            before = self.store.among([run.key for run in batch], begun)
            made_now: set[str] = set()
            for run in batch:
                if before.get(run.key):
                    self.found += 1
                elif run.key in before or run.key in self.under_way or run.key in made_now:
                    self.shared += 1
                else:
                    self.under_way.add(run.key)
                    made_now.add(run.key)
                    self.fresh += 1
                    yield run
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
