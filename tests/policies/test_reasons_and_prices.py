"""Why nothing is feasible, what a little more would bring, and all Pareto-optimal plans: against enumeration."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from ipa.policies import Ipa, Oracle, Reasoned, explain_decision
from ipa.policies.optimiser import Problem, Programme, explain_problem, pareto_plans, solve
from tests.policies import brute_force
from tests.policies.test_optimiser import problem, problems
from tests.tiny import chosen, configuration, observation, pipeline, published, two_by_two, variant

quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


# ---- why nothing is feasible ----


def test_the_stage_is_named_with_what_it_would_have_to_make_do_with() -> None:
    """For 40 rps the first stage takes 0.4 s and 16 cores, or 3.4 s and 8 cores; the other one needs 0.1 s and 4 cores
    of the 2.2 s and 16 cores that there are."""
    crop = [variant("quick", 0.8, 1, {1: 0.4}), variant("slow", 0.9, 1, {1: 2.0, 16: 3.0})]
    made = pipeline(crop, [variant("sort", 0.8, 1, {1: 0.1})], sla_s=2.2)
    crowded = Problem(Programme(made, gamma=0.0), 40.0, limit_cores=16)
    assert solve(crowded).notes[0] == (
        "stage a: no variant serves 40 rps within 2.1 s on at most 12 cores; the other stages need the rest"
    )
    assert solve(replace(crowded, limit_cores=20)).feasible


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"load_rps": 25.0, "sla_s": 0.15}, "stage a: no variant serves 25 rps within 0.05 s; the other stages need"),
        ({"load_rps": 50.0, "limit_cores": 5}, "stage a: no variant serves 50 rps on at most 1 core; the other stages"),
        ({"load_rps": 50.0, "max_replicas": 2}, "stage a: no variant serves 50 rps with at most 2 replicas"),
        ({"load_rps": 50.0, "replicas": {"a": 9, "b": 1}}, "stage b: no variant serves 50 rps with its fixed 1"),
        ({"load_rps": 25.0, "sla_s": 0.05}, "the stages take at least 0.2 s for 25 rps; the SLA is 0.05 s"),
        ({"load_rps": 50.0, "limit_cores": 1}, "the stages take at least 8 cores for 50 rps; the limit is 1"),
        ({"load_rps": 25.0, "sla_s": 0.25, "limit_cores": 5}, "serving 25 rps within 0.25 s takes at least 6 cores;"),
    ],
)
def test_each_way_in_which_nothing_can_be_feasible_is_said(changes: dict[str, Any], said: str) -> None:
    assert solve(problem(**changes)).notes[0].startswith(said)


@quick
@given(problems())
def test_what_is_said_is_true(problem: Problem) -> None:
    solution = solve(problem)
    if solution.rung in ("optimal", "no-accuracy"):
        return
    found = [note for note in solution.notes if re.match(r"stage |the stages|serving", note)]
    assert len(found) == 1
    offered = {
        stage.name: list(brute_force.stage_options(problem, stage, brute_force._fewest_replicas))
        for stage in problem.programme.pipeline.stages
    }
    sla_ns = round(problem.programme.target_s * 1e9) + len(offered)
    limit = problem.limit_cores
    named = re.match(r"stage (\w+): no variant", found[0])
    if named is None:
        lasting = list(brute_force.sustaining(replace(problem, limit_cores=None)))
        keeping = [c.cores for c in lasting if c.latency_ns <= sla_ns]
        least_s = min(c.latency_ns for c in lasting) / 1e9
        least_cores = min(keeping) if found[0].startswith("serving") else min(c.cores for c in lasting)
        assert any(
            text in found[0]
            for text in (
                f"at least {least_s:.4g} s",
                f"at least {least_cores} core" if limit is not None and least_cores > limit else "-",
            )
        )
        return
    own, others = offered[named[1]], [each for name, each in offered.items() if name != named[1]]
    if not own:
        assert "replica" in found[0]
        return
    left_ns = sla_ns - sum(min(option.latency_ns for option in each) for each in others)
    left_cores = float("inf") if limit is None else limit - sum(min(o.cores for o in each) for each in others)
    within, cores = "within" in found[0], "cores" in found[0] or "core;" in found[0] or found[0].endswith("core")
    assert within or cores
    assert not any((not within or o.latency_ns <= left_ns) and (not cores or o.cores <= left_cores) for o in own)


# ---- what a little more would bring ----


@quick
@given(problems(most_stages=2))
def test_prices_are_those_of_enumeration(problem: Problem) -> None:
    best = brute_force.optimum(problem)
    found = explain_problem(problem, prices=True)
    more = replace(problem, programme=replace(problem.programme, sla_s=problem.programme.target_s + 0.01))
    priced = [(found.ten_ms_of_sla, more)]
    if problem.limit_cores is None:
        assert found.one_more_core is None
    else:
        priced.append((found.one_more_core, replace(problem, limit_cores=problem.limit_cores + 1)))
    for price, relaxed in priced:
        better = brute_force.optimum(relaxed)
        assert price is not None
        assert (price.rung == "optimal") == (better is not None)
        if best is None or better is None:
            assert price.gain is None
        else:
            assert price.gain == pytest.approx(float(better.objective - best.objective), abs=1e-9)
            assert list(chosen(price.configuration).values()) == better.choice


def test_one_more_core_and_ten_milliseconds_have_their_price() -> None:
    """At 5 rps the large variants cost 2 cores and are worth 3 each. On 3 cores one stage has to go without; a fourth
    core gains 3 - 1 = 2. With the SLA of 0.395 s two large ones are 5 ms too slow."""
    short = explain_problem(problem(5.0, limit_cores=3), prices=True)
    assert short.one_more_core is not None
    assert short.one_more_core.gain == pytest.approx(2.0)
    assert chosen(short.one_more_core.configuration) == {"a": ("large", 1, 1), "b": ("large", 1, 1)}
    hasty = explain_problem(problem(5.0, sla_s=0.395), prices=True)
    assert hasty.ten_ms_of_sla is not None
    assert hasty.ten_ms_of_sla.gain == pytest.approx(2.0)
    assert hasty.one_more_core is None
    assert explain_problem(problem(5.0)).ten_ms_of_sla is None
    json.dumps(hasty.as_dict())


def test_where_nothing_is_feasible_a_core_may_make_it_so() -> None:
    found = explain_problem(problem(50.0, limit_cores=7), prices=True).one_more_core
    assert found is not None
    assert (found.gain, found.rung) == (None, "optimal")
    assert found.sustained_rps == pytest.approx(50.0)


# ---- all plans worth having ----


@quick
@given(problems(most_stages=2))
def test_the_pareto_optimal_plans_are_those_of_enumeration(problem: Problem) -> None:
    programme = problem.programme

    def worth(names: list[str]) -> float:
        return programme.accuracy_of(names)

    feasible = [
        (c.cores, worth([option.variant for option in c.options]))
        for c in brute_force.sustaining(problem)
        if brute_force.keeps_sla(problem, c)
    ]
    unbeaten = {
        one
        for one in feasible
        if not any(other[0] <= one[0] and other[1] >= one[1] and other != one for other in feasible)
    }
    plans = pareto_plans(problem)
    found = [(plan.objective["cost_cores"], plan.objective["accuracy"]) for plan in plans]
    assert found == sorted(unbeaten)
    assert all(plan.objective == programme.score(plan.configuration) for plan in plans)
    best = solve(problem)
    if best.feasible and programme.beta and programme.alpha and programme.gamma < 0.01:
        assert (best.objective["cost_cores"], best.objective["accuracy"]) in found


# ---- what a journal says of it ----


def test_a_reasoned_decision_is_the_same_and_says_why() -> None:
    made = two_by_two(published())
    seen = observation([5.0] * 30, limit_cores=3)
    plain = Ipa(made, predictor="max", accuracy="sum")
    decision = Reasoned(plain).decide(seen, {})
    assert decision == plain.decide(seen, {})
    assert plain.decide(seen, {}).why is None
    assert decision.why is not None
    json.dumps(decision.why)
    assert decision.why["one_more_core"]["gain"] == pytest.approx(2.0)
    assert decision.why["one_more_core"]["configuration"]["a"]["variant"] == "large"
    assert decision.why["ten_ms_of_sla"]["gain"] == 0.0
    assert decision.why["ten_ms_of_sla"]["configuration"] is None
    assert decision.why["runner_up"]["difference"] >= 0.0


def test_a_decision_that_was_held_has_no_reasons() -> None:
    decision = Reasoned(Ipa(two_by_two(published()), predictor="max")).decide(observation([float("nan")] * 30), {})
    assert (decision.rung, decision.why) == ("hold", None)


def test_an_oracle_that_keeps_its_variants_says_why() -> None:
    """The large variants would gain a little, but not yet what it costs to change."""
    at_hand = configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1))
    policy = Oracle(two_by_two(published()), accuracy="sum", alpha=4.0, sla_s=8.0)
    seen = observation([5.0] * 30, at_hand=at_hand, future_rps=[4.0] * 60)
    decision = policy.decide(seen, {"time_s": 20.0, "present": {"a": 0, "b": 0}, "lost": 0.0})
    assert chosen(decision.configuration) == {"a": ("small", 1, 1), "b": ("small", 1, 1)}
    found = explain_decision(policy, seen, decision)
    assert found is not None
    assert {option.variant for options in found.options.values() for option in options} == {"small"}
    changed = Oracle(two_by_two(published()), accuracy="sum", alpha=4.0, sla_s=8.0, price_of_change=0.0)
    free = changed.decide(seen, {"time_s": 20.0, "present": {"a": 0, "b": 0}, "lost": 0.0})
    assert chosen(free.configuration) == {"a": ("large", 1, 1), "b": ("large", 1, 1)}


def test_the_oracle_can_plan_for_a_forecast_in_place_of_the_future() -> None:
    """12 rps in every second of the 18 to come: 18 x 12 requests in 18 + 2 s, the share of the SLA for waiting."""
    policy = Oracle(two_by_two(published()), sla_s=8.0, stand_in={"name": "max", "windows": 1})
    assert policy.reads == ()
    assert policy.parameters["stand_in"]["name"] == "max"
    decision = policy.decide(observation([12.0] * 30), {})
    assert decision.planned_load_rps == pytest.approx(18 * 12 / 20)
    assert Oracle(two_by_two(published())).parameters["stand_in"] is None
