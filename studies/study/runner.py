"""Running trials on all cores: what is finished is kept at once, what is there already is not run again."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from studies.run import simulate
from studies.study.outcome import Outcome, outcome_of
from studies.study.plan import Trial
from studies.study.store import Store

CHUNK = 8
"""Trials per task of a worker: fewer, and handing them over costs; more, and an interrupt loses more."""


def run_missing(trials: Sequence[Trial], store: Store, jobs: int, on_finished: Callable[[], object]) -> int:
    """Run the trials that the store has not, `jobs` at a time, and keep them; the number of those that were run.

    `on_finished` is told of every trial that is there, found or run.
    """
    there = store.keys()
    waiting: dict[str, Trial] = {}
    for trial in trials:
        if trial.key in there or trial.key in waiting:
            on_finished()
        else:
            waiting[trial.key] = trial
    for finished in _outcomes(list(waiting.values()), jobs):
        store.keep(finished)
        for _ in finished:
            on_finished()
    return len(waiting)


def _outcomes(waiting: Sequence[Trial], jobs: int) -> Iterator[list[tuple[str, Outcome]]]:
    """What comes of the trials, in chunks, in whatever order they finish."""
    chunks = list(_chunks(waiting))
    if jobs == 1 or len(chunks) <= 1:
        yield from map(_run, chunks)
        return
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, as_completed

    # Forking is quick and safe where no thread runs yet; macOS and Windows have no safe fork.
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(min(jobs, len(chunks)), multiprocessing.get_context(method), _become_worker)
    try:
        for future in as_completed([pool.submit(_run, chunk) for chunk in chunks]):
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _chunks(waiting: Sequence[Trial]) -> Iterator[list[Trial]]:
    rest = iter(waiting)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


def _run(chunk: Sequence[Trial]) -> list[tuple[str, Outcome]]:
    return [(trial.key, outcome_of(simulate(trial.scenario))) for trial in chunk]


def _become_worker() -> None:
    """Leave interrupts to the parent, which lets started runs finish, and its stdout too, whatever a policy prints."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr
