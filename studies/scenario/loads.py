"""The load of a run: a trace by name or file, cut to windows and scaled."""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from ipa import traces
from ipa.numbers import quantity_of
from ipa.sim import stream
from ipa.studies.scenario.errors import ScenarioError
from ipa.traces import NOTHING_SAID, TRACE_VARIABLE, Reading, Trace

CONSTANT = "constant:"
"""The prefix of names of constant loads."""

Windows = tuple[tuple[float, float], ...]
"""Windows of a trace, each (start_s, end_s), joined in this order."""


@dataclass(frozen=True)
class Load:
    """The choice of a load; `trace()` loads it."""

    name: str
    windows: Windows | None = None
    scale: float = 1.0
    scaling: Literal["thin", "floor"] = "thin"
    seed: int = 1
    read: Reading = NOTHING_SAID
    sha256: str = ""
    """What the load's file must have; empty: any."""

    @property
    def has_fixed_times(self) -> bool:
        """Whether all seeds have the same arrivals: the trace holds the times of requests, and none are drawn."""
        is_drawn = self.scale != 1.0 and self.scaling == "thin"
        return not is_drawn and self.trace().kind == "timestamps"

    @property
    def key(self) -> Hashable | None:
        """A cache key: what the load depends on, including the state of its file; None if it cannot be read twice."""
        path = traces.default_path(os.environ) if traces.is_of_real_trace(self.name) else Path(self.name)
        is_drawn = self.scale != 1.0 and self.scaling == "thin"
        seed = self.seed
        changed: tuple[int, int] | None = None
        if path is not None and self.name not in traces.NAMES and path.exists():
            if not path.is_file():
                return None
            state = path.stat()
            changed = (state.st_mtime_ns, state.st_size)
            seed = self.seed if is_drawn else 0
        return (self.name, path, changed, self.windows, self.scale, self.scaling, seed, self.read, self.sha256)

    def trace(self) -> Trace:
        """The load itself. Raises TraceError for a name, file, window or factor that cannot be used, and ScenarioError
        for a file of another sha256."""
        trace = find_trace(self.name, self.seed, self.read)
        if self.sha256 and trace.sha256 != self.sha256:
            raise ScenarioError(
                f"trace {self.name}: has changed: its sha256 is {trace.sha256[:12]}..., and trace_sha256 has "
                f"{self.sha256[:12]}..., as of the file that the results are of"
            )
        if self.windows is not None:
            trace = trace.window(self.windows)
        return self.scaled(trace)

    def scaled(self, trace: Trace) -> Trace:
        """A trace, or a part of it, as heavy as the load is."""
        return trace if self.scale == 1.0 else trace.scaled(self.scale, self.scaling, stream(self.seed, "scaling"))


def is_log(name: str) -> bool:
    """Whether the load is one of many that might have been, the same for all seeds: a file, a window of the real trace,
    a drawn load such as `step:7`."""
    return name not in traces.NAMES and not name.startswith(CONSTANT)


def find_trace(name: str, seed: int, read: Reading = NOTHING_SAID) -> Trace:
    """The whole trace of a name or a path. Raises TraceError if it cannot be used, ScenarioError if IPA_TRACE names no
    file."""
    if name in _brought:
        return _brought[name]
    real = traces.default_path(os.environ)
    if traces.is_of_real_trace(name):
        if real is not None and not real.is_file():
            raise ScenarioError(f"{TRACE_VARIABLE}={real}: no such file; it should name the file of the real trace")
        return traces.find(name, real=real) if real is None else _real(name, real, real.stat().st_mtime_ns)
    path = Path(name)
    if not name:
        raise ScenarioError(f"trace {name!r}: should be a named load or a file; ipa trace list lists the names")
    if path.exists() and name not in traces.NAMES:
        # A pipe can be read only once, and changes while it is read.
        return _own(name, path.stat().st_mtime_ns if path.is_file() else 0, seed, read)
    return traces.find(name, seed=seed)


_brought: dict[str, Trace] = {}


@contextmanager
def brought(loads: Mapping[str, Trace]) -> Iterator[None]:
    """A context in which these loads are found by their names, whatever files this machine has."""
    before = dict(_brought)
    _brought.update(loads)
    try:
        yield
    finally:
        _brought.clear()
        _brought.update(before)


@lru_cache(maxsize=8)
def _real(name: str, real: Path, changed_ns: int) -> Trace:
    """A window of the real trace, cached until its file changes: reading a month of it takes longer than a run."""
    return traces.find(name, real=real)


@lru_cache(maxsize=2)
def _own(name: str, changed_ns: int, seed: int, read: Reading) -> Trace:
    """A file's trace, cached until the file changes, for several runs and for messages about it."""
    return traces.find(name, seed=seed, hints=read)


def parse_windows(value: object) -> object:
    """Windows as pairs, from `10:20`, `10:20,40:50`, or a list of texts or pairs. Raises ValueError otherwise."""
    if isinstance(value, str):
        value = value.split(",")
    if value is None:
        return None
    try:
        return tuple(_pair(item) for item in _items(value))
    except (TypeError, ValueError):
        raise ValueError("a window is START:END in seconds, such as 600:1800") from None


def _items(value: object) -> Sequence[object]:
    if not isinstance(value, list | tuple):
        raise TypeError(value)
    return value


def _pair(item: object) -> tuple[float, float]:
    """One window. Raises TypeError or ValueError if it is not one."""
    start, end = (quantity_of(each, "window_s") for each in item.split(":")) if isinstance(item, str) else _items(item)
    if isinstance(start, int | float) and isinstance(end, int | float):
        return float(start), float(end)
    raise TypeError(item)
