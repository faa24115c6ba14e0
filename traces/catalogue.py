"""Finding traces by what a person types: a name or a path."""

import os
from collections.abc import Mapping
from pathlib import Path

from ipa.traces.checks import TraceError, nearest
from ipa.traces.readers import NO_HINTS, TimeHints, read
from ipa.traces.trace import Trace
from ipa.traces.workloads import CONSTANT_S, NAMES, constant, published, synthesise

TRACE_VARIABLE = "IPA_TRACE"
"""The environment variable for the file of the real trace."""

_REAL = "twitter:"
_CONSTANT = "constant:"


def default_path(environ: Mapping[str, str]) -> Path | None:
    """The file of the real trace, if the environment names one."""
    named = environ.get(TRACE_VARIABLE, "")
    return Path(named) if named else None


def find(name_or_path: str | Path, *, seed: int = 0, real: Path | None = None, hints: TimeHints = NO_HINTS) -> Trace:
    """The trace that a name or a path means:

    - `bursty`, `steady-low`, `steady-high`, `fluctuating`: the synthetic one drawn from `seed`;
    - `constant:25`, `constant:25:600`: 25 requests per second, for 1200 s, for 600 s;
    - `twitter:bursty` and so on: the published window itself, cut from the file `real` (see
      `default_path`);
    - anything with a suffix or a folder, or that is a file: the file, with what `hints` say of its times.
      `./bursty` is a file.

    Raises TraceError for an unknown name, and as `read` does.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str):
        if name in NAMES:
            return synthesise(name, seed)
        if name.startswith(_CONSTANT):
            return _constant(name)
        if name.startswith(_REAL):
            return _published(name, real)
    if isinstance(name_or_path, Path) or Path(name).suffix or os.sep in name or Path(name).exists():
        return read(name_or_path, hints, seed)
    names = (*known_names(), f"{_CONSTANT}RATE")
    raise TraceError(f"unknown trace {name!r}: neither a file nor one of {', '.join(names)}{nearest(name, names)}")


def known_names() -> tuple[str, ...]:
    """The names of loads: the synthetic ones, then the windows of the real trace."""
    return (*NAMES, *(f"{_REAL}{workload}" for workload in NAMES))


def _constant(name: str) -> Trace:
    rate, _, duration = name.removeprefix(_CONSTANT).partition(":")
    try:
        return constant(float(rate), int(duration) if duration else CONSTANT_S)
    except ValueError as error:
        if isinstance(error, TraceError):
            raise
        raise TraceError(
            f"{name!r}: should be {_CONSTANT}RATE or {_CONSTANT}RATE:SECONDS, such as "
            f"{_CONSTANT}25 or {_CONSTANT}2.5:600"
        ) from error


def _published(name: str, real: Path | None) -> Trace:
    workload = name.removeprefix(_REAL)
    if workload not in NAMES:
        known = [f"{_REAL}{each}" for each in NAMES]
        raise TraceError(f"unknown trace {name!r}{nearest(name, known)}")
    if real is None:
        raise TraceError(
            f"{name!r} is cut from the real trace, whose file is not known: set the environment variable "
            f"{TRACE_VARIABLE} to its path, or use the synthetic {workload!r}"
        )
    return published(workload, read(real))
