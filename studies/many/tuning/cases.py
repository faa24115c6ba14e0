"""The loads on which settings are tried: windows to train on and to test on, or seeds if the load is random."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np

from ipa import traces
from ipa.sim import stream
from ipa.studies.scenario import Load, Scenario, ScenarioError, find_trace, load_of, whole_trace
from ipa.traces import NAMES, SCALE, Trace

Span = tuple[float, float]

DAY_S = 86_400.0

REAL_TRAIN: Span = (0.0, 14 * DAY_S)
REAL_TEST: Span = (14 * DAY_S, 21 * DAY_S)
"""The parts of the real trace: the shipped trained predictors have learnt from its first 14 days."""

TRAIN_SHARE = 2 / 3
"""The training share of any other load, from its start."""

LONGEST_S, SHORTEST_S = 1200.0, 300.0
"""The lengths of windows [s]: the published ones have 1,200; of a log too short for as many of these, less."""

STRETCH_S = 60
"""Rises from minute to minute decide whether windows are alike [s]."""

ALIKE = 2.0
"""Windows are alike if their means and their largest rises differ by at most this factor."""


PAST = "Policies that read a longer past than history_s may see some of the other part before their first windows."
"""`foresight` does: nothing is removed from the load before a window."""


@dataclass(frozen=True)
class Case:
    """One run of a setting: a window of the load (None: all of it), and the seed."""

    window: Span | None
    seed: int


@dataclass(frozen=True)
class TuningCases:
    """The base scenario of all runs, the cases to train and to test on, and how they were chosen, in words.

    The cases of one window are consecutive, `seeds` of them. Settings are chosen on `train` alone.
    """

    base: Scenario
    train: tuple[Case, ...]
    test: tuple[Case, ...]
    seeds: int
    words: str

    @property
    def window_s(self) -> float:
        """The length of every window."""
        window = self.train[0].window
        return _length_of(self.base) if window is None else window[1] - window[0]


def cases_of(
    scenario: Scenario, windows: int, seeds: int = 1, log: Callable[[str], object] = lambda _: None
) -> TuningCases:
    """The cases for a scenario, drawn by its seed: `windows` to train on and twice as many to test on, each with
    `seeds`. `log` gets a message if there are fewer.

    Raises ScenarioError for a load that holds no window, TraceError if it cannot be used.
    """
    is_real = traces.is_of_real_trace(scenario.trace)
    if scenario.trace in NAMES or traces.has_fixed_counts(scenario.trace):
        return _seeds_apart(scenario, windows * seeds)
    if scenario.window is not None:
        raise ScenarioError(
            "--window: the first two thirds of a log are to train on, and the rest to test on; for less of it, "
            "ipa trace convert LOG --window START:END --to FILE"
        )
    base = _whole_real(scenario) if is_real else scenario
    load, whole = replace(load_of(base), windows=None), whole_trace(base, base.seed)
    train, test = _parts(whole, is_real, scenario.history_s)
    each_s = float(floor(min((train[1] - train[0]) / windows, (test[1] - test[0]) / (2 * windows))))
    length_s = _length_of(scenario) if is_real else min(LONGEST_S, max(SHORTEST_S, each_s))
    like = _figures(Load(scenario.trace, None, 1.0).trace()) if is_real else None
    rng = stream(scenario.seed, "windows")
    windows_of_parts = []
    for use, part, count in (("to train on", train, windows), ("to test on", test, 2 * windows)):
        candidates = _windows(load, whole, part, length_s, like)
        place = f"the part of the load {use}, {part[0]:g}:{part[1]:g},"
        if not candidates:
            alike = " that is like the load" if like else ""
            raise ScenarioError(f"--trace {scenario.trace}: {place} holds no window of {length_s:g} s{alike}")
        if len(candidates) < count:
            log(f"{place} holds {len(candidates)} windows of {length_s:g} s, fewer than {count}")
        chosen = rng.permutation(len(candidates))[:count]
        windows_of_parts.append([candidates[place] for place in chosen.tolist()])
    first = scenario.seed
    last = first + seeds * len(windows_of_parts[0])
    return TuningCases(
        base.model_copy(update={"window": None}),
        _cases(windows_of_parts[0], first, seeds),
        _cases(windows_of_parts[1], last, seeds),
        seeds,
        f"windows of {length_s:g} s{f' like {scenario.trace}' if like else ''}: {len(windows_of_parts[0])} of seconds "
        f"{train[0]:,.12g} to {train[1]:,.12g} for training, "
        f"{len(windows_of_parts[1])} of {test[0]:,.12g} to {test[1]:,.12g} for the test",
    )


def of_case(scenario: Scenario, case: Case) -> Scenario:
    """The scenario of the run of a case."""
    window = None if case.window is None else (case.window,)
    return scenario.model_copy(update={"window": window, "seed": case.seed, "records": "none"})


def _seeds_apart(scenario: Scenario, count: int) -> TuningCases:
    """The cases for a load that each seed draws anew: `count` seeds to train on, others to test on."""
    first, last = scenario.seed, scenario.seed + count
    return TuningCases(
        scenario,
        tuple(Case(None, seed) for seed in range(first, last)),
        tuple(Case(None, seed) for seed in range(last, last + 2 * count)),
        1,
        f"seeds {first} to {last - 1} for training, {last} to {last + 2 * count - 1} for the test",
    )


def _whole_real(scenario: Scenario) -> Scenario:
    """The scenario on the whole real trace, scaled like the workloads that are cut from it.

    A scale of its own is one factor with theirs, and drawn as the scenario says.
    """
    whole_trace(scenario, scenario.seed)  # raises for a wrong name, and if the file is not known or has changed
    path = traces.default_path(os.environ)
    scaling = "floor" if scenario.scale == 1.0 else scenario.scaling
    return scenario.model_copy(update={"trace": str(path), "scale": SCALE * scenario.scale, "scaling": scaling})


def _length_of(scenario: Scenario) -> float:
    return find_trace(scenario.trace, scenario.seed).duration_s


def _parts(whole: Trace, is_real: bool, history_s: int) -> tuple[Span, Span]:
    """The parts to train and to test on; no window of the second has a history that reaches into the first."""
    if is_real and whole.duration_s >= REAL_TEST[1]:
        train, test = REAL_TRAIN, REAL_TEST
    else:
        middle_s = float(floor(TRAIN_SHARE * whole.duration_s))
        train, test = (0.0, middle_s), (middle_s, float(floor(whole.duration_s)))
    return train, (min(train[1] + history_s, test[1]), test[1])


def _windows(load: Load, whole: Trace, part: Span, length_s: float, like: tuple[float, float] | None) -> list[Span]:
    """The consecutive windows in a part, from its start; with `like`, those with similar figures."""
    count = int((part[1] - part[0]) // length_s)
    spans = [(part[0] + number * length_s, part[0] + (number + 1) * length_s) for number in range(count)]
    if like is None:
        return [span for span in spans if whole.window([span]).requests]
    return [span for span in spans if _are_alike(_figures(load.scaled(whole.window([span]))), like)]


def _figures(trace: Trace) -> tuple[float, float]:
    """The mean rate and the largest rise from any minute to the next [rps]."""
    counts = trace.per_second()
    total = np.concatenate([[0], np.cumsum(counts)])
    minutes = total[STRETCH_S:] - total[:-STRETCH_S]
    rises = minutes[STRETCH_S:] - minutes[:-STRETCH_S]
    return trace.requests / trace.duration_s, max(0.0, float(rises.max(initial=0))) / STRETCH_S


def _are_alike(figures: tuple[float, float], like: tuple[float, float]) -> bool:
    return all(a <= ALIKE * b and b <= ALIKE * a for a, b in zip(figures, like, strict=True))


def _cases(windows: Sequence[Span], first_seed: int, seeds: int) -> tuple[Case, ...]:
    return tuple(
        Case(window, first_seed + place * seeds + number)
        for place, window in enumerate(windows)
        for number in range(seeds)
    )
