"""Pareto fronts: those of brute force, and how sure they are."""

from __future__ import annotations

import numpy as np
import pytest

from ipa.studies import ScenarioError, answer
from ipa.studies.many.answers.differences import on_front
from tests.studies.answers.tables import runs


@pytest.mark.parametrize("outcomes", [2, 3])
def test_the_front_is_that_of_brute_force(outcomes: int) -> None:
    """Points on a coarse lattice, so that many are equal in one outcome or in all."""
    points = np.random.default_rng(outcomes).integers(0, 7, size=(150, outcomes)).astype(float)
    points[3, 0] = np.nan
    betters = (points[:, None, :] <= points[None]).all(axis=2) & (points[:, None, :] < points[None]).any(axis=2)
    expected = ~betters.any(axis=0) & np.isfinite(points).all(axis=1)
    assert (on_front(points) == expected).all()


def test_more_accuracy_and_less_cost_are_better() -> None:
    rows = [(1.0, 30.0), (2.0, 40.0), (3.0, 35.0), (4.0, 50.0)]
    table = runs([{"policy.alpha": 1.0 * n, "cost_mean_cores": c, "pas_mean": p} for n, (c, p) in enumerate(rows)])
    found = answer(table).front("cost_mean_cores", "pas_mean")
    assert found["policy.alpha"].tolist() == [0.0, 1.0, 3.0]
    assert found["on_front"].isna().all()


def test_how_sure_the_front_is_comes_from_the_seeds() -> None:
    """The second setting is cheaper at two of four seeds, by as much; the third is always bettered."""
    rows = [
        {"policy.alpha": 1.0, "cost_mean_cores": [1.0, 1.0, 1.0, 1.0], "pas_mean": 50.0},
        {"policy.alpha": 2.0, "cost_mean_cores": [0.9, 0.9, 1.0999, 1.0999], "pas_mean": 50.0},
        {"policy.alpha": 3.0, "cost_mean_cores": [2.0, 2.0, 2.0, 2.0], "pas_mean": 50.0},
    ]
    found = answer(runs(rows, 4)).fronts[0]
    assert found.is_on.tolist() == [False, True, False]
    assert found.share is not None
    assert 0.2 < found.share[0] < 0.5
    assert 0.5 < found.share[1] < 0.8
    assert found.share[2] == 0.0


def test_a_front_is_of_two_or_three_outcomes() -> None:
    table = runs([{"policy.alpha": 1.0 * n, "cost_mean_cores": 1.0 * n, "pas_mean": 1.0} for n in range(3)])
    with pytest.raises(ScenarioError, match="two or three outcomes; given 1"):
        answer(table).front("cost_mean_cores")
    with pytest.raises(ScenarioError, match="latency_p99_s: is none of the outcomes asked for"):
        answer(table).front("cost_mean_cores", "latency_p99_s")
