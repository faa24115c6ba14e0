"""Graphs of queues against queueing theory, in the mean over several runs of fixed seeds, within 4 standard errors."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt

import numpy as np
import pytest

from ipa.profiles import Edge, Graph, Join
from ipa.sim import Records
from tests.programs.verification import theory
from tests.programs.verification.queues import CONSTANT, EXPONENTIAL, Law, Queue, poisson_arrivals, run

RUNS, REQUESTS, WARMING = 12, 20_000, 1_000
"""The first requests of a run find queues that are too short, and do not count."""

pytest.importorskip("numba", reason="numba is not installed")


def mean_of_runs(
    rate_rps: float, queues: tuple[Queue, ...], graph: Graph, figure: Callable[[Records], float], law: Law = EXPONENTIAL
) -> tuple[float, float]:
    """The mean of a figure over the runs, and its standard error."""
    found = []
    for seed in range(RUNS):
        arrivals_s = poisson_arrivals(rate_rps, REQUESTS, seed)
        found.append(figure(run("compiled", arrivals_s, queues, law, seed, graph)))
    return float(np.mean(found)), float(np.std(found, ddof=1)) / sqrt(RUNS)


def response_s(records: Records) -> float:
    """Of requests."""
    return float(np.mean((records.end_s - records.arrival_s)[WARMING:]))


def wait_at(position: int) -> Callable[[Records], float]:
    """Of the items of a stage, until their service starts."""

    def mean_s(records: Records) -> float:
        part = records.items[position]
        return float(np.mean((part.start_s - part.enqueue_s)[0][part.request >= WARMING]))

    return mean_s


def sojourn_at(position: int) -> Callable[[Records], float]:
    """Of the items of a stage, until they have been served."""

    def mean_s(records: Records) -> float:
        part = records.items[position]
        return float(np.mean((part.finish_s - part.enqueue_s)[0][part.request >= WARMING]))

    return mean_s


@pytest.mark.parametrize("rho", [0.3, 0.7])
def test_fork_and_join_of_two_queues(rho: float) -> None:
    """(12 - rho) / 8 times as long as at one of them (Flatto and Hahn 1984; Nelson and Tantawi 1988)."""
    graph = Graph((Edge("0", "2"), Edge("1", "2")), 1.0, joins={"2": Join("all")})

    def joined_s(records: Records) -> float:
        part = records.items[2]
        return float(np.mean((part.enqueue_s[0] - part.arrival_s)[part.request >= WARMING]))

    mean_s, error_s = mean_of_runs(rho, (Queue(), Queue(), Queue(50)), graph, joined_s)
    assert mean_s == pytest.approx((12 - rho) / 8 / (1 - rho), abs=4 * error_s)
    assert error_s < 0.05 * mean_s


def test_a_share_of_what_a_queue_lets_go_is_a_poisson_stream() -> None:
    """Served by an M/M/1 queue (Burke 1956), of which 0.6 go on to an M/M/2 queue."""
    graph = Graph((Edge("0", "1", share=0.6),), 1.0)
    mean_s, error_s = mean_of_runs(2.5, (Queue(4), Queue(2)), graph, wait_at(1))
    assert mean_s == pytest.approx(theory.m_m_c_wait(2, 1.5), abs=4 * error_s)
    assert error_s < 0.05 * mean_s


@pytest.mark.parametrize(
    ("edge", "mean", "square"),
    [
        (Edge("0", "1", items=3.0), 3.0, 9.0),
        (Edge("0", "1", counts={"v": (0, 1, 5)}), 2.0, 26 / 3),
        (Edge("0", "1", items=2.0, spread=1.0), 2.0, 6.0),
    ],
    ids=["fixed", "measured", "poisson"],
)
def test_items_that_come_together(edge: Edge, mean: float, square: float) -> None:
    """M^[X]/M/1: rho (1 + E[X^2] / E[X]) / (2 (1 - rho)) are there, and stay as long as Little's law says."""
    rho = 0.6
    graph = Graph((edge,), 1.0)
    mean_s, error_s = mean_of_runs(rho / mean, (Queue(3), Queue()), graph, sojourn_at(1))
    assert mean_s == pytest.approx((1 + square / mean) / (2 * (1 - rho)), abs=4 * error_s)
    assert error_s < 0.05 * mean_s


def test_a_network_of_queues_is_one_of_independent_queues() -> None:
    """0.4 of the requests take one way and 0.6 the other, then all the same: the sum of the M/M/1 queues (Jackson)."""
    ways = (Edge("0", "1", share=0.4, switch="kind"), Edge("0", "2", share=0.6, switch="kind"))
    graph = Graph((*ways, Edge("1", "3"), Edge("2", "3")), 1.0)
    rate_rps = 0.7
    mean_s, error_s = mean_of_runs(rate_rps, (Queue(),) * 4, graph, response_s)
    one, other = 0.4 / (1 - 0.4 * rate_rps), 0.6 / (1 - 0.6 * rate_rps)
    assert mean_s == pytest.approx(2 / (1 - rate_rps) + one + other, abs=4 * error_s)
    assert error_s < 0.05 * mean_s


def test_a_frame_s_items_by_hand() -> None:
    """1 s for a frame, then its 3 items on two replicas of 2 s: two at once, and the third after them."""
    graph = Graph((Edge("0", "1", items=3.0),), 1.0)
    records = run("compiled", np.array([0.0, 10.0]), (Queue(), Queue(2, 2.0)), CONSTANT, 1, graph)
    assert records.items[1].finish_s[0].tolist() == [3.0, 3.0, 5.0, 13.0, 13.0, 15.0]
    assert records.end_s.tolist() == [5.0, 15.0]
