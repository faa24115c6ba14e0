"""The plan of a validation: which seconds of the load are compared, which others calibrate, and the live backend."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ipa.live import LiveError, RunError
from ipa.studies import results
from ipa.studies.runs import Run, prepare
from ipa.studies.runs.live_runs import Live, check_installed, check_live, check_reachable, run_live
from ipa.studies.scenario import Scenario, ScenarioError, Windows, load_of

Counts = NDArray[np.int64]

RunLive = Callable[[Scenario, Path], None]
"""A function that runs a scenario live and writes its results to the folder, which is empty. Raises UnwrittenError for
results that cannot be written."""

DURATION_S = 120
"""The default length of a comparison [s]."""

CALIBRATION_S = 90
"""The default length of the calibration [s]; a short trace allows less."""

SHORTEST_CALIBRATION_S = 20

BLOCK_S = 10
"""Windows begin at multiples of this [s]; rises are those of the mean load over so many seconds."""


@dataclass(frozen=True)
class Experiment:
    """The scenario that is compared, and the one for calibration: the same on other seconds.

    `backend` of the live runs: `loopback` or `kubernetes`; `source`: that of their policies' observations.
    """

    compared: Scenario
    calibration: Scenario
    backend: str = "loopback"
    source: str = "gateway"

    @property
    def reality(self) -> str:
        """The backend of the live runs, in words."""
        return self.backend if self.source == "gateway" else f"{self.backend}, observed by {self.source.capitalize()}"


def design(
    scenario: Scenario,
    duration_s: int | None = None,
    calibration: Windows | None = None,
    *,
    backend: str = "loopback",
    source: str = "gateway",
) -> Experiment:
    """Choose the `duration_s` seconds with the greatest rise, from the scenario's window or all of the trace.

    With a window and no duration, the whole window is compared; with neither, `DURATION_S` seconds. The overheads are
    measured on `calibration`; default: the `CALIBRATION_S` other seconds with the greatest rise and fall, where
    replicas are added and removed.

    Raises ScenarioError if there are not enough seconds, or the two overlap.
    """
    if scenario.records != "all":
        raise ScenarioError(
            f"records: {scenario.records}: a validation needs the records of all requests; use records: all"
        )
    counts = replace(load_of(scenario), windows=None).trace().per_second()
    compared = _compared(scenario, counts, duration_s)
    free = _without(len(counts), compared)
    if calibration is None:
        calibration = (_calibration(counts, free, scenario.trace),)
    elif any(not free[int(start_s) : int(np.ceil(end_s))].all() for start_s, end_s in calibration):
        raise ScenarioError(
            f"calibration window {_words(calibration)}: overlaps the seconds that are compared, {_words(compared)}"
        )
    return Experiment(
        scenario.with_values({"window": [list(pair) for pair in compared]}),
        scenario.with_values({"window": [list(pair) for pair in calibration]}),
        backend,
        source,
    )


def _compared(scenario: Scenario, counts: Counts, duration_s: int | None) -> Windows:
    if scenario.window is not None and duration_s is None:
        return scenario.window
    length_s = DURATION_S if duration_s is None else duration_s
    allowed = np.ones(len(counts), dtype=bool)
    if scenario.window is not None:
        allowed = ~_without(len(counts), scenario.window)
    window = _greatest(_rise, counts, allowed, length_s)
    if window is None:
        raise ScenarioError(
            f"--duration {length_s}: {_words(scenario.window or ((0, len(counts)),))} of {scenario.trace} has no "
            f"{length_s} seconds in a row"
        )
    return (window,)


def _calibration(counts: Counts, free: NDArray[np.bool_], trace: str) -> tuple[float, float]:
    for length_s in range(CALIBRATION_S, SHORTEST_CALIBRATION_S - 1, -BLOCK_S):
        window = _greatest(_rise_and_fall, counts, free, length_s)
        if window is not None:
            return window
    raise ScenarioError(
        f"{trace} has {len(counts)} seconds, and all but {int(free.sum())} of them are compared: overheads are "
        f"measured on {SHORTEST_CALIBRATION_S} others in a row at least; compare fewer, by --duration or --window"
    )


def _greatest(
    change: Callable[[Counts], float], counts: Counts, allowed: NDArray[np.bool_], length_s: int
) -> tuple[float, float] | None:
    """The `length_s` consecutive allowed seconds in which the load changes most; the earliest of equal ones."""
    starts = [s for s in range(0, len(counts) - length_s + 1, BLOCK_S) if allowed[s : s + length_s].all()]
    if not starts:
        return None
    best = max(starts, key=lambda start: change(counts[start : start + length_s]))
    return float(best), float(best + length_s)


def _rise_and_fall(counts: Counts) -> float:
    return _rise(counts) + _rise(-counts)


def _rise(counts: Counts) -> float:
    """The largest increase of the mean load from one block to a later one; at least 0."""
    edges = np.arange(0, len(counts), BLOCK_S)
    means = np.add.reduceat(counts, edges) / np.diff(np.append(edges, len(counts)))
    return float(np.max(means - np.minimum.accumulate(means)))


def _without(seconds: int, windows: Windows) -> NDArray[np.bool_]:
    """Whether each second is outside all windows."""
    free = np.ones(seconds, dtype=bool)
    for start_s, end_s in windows:
        free[int(start_s) : int(np.ceil(end_s))] = False
    return free


def _words(windows: Windows) -> str:
    return ",".join(f"{start_s:g}:{end_s:g}" for start_s, end_s in windows)


# ---- live ----


def live_runner(how: Live, scenario: Scenario) -> RunLive:
    """A function that runs a scenario live and writes its results folder.

    Raises LiveError, before anything runs, if the scenario, this machine or the cluster does not support it.
    """
    check_installed()
    for key in ("dispatch_overhead_s", "start_up_extra_s"):
        if getattr(scenario, key) > 0.0:
            raise LiveError(f"{key}: {getattr(scenario, key)}: a validation measures it; allowed: 0")
    prepared = prepare(scenario)
    check_live(how, prepared)
    if how.cluster is not None:
        check_reachable(prepared, how.cluster)
    return partial(_run, how)


def _run(how: Live, scenario: Scenario, folder: Path) -> None:
    """Run live; raises KeyboardInterrupt or RunError if the run ended early, as it cannot be compared."""
    finished = run_live(scenario, how)
    if finished.ended == "interrupted":
        raise KeyboardInterrupt
    if finished.ended:
        raise RunError(f"the live run ended early: {finished.ended}")
    write_live(finished, folder)


class UnwrittenError(ScenarioError):
    """A live run has finished and could not be written; the text says why, and `run` is what was measured."""

    def __init__(self, run: Run, problem: str) -> None:
        super().__init__(problem)
        self.run = run


def write_live(run: Run, folder: Path) -> None:
    """Write a live run's results, as `RunLive` does. Raises UnwrittenError."""
    try:
        results.write_run(run, folder)
    except ScenarioError as problem:
        raise UnwrittenError(run, str(problem)) from None
