"""Scaling and cutting as functions of plain arrays; `Trace` is made of them."""

import numpy as np

from ipa.traces.checks import MOST_PER_S, Counts, Times, TraceError

ALMOST = 1e-9
"""A product this close below a whole number is meant to be it: 100 x 0.29 is 29, not 28."""


def floored(counts: Counts, factor: float) -> Counts:
    """floor(count x factor) of each second."""
    _refuse_beyond(counts, factor)
    scaled: Counts = np.floor(counts * factor + ALMOST).astype(np.int64)
    return scaled


def thinned(counts: Counts, factor: float, rng: np.random.Generator) -> Counts:
    """Each request kept floor(factor) times, and once more with the probability of the fraction."""
    _refuse_beyond(counts, factor)
    whole, fraction = divmod(factor, 1.0)
    return counts * int(whole) + rng.binomial(counts, fraction)


def thinned_times(times_s: Times, factor: float, rng: np.random.Generator) -> Times:
    """The same for instants: copies of a request stand at its own instant."""
    whole, fraction = divmod(factor, 1.0)
    return np.repeat(times_s, int(whole) + (rng.random(len(times_s)) < fraction))


def moved(times_s: Times, start_s: float, end_s: float, to_s: float) -> Times:
    """The sorted instants of [start_s, end_s), so shifted that start_s becomes to_s.

    Rounding may carry an instant just before end_s onto it; it is kept the least step below.
    """
    first, last = np.searchsorted(times_s, (start_s, end_s))
    below_s = np.nextafter(to_s + (end_s - start_s), 0.0)
    return np.minimum(times_s[first:last] - start_s + to_s, below_s)


def per_second(times_s: Times, start_s: float, seconds: int) -> Counts:
    """How many of the sorted instants lie in each of the seconds from start_s on."""
    edges_s = start_s + np.arange(seconds + 1)
    return np.diff(np.searchsorted(times_s, edges_s)).astype(np.int64, copy=False)


def spread(counts: Counts, step_s: int, rng: np.random.Generator) -> Counts:
    """Counts of steps of `step_s` seconds as counts per second: those of a Poisson process, given each step's count.

    Each request falls into any second of its step with the same probability: a multinomial draw. Shape
    (len(counts) x step_s,); nothing is drawn where a step is a second.
    """
    if step_s == 1:
        return counts
    drawn: Counts = rng.multinomial(counts, np.full(step_s, 1 / step_s)).reshape(-1).astype(np.int64, copy=False)
    return drawn


def _refuse_beyond(counts: Counts, factor: float) -> None:
    if counts.size and counts.max() * factor > MOST_PER_S:
        raise TraceError(
            f"scale {factor:g}: a second of {counts.max():,} requests would have more than the {MOST_PER_S:,} that are "
            "allowed"
        )
