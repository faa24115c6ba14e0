"""Figures, utilisation and replicas over time, by hand."""

from __future__ import annotations

from math import isnan, nan

import numpy as np
import pandas as pd
import pytest

from ipa.studies.validation.decisions import ready_at, replicas_alike_percent
from ipa.studies.validation.figures import LIMITS, Windows, measure, metrics, utilisation

pytestmark = pytest.mark.usefixtures("elsewhere")


def hand_made() -> dict[str, pd.DataFrame]:
    """20 s, one stage, two replicas: "a" at all times, "b" created at 5, ready at 10, removed at 18 and gone at 19.

    Requests arrive at 1, 2, 11 and 12; the first two are one batch of 4 s, the third takes 5 s, the fourth is dropped.
    """
    requests = pd.DataFrame(
        {
            "request": range(4),
            "arrival_s": [1.0, 2.0, 11.0, 12.0],
            "outcome": ["completed", "completed", "completed", "dropped"],
            "end_s": [6.0, 6.0, 17.0, 14.0],
            "latency_s": [5.0, 4.0, 6.0, nan],
            "accuracy": [0.5, 0.5, 0.8, nan],
        }
    )
    stages = pd.DataFrame(
        {
            "request": range(4),
            "stage": pd.Categorical(["s"] * 4),
            "enqueue_s": [1.0, 2.0, 11.0, 12.0],
            "start_s": [2.0, 2.0, 12.0, nan],
            "finish_s": [6.0, 6.0, 17.0, nan],
            "replica": [0, 0, 1, -1],
            "batch": [0, 0, 1, -1],
            "batch_size": [2, 2, 1, -1],
        }
    )
    replicas = pd.DataFrame(
        {
            "stage": pd.Categorical(["s", "s"]),
            "replica": [0, 1],
            "cores": [1, 2],
            "created_s": [0.0, 5.0],
            "ready_s": [0.0, 10.0],
            "removed_s": [nan, 18.0],
            "gone_s": [nan, 19.0],
        }
    )
    return {"requests": requests, "stages": stages, "replicas": replicas}


ALL = Windows.all_of(20.0, 10.0)
FIRST, SECOND = (ALL.only(np.array(chosen)) for chosen in ([True, False], [False, True]))


@pytest.mark.parametrize(
    ("windows", "wanted"),
    [
        (
            ALL,
            {
                "latency_mean_s": 5.0,
                "latency_p50_s": 5.0,
                "latency_p99_s": 6.0,
                "sla_violations_percent": 50.0,  # one took 6 s, one was dropped
                "drops_percent": 25.0,
                "throughput_rps": 3 / 20,
                "cost_mean_cores": (20 + 2 * 14) / 20,
                "pas_mean": 60.0,
                "s.latency_mean_s": 5.0,
                "s.wait_mean_s": 2 / 3,
                "s.service_mean_s": 13 / 3,
                "s.batch_size_mean": 1.5,
                "s.replicas_mean": (20 + 8) / 20,
            },
        ),
        (FIRST, {"latency_mean_s": 4.5, "drops_percent": 0.0, "throughput_rps": 0.2, "cost_mean_cores": 2.0}),
        (SECOND, {"latency_mean_s": 6.0, "pas_mean": 80.0, "s.replicas_mean": 1.8, "cost_mean_cores": 2.8}),
    ],
)
def test_figures_of_a_run_by_hand(windows: Windows, wanted: dict[str, float]) -> None:
    found = measure([hand_made()], windows, sla_s=5.5)
    assert {key: found[key] for key in wanted} == pytest.approx(wanted)


def test_runs_pooled_with_their_equals_give_the_figures_of_one() -> None:
    one, three = (measure([hand_made()] * count, ALL, 5.5) for count in (1, 3))
    assert one == pytest.approx(three, rel=1e-12)


def test_nothing_that_completed_has_no_latency() -> None:
    nothing = ALL.only(np.array([False, False]))
    found = measure([hand_made()], nothing, 5.5)
    assert isnan(found["latency_mean_s"])
    assert isnan(found["cost_mean_cores"])


def test_utilisation_is_busy_over_ready_replica_seconds() -> None:
    """Window 1: replica a is busy 4 of 10 s. Window 2: a idles 10 s, b serves 5 of its 8 s."""
    np.testing.assert_allclose(utilisation(hand_made(), ALL)["s"], [0.4, 5 / 18])


def test_a_removed_replica_counts_until_its_last_batch_is_done() -> None:
    tables = hand_made()
    tables["replicas"].loc[1, "removed_s"] = 13.0
    np.testing.assert_allclose(utilisation(tables, ALL)["s"], [0.4, 5 / 17])


def test_the_limits_are_the_backend_s() -> None:
    allowed = {
        backend: {metric.key: metric.tolerance for metric in metrics(("s",), limits)}
        for backend, limits in LIMITS.items()
    }
    assert (allowed["loopback"]["latency_mean_s"], allowed["kubernetes"]["latency_mean_s"]) == (0.05, 0.10)
    assert (allowed["loopback"]["latency_p99_s"], allowed["kubernetes"]["latency_p99_s"]) == (0.10, 0.15)
    assert (allowed["loopback"]["cost_mean_cores"], allowed["kubernetes"]["cost_mean_cores"]) == (0.02, 0.03)
    assert allowed["kubernetes"]["s.latency_mean_s"] is None


def test_replicas_over_time() -> None:
    ready = ready_at(hand_made()["replicas"], "s", np.array([0.0, 9.9, 10.0, 17.9, 18.0]))
    assert ready.tolist() == [1, 1, 2, 2, 1]
    later = hand_made()["replicas"]
    later.loc[1, "ready_s"] = 11.0
    alike = replicas_alike_percent([hand_made()["replicas"], later], later, 20.0)
    assert alike["s"] == pytest.approx(100.0 - 2.5)  # one second of 20 in one run of two
