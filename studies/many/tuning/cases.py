"""The loads on which settings are tried: windows to train on and to test on, or seeds if the load is random."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import floor

import numpy as np

from ipa import traces
from ipa.sim import stream
from ipa.studies.many.tuning.options import LENGTH_S, Drawing
from ipa.studies.scenario import Load, Scenario, ScenarioError, find_trace, load_of, parse_windows, whole_trace
from ipa.traces import NAMES, SCALE, Trace

Span = tuple[float, float]

DAY_S = 86_400.0

REAL_TRAIN: Span = (0.0, 14 * DAY_S)
REAL_TEST: Span = (14 * DAY_S, 21 * DAY_S)
"""The parts of the real trace: the shipped trained predictors have learnt from its first 14 days."""

TRAIN_SHARE = 2 / 3
"""The training share of any other load, from its start."""

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


def cases_of(scenario: Scenario, how: Drawing, log: Callable[[str], object] = lambda _: None) -> TuningCases:
    """The cases for a scenario, drawn by its seed. `log` gets a message if there are fewer than requested.

    Raises ScenarioError for parts of the load that overlap or hold no window, TraceError if the load cannot be used.
    """
    is_real = traces.is_of_real_trace(scenario.trace)
    if scenario.trace in NAMES or traces.has_fixed_counts(scenario.trace):
        return _seeds_apart(scenario, how)
    if scenario.window is not None:
        raise ScenarioError("--window: say with --train and --test which parts of the load are used for what")
    base = _whole_real(scenario) if is_real else scenario
    load, whole = replace(load_of(base), windows=None), whole_trace(base, base.seed)
    length_s = how.length_s or (_length_of(scenario) if is_real else LENGTH_S)
    train, test = _parts(whole, how, is_real, scenario.history_s)
    like = _figures(Load(scenario.trace, None, 1.0).trace()) if is_real else None
    rng = stream(scenario.seed, "windows")
    names, windows_of_parts = ("--train", "--test"), []
    for name, part, count in zip(names, (train, test), (how.windows, 2 * how.windows), strict=True):
        candidates = _windows(load, whole, part, length_s, like)
        if not candidates:
            raise ScenarioError(
                f"{name} {part[0]:g}:{part[1]:g}: holds no window of {length_s:g} s"
                f"{' that is like the load' if like else ''}; give a larger part, or a shorter --length"
            )
        if len(candidates) < count:
            log(f"{name}: holds {len(candidates)} windows of {length_s:g} s, fewer than {count}")
        chosen = rng.permutation(len(candidates))[:count]
        windows_of_parts.append([candidates[place] for place in chosen.tolist()])
    first = scenario.seed
    last = first + how.seeds * len(windows_of_parts[0])
    return TuningCases(
        base.model_copy(update={"window": None}),
        _cases(windows_of_parts[0], first, how.seeds),
        _cases(windows_of_parts[1], last, how.seeds),
        how.seeds,
        f"windows of {length_s:g} s{f' like {scenario.trace}' if like else ''}: {len(windows_of_parts[0])} of seconds "
        f"{train[0]:,.12g} to {train[1]:,.12g} for training, "
        f"{len(windows_of_parts[1])} of {test[0]:,.12g} to {test[1]:,.12g} for the test",
    )


def of_case(scenario: Scenario, case: Case) -> Scenario:
    """The scenario of the run of a case."""
    window = None if case.window is None else (case.window,)
    return scenario.model_copy(update={"window": window, "seed": case.seed, "records": "none"})


def _seeds_apart(scenario: Scenario, how: Drawing) -> TuningCases:
    """The cases for a load that each seed draws anew: some seeds to train on, others to test on."""
    if how.train or how.test or how.length_s:
        raise ScenarioError(
            f"--trace {scenario.trace}: is drawn by each seed, so that seeds are kept apart, not windows; leave "
            "--train, --test and --length out"
        )
    count = how.windows * how.seeds
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


def _parts(whole: Trace, how: Drawing, is_real: bool, history_s: int) -> tuple[Span, Span]:
    """The parts to train and to test on; no window of the second has a history that reaches into the first."""
    if (how.train is None) != (how.test is None):
        raise ScenarioError("--train and --test: give both, or none")
    if how.train is not None and how.test is not None:
        train, test = _part(how.train, "--train", whole), _part(how.test, "--test", whole)
    elif is_real and whole.duration_s >= REAL_TEST[1]:
        train, test = REAL_TRAIN, REAL_TEST
    else:
        middle_s = float(floor(TRAIN_SHARE * whole.duration_s))
        train, test = (0.0, middle_s), (middle_s, float(floor(whole.duration_s)))
    if train[0] < test[1] and test[0] < train[1]:
        raise ScenarioError(f"--test {test[0]:g}:{test[1]:g}: overlaps --train {train[0]:g}:{train[1]:g}")
    if train[1] <= test[0] < train[1] + history_s:
        test = (train[1] + history_s, test[1])
        if test[0] >= test[1]:
            raise ScenarioError(
                f"--test: no load is left to test on: {whole.name!r} has seconds 0 to {whole.duration_s:g}, and tests "
                f"begin {history_s} s (history_s) after the part to train on, {train[0]:g}:{train[1]:g}"
            )
    return train, test


def _part(text: str, option: str, whole: Trace) -> Span:
    try:
        spans: object = parse_windows(text)
    except ValueError as error:
        raise ScenarioError(f"{option} {text}: {error}") from None
    if not isinstance(spans, tuple) or len(spans) != 1:
        raise ScenarioError(f"{option} {text}: should be one part, START:END in seconds")
    start_s, end_s = spans[0]
    if not 0 <= start_s < end_s <= whole.duration_s:
        raise ScenarioError(f"{option} {text}: should lie within the load, seconds 0 to {whole.duration_s:g}")
    return start_s, end_s


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
