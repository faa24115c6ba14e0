"""Writes traces to files: CSV and parquet, with the columns and facts that `readers` read."""

import json
import os
from contextlib import suppress
from pathlib import Path

import numpy as np

from ipa.errors import did_you_mean
from ipa.traces.checks import TraceError
from ipa.traces.readers import FACTS
from ipa.traces.trace import Trace

_SECOND, _COUNT, _TIME = "second", "count", "arrival_s"
_SUFFIXES = (".csv", ".parquet")


def write(trace: Trace, path: str | Path, *, overwrite: bool = False) -> Path:
    """Writes a trace, so that `read` gives an equal one; the file appears whole or not at all.

    Counts become the columns `second`, `count`, timestamps the column `arrival_s`; history, the
    duration of timestamps and the clock's time of the start go with them.

    Raises TraceError for a suffix other than .csv and .parquet, a file that is there already
    (unless `overwrite`), and a place that cannot be written to.
    """
    path = Path(path)
    check_new(path, overwrite=overwrite)
    content = _csv(trace) if path.suffix == ".csv" else _parquet(trace)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        with suppress(OSError):
            beside.unlink(missing_ok=True)
        raise TraceError(f"{path}: cannot be written: {error.strerror}") from error
    return path


def check_new(path: Path, *, overwrite: bool = False) -> None:
    """Raises TraceError if `write` would refuse the file's name."""
    if path.suffix not in _SUFFIXES:
        raise TraceError(
            f"{path}: unknown suffix {path.suffix!r}; supported: {', '.join(_SUFFIXES)}"
            f"{did_you_mean(path.suffix, _SUFFIXES)}"
        )
    if path.exists() and not overwrite:
        raise TraceError(f"{path}: already exists; choose another name")


def _facts(trace: Trace) -> str:
    facts: dict[str, object] = {}
    if trace.kind == "timestamps":
        facts["duration_s"] = trace.duration_s
    if len(trace.history_counts):
        facts["history_counts"] = trace.history_counts.tolist()
    if trace.starts_at is not None:
        facts["starts_at"] = trace.starts_at.isoformat()
    return json.dumps(facts) if facts else ""


def _csv(trace: Trace) -> bytes:
    facts = _facts(trace)
    lines = [f"# {FACTS} {facts}"] if facts else []
    if trace.counts is None:
        lines.append(_TIME)
        lines.extend(map(repr, trace.load.tolist()))
    else:
        lines.append(f"{_SECOND},{_COUNT}")
        lines.extend(f"{second},{count}" for second, count in enumerate(trace.counts.tolist()))
    return ("\n".join(lines) + "\n").encode()


def _parquet(trace: Trace) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    if trace.counts is None:
        columns = {_TIME: trace.load}
    else:
        columns = {_SECOND: np.arange(len(trace.counts)), _COUNT: trace.counts}
    facts = _facts(trace)
    table = pa.table(columns, metadata={FACTS: facts} if facts else None)
    sink = pa.BufferOutputStream()
    parquet.write_table(table, sink, compression="zstd")
    content: bytes = sink.getvalue().to_pybytes()
    return content
