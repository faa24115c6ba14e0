"""Loads: what arrives at a pipeline, as counts per second or as timestamps."""

from ipa.traces.arrivals import PROCESSES, arrivals
from ipa.traces.catalogue import (
    NAMES,
    SCALE,
    TRACE_VARIABLE,
    WINDOWS,
    constant,
    default_path,
    find,
    has_fixed_counts,
    is_of_real_trace,
    known_names,
    published,
    synthesise,
)
from ipa.traces.checks import LONGEST_S, TraceError
from ipa.traces.families import FAMILIES, REAL_FAMILIES
from ipa.traces.readers import NO_HINTS, Filling, Steps, TimeHints, answered_series, read, trace_of_series
from ipa.traces.summary import (
    SCALES_S,
    WEEKDAYS,
    Rise,
    daily,
    dispersion,
    info,
    means_rps,
    rises,
    scaling_sentence,
    sentence,
    weekly,
)
from ipa.traces.trace import HISTORY_S, Trace
from ipa.traces.writers import check_new, write

__all__ = [
    "FAMILIES",
    "HISTORY_S",
    "LONGEST_S",
    "NAMES",
    "NO_HINTS",
    "PROCESSES",
    "REAL_FAMILIES",
    "SCALE",
    "SCALES_S",
    "TRACE_VARIABLE",
    "WEEKDAYS",
    "WINDOWS",
    "Filling",
    "Rise",
    "Steps",
    "TimeHints",
    "Trace",
    "TraceError",
    "answered_series",
    "arrivals",
    "check_new",
    "constant",
    "daily",
    "default_path",
    "dispersion",
    "find",
    "has_fixed_counts",
    "info",
    "is_of_real_trace",
    "known_names",
    "means_rps",
    "published",
    "read",
    "rises",
    "scaling_sentence",
    "sentence",
    "synthesise",
    "trace_of_series",
    "weekly",
    "write",
]
