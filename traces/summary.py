"""The figures of a trace, which show whether it is the intended load."""

from dataclasses import asdict, dataclass
from datetime import timedelta

import numpy as np

from ipa.traces.checks import Counts, Numbers
from ipa.traces.trace import Trace

MINUTE_S = 60


def info(trace: Trace) -> dict[str, object]:
    """A trace's origin and figures, JSON-able; rates are per-second counts.

    `sd_rps` and `change_sd_rps` (of the differences between neighbouring seconds) are population
    standard deviations. `dispersion_index` is variance / mean: 1 for a constant Poisson load, above
    it for a varying one; `dispersion_by_scale` has it by time scale, `largest_rises` the largest rises of the mean
    rate, `daily_rps` and `weekly_rps` the means by hour of the day and by day of the week (see `shape`).
    `minute_means_rps` ends with what is left of the last minute. None: not applicable, as how a file
    was read if nothing had to be detected, the clock of a file without one, the mean before scaling of a load that is
    not scaled, quotients of an empty load, or changes within a single second.
    """
    counts = trace.per_second()
    mean_rps = float(counts.mean())
    return {
        "name": trace.name,
        "kind": trace.kind,
        "source": trace.source,
        "sha256": trace.sha256,
        "digest": trace.digest,
        "reading": trace.reading or None,
        "starts_at": None if trace.starts_at is None else trace.starts_at.isoformat(),
        "duration_s": trace.duration_s,
        "history_s": len(trace.history_counts),
        "requests": trace.requests,
        "empty_seconds": int((counts == 0).sum()),
        "unscaled_mean_rps": trace.unscaled_rps,
        "mean_rps": mean_rps,
        "min_rps": int(counts.min()),
        "max_rps": int(counts.max()),
        "sd_rps": float(counts.std()),
        "change_sd_rps": float(np.diff(counts).std()) if len(counts) > 1 else None,
        "peak_to_mean": float(counts.max()) / mean_rps if mean_rps else None,
        "dispersion_index": float(counts.var()) / mean_rps if mean_rps else None,
        "dispersion_by_scale": {str(scale_s): index for scale_s, index in dispersion(trace).items()},
        "largest_rises": [asdict(rise) for rise in rises(trace)],
        "daily_rps": daily(trace),
        "weekly_rps": weekly(trace),
        "minute_means_rps": means_rps(trace, MINUTE_S),
    }


def sentence(trace: Trace) -> str:
    """How a file was read, in one line: requests, notation, unit and span. Empty if nothing had to be detected."""
    if not trace.reading:
        return ""
    span = f"{trace.duration_s:,.12g} s"
    if trace.starts_at is not None:
        end = trace.starts_at + timedelta(seconds=trace.duration_s)
        span += f" from {trace.starts_at.isoformat()} to {end.isoformat()}"
    return f"{trace.source}: {trace.requests:,} requests in {trace.reading}; {span}"


def scaling_sentence(trace: Trace) -> str:
    """The mean rate before and after scaling, in one line; empty if the load is not scaled."""
    if trace.unscaled_rps is None:
        return ""
    return f"{trace.name}: scaled, from a mean of {trace.unscaled_rps:.4g} requests per second to {trace.mean_rps:.4g}"


def means_rps(trace: Trace, width_s: int) -> list[float]:
    """The mean rate of each stretch of `width_s` seconds; the last one may be shorter."""
    counts = trace.per_second()
    starts = np.arange(0, len(counts), width_s)
    widths = np.diff(np.append(starts, len(counts)))
    return [float(mean) for mean in np.add.reduceat(counts, starts) / widths]


SCALES_S = (1, 10, 60, 600, 3600)
"""The time scales of burstiness and of rises [s]."""

FEWEST_STRETCHES = 10
"""The fewest stretches from which a variance is estimated."""

HOUR_S, DAY_S, WEEK_S = 3600, 86_400, 604_800
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True)
class Rise:
    """The largest rise of the mean rate between two adjacent stretches of `span_s` seconds, which meet at `at_s`."""

    span_s: int
    at_s: int
    from_rps: float
    to_rps: float


def dispersion(trace: Trace) -> dict[int, float]:
    """The index of dispersion for counts by time scale in seconds: variance / mean of the requests in each stretch.

    It is 1 at every scale for a Poisson process of constant rate, and above 1 if requests cluster or the rate varies
    (Cox and Lewis, The Statistical Analysis of Series of Events, 1966). Scales with fewer than 10 whole stretches are
    left out, as are all scales of an empty trace.
    """
    counts = trace.per_second()
    dispersion_by_scale = {}
    for scale_s in SCALES_S:
        stretches = len(counts) // scale_s
        if stretches >= FEWEST_STRETCHES and counts.any():
            sums = counts[: stretches * scale_s].reshape(stretches, scale_s).sum(axis=1)
            dispersion_by_scale[scale_s] = float(sums.var() / sums.mean()) if sums.any() else 0.0
    return dispersion_by_scale


def rises(trace: Trace) -> list[Rise]:
    """The largest rise of the mean rate between adjacent stretches, for every time scale of which two fit.

    Stretches begin at any second; of equal rises the first counts. Scales at which the load never rises are left out.
    """
    counts = trace.per_second()
    total = np.concatenate([[0], np.cumsum(counts)])
    largest_rises = []
    for span_s in SCALES_S:
        if len(counts) < 2 * span_s:
            break
        sums = total[span_s:] - total[:-span_s]
        steps: Counts = sums[span_s:] - sums[:-span_s]
        place = int(np.argmax(steps))
        if steps[place] > 0:
            before, after = sums[place] / span_s, sums[place + span_s] / span_s
            largest_rises.append(Rise(span_s, place + span_s, float(before), float(after)))
    return largest_rises


def daily(trace: Trace) -> list[float] | None:
    """The mean rate in each hour of the day, shape (24,), from midnight on the trace's clock, or from its start without
    a clock. Later clock changes are ignored. None if the trace is shorter than a day."""
    if trace.duration_s < DAY_S:
        return None
    return _means(trace.per_second(), _since_monday_s(trace), HOUR_S, 24)


def weekly(trace: Trace) -> list[float] | None:
    """The mean rate on each day of the week, shape (7,), from Monday on the trace's clock, or from its start without a
    clock. None if the trace is shorter than a week."""
    if trace.duration_s < WEEK_S:
        return None
    return _means(trace.per_second(), _since_monday_s(trace), DAY_S, 7)


def _since_monday_s(trace: Trace) -> int:
    """The start of the trace in the week of its clock [s]; 0 without a clock."""
    start = trace.starts_at
    if start is None:
        return 0
    since = timedelta(days=start.weekday(), hours=start.hour, minutes=start.minute, seconds=start.second)
    return int(since.total_seconds())


def _means(counts: Counts, start_s: int, width_s: int, places: int) -> list[float]:
    """The mean count of the seconds in each of `places` stretches, which repeat cyclically."""
    place = (np.arange(start_s, start_s + len(counts)) // width_s) % places
    seconds = np.bincount(place, minlength=places)
    means: Numbers = np.bincount(place, counts, minlength=places) / seconds
    return [float(mean) for mean in means]
