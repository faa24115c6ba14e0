"""Arrival processes: from requests per second to the instant of each request.

Each process is a function of the counts and a random generator, and works on arrays of some million requests at a time:
30,000 requests take milliseconds, a hundred million take seconds, with little memory beyond the result.
"""

from collections.abc import Callable, Iterator

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import Counts, Times, TraceError
from ipa.traces.trace import Trace

_PART = 2**20


def arrivals(trace: Trace, process: str = "poisson", rng: np.random.Generator | None = None) -> Times:
    """The requests' instants in seconds: float64, sorted, within [0, duration_s).

    `process`, where the trace holds counts:
    - `poisson`: each second has exactly its count, uniform within the second, as a Poisson process
      has, given its counts;
    - `poisson-count`: the count is drawn as well, Poisson with the given one as its mean;
    - `even`: of n requests the k-th (from 0) comes at (k + 1/2) / n of its second; draws nothing;
    - `clumped`: the published load generator. Each request arrives Exp(mean 1/count s) after the
      start of its second, not after the previous request, so that all gather there. A request may
      fall into a later second (a lone one does in 37 % of cases), but not past the trace's end:
      the exponential is conditioned on falling before duration_s. The number of requests of the
      whole trace is exact.

    A trace of timestamps gives its timestamps, whatever the process.

    Raises TraceError for an unknown process, or no `rng` where one is needed.
    """
    if process not in PROCESSES:
        raise TraceError(
            f"unknown arrival process {process!r}; allowed: {', '.join(PROCESSES)}{did_you_mean(process, PROCESSES)}"
        )
    if trace.timestamps_s is not None:
        return trace.timestamps_s
    counts = trace.per_second()
    if process == "even":
        return _even(counts)
    if rng is None:
        raise TraceError(f"the arrival process {process!r} is random: give rng, a numpy Generator")
    return _RANDOM[process](counts, rng)


def _poisson(counts: Counts, rng: np.random.Generator) -> Times:
    times_s = np.empty(int(counts.sum()))
    for seconds, part_s in _parts(counts, times_s):
        part_s[:] = rng.random(len(part_s))
        _place(seconds, part_s, counts)
        part_s.sort()
    return times_s


def _poisson_count(counts: Counts, rng: np.random.Generator) -> Times:
    return _poisson(rng.poisson(counts), rng)


def _even(counts: Counts, _: np.random.Generator | None = None) -> Times:
    times_s = np.empty(int(counts.sum()))
    for seconds, part_s in _parts(counts, times_s):
        within = counts[seconds]
        rank = np.arange(len(part_s)) - np.repeat(np.cumsum(within) - within, within)
        part_s[:] = (rank + 0.5) / np.repeat(within, within)
        _place(seconds, part_s, counts)
    return times_s


def _clumped(counts: Counts, rng: np.random.Generator) -> Times:
    times_s = np.empty(int(counts.sum()))
    for seconds, part_s in _parts(counts, times_s):
        # The exponential's inverse distribution function; `reach` is the negative probability that the
        # offset lies within the seconds left, practically -1 except near the end.
        within, since_s = counts[seconds], np.arange(seconds.start, seconds.stop)
        reach = np.repeat(np.expm1(-1.0 * within * (len(counts) - since_s)), within)
        offsets_s = -np.log1p(rng.random(len(reach)) * reach) / np.repeat(within, within)
        part_s[:] = np.minimum(offsets_s + np.repeat(since_s, within), np.nextafter(len(counts), 0.0))
    times_s.sort()
    return times_s


def _parts(counts: Counts, times_s: Times) -> Iterator[tuple[slice, Times]]:
    """Slices of seconds with about `_PART` requests each, and their part of `times_s`.

    Random draws are the same in parts as at once.
    """
    ends = np.cumsum(counts)
    begin = first = 0
    while first < len(counts):
        after = max(first + 1, int(np.searchsorted(ends, begin + _PART, side="right")))
        end = int(ends[after - 1])
        yield slice(first, after), times_s[begin:end]
        begin, first = end, after


def _place(seconds: slice, offsets_s: Times, counts: Counts) -> None:
    """Add offsets in [0, 1) to the starts of their seconds; rounding must not carry one into the next second."""
    starts_s, within = np.arange(seconds.start, seconds.stop, dtype=np.float64), counts[seconds]
    offsets_s += np.repeat(starts_s, within)
    np.minimum(offsets_s, np.repeat(np.nextafter(starts_s + 1.0, 0.0), within), out=offsets_s)


_RANDOM: dict[str, Callable[[Counts, np.random.Generator], Times]] = {
    "poisson": _poisson,
    "poisson-count": _poisson_count,
    "clumped": _clumped,
}

PROCESSES = ("poisson", "poisson-count", "even", "clumped")
"""The names of the arrival processes."""
