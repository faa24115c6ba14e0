"""Exact recursions: when each request starts and ends, from arrival and service times alone, without events or queues.

All give starts and ends in order of arrival, each of shape (requests,); NaN for a request that is lost.
"""

from __future__ import annotations

from bisect import bisect_right
from heapq import heapreplace

import numpy as np

from ipa.sim import FloatArray

Visits = tuple[FloatArray, FloatArray]


def lindley(arrivals_s: FloatArray, services_s: FloatArray) -> Visits:
    """One server: each starts at the later of its arrival and the departure before it (Lindley 1952)."""
    starts_s = np.empty_like(arrivals_s)
    free_s = 0.0
    for n, (arrival_s, service_s) in enumerate(zip(arrivals_s.tolist(), services_s.tolist(), strict=True)):
        starts_s[n] = start_s = max(arrival_s, free_s)
        free_s = start_s + service_s
    return starts_s, starts_s + services_s


def kiefer_wolfowitz(arrivals_s: FloatArray, services_s: FloatArray, servers: int) -> Visits:
    """c servers: the later of its arrival and the first moment at which one is free (Kiefer and Wolfowitz 1955)."""
    starts_s = np.empty_like(arrivals_s)
    free_s = [0.0] * servers
    for n, (arrival_s, service_s) in enumerate(zip(arrivals_s.tolist(), services_s.tolist(), strict=True)):
        starts_s[n] = start_s = max(arrival_s, free_s[0])
        heapreplace(free_s, start_s + service_s)
    return starts_s, starts_s + services_s


def with_limit(arrivals_s: FloatArray, services_s: FloatArray, servers: int, limit_s: float) -> Visits:
    """The same where a request that would wait for more than `limit_s` is lost; the k-th served takes services_s[k]."""
    starts_s, ends_s = np.full_like(arrivals_s, np.nan), np.full_like(arrivals_s, np.nan)
    free_s = [0.0] * servers
    services = iter(services_s.tolist())
    for n, arrival_s in enumerate(arrivals_s.tolist()):
        start_s = max(arrival_s, free_s[0])
        if start_s <= arrival_s + limit_s:
            starts_s[n], ends_s[n] = start_s, start_s + next(services)
            heapreplace(free_s, float(ends_s[n]))
    return starts_s, ends_s


def batches(
    arrivals_s: FloatArray, factors: FloatArray, latency_s: tuple[float, ...], servers: int, timeout_s: float
) -> Visits:
    """The same for batches: requests are served up to b = len(latency_s) - 1 at a time, and none is lost.

    A batch starts when it is full or its first member has waited for `timeout_s`, whichever is first, but not before a
    server is free; it takes those that have come by then, at most b. The k-th batch, of n members, takes
    latency_s[n] x factors[k]. With b = 1 this is Kiefer and Wolfowitz' recursion.
    """
    most, count = len(latency_s) - 1, len(arrivals_s)
    arrivals = arrivals_s.tolist()
    starts_s, ends_s = np.empty_like(arrivals_s), np.empty_like(arrivals_s)
    free_s = [0.0] * servers
    head = 0
    for factor in factors.tolist():
        if head == count:
            break
        full_s = arrivals[head + most - 1] if head + most <= count else np.inf
        start_s = max(free_s[0], min(full_s, arrivals[head] + timeout_s))
        after = bisect_right(arrivals, start_s, head, min(head + most, count))
        end_s = start_s + latency_s[after - head] * factor
        starts_s[head:after], ends_s[head:after] = start_s, end_s
        heapreplace(free_s, end_s)
        head = after
    return starts_s, ends_s
