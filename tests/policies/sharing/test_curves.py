"""Curves: the best objective within each number of cores, by solving the programme once for each."""

from __future__ import annotations

import pytest

from ipa import profiles
from ipa.policies import Decision, Goal, Ipa, Rate
from ipa.policies.optimiser import solve
from ipa.policies.sharing import UNMET, Curves
from tests.tiny import observation, two_by_two

MOST_CORES = 24


def decision(planned_load_rps: float | None) -> Decision:
    return Decision({}, {}, planned_load_rps=planned_load_rps)


@pytest.mark.parametrize("goal", [None, {"max": "accuracy"}, {"min": "cost"}, {"max": "accuracy", "cores_at_most": 9}])
@pytest.mark.parametrize("load_rps", [0.0, 4.0, 11.0, 40.0, 400.0])
def test_a_curve_is_what_the_programme_gives_within_each_number_of_cores(load_rps: float, goal: object) -> None:
    pipeline = profiles.load("video")
    policy = Ipa(pipeline) if goal is None else Ipa(pipeline, goal=Goal.parsed(goal).as_dict())
    curve = Curves(pipeline, policy, MOST_CORES).curve(load_rps)
    best, carrying = -float("inf"), (0.0, 1.0)
    for cores in reversed(range(2, MOST_CORES + 1)):
        plan = solve(policy.problem_for(load_rps, cores))
        if cores == MOST_CORES or plan.rung != "most-throughput":  # 400 rps are too many for all cores
            carrying = plan.objective["total"], min(1.0, plan.sla_s / plan.latency_s)
        share = min(1.0, plan.sustained_rps / load_rps) if load_rps else 1.0
        expected = carrying[0] - UNMET * (1 - carrying[1] * share)
        assert curve[cores] == pytest.approx(expected, abs=1e-6), cores
        best = max(best, expected)
    assert curve[MOST_CORES] == pytest.approx(best), "it never falls"
    assert curve[1] == curve[0] == pytest.approx(curve[2] - UNMET), "video takes two cores at least"
    assert len(curve) == MOST_CORES + 1


def test_a_policy_without_a_programme_counts_with_that_of_the_pipeline_and_the_load_it_sees() -> None:
    pipeline = two_by_two()
    curves = Curves(pipeline, Rate(pipeline), 12)
    assert curves.curve(20.0).tolist() == Curves(pipeline, Ipa(pipeline), 12).curve(20.0).tolist()
    assert curves.load_rps(observation(), decision(15.0)) == 15.0
    assert curves.load_rps(observation(load_rps=(3.0, 20.0, 7.0), elapsed_s=2.0), decision(None)) == 20.0
    silent = observation(load_rps=(float("nan"),), elapsed_s=1.0)
    assert curves.load_rps(silent, decision(None)) == 20.0, "the load of the step before"
