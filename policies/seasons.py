"""The load around the same time yesterday and last week: loads repeat daily and weekly."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Seasons = tuple[tuple[float, ...], ...]
"""For each of `LAGS_S` the counts of the seconds around the moment so long ago, oldest first: `BEFORE_S` before it and
`AFTER_S` after it. NaN for a second that is not known, empty where none is."""

DAY_S, WEEK_S = 86_400, 604_800
LAGS_S = (DAY_S, WEEK_S)
BEFORE_S, AFTER_S = 120, 60
REMEMBERED_S = WEEK_S + BEFORE_S
"""How far back seasons reach."""


def seasons_at(counts_rps: Sequence[float] | npt.NDArray[Any], second: int) -> Seasons:
    """The seasons at the beginning of a second of a load, which is an index of `counts_rps`, or beyond their end."""
    return tuple(_around(counts_rps, second - lag_s) for lag_s in LAGS_S)


def _around(counts_rps: Sequence[float] | npt.NDArray[Any], then: int) -> tuple[float, ...]:
    first, end = then - BEFORE_S, then + AFTER_S
    known = np.asarray(counts_rps[max(0, first) : max(0, end)], dtype=np.float64).tolist()
    padded = (*[nan] * (max(0, -first) if known else 0), *known)
    padded = (*padded, *[nan] * (BEFORE_S + AFTER_S - len(padded)))
    return padded if any(count == count for count in padded) else ()


class SeenLoad:
    """The load that a live controller has seen, by the second, as far back as seasons reach. It starts with nothing."""

    def __init__(self) -> None:
        self._counts_rps: Floats = np.empty(0)
        self._first = 0  # the second of the run that they begin with

    def note(self, time_s: float, load_rps: Sequence[float]) -> None:
        """The counts of the last seconds before `time_s` of the run, newest last; they replace what was known."""
        end = int(time_s)
        newest = load_rps[-end:] if end else ()
        start = end - len(newest)
        known = self._counts_rps[: max(0, start - self._first)]
        unseen = max(0, start - self._first - len(known))
        self._counts_rps = np.concatenate([known, np.full(unseen, nan), newest])[-REMEMBERED_S:]
        self._first = end - len(self._counts_rps)

    def seasons_at(self, time_s: float) -> Seasons:
        """The seasons at a moment of the run."""
        return seasons_at(self._counts_rps, int(time_s) - self._first)
