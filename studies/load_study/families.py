"""The library of loads: families from which a seed draws unseen loads."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ipa import traces
from ipa.traces import HISTORY_S, SCALE, Trace

Rates = npt.NDArray[np.float64]

LENGTH_S = 1200
"""The length of every load [s], as of the published ones."""
DAY_S = 86_400
MEAN_RPS = 8.0
"""The mean load of a family at scale 1: about that of the published stream of tweets, as scaled."""
TWEETS_FROM_S = 14 * DAY_S
"""Windows of tweets begin on the fifteenth day: policies and predictors were developed on the days before."""
FEWEST = 30
"""A window with fewer requests at scale 1 lies in a gap of the recording, and is not drawn."""


@dataclass(frozen=True)
class Drawn:
    """A load of a family: the number of the draw, from 1, and the load at scale 1."""

    family: str
    draw: int
    load: Trace

    def name(self, scale: float) -> str:
        """The load's name at a scale."""
        return f"{self.family} {self.draw}, x {scale:g}"

    def scaled(self, scale: float, seed: int) -> Trace:
        """The load `scale` times as heavy."""
        if scale == 1:
            return self.load
        return self.load.scaled(scale, "thin", np.random.default_rng([seed, self.draw]))


# ---- rates of synthetic loads: HISTORY_S seconds before the load, then its LENGTH_S ----


def _seconds() -> Rates:
    return np.arange(-HISTORY_S, LENGTH_S, dtype=float)


def step(rng: np.random.Generator) -> Rates:
    """A step to three to six times the load, which stays."""
    factor, at_s = rng.uniform(3, 6), rng.uniform(200, 900)
    return np.where(_seconds() < at_s, 1.0, factor) * MEAN_RPS / 2


def square(rng: np.random.Generator) -> Rates:
    """Low and three to six times as high alternately, two to four minutes each; calm before the run."""
    factor, half_s, first_s = rng.uniform(3, 6), rng.uniform(120, 240), rng.uniform(60, 240)
    is_high = (_seconds() >= first_s) & ((_seconds() - first_s) // half_s % 2 == 0)
    return np.where(is_high, factor, 1.0) * MEAN_RPS / 2


def ramp(rng: np.random.Generator) -> Rates:
    """A rise to three to six times the load within two to ten minutes, and as slow a fall."""
    factor, rises_s, start_s, stays_s = (rng.uniform(*each) for each in ((3, 6), (120, 480), (60, 200), (30, 120)))
    corners_s = np.cumsum([start_s, rises_s, stays_s, rises_s])
    rates: Rates = np.interp(_seconds(), corners_s, [1.0, factor, factor, 1.0]) * MEAN_RPS / 2
    return rates


def flash(rng: np.random.Generator) -> Rates:
    """Two to four flash crowds: a jump to three to eight times the load, halved every 20 to 90 s."""
    rates = np.ones(HISTORY_S + LENGTH_S)
    for at_s in rng.uniform(60, LENGTH_S - 60, rng.integers(2, 5)):
        since_s = _seconds() - at_s
        decay = 0.5 ** (np.maximum(since_s, 0) / rng.uniform(20, 90))
        rates += np.where(since_s < 0, 0.0, rng.uniform(2, 7) * decay)
    return rates * MEAN_RPS / 2


def on_off(rng: np.random.Generator) -> Rates:
    """Requests for one to four minutes and none for one to three, alternately, before the run too."""
    rates, at, is_on = np.zeros(HISTORY_S + LENGTH_S), 0, True
    while at < len(rates):
        until = at + int(rng.uniform(60, 240) if is_on else rng.uniform(60, 180))
        rates[at:until] = 1.5 * MEAN_RPS if is_on else 0.0
        at, is_on = until, not is_on
    return rates


def diurnal(rng: np.random.Generator) -> Rates:
    """A daily wave, with two days of history, and random bursts, one in forty minutes."""
    seconds = np.arange(-2 * DAY_S, LENGTH_S, dtype=float)
    rates = MEAN_RPS * (1 + 0.5 * np.sin(2 * np.pi * (seconds / DAY_S + rng.uniform())))
    factor, at = np.ones(len(seconds)), rng.exponential(2400)
    while at < len(seconds):
        until = at + rng.uniform(30, 240)
        factor[int(at) : int(until)] += min(rng.exponential(1.5), 4.0)
        at = until + rng.exponential(2400)
    rates *= factor
    return rates


FAMILIES: Mapping[str, Callable[[np.random.Generator], Rates]] = {
    "step": step,
    "square": square,
    "ramp": ramp,
    "flash": flash,
    "on-off": on_off,
    "diurnal": diurnal,
}
TWEETS, WITHOUT_PAST, AZURE = "tweets", "tweets without past", "azure"
ALL = (*FAMILIES, TWEETS, WITHOUT_PAST, AZURE)


def drawn(families: Sequence[str], draws: int, seed: int, tweets: Path | None, azure: Path | None) -> list[Drawn]:
    """`draws` loads of each family, drawn by the seed; recorded families only if their file is given.

    Raises TraceError if a file cannot be read.
    """
    found = []
    for place, family in enumerate(ALL):
        rng = np.random.default_rng([seed, place])
        if family not in families:
            continue
        if family in FAMILIES:
            loads = [_synthetic(FAMILIES[family], rng) for _ in range(draws)]
        elif family == AZURE:
            loads = [] if azure is None else _windows(traces.find(str(azure)), rng, draws, 0, 1.0)
        else:
            rng = np.random.default_rng([seed, 99])  # with and without past, the same windows
            loads = [] if tweets is None else _windows(traces.find(str(tweets)), rng, draws, TWEETS_FROM_S, SCALE)
        if family == WITHOUT_PAST:
            loads = [replace(load, history_counts=np.empty(0, np.int64)) for load in loads]
        found += [Drawn(family, number, load) for number, load in enumerate(loads, 1)]
    return found


def _synthetic(rates_of: Callable[[np.random.Generator], Rates], rng: np.random.Generator) -> Trace:
    counts = rng.poisson(rates_of(rng))
    return Trace.of_counts("drawn", counts[-LENGTH_S:], history_counts=counts[:-LENGTH_S], source="a drawn load")


def _windows(whole: Trace, rng: np.random.Generator, draws: int, from_s: int, scale: float) -> list[Trace]:
    """Random windows of a scaled recording, from the second `from_s` on."""
    starts: list[Any] = np.arange(from_s, int(whole.duration_s) - LENGTH_S + 1, 60).tolist()
    found: list[Trace] = []
    for start in rng.permutation(starts):
        part = whole.window([(float(start), float(start) + LENGTH_S)])
        if (part.per_second() > 0).sum() * scale >= FEWEST:
            counts = Trace.of_counts("drawn", part.per_second(), history_counts=part.history_counts, source=part.source)
            found.append(counts if scale == 1 else counts.scaled(scale))
        if len(found) == draws:
            break
    return found
