"""The figures of a trace, for a person deciding whether it is the load they meant."""

from dataclasses import asdict
from datetime import timedelta

import numpy as np

from ipa.traces.shape import daily, dispersion, rises, weekly
from ipa.traces.trace import Trace

MINUTE_S = 60


def info(trace: Trace) -> dict[str, object]:
    """What a trace is and how it moves, JSON-able; rates are per-second counts.

    `sd_rps` and `change_sd_rps` (of the differences between neighbouring seconds) are population
    standard deviations. `dispersion_index` is variance / mean: 1 for a constant Poisson load, above
    it for a varying one; `dispersion_by_scale` has it by time scale, `largest_rises` the largest rises of the mean
    rate, `daily_rps` and `weekly_rps` the means by hour of the day and by day of the week (see `shape`).
    `minute_means_rps` ends with what is left of the last minute. None stands
    where there is nothing to say: how a file was read where nothing had to be found out, a clock
    where the file has none, quotients of an empty load, changes within a single second.
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
    """How a file was understood, in a line: requests, notation, unit and span. Empty where nothing had to be found."""
    if not trace.reading:
        return ""
    span = f"{trace.duration_s:,.12g} s"
    if trace.starts_at is not None:
        end = trace.starts_at + timedelta(seconds=trace.duration_s)
        span += f" from {trace.starts_at.isoformat()} to {end.isoformat()}"
    return f"{trace.source}: {trace.requests:,} requests in {trace.reading}; {span}"


def means_rps(trace: Trace, width_s: int) -> list[float]:
    """The mean rate of each stretch of `width_s` seconds, the last one of what is left."""
    counts = trace.per_second()
    starts = np.arange(0, len(counts), width_s)
    widths = np.diff(np.append(starts, len(counts)))
    return [float(mean) for mean in np.add.reduceat(counts, starts) / widths]
