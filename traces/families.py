"""Families of loads from which a seed draws one: `step:7`, `flash:7`.

All last twenty minutes. The synthetic ones have about 4 to 20 requests per second, each count a Poisson number,
and all but `diurnal` ten calm minutes before them. `tweets` are windows of the real trace, with up to three days before
them or without.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ipa.traces.checks import TraceError
from ipa.traces.trace import HISTORY_S, NO_HISTORY, Trace

Rates = npt.NDArray[np.float64]

LENGTH_S = 1200
"""The length of every load [s], as of the published ones."""
DAY_S = 86_400
MEAN_RPS = 8.0
"""The mean load of a family: about that of the published stream of tweets, as scaled."""
TWEETS_FROM_S = 14 * DAY_S
"""Windows of tweets begin on the fifteenth day: policies and predictors were developed on the days before."""
FEWEST = 30
"""A window with requests in fewer of its seconds lies in a gap of the recording, and is not drawn."""


# ---- rates of synthetic loads: HISTORY_S seconds before the load, then its LENGTH_S ----


def _seconds() -> Rates:
    return np.arange(-HISTORY_S, LENGTH_S, dtype=float)


def step(rng: np.random.Generator) -> Rates:
    """A step to three to six times the load, which stays."""
    factor, at_s = rng.uniform(3, 6), rng.uniform(200, 900)
    return np.where(_seconds() < at_s, 1.0, factor) * MEAN_RPS / 2


def square(rng: np.random.Generator) -> Rates:
    """Low and three to six times as high in turn, two to four minutes each."""
    factor, half_s, first_s = rng.uniform(3, 6), rng.uniform(120, 240), rng.uniform(60, 240)
    is_high = (_seconds() >= first_s) & ((_seconds() - first_s) // half_s % 2 == 0)
    return np.where(is_high, factor, 1.0) * MEAN_RPS / 2


def ramp(rng: np.random.Generator) -> Rates:
    """A rise to three to six times the load within two to eight minutes, and as slow a fall."""
    factor, rises_s, start_s, stays_s = (rng.uniform(*bounds) for bounds in ((3, 6), (120, 480), (60, 200), (30, 120)))
    corners_s = np.cumsum([start_s, rises_s, stays_s, rises_s])
    rates: Rates = np.interp(_seconds(), corners_s, [1.0, factor, factor, 1.0]) * MEAN_RPS / 2
    return rates


def flash(rng: np.random.Generator) -> Rates:
    """Two to four flash crowds: three to eight times the load at once, halved every 20 to 90 s."""
    rates = np.ones(HISTORY_S + LENGTH_S)
    for at_s in rng.uniform(60, LENGTH_S - 60, rng.integers(2, 5)):
        since_s = _seconds() - at_s
        decay = 0.5 ** (np.maximum(since_s, 0) / rng.uniform(20, 90))
        rates += np.where(since_s < 0, 0.0, rng.uniform(2, 7) * decay)
    return rates * MEAN_RPS / 2


def on_off(rng: np.random.Generator) -> Rates:
    """Requests for one to four minutes, none for one to three, in turn and before the run too."""
    rates, at, is_on = np.zeros(HISTORY_S + LENGTH_S), 0, True
    while at < len(rates):
        until = at + int(rng.uniform(60, 240) if is_on else rng.uniform(60, 180))
        rates[at:until] = 1.5 * MEAN_RPS if is_on else 0.0
        at, is_on = until, not is_on
    return rates


def diurnal(rng: np.random.Generator) -> Rates:
    """A day's wave of which two days are known, and random bursts, one in forty minutes."""
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
"""The names of the synthetic families, each with its rates."""

TWEETS, WITHOUT_PAST = "tweets", "tweets-without-past"
REAL_FAMILIES = (TWEETS, WITHOUT_PAST)
"""The names of the families of windows of the real trace: the same windows, with and without what lies before them."""


def drawn(family: str, seed: int) -> Trace:
    """The load of a synthetic family that this seed, from 0, draws; `family` is one of `FAMILIES`."""
    counts_rng = np.random.default_rng([seed, list(FAMILIES).index(family)])
    counts = counts_rng.poisson(FAMILIES[family](counts_rng))
    return Trace.of_counts(
        f"{family}:{seed}",
        counts[-LENGTH_S:],
        history_counts=counts[:-LENGTH_S],
        source=f"synthetic {family}, seed {seed}",
    )


def drawn_window(family: str, seed: int, real: Trace, scale: float) -> Trace:
    """The window of the real trace, scaled and rounded down as the published ones are, that this seed, from 0, draws.

    `family` is one of `REAL_FAMILIES`. Raises TraceError if the trace holds no such window.
    """
    starts = np.arange(TWEETS_FROM_S, int(real.duration_s) - LENGTH_S + 1, 60)
    for start in np.random.default_rng([seed, _PLACE_OF_TWEETS]).permutation(starts).tolist():
        part = real.window([(float(start), float(start) + LENGTH_S)])
        if (part.per_second() > 0).sum() * scale >= FEWEST:
            load = replace(part.scaled(scale, "floor"), name=f"{family}:{seed}", reading="", unscaled_rps=None)
            return load if family == TWEETS else replace(load, history_counts=NO_HISTORY)
    raise TraceError(f"{family}:{seed}: {real.name!r} has no {LENGTH_S} s with requests from second {TWEETS_FROM_S} on")


_PLACE_OF_TWEETS = 99
"""The second part of the key of their draws: that of a synthetic family is its place."""
