"""Loads: what arrives at a pipeline, as counts per second or as timestamps.

trace       the value `Trace` · shaping: scaling and cutting · checks: what a number may be
catalogue   from a name or a path to a trace · workloads: the named synthetic loads
readers     from files to traces, a format a module · writers: from traces to files
arrivals    from counts per second to the times of requests · summary: the figures of a trace
"""

from ipa.traces.arrivals import PROCESSES, arrivals
from ipa.traces.catalogue import TRACE_VARIABLE, default_path, find
from ipa.traces.checks import TraceError
from ipa.traces.readers import NO_HINTS, TimeHints, read
from ipa.traces.summary import info, means_rps, sentence
from ipa.traces.trace import HISTORY_S, Trace
from ipa.traces.workloads import NAMES, SCALE, WINDOWS, constant, published, synthesise
from ipa.traces.writers import write

__all__ = [
    "HISTORY_S",
    "NAMES",
    "NO_HINTS",
    "PROCESSES",
    "SCALE",
    "TRACE_VARIABLE",
    "WINDOWS",
    "TimeHints",
    "Trace",
    "TraceError",
    "arrivals",
    "constant",
    "default_path",
    "find",
    "info",
    "means_rps",
    "published",
    "read",
    "sentence",
    "synthesise",
    "write",
]
