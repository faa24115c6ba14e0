"""What is changed to see whether a policy is robust, each a part of scenarios: the world, or the load."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import numpy as np

from ipa.studies.scenario.loads import find_trace
from tests.studies.foresight.cases import DAY_S, LENGTH_S, Window, windows

DARK_SEED = 3
"""Draws when the metrics are silent in a window."""
STEP_S, BEFORE_RPS, AFTER_RPS = 600, 5, 20

APERIODIC_SEED, APERIODIC_DAYS, APERIODIC_WINDOWS = 7, 4, 24
LEVEL_RPS, LEVEL_SIGMA, LEVEL_MEMORY_S = 6.0, 0.35, 1800.0
SURGE_EVERY_S, SURGE_LASTS_S, SURGE_RISES, SURGE_MOST = 3600.0, 240.0, 1.5, 4.0


@dataclass(frozen=True)
class Change:
    """Windows, and keys of all scenarios on them; `of`: keys that depend on the window."""

    keys: Mapping[str, Any] = field(default_factory=dict)
    windows: Callable[[], list[Window]] = lambda: windows("development")
    of: Callable[[Window], Mapping[str, Any]] = lambda _: {}


def changes() -> dict[str, Change]:
    """All changes by what they are called, in the order of the table."""
    return {
        "nothing": Change(),
        "load x 4": Change(windows=lambda: scaled(4.0)),
        "load x 1/4": Change(windows=lambda: scaled(0.25)),
        **{f"start-up {seconds} s": Change({"start_up_s": float(seconds)}) for seconds in (4, 15, 30)},
        "start-up 10 s longer than profiled": Change({"start_up_extra_s": 10.0}),
        "batches 10 % slower than profiled": Change({"service_factor": 1.1}),
        "Poisson counts": Change({"arrivals": "poisson-count"}),
        "no periodicity": Change(windows=aperiodic_windows),
        "a step from 5 to 20 rps": Change(windows=step_windows),
        "no metrics for 30 s": Change(of=lambda window: dark(window, 30)),
        "no metrics for 120 s": Change(of=lambda window: dark(window, 120)),
        "no metrics for 30 s from the steepest rise": Change(of=lambda window: dark_at_rise(window, 30)),
        "no metrics for 120 s from the steepest rise": Change(of=lambda window: dark_at_rise(window, 120)),
        **{f"a decision every {seconds} s": Change({"interval_s": float(seconds)}) for seconds in (20, 5, 2)},
    }


def scaled(factor: float) -> list[Window]:
    """The development windows with another load."""
    found = windows("development")
    return [replace(each, keys={**each.keys, "scale": each.keys["scale"] * factor}) for each in found]


# ---- silence ----


def dark(window: Window, seconds: int) -> dict[str, Any]:
    """An outage at a time drawn by the window's name."""
    drawn = np.random.default_rng([DARK_SEED, *window.name.encode()])
    return _outage(int(drawn.integers(0, LENGTH_S - seconds)), seconds)


def dark_at_rise(window: Window, seconds: int) -> dict[str, Any]:
    """An outage that begins with the steepest rise of the window."""
    start_s, _ = steepest_rise(window)
    return _outage(min(start_s, LENGTH_S - seconds), seconds)


def steepest_rise(window: Window) -> tuple[int, float]:
    """When the load of a window rises most from ten seconds to the next ten [s], and by how much of its mean."""
    trace = find_trace(window.keys["trace"], 1)
    counts = (trace.window(window.keys["window"]) if "window" in window.keys else trace).per_second()
    sums = np.concatenate([[0], np.cumsum(counts)])
    means = (sums[10:] - sums[:-10]) / 10
    rises = means[10:] - means[:-10]
    return int(np.argmax(rises)) + 10, float(rises.max() / counts.mean())


def _outage(start_s: int, seconds: int) -> dict[str, Any]:
    return {"outages": ((start_s, start_s + seconds),)}


# ---- loads of our own ----


def step_windows() -> list[Window]:
    """A load that stands at four times its level from one second to the next, with nothing known of days before."""
    counts = [BEFORE_RPS] * STEP_S + [AFTER_RPS] * (LENGTH_S - STEP_S)
    return [Window("step", {"trace": _written("step", counts), "arrivals": "even"})]


@cache
def aperiodic_windows() -> list[Window]:
    """Windows of a load without any period, each with the day before it, drawn from all by a seed."""
    counts = aperiodic(APERIODIC_SEED)
    path = _written("aperiodic", counts.tolist())
    starts = np.arange(DAY_S, len(counts) - LENGTH_S + 1, LENGTH_S)
    drawn = sorted(np.random.default_rng(APERIODIC_SEED).choice(starts, APERIODIC_WINDOWS, replace=False).tolist())
    return [
        Window(f"day {start / DAY_S:.2f}", {"trace": path, "window": ((start, start + LENGTH_S),)}) for start in drawn
    ]


def aperiodic(seed: int) -> np.ndarray[Any, Any]:
    """Counts by the second of a load without any period.

    A level of 6 requests/s x exp(0.35 z), z an Ornstein-Uhlenbeck process of mean 0, variance 1 and a memory of half an
    hour. Surges begin at random (a Poisson process), one an hour, last 4 minutes in the mean (exponential), and add to
    the level 1.5 times itself in the mean (exponential), at most 4 times. Counts are Poisson.
    """
    drawn = np.random.default_rng(seed)
    seconds = APERIODIC_DAYS * DAY_S
    kept = np.exp(-1.0 / LEVEL_MEMORY_S)
    steps, z = drawn.normal(0.0, np.sqrt(1 - kept**2), seconds), np.empty(seconds)
    z[0] = drawn.normal()
    for second in range(1, seconds):
        z[second] = kept * z[second - 1] + steps[second]
    rate = LEVEL_RPS * np.exp(LEVEL_SIGMA * z)
    factor = np.ones(seconds)
    start = drawn.exponential(SURGE_EVERY_S)
    while start < seconds:
        end = start + drawn.exponential(SURGE_LASTS_S)
        factor[int(start) : int(end)] += min(drawn.exponential(SURGE_RISES), SURGE_MOST)
        start = end + drawn.exponential(SURGE_EVERY_S)
    return drawn.poisson(rate * factor)


def _written(name: str, counts: list[int]) -> str:
    """The path of a file with these counts; written once, as files that change are read again."""
    text = "\n".join(["count", *map(str, counts), ""])
    path = Path(gettempdir()) / f"foresight-{name}.csv"
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    return str(path)
