"""Arrival processes: from requests per second to the instant of each request.

Each process is a function of the counts and a generator, and works on whole arrays: 30,000 requests
take milliseconds, a hundred million as long as sorting them.
"""

from collections.abc import Callable

import numpy as np

from traces.checks import Counts, Times, TraceError, nearest
from traces.trace import Trace


def arrivals(trace: Trace, process: str = "poisson", rng: np.random.Generator | None = None) -> Times:
    """The requests' instants in seconds: float64, sorted, within [0, duration_s).

    `process`, where the trace holds counts:
    - `poisson`: each second has exactly its count, uniform within the second, as a Poisson process
      has, given its counts;
    - `poisson-count`: the count is drawn as well, Poisson with the given one as its mean;
    - `even`: of n requests the k-th (from 0) comes at (k + 1/2) / n of its second; draws nothing;
    - `clumped`: the published load generator. Each request comes Exp(mean 1/count s) after the
      start of its second, not after the request before it, so that all gather there. A request may
      so fall into a later second (a lone one does in 37 % of cases), but not past the trace's end:
      the law is the exponential's, given that the request falls before duration_s. The number of
      requests of the whole trace is exact.

    A trace of timestamps gives its timestamps, whatever the process.

    Raises TraceError for an unknown process, or no `rng` where one is needed.
    """
    if process not in PROCESSES:
        raise TraceError(
            f"unknown arrival process {process!r}; there are {', '.join(PROCESSES)}{nearest(process, PROCESSES)}"
        )
    if trace.timestamps_s is not None:
        return trace.timestamps_s
    counts = trace.per_second()
    if process == "even":
        return _even(counts)
    if rng is None:
        raise TraceError(f"the arrival process {process!r} draws: give rng, a numpy Generator")
    return _RANDOM[process](counts, rng)


def _poisson(counts: Counts, rng: np.random.Generator) -> Times:
    offsets_s = rng.random(int(counts.sum()))
    return np.sort(_placed(counts, offsets_s))


def _poisson_count(counts: Counts, rng: np.random.Generator) -> Times:
    return _poisson(rng.poisson(counts), rng)


def _even(counts: Counts) -> Times:
    before = np.cumsum(counts) - counts
    rank = np.arange(int(counts.sum())) - np.repeat(before, counts)
    return _placed(counts, (rank + 0.5) / np.repeat(counts, counts))


def _clumped(counts: Counts, rng: np.random.Generator) -> Times:
    # The exponential's inverse distribution function; `reach` is minus the probability that the
    # offset lies within the seconds left, practically -1 but near the end.
    left_s = len(counts) - np.arange(len(counts))
    reach = np.repeat(np.expm1(-1.0 * counts * left_s), counts)
    offsets_s = -np.log1p(rng.random(len(reach)) * reach) / np.repeat(counts, counts)
    times_s = offsets_s + np.repeat(np.arange(len(counts)), counts)
    return np.sort(np.minimum(times_s, np.nextafter(len(counts), 0.0)))


def _placed(counts: Counts, offsets_s: Times) -> Times:
    """Offsets within [0, 1) put in their seconds; rounding must not carry one into the next."""
    starts_s = np.repeat(np.arange(len(counts), dtype=np.float64), counts)
    offsets_s += starts_s
    return np.minimum(offsets_s, np.nextafter(starts_s + 1.0, 0.0), out=offsets_s)


_RANDOM: dict[str, Callable[[Counts, np.random.Generator], Times]] = {
    "poisson": _poisson,
    "poisson-count": _poisson_count,
    "clumped": _clumped,
}

PROCESSES = ("poisson", "poisson-count", "even", "clumped")
"""The names of the arrival processes."""
