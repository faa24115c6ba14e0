"""Running trials on all cores: each is kept as soon as it has finished, and none is run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ipa.errors import Error
from ipa.studies.run import simulate
from ipa.studies.study.outcome import Outcome, outcome_of
from ipa.studies.study.plan import Trial
from ipa.studies.study.store import Store
from ipa.studies.workers import run_all

CHUNK = 8
"""Trials per task of a worker: with fewer, handing them over costs more; with more, an interrupt loses more."""


@dataclass(frozen=True)
class Ran:
    """How many trials were run, were found in the store, or share the run of another trial; how many runs failed."""

    fresh: int
    found: int
    shared: int
    failed: int

    @property
    def others(self) -> str:
        """Which trials needed no run and which runs failed, in words; empty where all needed one that finished."""
        counts = ((self.failed, "failed"), (self.found, "were there"), (self.shared, "share the run of another"))
        return "".join(f"; {count} {what}" for count, what in counts if count)


def run_missing(trials: Sequence[Trial], store: Store, jobs: int, on_finished: Callable[[], object]) -> Ran:
    """Run the trials that the store lacks, `jobs` at a time, and keep them.

    `on_finished` is called for every trial, found or run. A run that fails by an error of ours (a policy's, say) ends
    nothing: the error is kept in its place. Raises as `workers.run_all`.
    """
    there = store.keys()
    waiting: dict[str, Trial] = {}
    found = 0
    for trial in trials:
        if trial.key in there or trial.key in waiting:
            found += trial.key in there
            on_finished()
        else:
            waiting[trial.key] = trial

    failed = 0

    def keep(_place: int, ended: list[tuple[str, Outcome | str]]) -> None:
        nonlocal failed
        store.keep(ended)
        failed += sum(isinstance(outcome, str) for _, outcome in ended)
        for _ in ended:
            on_finished()

    run_all(_run, list(_chunks(list(waiting.values()))), jobs, keep)
    return Ran(len(waiting), found, len(trials) - len(waiting) - found, failed)


def _chunks(waiting: Sequence[Trial]) -> Iterator[list[Trial]]:
    rest = iter(waiting)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _run(chunk: Sequence[Trial]) -> list[tuple[str, Outcome | str]]:
    return [(trial.key, _outcome(trial)) for trial in chunk]


def _outcome(trial: Trial) -> Outcome | str:
    """The outcome of a run, or the error that ended it."""
    try:
        return outcome_of(simulate(trial.scenario))
    except Error as error:
        return str(error)
    except Exception as error:  # a bug in this program: its traceback says which run found it
        error.add_note(f"in the run of {trial.title}")
        raise
