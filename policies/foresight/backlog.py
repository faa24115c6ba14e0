"""The backlog: the least rate of service with which whatever waits and comes is in time."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

LEAST_REST_S = {"central": 2.0, "eager": 0.5}
"""By dispatch: a request that is due sooner after the new replicas than this is not planned for: it would ask for any
number. With eager dispatch a backlog is worth more cores, as a replica that is behind goes on getting its share."""
MOST = {"central": 3.0, "eager": 6.0}
"""By dispatch: a backlog asks for at most this many times the load."""
MOMENTS = 24
"""Into so many pieces the time ahead is cut at most."""


class Backlog(NamedTuple):
    """The least rate [rps] at which what waits and comes is in time; and with eager dispatch, the stages at which some
    of that will be late unless it is given back."""

    required_rps: float
    stuck: tuple[str, ...] = ()


NO_BACKLOG = Backlog(0.0)


def coming_rps(now_rps: float, peak_rps: float, lead_s: float, seconds: int) -> list[float]:
    """The load of the seconds to come: from now to the peak within the lead."""
    if lead_s <= 0:
        return [peak_rps] * seconds
    return [now_rps + (peak_rps - now_rps) * min(1.0, (t + 1) / lead_s) for t in range(seconds)]


def required_rps(
    waiting: float,
    have_rps: float,
    coming: Sequence[float],
    lead_s: float,
    wait_s: float,
    dispatch: str = "central",
) -> float:
    """The least rate [rps] of a stage at which all that waits and comes is served within `wait_s` of its coming.

    With what is at hand, `have_rps`, if that does; else from `lead_s` on, and with what is at hand until then. For all
    seconds first <= last: what comes in them, with what waits already where first is now, is served by `wait_s` after
    last.
    """
    import numpy as np

    stride = max(1, ceil(len(coming) / MOMENTS))
    pieces = np.add.reduceat(coming, np.arange(0, len(coming), stride))
    by = np.concatenate([[0.0], np.cumsum(pieces)])
    runs = _runs(len(pieces), stride, lead_s, wait_s)
    total = by[runs.last + 1] - by[runs.first] + np.where(runs.first == 0, waiting, 0.0)
    flat_rps = float((total / runs.served_s).max())
    if flat_rps <= have_rps:
        return flat_rps
    rest = total - have_rps * runs.before_s
    is_hopeful = runs.rest_s >= LEAST_REST_S[dispatch]
    return max(have_rps, float((rest[is_hopeful] / runs.rest_s[is_hopeful]).max(initial=0.0)))


class _Runs(NamedTuple):
    """All runs of pieces: the first and the last piece of each, for how long it may be served [s], and how much of that
    is before the new replicas serve and after it [s]."""

    first: npt.NDArray[np.intp]
    last: npt.NDArray[np.intp]
    served_s: Numbers
    before_s: Numbers
    rest_s: Numbers


@lru_cache(maxsize=64)
def _runs(pieces: int, stride: int, lead_s: float, wait_s: float) -> _Runs:
    import numpy as np

    first, last = np.triu_indices(pieces)
    first_s, due_s = (stride * piece.astype(np.float64) for piece in (first, last))
    due_s += stride - 1 + wait_s
    before_s = np.maximum(0.0, np.minimum(lead_s, due_s) - first_s)
    return _Runs(first, last, due_s - first_s, before_s, due_s - np.maximum(first_s, lead_s))


def is_late(waiting: float, have_rps: float, coming: Sequence[float], lead_s: float, wait_s: float) -> bool:
    """Whether of what waits at a stage and comes until `lead_s`, what is at hand serves less than all by `wait_s`
    after that."""
    return waiting + sum(coming[: ceil(lead_s)]) - have_rps * (lead_s + wait_s) >= 1.0
