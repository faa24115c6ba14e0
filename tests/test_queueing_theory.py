"""One stage (or two) against queueing theory: exact recursions request by request, closed forms of the mean.

Closed forms hold in the mean only: seeds are fixed, and a tolerance is 4 standard deviations of the estimator, those
being measured over many seeds (W: the mean wait before service).
"""

from __future__ import annotations

from itertools import islice
from math import exp, log, sqrt

import numpy as np
import numpy.typing as npt
import pytest
from scipy.stats import poisson

from policies import StageConfiguration
from sim.engine import Engine
from sim.model import ServiceTime, StageModel, World
from sim.records import Records, collect
from sim.streams import standard_normals, stream

Times = npt.NDArray[np.float64]


def poisson_arrivals(rate_rps: float, count: int, seed: int) -> Times:
    return np.cumsum(stream(seed, "arrivals").exponential(1.0 / rate_rps, count))


def run(
    arrivals_s: Times,
    *service_s: float,
    replicas: int = 1,
    batch: int = 1,
    batch_timeout_s: float = 0.0,
    sigma: float | None = None,
    seed: int = 1,
) -> Records:
    """The engine on stages in a row, each with `replicas` and its service time, whatever the batch; nothing drops."""
    sigmas = None if sigma is None else (sigma,) * (batch + 1)
    models = [
        StageModel(
            str(number), {("v", 1): ServiceTime((0.0, *[mean_s] * batch), sigmas)}, {"v": 0.0}, drop_limit_s=1e12
        )
        for number, mean_s in enumerate(service_s)
    ]
    initial = {model.name: StageConfiguration("v", batch, replicas, batch_timeout_s, 1) for model in models}
    world = World(duration_s=float(arrivals_s[-1]) + 1.0, bound_s=1e9)
    engine = Engine(models, world, arrivals_s, initial, seed)
    engine.run(iter(()), lambda: None)
    return collect(engine)


def mean_wait_s(records: Records) -> float:
    return float(np.mean(records.start_s[0] - records.enqueue_s[0]))


# ---- exact ----


def lindley(arrivals_s: Times, service_s: Times) -> Times:
    """Starts at one server: each the later of the arrival and the departure before (Lindley 1952)."""
    starts_s = np.empty_like(arrivals_s)
    free_s = 0.0
    for n, (arrival_s, time_s) in enumerate(zip(arrivals_s, service_s, strict=True)):
        starts_s[n] = max(arrival_s, free_s)
        free_s = starts_s[n] + time_s
    return starts_s


def test_one_replica_with_sampled_service_follows_lindley() -> None:
    """The k-th batch takes the k-th draw, so that the service times are known beforehand."""
    arrivals_s, sigma = poisson_arrivals(0.9, 20_000, seed=3), 0.5
    records = run(arrivals_s, 1.0, sigma=sigma, seed=3)
    normals = islice(standard_normals(stream(3, "service", 0)), len(arrivals_s))
    service_s = np.array([exp(sigma * normal - 0.5 * sigma * sigma) for normal in normals])
    np.testing.assert_allclose(records.start_s[0], lindley(arrivals_s, service_s), rtol=0.0, atol=1e-9)
    np.testing.assert_allclose(records.finish_s[0] - records.start_s[0], service_s, rtol=0.0, atol=1e-9)


def test_d_d_1_never_waits_below_capacity_and_queues_evenly_above() -> None:
    """A request every second: 0.75 s each waits for nothing; 1.25 s each waits 0.25 s longer than the one before."""
    arrivals_s = np.arange(1000.0)
    assert np.all(run(arrivals_s, 0.75).start_s[0] == arrivals_s)
    waits_s = run(arrivals_s, 1.25).start_s[0] - arrivals_s
    assert np.array_equal(waits_s, 0.25 * np.arange(1000.0))


@pytest.mark.parametrize("replicas", [2, 5])
def test_m_d_c_is_c_queues_of_every_cth_request(replicas: int) -> None:
    """With equal service times the c servers finish in turn: request n follows request n - c (Crommelin 1932)."""
    arrivals_s, service_s = poisson_arrivals(0.9 * replicas, 20_000, seed=4), 1.0
    records = run(arrivals_s, service_s, replicas=replicas)
    expected_s = np.empty_like(arrivals_s)
    for first in range(replicas):
        every_cth = arrivals_s[first::replicas]
        expected_s[first::replicas] = lindley(every_cth, np.full(len(every_cth), service_s))
    np.testing.assert_allclose(records.start_s[0], expected_s, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("service_s", [(1.0, 0.5), (0.5, 1.0)])
def test_tandem_of_constant_services_waits_as_the_slowest_alone(service_s: tuple[float, float]) -> None:
    """Whatever the order, a request leaves when the slowest stage alone would let it, plus the rest (Friedman 1965)."""
    arrivals_s = poisson_arrivals(0.8, 20_000, seed=5)
    records = run(arrivals_s, *service_s)
    slowest_s = max(service_s)
    expected_s = lindley(arrivals_s, np.full(len(arrivals_s), slowest_s)) + sum(service_s)
    np.testing.assert_allclose(records.end_s, expected_s, rtol=0.0, atol=1e-9)


def test_full_batches_of_b_are_one_customer_each() -> None:
    """Without a timeout in reach the n-th batch of 3 arrives with its last member, and then follows Lindley."""
    arrivals_s = poisson_arrivals(2.4, 18_000, seed=6)
    records = run(arrivals_s, 1.0, batch=3, batch_timeout_s=1e6)
    formed_s = arrivals_s[2::3]
    expected_s = lindley(formed_s, np.ones(len(formed_s)))
    np.testing.assert_allclose(records.start_s[0], np.repeat(expected_s, 3), rtol=0.0, atol=1e-9)


# ---- in the mean ----


@pytest.mark.parametrize(("load", "relative"), [(0.5, 0.044), (0.8, 0.092)])
def test_m_d_1(load: float, relative: float) -> None:
    """Pollaczek-Khinchine with constant service: W = rho / (2 (1 - rho)) service times."""
    records = run(poisson_arrivals(load, 100_000, seed=1), 1.0)
    assert mean_wait_s(records) == pytest.approx(load / (2.0 * (1.0 - load)), rel=relative)


def test_m_g_1_lognormal() -> None:
    """Pollaczek-Khinchine: W = rho (1 + cv^2) / (2 (1 - rho)) mean service times; here rho 0.8, cv 0.5: 2.5."""
    load, variation = 0.8, 0.5
    sigma = sqrt(log(1.0 + variation**2))
    records = run(poisson_arrivals(load, 100_000, seed=2), 1.0, sigma=sigma, seed=2)
    expected_s = load * (1.0 + variation**2) / (2.0 * (1.0 - load))
    assert expected_s == pytest.approx(2.5)
    assert mean_wait_s(records) == pytest.approx(expected_s, rel=4 * 0.028)


def test_a_batch_of_b_takes_b_minus_1_over_2_lambda_to_form() -> None:
    """With a replica for every batch the k-th of b waits for the b - k that follow: (b - 1) / (2 lambda) on average."""
    rate_rps, batch = 4.0, 5
    records = run(poisson_arrivals(rate_rps, 100_000, seed=7), 0.1, replicas=30, batch=batch, batch_timeout_s=1e6)
    assert mean_wait_s(records) == pytest.approx((batch - 1) / (2.0 * rate_rps), rel=4 * 0.0037)


@pytest.mark.parametrize(
    ("batch", "timeout_s", "expected_s"), [(2, 0.25, 0.0968), (5, 0.25, 0.1851), (5, 1.0, 0.4356), (5, 1e6, 0.5)]
)
def test_a_batch_with_a_timeout_forms_as_renewal_theory_says(batch: int, timeout_s: float, expected_s: float) -> None:
    """With a replica for every batch, the mean wait to form a batch of at most b within T, at a Poisson rate lambda.

    A request that finds no batch forming opens one; the next opens the next, as the process forgets: batches are
    renewals, and W = E[waiting summed over a batch's members] / E[members].

    Members: the opener and those of the next T, at most b - 1: E = 1 + sum over j = 1 .. b - 1 of P(N >= j), with N
    Poisson of mean lambda T.

    Waiting: while k of them have followed the opener (k = 0 .. b - 2) and T is not over, k + 1 wait. The expected time
    with just k is the integral over 0 .. T of P(N(u) = k) du = P(N >= k + 1) / lambda. With j = k + 1:

        W = (1 / lambda) x sum of j P(N >= j) / (1 + sum of P(N >= j)), both over j = 1 .. b - 1.

    For b = 2 it is P / (1 + P) / lambda, P = 1 - exp(-lambda T): of lambda 4 and T 0.25, 0.632 / 1.632 / 4 = 0.0968.
    For T without end every P is 1, and W = (b - 1) / (2 lambda).
    """
    rate_rps = 4.0
    at_least = [float(poisson.sf(j - 1, rate_rps * timeout_s)) for j in range(1, batch)]
    formula_s = sum(j * p for j, p in enumerate(at_least, start=1)) / (1.0 + sum(at_least)) / rate_rps
    assert formula_s == pytest.approx(expected_s, abs=5e-5)
    arrivals_s = poisson_arrivals(rate_rps, 100_000, seed=8)
    records = run(arrivals_s, 0.1, replicas=30, batch=batch, batch_timeout_s=timeout_s)
    assert mean_wait_s(records) == pytest.approx(formula_s, rel=4 * 0.0037)


def test_little_s_law_holds_exactly() -> None:
    """The requests present, integrated over time, are the sojourn times, summed (Little 1961)."""
    records = run(poisson_arrivals(1.6, 20_000, seed=9), 1.0, replicas=2)
    sojourn_s = float(np.sum(records.end_s - records.arrival_s))
    assert records.integral_s[0] == pytest.approx(sojourn_s, rel=1e-9)
