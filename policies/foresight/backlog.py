"""The backlog: the least rate of service with which whatever waits and comes is in time."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import NamedTuple

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
    first = stride * np.arange(len(pieces), dtype=np.float64)[:, None]
    total = by[None, 1:] - by[:-1, None]
    total[0] += waiting
    due_s = first.T + stride - 1 + wait_s
    is_run = due_s - wait_s >= first
    flat_rps = float((total[is_run] / (due_s - first)[is_run]).max())
    if flat_rps <= have_rps:
        return flat_rps
    rest_s = due_s - np.maximum(first, lead_s)
    rest = total - have_rps * np.maximum(0.0, np.minimum(lead_s, due_s) - first)
    is_hopeful = is_run & (rest_s >= LEAST_REST_S[dispatch])
    return max(have_rps, float((rest[is_hopeful] / rest_s[is_hopeful]).max(initial=0.0)))


def is_late(waiting: float, have_rps: float, coming: Sequence[float], lead_s: float, wait_s: float) -> bool:
    """Whether of what waits at a stage and comes until `lead_s`, what is at hand serves less than all by `wait_s`
    after that."""
    return waiting + sum(coming[: ceil(lead_s)]) - have_rps * (lead_s + wait_s) >= 1.0
