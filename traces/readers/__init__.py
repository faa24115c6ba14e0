"""From files to traces. A format is a module, found by suffix or content; the rules that they share stand apart.

formats       `read`, and the formats by suffix and by first line · stored: a file's lines, unpacked, and its sha256
plain_counts  numbers of requests · csv_table, parquet_table, json_lines: tables · access_log: Common Log Format
datasets      Azure Functions and BurstGPT · twitter_stream: Archive Team's archives · prometheus: answers saved
columns       which columns of a table are read, and what is said beside them
notation      how times are written: ISO 8601, since 1970 or since the start, and in which unit
meaning       from times, or counts of any step, to a trace
"""

from ipa.traces.readers.columns import FACTS
from ipa.traces.readers.formats import read
from ipa.traces.readers.notation import NO_HINTS, TimeHints
from ipa.traces.readers.prometheus import Filling, answered_series, trace_of_series

__all__ = ["FACTS", "NO_HINTS", "Filling", "TimeHints", "answered_series", "read", "trace_of_series"]
