"""Finding traces by name or path."""

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from ipa.errors import did_you_mean
from ipa.numbers import number_of, quantity_of
from ipa.traces import readers
from ipa.traces.checks import LONGEST_S, Times, TraceError
from ipa.traces.families import FAMILIES, REAL_FAMILIES, drawn, drawn_window
from ipa.traces.reading import NOTHING_SAID, Reading
from ipa.traces.trace import HISTORY_S, Trace

TRACE_VARIABLE = "IPA_TRACE"
"""The environment variable that names the file of the real trace."""

_REAL = "twitter:"
_CONSTANT = "constant:"


def default_path(environ: Mapping[str, str]) -> Path | None:
    """The file of the real trace, if the environment names one."""
    named = environ.get(TRACE_VARIABLE, "")
    return Path(named) if named else None


def find(name_or_path: str | Path, *, seed: int = 0, real: Path | None = None, hints: Reading = NOTHING_SAID) -> Trace:
    """The trace that a name or a path means:

    - `bursty`, `steady-low`, `steady-high`, `fluctuating`: the synthetic one drawn from `seed`;
    - `constant:25`, `constant:25:600`: 25 requests per second, for 1200 s, for 600 s;
    - `step:7`, `flash:7` and so on: the load of a family that this seed draws, whatever `seed` is (see `families`);
    - `twitter:bursty` and so on: the published window itself, cut from the file `real` (see
      `default_path`); `tweets:7` and `tweets-without-past:7`: a window of it that the seed draws;
    - anything with a suffix or a folder, or an existing file: that file, with `hints` on its times. `./bursty` is a
      file.

    Raises TraceError for an unknown name, and as `read` does.
    """
    name = str(name_or_path)
    if isinstance(name_or_path, str):
        if name in NAMES:
            return synthesise(name, seed)
        if name.startswith(_CONSTANT):
            return _constant(name)
        if is_of_real_trace(name):
            return _published(name, real) if name.startswith(_REAL) else _window(name, real)
        family, _, family_seed = name.partition(":")
        if family in FAMILIES and family_seed:
            return drawn(family, _seed_of(name, family_seed))
    if isinstance(name_or_path, Path) or Path(name).suffix or os.sep in name or Path(name).exists():
        return readers.read(name_or_path, hints, seed)
    names = (*known_names(), f"{_CONSTANT}RATE", *(f"{family}:SEED" for family in (*FAMILIES, *REAL_FAMILIES)))
    raise TraceError(f"unknown trace {name!r}: neither a file nor one of {', '.join(names)}{did_you_mean(name, names)}")


def known_names() -> tuple[str, ...]:
    """The names of loads: the synthetic ones, then the windows of the real trace."""
    return (*NAMES, *(f"{_REAL}{workload}" for workload in NAMES))


def is_of_real_trace(name: str) -> bool:
    """Whether a name means a part of the real trace, whose file has to be known."""
    return name.startswith((_REAL, *(f"{family}:" for family in REAL_FAMILIES)))


def has_fixed_counts(name: str) -> bool:
    """Whether a name that is no file means a load which no seed of a run changes, such as `constant:5` and `step:7`."""
    return name.startswith((_CONSTANT, *(f"{family}:" for family in FAMILIES)))


def _seed_of(name: str, written: str) -> int:
    if not (written.isascii() and written.isdigit()):
        raise TraceError(f"{name!r}: should be {name.partition(':')[0]}:SEED, with a whole number from 0, such as 7")
    return int(written)


def _window(name: str, real: Path | None) -> Trace:
    family, _, written = name.partition(":")
    seed = _seed_of(name, written)
    return drawn_window(family, seed, readers.read(_known_file(name, real)), SCALE)


def _known_file(name: str, real: Path | None, instead: str = "") -> Path:
    if real is None:
        raise TraceError(
            f"{name!r} is cut from the real trace, whose file is not known: set the environment variable "
            f"{TRACE_VARIABLE} to its path{instead}"
        )
    return real


def _constant(name: str) -> Trace:
    rate, _, duration = name.removeprefix(_CONSTANT).partition(":")
    rps, duration_s = number_of(rate), quantity_of(duration, "duration_s") if duration else CONSTANT_S
    if rps is None or not isinstance(duration_s, int):
        raise TraceError(
            f"{name!r}: should be {_CONSTANT}RATE or {_CONSTANT}RATE:SECONDS, such as "
            f"{_CONSTANT}25 or {_CONSTANT}2.5:600"
        )
    return constant(float(rps), duration_s)


def _published(name: str, real: Path | None) -> Trace:
    workload = name.removeprefix(_REAL)
    if workload not in NAMES:
        names = [f"{_REAL}{workload_name}" for workload_name in NAMES]
        raise TraceError(f"unknown trace {name!r}{did_you_mean(name, names)}")
    return published(workload, readers.read(_known_file(name, real, f", or use the synthetic {workload!r}")))


SCALE = 1 / 8
"""Requests of a published workload per message of the Twitter stream."""

WINDOWS: dict[str, tuple[tuple[int, int], ...]] = {
    "bursty": ((1301160, 1302360),),
    "steady-low": ((1299600, 1300800),),
    "steady-high": ((1768800, 1769400), (1768800, 1769400)),
    "fluctuating": ((1301400, 1302000), (1308600, 1309200)),
}
"""The seconds of the real trace, ends excluded, that the published runs used, joined in order."""

NAMES = tuple(WINDOWS)
"""The names of the workloads."""

CONSTANT_S = 1200
"""The default duration of `constant` [s], as of the published workloads."""

_MINUTE_S = 60


@dataclass(frozen=True)
class _Shape:
    minute_means_rps: tuple[float, ...]
    min_rps: int
    max_rps: int


_STEADY_HIGH = (28.88, 28.87, 28.87, 29.45, 29.15, 28.90, 27.97, 28.60, 28.77, 28.93)
# fmt: off
_SHAPES = {
    "bursty": _Shape((4.87, 5.03, 5.03, 5.13, 5.02, 5.68, 14.08, 27.08, 27.90, 26.80,
                      24.75, 25.88, 17.45, 11.97, 6.13, 5.47, 5.75, 5.50, 5.82, 5.27), 3, 34),
    "steady-low": _Shape((4.98, 5.27, 5.43, 5.18, 5.08, 5.12, 4.78, 5.20, 4.82, 5.00,
                          4.78, 4.90, 4.75, 4.78, 5.10, 5.28, 5.08, 5.13, 5.13, 5.30), 3, 8),
    "steady-high": _Shape(_STEADY_HIGH + _STEADY_HIGH, 23, 34),
    "fluctuating": _Shape((5.02, 5.68, 14.08, 27.08, 27.90, 26.80, 24.75, 25.88, 17.45, 11.97,
                           6.58, 7.23, 16.23, 27.47, 27.47, 22.25, 15.83, 7.53, 6.85, 6.55), 3, 34),
}
# fmt: on


def published(name: str, real: Trace) -> Trace:
    """The published workload itself, `twitter:NAME`: its windows of the real trace, scaled.

    Raises TraceError for an unknown name and for a trace that is too short.
    """
    _known(name)
    scaled = real.window(WINDOWS[name]).scaled(SCALE, "floor")
    return replace(scaled, name=f"twitter:{name}", reading="", unscaled_rps=None)


def synthesise(name: str, rng: int | np.random.Generator) -> Trace:
    """A synthetic workload of 1200 s of counts, with `HISTORY_S` seconds of history at its first
    minute's level; the same seed (an integer from 0, or a generator's state) gives the same trace.
    The second half of `steady-high` has the first one's minute means, not its very counts.

    Raises TraceError for an unknown name or a negative seed.
    """
    _known(name)
    drawn = rng if isinstance(rng, np.random.Generator) else _seeded(rng)
    shape = _SHAPES[name]
    rate_rps = _through_minutes(shape.minute_means_rps)
    rate_rps = np.concatenate([np.full(HISTORY_S, shape.minute_means_rps[0]), rate_rps])
    # Rounding down takes (1 - SCALE) / 2 of a request from a second; the stream's mean is so much
    # larger that the scaled one is as wanted.
    stream_mean = (rate_rps + (1 - SCALE) / 2) / SCALE
    stream = drawn.poisson(stream_mean)
    counts = np.clip(np.floor(stream * SCALE), shape.min_rps, shape.max_rps).astype(np.int64)
    return Trace.of_counts(
        name,
        counts[HISTORY_S:],
        history_counts=counts[:HISTORY_S],
        source=f"synthetic {name}" + (f", seed {rng}" if drawn is not rng else ""),
    )


def constant(rate_rps: float, duration_s: int = CONSTANT_S) -> Trace:
    """The same rate in every second, and in `HISTORY_S` seconds of history; draws nothing.

    A rate between whole numbers is spread as evenly as counts can be: by the end of second s (from
    1) floor(s x rate) requests have come: at 2.5 the counts are 2, 3, 2, 3 ...

    Raises TraceError if the rate is not finite and above 0, or the duration is below 1 s.
    """
    if not (math.isfinite(rate_rps) and rate_rps > 0):
        raise TraceError(f"constant:{rate_rps:g}: the rate should be a finite number above 0")
    if not 1 <= duration_s <= LONGEST_S:
        raise TraceError(f"constant:{rate_rps:g}:{duration_s}: should last from 1 to {LONGEST_S:,.0f} s")
    totals = np.floor(np.arange(-HISTORY_S, duration_s + 1) * rate_rps)
    counts = np.diff(totals)
    return Trace.of_counts(
        f"constant:{rate_rps:g}",
        counts[HISTORY_S:],
        history_counts=counts[:HISTORY_S],
        source=f"constant {rate_rps:g} requests per second",
    )


def _known(name: str) -> None:
    if name not in WINDOWS:
        raise TraceError(f"unknown workload {name!r}; allowed: {', '.join(NAMES)}{did_you_mean(name, NAMES)}")


def _seeded(seed: int) -> np.random.Generator:
    if seed < 0:
        raise TraceError(f"a seed is an integer from 0, not {seed}")
    return np.random.default_rng(seed)


@lru_cache
def _through_minutes(means_rps: tuple[float, ...]) -> Times:
    """A rate for every second, linear between the minutes' middles, with exactly these minute means.

    Between knots x at the middles (level before the first and after the last) the mean of minute k
    is (x[k-1] + 6 x[k] + x[k+1]) / 8, with x[-1] = x[0] at the start and likewise at the end.
    """
    minutes = len(means_rps)
    weights = (6 * np.eye(minutes) + np.eye(minutes, k=1) + np.eye(minutes, k=-1)) / 8
    weights[0, 0] = weights[-1, -1] = 7 / 8
    middles = np.arange(minutes) + 0.5
    seconds = (np.arange(minutes * _MINUTE_S) + 0.5) / _MINUTE_S
    rates_rps: Times = np.interp(seconds, middles, np.linalg.solve(weights, means_rps))
    return rates_rps
