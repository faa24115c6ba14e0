"""Queues whose closed form is known, the figure that a run gives for it, and how far from it chance may bring that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt
from zlib import crc32

import numpy as np

from ipa.sim import DROPPED, Records
from tests.programs.verification import theory
from tests.programs.verification.queues import (
    CONSTANT,
    EXPONENTIAL,
    NEVER_S,
    Law,
    Queue,
    gamma,
    lognormal,
    poisson_arrivals,
    run,
)

TOLERANCE_SDS = 4.0
"""A run may be off by so many standard deviations: of true cases one in 16,000 is further off."""


def mean_wait_s(records: Records) -> float:
    """The mean over the requests of their waits at all stages, summed."""
    return float(np.mean(np.sum(records.start_s - records.enqueue_s, axis=0)))


def share_waiting(records: Records) -> float:
    """The share of the requests that do not start at once at the first stage."""
    return float(np.mean(records.start_s[0] > records.enqueue_s[0]))


def p99_wait_s(records: Records) -> float:
    """The wait at the first stage that 99 % of the requests do not exceed."""
    return float(np.quantile(records.start_s[0] - records.enqueue_s[0], 0.99))


def share_dropped(records: Records) -> float:
    """The share of the requests that are dropped."""
    return float(np.mean(records.outcome == DROPPED))


@dataclass(frozen=True)
class Case:
    """A queue, or several in a row, and what theory says of `figure`.

    `spread` is the relative standard deviation of the figure of a run of n requests, times sqrt(n); it was measured
    over 200 runs of 100,000 requests: `python -m tests.programs.verification --spreads`.
    """

    name: str
    theory: float
    spread: float
    rate_rps: float
    queues: tuple[Queue, ...]
    law: Law = EXPONENTIAL
    figure: Callable[[Records], float] = mean_wait_s

    def sd(self, requests: int) -> float:
        """The relative standard deviation of the figure over so many requests."""
        return self.spread / sqrt(requests)

    def simulated(self, engine: str, requests: int, run_number: int) -> float:
        """The figure of a run of about so many requests: no batch is left that never fills.

        Runs of other numbers, and of other cases, have other seeds.
        """
        seed = crc32(self.name.encode()) + run_number
        count = requests - requests % self.queues[0].batch
        arrivals_s = poisson_arrivals(self.rate_rps, count, seed)
        return self.figure(run(engine, arrivals_s, self.queues, self.law, seed))


def m_m_c(servers: int, load: float, spread: float) -> Case:
    rate_rps = servers * load
    wait_s = theory.m_m_c_wait(servers, rate_rps)
    return Case(f"M/M/{servers}, rho {load}", wait_s, spread, rate_rps, (Queue(servers),))


def m_d_c(servers: int, load: float, spread: float) -> Case:
    rate_rps = servers * load
    wait_s = theory.erlang_d_1_wait(servers, rate_rps)
    return Case(f"M/D/{servers}, rho {load}", wait_s, spread, rate_rps, (Queue(servers),), CONSTANT)


def m_g_1(load: float, variation: float, spread: float, family: Callable[[float], Law] = lognormal) -> Case:
    name = f"M/G/1, {family.__name__}, cv {variation}, rho {load}"
    return Case(name, theory.m_g_1_wait(load, variation), spread, load, (Queue(),), family(variation))


def erlang_b(servers: int, load: float, law_name: str, law: Law, spread: float) -> Case:
    name, rate_rps = f"Erlang B, c {servers}, rho {load}, {law_name}", servers * load
    queues = (Queue(servers, drop_limit_s=0.0),)
    return Case(name, theory.erlang_b(servers, rate_rps), spread, rate_rps, queues, law, share_dropped)


def with_limit(servers: int, load: float, limit_s: float, spread: float) -> Case:
    name, rate_rps = f"M/M/{servers}, drop limit {limit_s:g} s, rho {load}", servers * load
    lost = theory.m_m_c_limit_loss(servers, rate_rps, limit_s)
    queues = (Queue(servers, drop_limit_s=limit_s),)
    return Case(name, lost, spread, rate_rps, queues, EXPONENTIAL, share_dropped)


def tandem(servers: tuple[int, ...], load: float, rate_rps: float, spread: float) -> Case:
    """By Burke's theorem (1956) what leaves M/M/c is Poisson again: each queue waits as if alone."""
    means_s = [load * each / rate_rps for each in servers]
    wait_s = sum(
        mean_s * theory.m_m_c_wait(each, rate_rps * mean_s) for each, mean_s in zip(servers, means_s, strict=True)
    )
    queues = tuple(Queue(each, mean_s) for each, mean_s in zip(servers, means_s, strict=True))
    return Case(f"{' to '.join(f'M/M/{each}' for each in servers)}, rho {load}", wait_s, spread, rate_rps, queues)


def forming(batch: int, timeout_s: float, spread: float) -> Case:
    """Replicas for all batches; at most one in 10^18 would find none of the 40 free at a load of 4 x 0.1 batches."""
    name = f"forming {batch}, {'no timeout' if timeout_s == NEVER_S else f'timeout {timeout_s} s'}"
    queues = (Queue(40, 0.1, batch, timeout_s),)
    return Case(name, theory.forming_wait(batch, 4.0, timeout_s), spread, 4.0, queues, CONSTANT)


def full_batches(batch: int, load: float, law: Law, spread: float) -> Case:
    """A batch arrives with its last member; until then its members wait for (b - 1) / (2 rate) on average."""
    rate_rps = batch * load
    alone = theory.erlang_d_1_wait if law is CONSTANT else theory.erlang_m_1_wait
    wait_s = alone(batch, rate_rps) + theory.forming_wait(batch, rate_rps, NEVER_S)
    name = f"E{batch}/{'D' if law is CONSTANT else 'M'}/1, full batches of {batch}, rho {load}"
    return Case(name, wait_s, spread, rate_rps, (Queue(1, 1.0, batch, NEVER_S),), law)


def taking_what_waits(most: int, load: float, spread: float) -> Case:
    name, rate_rps = f"M/M/1, batches up to {most}, timeout 0, rho {load}", most * load
    return Case(name, theory.taking_what_waits_wait(most, rate_rps), spread, rate_rps, (Queue(1, 1.0, most),))


CASES = (
    m_m_c(1, 0.3, 4.89),
    m_m_c(1, 0.5, 5.41),
    m_m_c(1, 0.7, 7.04),
    m_m_c(1, 0.9, 19.7),
    m_m_c(3, 0.3, 11.0),
    m_m_c(3, 0.5, 7.74),
    m_m_c(3, 0.7, 11.1),
    m_m_c(3, 0.9, 20.3),
    m_m_c(10, 0.7, 18.7),
    m_m_c(10, 0.9, 28.6),
    Case("M/M/3, rho 0.7: share waiting", theory.erlang_c(3, 2.1), 3.21, 2.1, (Queue(3),), figure=share_waiting),
    Case(
        "M/M/3, rho 0.7: p99 of the wait",
        theory.m_m_c_wait_quantile(3, 2.1, 0.99),
        14.6,
        2.1,
        (Queue(3),),
        figure=p99_wait_s,
    ),
    m_d_c(1, 0.3, 3.30),
    m_d_c(1, 0.5, 3.43),
    m_d_c(1, 0.7, 5.29),
    m_d_c(1, 0.9, 14.9),
    m_d_c(3, 0.7, 6.70),
    m_d_c(3, 0.9, 15.2),
    m_g_1(0.5, 0.5, 4.13),
    m_g_1(0.8, 0.5, 8.21),
    m_g_1(0.8, 1.5, 19.9),
    m_g_1(0.8, 1.5, 14.6, gamma),
    erlang_b(3, 0.7, "exponential", EXPONENTIAL, 2.32),
    erlang_b(3, 0.7, "constant", CONSTANT, 1.83),
    erlang_b(3, 0.7, "lognormal, cv 1.5", lognormal(1.5), 3.08),
    erlang_b(10, 1.2, "exponential", EXPONENTIAL, 2.81),
    with_limit(1, 0.8, 2.0, 3.19),
    with_limit(1, 1.2, 2.0, 2.25),
    with_limit(3, 0.9, 1.0, 5.24),
    tandem((3, 3), 0.7, 2.1, 7.82),
    tandem((2, 1, 4), 0.7, 1.4, 6.47),
    tandem((3, 3), 0.9, 2.7, 19.1),
    forming(5, NEVER_S, 1.18),
    forming(2, 0.25, 1.11),
    forming(5, 0.25, 0.41),
    forming(5, 1.0, 0.89),
    full_batches(4, 0.7, EXPONENTIAL, 9.34),
    full_batches(4, 0.9, EXPONENTIAL, 32.2),
    full_batches(4, 0.7, CONSTANT, 1.80),
    full_batches(4, 0.9, CONSTANT, 11.8),
    taking_what_waits(4, 0.7, 9.39),
    taking_what_waits(4, 0.9, 31.7),
)
