"""Reads traces from files. Each format is a module, found by suffix or content; shared rules have their own modules."""

from ipa.traces.readers.columns import FACTS
from ipa.traces.readers.formats import read
from ipa.traces.readers.notation import NO_HINTS, TimeHints
from ipa.traces.readers.prometheus import Filling, Steps, answered_series, trace_of_series

__all__ = ["FACTS", "NO_HINTS", "Filling", "Steps", "TimeHints", "answered_series", "read", "trace_of_series"]
