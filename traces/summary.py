"""The figures of a trace, for a person deciding whether it is the load they meant."""

import numpy as np

from ipa.traces.trace import Trace

MINUTE_S = 60


def info(trace: Trace) -> dict[str, object]:
    """What a trace is and how it moves, JSON-able; rates are per-second counts.

    `sd_rps` and `change_sd_rps` (of the differences between neighbouring seconds) are population
    standard deviations. `dispersion_index` is variance / mean: 1 for a constant Poisson load, above
    it for a varying one. `minute_means_rps` ends with what is left of the last minute. None stands
    where a figure is undefined: quotients of an empty load, changes within a single second.
    """
    counts = trace.per_second()
    mean_rps = float(counts.mean())
    return {
        "name": trace.name,
        "kind": trace.kind,
        "source": trace.source,
        "sha256": trace.sha256,
        "digest": trace.digest,
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
        "minute_means_rps": means_rps(trace, MINUTE_S),
    }


def means_rps(trace: Trace, width_s: int) -> list[float]:
    """The mean rate of each stretch of `width_s` seconds, the last one of what is left."""
    counts = trace.per_second()
    starts = np.arange(0, len(counts), width_s)
    widths = np.diff(np.append(starts, len(counts)))
    return [float(mean) for mean in np.add.reduceat(counts, starts) / widths]
