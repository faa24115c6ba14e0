"""Running trials on all cores: each is kept as soon as it has finished, and none is run twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ipa.studies.run import simulate
from ipa.studies.study.outcome import Outcome, outcome_of
from ipa.studies.study.plan import Trial
from ipa.studies.study.store import Store
from ipa.studies.workers import run_all

CHUNK = 8
"""Trials per task of a worker: with fewer, handing them over costs more; with more, an interrupt loses more."""


@dataclass(frozen=True)
class Ran:
    """How many trials were run, were found in the store, or share the run of another trial."""

    fresh: int
    found: int
    shared: int

    @property
    def others(self) -> str:
        """Which trials needed no run, in words; empty where all did."""
        counts = ((self.found, "were there"), (self.shared, "share the run of another"))
        return "".join(f"; {count} {what}" for count, what in counts if count)


def run_missing(trials: Sequence[Trial], store: Store, jobs: int, on_finished: Callable[[], object]) -> Ran:
    """Run the trials that the store lacks, `jobs` at a time, and keep them.

    `on_finished` is called for every trial, found or run. Raises as `workers.run_all`.
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

    def keep(_place: int, finished: list[tuple[str, Outcome]]) -> None:
        store.keep(finished)
        for _ in finished:
            on_finished()

    run_all(_run, list(_chunks(list(waiting.values()))), jobs, keep)
    return Ran(len(waiting), found, len(trials) - len(waiting) - found)


def _chunks(waiting: Sequence[Trial]) -> Iterator[list[Trial]]:
    rest = iter(waiting)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _run(chunk: Sequence[Trial]) -> list[tuple[str, Outcome]]:
    return [(trial.key, outcome_of(simulate(trial.scenario))) for trial in chunk]
