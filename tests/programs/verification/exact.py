"""Queues whose every start and end a recursion gives, whatever the law of service: the draws are known beforehand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from zlib import crc32

import numpy as np

from ipa.sim import FloatArray
from tests.programs.verification.queues import CONSTANT, NEVER_S, Law, Queue, gamma, lognormal, poisson_arrivals, run
from tests.programs.verification.recursions import Visits, batches, kiefer_wolfowitz, lindley, with_limit

TOLERANCE_S = 1e-9
"""Every request starts and ends within this of what the recursion says."""

Recursion = Callable[[Queue, FloatArray, FloatArray], Visits]
"""The visits to a queue, of requests that come at those times, and the factors drawn there."""


def by_lindley(queue: Queue, arrivals_s: FloatArray, factors: FloatArray) -> Visits:
    return lindley(arrivals_s, queue.latencies_s[1] * factors)


def by_kiefer_wolfowitz(queue: Queue, arrivals_s: FloatArray, factors: FloatArray) -> Visits:
    return kiefer_wolfowitz(arrivals_s, queue.latencies_s[1] * factors, queue.replicas)


def by_loss(queue: Queue, arrivals_s: FloatArray, factors: FloatArray) -> Visits:
    return with_limit(arrivals_s, queue.latencies_s[1] * factors, queue.replicas, queue.drop_limit_s)


def by_batches(queue: Queue, arrivals_s: FloatArray, factors: FloatArray) -> Visits:
    return batches(arrivals_s, factors, queue.latencies_s, queue.replicas, queue.batch_timeout_s)


@dataclass(frozen=True)
class Exact:
    """Queues in a row, and the recursion that holds at each."""

    name: str
    recursion: Recursion
    rate_rps: float
    queues: tuple[Queue, ...]
    law: Law

    def largest_difference_s(self, engine: str, requests: int, run_number: int) -> float:
        """The largest difference in start or end between a run and the recursion, over all requests and stages."""
        seed = crc32(self.name.encode()) + run_number
        count = requests - requests % self.queues[0].batch
        arrivals_s = poisson_arrivals(self.rate_rps, count, seed)
        records = run(engine, arrivals_s, self.queues, self.law, seed)
        largest_s, order = 0.0, np.arange(count)
        for stage, queue in enumerate(self.queues):
            starts_s, ends_s = self.recursion(queue, arrivals_s, self.law.factors(seed, stage, count))
            for mine, expected in ((records.start_s, starts_s), (records.finish_s, ends_s)):
                found = mine[stage][order]
                if not np.array_equal(np.isnan(found), np.isnan(expected)):
                    return np.inf
                largest_s = max(largest_s, float(np.nanmax(np.abs(found - expected))))
            # Replicas let requests overtake each other; those of one batch stay in order.
            left = np.argsort(ends_s, kind="stable")
            arrivals_s, order = ends_s[left], order[left]
        return largest_s


RISING_S = (0.0, 1.0, 1.4, 1.8, 2.2)

EXACT = (
    Exact("Lindley: 1 replica, lognormal, rho 0.9", by_lindley, 0.9, (Queue(),), lognormal(0.5)),
    Exact("Lindley: 1 replica, gamma, overloaded", by_lindley, 1.1, (Queue(),), gamma(1.5)),
    Exact("Kiefer-Wolfowitz: 3 replicas, lognormal, rho 0.9", by_kiefer_wolfowitz, 2.7, (Queue(3),), lognormal(0.5)),
    Exact("Kiefer-Wolfowitz: 10 replicas, gamma, rho 0.95", by_kiefer_wolfowitz, 9.5, (Queue(10),), gamma(1.5)),
    Exact(
        "Kiefer-Wolfowitz at each of 3 stages, 3, 2 and 4 replicas, gamma",
        by_kiefer_wolfowitz,
        2.6,
        (Queue(3), Queue(2, 0.7), Queue(4, 1.4)),
        gamma(1.0),
    ),
    Exact("loss: 3 replicas, drop limit 0, lognormal", by_loss, 3.0, (Queue(3, drop_limit_s=0.0),), lognormal(0.5)),
    Exact("loss: 3 replicas, drop limit 2 s, gamma", by_loss, 3.3, (Queue(3, drop_limit_s=2.0),), gamma(1.5)),
    Exact(
        "batches: full ones of 4, 2 replicas, lognormal",
        by_batches,
        3.2,
        (Queue(2, RISING_S, 4, NEVER_S),),
        lognormal(0.5),
    ),
    Exact(
        "batches: up to 4, timeout 0.5 s, 2 replicas, lognormal",
        by_batches,
        2.4,
        (Queue(2, RISING_S, 4, 0.5),),
        lognormal(0.5),
    ),
    Exact("batches: up to 4, timeout 0, 1 replica, gamma", by_batches, 1.6, (Queue(1, RISING_S, 4),), gamma(1.0)),
    Exact(
        "batches: up to 4, then 2, then 3, timeouts, 3, 4 and 2 replicas, lognormal",
        by_batches,
        3.0,
        (Queue(3, RISING_S, 4, 0.5), Queue(4, RISING_S[:3], 2, 0.25), Queue(2, RISING_S[:4], 3, 1.0)),
        lognormal(0.5),
    ),
    Exact(
        "batches: up to 4, timeout 0.5 s, 2 replicas, constant",
        by_batches,
        2.4,
        (Queue(2, RISING_S, 4, 0.5),),
        CONSTANT,
    ),
)
