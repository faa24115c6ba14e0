"""Closed forms, mean service time 1 s where none is given; `rate` is the Poisson arrival rate, `servers` the replicas.

W is the mean wait from a request's arrival at a queue to the start of its service.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, factorial, log, sqrt

from scipy.optimize import brentq
from scipy.special import gammainc
from scipy.stats import poisson


def erlang_b(servers: int, rate: float) -> float:
    """The share of requests lost where none may wait, whatever the law of service (Erlang 1917)."""
    lost = 1.0
    for n in range(1, servers + 1):
        lost = rate * lost / (n + rate * lost)
    return lost


def erlang_c(servers: int, rate: float) -> float:
    """The share of requests that wait in M/M/c (Erlang 1917)."""
    lost = erlang_b(servers, rate)
    return lost / (1.0 - rate / servers * (1.0 - lost))


def m_m_c_wait(servers: int, rate: float) -> float:
    """W of M/M/c: those that wait, wait for 1 / (c - rate) on average."""
    return erlang_c(servers, rate) / (servers - rate)


def m_m_c_wait_quantile(servers: int, rate: float, share: float) -> float:
    """The wait that `share` of the requests do not exceed in M/M/c, as P(wait > t) = C exp(-(c - rate) t)."""
    return max(0.0, log(erlang_c(servers, rate) / (1.0 - share)) / (servers - rate))


def m_g_1_wait(rate: float, variation: float) -> float:
    """W of M/G/1, `variation` the coefficient of variation of the service times (Pollaczek 1930, Khinchine 1932)."""
    return rate * (1.0 + variation**2) / (2.0 * (1.0 - rate))


def m_m_c_limit_loss(servers: int, rate: float, limit_s: float) -> float:
    """The share of requests dropped in M/M/c where none starts later than `limit_s` after its arrival (Barrer 1957).

    Let V be the wait that an arrival would have. With fewer than c in service V = 0, and P(j in service) is p a^j / j!
    with a = rate. A request with V <= limit adds to the work ahead, a later one does not; level crossing gives the
    density of V as rate P(c - 1) exp(-(c - rate) v) up to the limit, and from there on it falls as exp(-c v). The
    total is 1, which fixes p; dropped are those with V > limit. For limit 0 this is Erlang's loss formula.
    """
    idle = sum(rate**n / factorial(n) for n in range(servers))
    entering = rate * rate ** (servers - 1) / factorial(servers - 1)
    spare = servers - rate
    within = limit_s if spare == 0.0 else (1.0 - exp(-spare * limit_s)) / spare
    beyond = exp(-spare * limit_s) / servers
    return entering * beyond / (idle + entering * (within + beyond))


def erlang_d_1_wait(stages: int, rate: float, service_s: float = 1.0) -> float:
    """W of a customer in E_k/D/1, one customer for every k = `stages` arrivals of a Poisson process.

    Spitzer's identity (1956) for Lindley's recursion: W = sum over n of E[(n D - A_n)+] / n, where A_n, the time for n
    customers to arrive, is gamma distributed of shape k n; E[(x - A)+] = x P(A <= x) - E[A; A <= x].

    With k = 1 it is M/D/1. It is M/D/k too: with constant service k servers finish in turn, so that each has every k-th
    request (Crommelin 1932).
    """
    total, n, term = 0.0, 0, 1.0
    while term > 1e-15 * (1.0 + total) or n < 100:
        n += 1
        shape, within = stages * n, rate * service_s * n
        term = (service_s * gammainc(shape, within) - stages / rate * gammainc(shape + 1, within)).item()
        total += term
    return total


def erlang_m_1_wait(stages: int, rate: float) -> float:
    """W of a customer in E_k/M/1, one customer for every k = `stages` arrivals of a Poisson process.

    As GI/M/1 (Kendall 1953): W = s / (1 - s), s the root below 1 of s = E exp(-(1 - s) A) = (rate / (rate + 1 - s))^k.
    """
    root = _root(lambda s: (rate / (rate + 1.0 - s)) ** stages - s)
    return root / (1.0 - root)


def taking_what_waits_wait(most: int, rate: float) -> float:
    """W of M/M/1 whose server takes all that wait, at most `most`, as one service (Bailey 1954; b = `most`).

    Let q_n be the probability of a busy server with n waiting, p of an idle one. Balance: rate p = q_0;
    (rate + 1) q_n = rate q_(n-1) + q_(n+b). So q_n = q_0 r^n with r^(b+1) - (rate + 1) r + rate = 0, r below 1, and
    q_0 (1 / rate + 1 / (1 - r)) = 1. W = (sum of n q_n) / rate by Little's law. For b = 1, r is the rate: M/M/1.
    """
    root = _root(lambda r: r ** (most + 1) - (rate + 1.0) * r + rate)
    empty = 1.0 / (1.0 / rate + 1.0 / (1.0 - root))
    return empty * root / (1.0 - root) ** 2 / rate


def forming_wait(batch: int, rate: float, timeout_s: float) -> float:
    """The mean wait to form a batch of at most b within T, with a replica for every batch.

    A request that finds no batch forming opens one; the next opens the next, as the Poisson process forgets: batches
    are renewals, and W = E[waiting summed over a batch's members] / E[members].

    Members: the opener and those of the next T, at most b - 1: E = 1 + sum over j = 1 .. b - 1 of P(N >= j), with N
    Poisson of mean rate T.

    Waiting: while k of them have followed the opener (k = 0 .. b - 2) and T is not over, k + 1 wait. The expected time
    with just k is the integral over 0 .. T of P(N(u) = k) du = P(N >= k + 1) / rate. With j = k + 1:

        W = (1 / rate) x sum of j P(N >= j) / (1 + sum of P(N >= j)), both over j = 1 .. b - 1.

    For b = 2 it is P / (1 + P) / rate, P = 1 - exp(-rate T). For T without end every P is 1: W = (b - 1) / (2 rate).
    """
    at_least = [float(poisson.sf(j - 1, rate * timeout_s)) for j in range(1, batch)]
    return sum(j * p for j, p in enumerate(at_least, start=1)) / (1.0 + sum(at_least)) / rate


def m_m_1_spread(rate: float) -> float:
    """The standard deviation of M/M/1's mean wait over n requests, relative to W, times sqrt(n) for large n.

    The variance times n tends to rate (2 + 5 rate - 4 rate^2 + rate^3) / (1 - rate)^4 (Blomqvist 1967, Daley 1968).
    """
    return sqrt(rate * (2.0 + 5.0 * rate - 4.0 * rate**2 + rate**3)) / (1.0 - rate) ** 2 / m_m_c_wait(1, rate)


def _root(function: Callable[[float], float]) -> float:
    """The root within (0, 1), beside the one at 1."""
    return float(brentq(function, 0.0, 1.0 - 1e-7, xtol=1e-15))
