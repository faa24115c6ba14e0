"""Queues against queueing theory: exact recursions request by request, closed forms in the mean, on both engines.

The cases and their tolerances, 4 standard deviations of what is estimated, stand in tests/programs/verification;
seeds are fixed. `make verify` runs the same at larger sizes.
"""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from ipa.sim.model import FloatArray
from tests.programs.verification import theory
from tests.programs.verification.cases import CASES, TOLERANCE_SDS, Case
from tests.programs.verification.exact import EXACT, TOLERANCE_S, Exact
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
from tests.programs.verification.recursions import batches, kiefer_wolfowitz, lindley, with_limit

COMPILED_REQUESTS, SIMPY_REQUESTS, BOTH_REQUESTS = 200_000, 20_000, 4_000
LOOSEST = 0.2
"""SimPy is asked only where so few requests can tell something: a tolerance below 20 %."""

CHEAP = [case for case in CASES if TOLERANCE_SDS * case.sd(SIMPY_REQUESTS) < LOOSEST]


@pytest.fixture(params=["simpy", "compiled"])
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "compiled":
        pytest.importorskip("numba", reason="numba is not installed")
    return str(request.param)


def check(case: Case, engine: str, requests: int) -> None:
    expected = pytest.approx(case.theory, rel=TOLERANCE_SDS * case.sd(requests))
    assert case.simulated(engine, requests, run_number=0) == expected


def named(case: Case | Exact) -> str:
    return case.name


# ---- request by request ----


@pytest.mark.parametrize("case", EXACT, ids=named)
def test_every_start_and_end_is_that_of_the_recursion(case: Exact, engine: str) -> None:
    assert case.largest_difference_s(engine, 10_000, run_number=0) <= TOLERANCE_S


def test_d_d_1_never_waits_below_capacity_and_queues_evenly_above(engine: str) -> None:
    """A request every second: 0.75 s each waits for nothing; 1.25 s each waits 0.25 s longer than the one before."""
    arrivals_s = np.arange(1000.0)
    below, above = (run(engine, arrivals_s, (Queue(1, each_s),), CONSTANT, 1) for each_s in (0.75, 1.25))
    assert np.all(below.start_s[0] == arrivals_s)
    assert np.array_equal(above.start_s[0] - arrivals_s, 0.25 * np.arange(1000.0))


@pytest.mark.parametrize("replicas", [2, 5])
def test_m_d_c_is_c_queues_of_every_cth_request(engine: str, replicas: int) -> None:
    """With equal service times the c servers finish in turn: request n follows request n - c (Crommelin 1932)."""
    arrivals_s = poisson_arrivals(0.9 * replicas, 10_000, seed=4)
    starts_s = run(engine, arrivals_s, (Queue(replicas),), CONSTANT, 4).start_s[0]
    for first in range(replicas):
        every_cth = arrivals_s[first::replicas]
        expected_s, _ = lindley(every_cth, np.ones(len(every_cth)))
        np.testing.assert_allclose(starts_s[first::replicas], expected_s, rtol=0.0, atol=TOLERANCE_S)


@pytest.mark.parametrize("services_s", [(1.0, 0.5), (0.5, 1.0)])
def test_tandem_of_constant_services_waits_as_the_slowest_alone(engine: str, services_s: tuple[float, float]) -> None:
    """Whatever the order, a request leaves when the slowest stage alone would let it, plus the rest (Friedman 1965)."""
    arrivals_s = poisson_arrivals(0.8, 10_000, seed=5)
    records = run(engine, arrivals_s, tuple(Queue(1, each_s) for each_s in services_s), CONSTANT, 5)
    alone_s, _ = lindley(arrivals_s, np.full(len(arrivals_s), max(services_s)))
    np.testing.assert_allclose(records.end_s, alone_s + sum(services_s), rtol=0.0, atol=TOLERANCE_S)


def test_little_s_law_holds_exactly(engine: str) -> None:
    """The requests present, integrated over time, are the sojourn times, summed (Little 1961)."""
    records = run(engine, poisson_arrivals(1.6, 10_000, seed=9), (Queue(2),), EXPONENTIAL, 9)
    sojourn_s = float(np.sum(records.end_s - records.arrival_s))
    assert records.integral_s[0] == pytest.approx(sojourn_s, rel=1e-9)


# ---- in the mean ----


@pytest.mark.parametrize("case", CASES, ids=named)
def test_the_compiled_engine_agrees_with_theory(case: Case) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    check(case, "compiled", COMPILED_REQUESTS)


@pytest.mark.parametrize("case", CHEAP, ids=named)
def test_the_simpy_engine_agrees_with_theory(case: Case) -> None:
    check(case, "simpy", SIMPY_REQUESTS)


@pytest.mark.parametrize("case", CASES, ids=named)
def test_both_engines_give_the_very_same_figure(case: Case) -> None:
    pytest.importorskip("numba", reason="numba is not installed")
    simulated = [case.simulated(each, BOTH_REQUESTS, run_number=0) for each in ("simpy", "compiled")]
    assert simulated[0] == simulated[1]


def test_the_tolerances_tell_near_models_apart() -> None:
    """What a wrong model would give lies outside: a server more, another law of service, a batch off by one."""
    tolerances = {case.name: (case.theory, TOLERANCE_SDS * case.sd(COMPILED_REQUESTS)) for case in CASES}
    wrong = {
        "M/M/3, rho 0.9": theory.m_m_c_wait(4, 2.7),
        "M/D/1, rho 0.9": theory.m_g_1_wait(0.9, 0.5),
        "M/G/1, lognormal, cv 0.5, rho 0.8": theory.m_g_1_wait(0.8, 0.0),
        "Erlang B, c 3, rho 0.7, constant": theory.erlang_b(4, 2.1),
        "M/M/3, drop limit 1 s, rho 0.9": theory.m_m_c_limit_loss(3, 2.7, 0.9),
        "forming 5, timeout 0.25 s": theory.forming_wait(4, 4.0, 0.25),
        "E4/D/1, full batches of 4, rho 0.7": theory.erlang_d_1_wait(4, 2.8) + theory.forming_wait(3, 2.8, NEVER_S),
        "M/M/1, batches up to 4, timeout 0, rho 0.7": theory.taking_what_waits_wait(3, 2.8),
    }
    for name, mistaken in wrong.items():
        right, tolerance = tolerances[name]
        assert abs(mistaken / right - 1.0) > 1.1 * tolerance, name


# ---- the theory itself ----


def test_m_m_1_by_hand() -> None:
    """rho 0.5: half of the requests wait, for 2 s on average; 1 % wait for more than log(0.5 / 0.01) / 0.5 s."""
    assert theory.erlang_c(1, 0.5) == pytest.approx(0.5)
    assert theory.m_m_c_wait(1, 0.5) == pytest.approx(1.0)
    assert theory.m_m_c_wait_quantile(1, 0.5, 0.99) == pytest.approx(2.0 * np.log(50.0))
    assert theory.m_m_c_wait_quantile(1, 0.5, 0.3) == 0.0


def test_erlang_s_formulas_by_hand() -> None:
    """Three servers, a = 2: B = (8 / 6) / (1 + 2 + 2 + 8 / 6) = 4 / 19; C = 3 x 8 / 6 / (5 + 3 x 8 / 6) = 4 / 9."""
    assert theory.erlang_b(3, 2.0) == pytest.approx(4 / 19)
    assert theory.erlang_c(3, 2.0) == pytest.approx(4 / 9)
    assert theory.m_m_c_wait(3, 2.0) == pytest.approx(4 / 9)


def test_pollaczek_and_khinchine_by_hand() -> None:
    """rho 0.8: 2 s for constant service, 2.5 s for cv 0.5, and for cv 1 the 4 s of M/M/1."""
    waits_s = [theory.m_g_1_wait(0.8, variation) for variation in (0.0, 0.5, 1.0)]
    assert waits_s == pytest.approx([2.0, 2.5, theory.m_m_c_wait(1, 0.8)])


@pytest.mark.parametrize("load", [0.3, 0.8, 0.95])
def test_batches_of_one_are_requests(load: float) -> None:
    assert theory.erlang_d_1_wait(1, load) == pytest.approx(theory.m_g_1_wait(load, 0.0))
    assert theory.erlang_m_1_wait(1, load) == pytest.approx(theory.m_m_c_wait(1, load))
    assert theory.taking_what_waits_wait(1, load) == pytest.approx(theory.m_m_c_wait(1, load))
    assert theory.forming_wait(1, load, 1.0) == 0.0


@pytest.mark.parametrize(("servers", "rate"), [(1, 0.8), (1, 1.0), (3, 2.5), (3, 3.0), (4, 6.0)])
def test_a_drop_limit_lies_between_erlang_s_loss_and_none(servers: int, rate: float) -> None:
    """Limit 0: none may wait. Without a limit only what exceeds the capacity is lost. For M/M/1 at rho 1:
    1 / (2 + limit).
    """
    assert theory.m_m_c_limit_loss(servers, rate, 0.0) == pytest.approx(theory.erlang_b(servers, rate))
    assert theory.m_m_c_limit_loss(servers, rate, 300.0) == pytest.approx(max(0.0, 1.0 - servers / rate), abs=4e-3)
    assert theory.m_m_c_limit_loss(1, 1.0, 3.0) == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("batch", "timeout_s", "expected_s"), [(2, 0.25, 0.0968), (5, 0.25, 0.1851), (5, 1.0, 0.4356), (5, 1e6, 0.5)]
)
def test_forming_a_batch_by_hand(batch: int, timeout_s: float, expected_s: float) -> None:
    """A pair at 4 / s within 0.25 s: 0.632 / 1.632 / 4 = 0.0968; five without a timeout: 4 / (2 x 4) = 0.5."""
    assert theory.forming_wait(batch, 4.0, timeout_s) == pytest.approx(expected_s, abs=5e-5)
    assert theory.forming_wait(2, 4.0, 0.25) == pytest.approx((1 - exp(-1)) / (2 - exp(-1)) / 4)


def test_the_stated_spread_of_m_m_1_is_the_known_one() -> None:
    """Measured over 200 runs, a standard deviation is known to within 5 %, itself a standard deviation."""
    for load in (0.3, 0.5, 0.7, 0.9):
        (case,) = (case for case in CASES if case.name == f"M/M/1, rho {load}")
        assert case.spread == pytest.approx(theory.m_m_1_spread(load), rel=3 * 0.05)


# ---- the tools ----


def test_the_recursions_by_hand() -> None:
    """Requests at 0, 1, 2, 3, 4.

    One server, 2 s each: starts 0, 2, 4, 6, 8. Two servers, 3 s: 0, 1, 3, 4, 6. The same where none waits beyond 0.5 s:
    that at 2 is lost, then 3, and that at 4 finds the second free. Pairs, timeout 0.5 s, 3 s each: at 0.5 the first
    alone; at 3.5 the next two; at 6.5 the last two.
    """
    arrivals_s = np.arange(5.0)
    assert lindley(arrivals_s, np.full(5, 2.0))[0].tolist() == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert kiefer_wolfowitz(arrivals_s, np.full(5, 3.0), 2)[0].tolist() == [0.0, 1.0, 3.0, 4.0, 6.0]
    starts_s, ends_s = with_limit(arrivals_s, np.full(5, 3.0), 2, 0.5)
    np.testing.assert_array_equal(starts_s, [0.0, 1.0, np.nan, 3.0, 4.0])
    np.testing.assert_array_equal(ends_s, [3.0, 4.0, np.nan, 6.0, 7.0])
    starts_s, ends_s = batches(arrivals_s, np.ones(5), (0.0, 3.0, 3.0), 1, 0.5)
    assert starts_s.tolist() == [0.5, 3.5, 3.5, 6.5, 6.5]
    assert ends_s.tolist() == [3.5, 6.5, 6.5, 9.5, 9.5]


def test_batches_of_one_follow_kiefer_and_wolfowitz() -> None:
    arrivals_s = poisson_arrivals(2.7, 2000, seed=1)
    services_s: FloatArray = np.random.default_rng(1).exponential(size=2000)
    one = batches(arrivals_s, services_s, (0.0, 1.0), 3, 0.0)
    np.testing.assert_array_equal(one, kiefer_wolfowitz(arrivals_s, services_s, 3))
    single = kiefer_wolfowitz(arrivals_s, services_s, 1)
    np.testing.assert_array_equal(single, lindley(arrivals_s, services_s))


@pytest.mark.parametrize(
    ("law", "variation"), [(EXPONENTIAL, 1.0), (gamma(0.5), 0.5), (gamma(1.5), 1.5), (lognormal(0.5), 0.5)]
)
def test_the_services_drawn_have_the_law_asked_for(engine: str, law: Law, variation: float) -> None:
    """40,000 services have mean 1 and their cv to within some percent, and are those known beforehand."""
    count = 40_000
    records = run(engine, np.arange(float(count)), (Queue(20),), law, 6)
    services_s = records.finish_s[0] - records.start_s[0]
    assert float(np.mean(services_s)) == pytest.approx(1.0, rel=4 * variation / np.sqrt(count))
    assert float(np.std(services_s)) == pytest.approx(variation, rel=0.05)
    np.testing.assert_allclose(services_s, law.factors(6, 0, count), rtol=0.0, atol=TOLERANCE_S)


# ---- the page ----
