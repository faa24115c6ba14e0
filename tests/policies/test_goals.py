"""Goals: every solver's answer is that of enumeration; what is infeasible is said; and how lateness is counted."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib.util import find_spec
from math import prod
from random import Random
from typing import Any

import pytest
from hypothesis import given

from ipa import profiles
from ipa.policies import PolicyError, create
from ipa.policies.forecast import Forecast
from ipa.policies.interface import LatencyQuantiles, Observation
from ipa.policies.lateness import ended_and_late, late_share, level_and_memory
from ipa.policies.optimiser import Problem, Programme, explain_problem, pareto_plans, solve
from ipa.policies.optimiser.solvers import PACKAGES
from ipa.profiles import Edge, Graph
from ipa.studies import Scenario, simulate
from tests.policies import brute_force, random_problems
from tests.policies.brute_force import Candidate
from tests.policies.test_optimiser import by_seed, quick
from tests.tiny import chosen, observation, two_by_two, variant
from tests.tiny import pipeline as tiny_pipeline

SOLVERS = ["exact", *(name for name, package in PACKAGES.items() if find_spec(package) is not None)]


def with_a_goal(rng: Random) -> Problem:
    """A small problem with a goal; the accuracy asked for is often exactly that of some plan."""
    made = random_problems.small_pipeline(rng)
    if len(made.stages) == 2 and rng.random() < 0.5:
        made = replace(made, pair_accuracies=random_problems.pair_accuracies(rng, made))
    goal: dict[str, Any] = dict(rng.choice(({"max": "accuracy"}, {"min": "cost"})))
    if rng.random() < 0.5:
        least = sum(stage.lightest().base_cores for stage in made.stages)
        goal["cores_at_most"] = rng.randint(least, max(12, least))
    names = [rng.choice(stage.variants).name for stage in made.stages]
    whole = Fraction(str(made.accuracy_of(names))).limit_denominator(10**12)
    if rng.random() < 0.5 and whole > 0:
        goal["accuracy_at_least"] = float(100 * whole)
    elif rng.random() < 0.5:
        stage = rng.choice(made.stages)
        goal["accuracy_at_least"] = {stage.name: 100 * rng.choice(stage.variants).accuracy}
    return Problem(
        Programme.of(made, goal=goal),
        rng.choice(random_problems.LOADS_RPS),
        limit_cores=rng.randint(1, 15) if rng.random() < 0.5 else None,
        current=random_problems.at_hand(rng, made) if rng.random() < 0.5 else None,
    )


def accuracy(problem: Problem, candidate: Candidate) -> Fraction:
    pair = problem.programme.pipeline.pair_accuracies
    if pair:
        first, second = candidate.options
        return Fraction(round(pair[first.variant][second.variant] * 10**9), 10**9)
    return prod((option.accuracy for option in candidate.options), start=Fraction(1))


def plans(problem: Problem, *, accurate: bool = True) -> list[Candidate]:
    """All plans that keep the SLA, the limits and, if wanted, the goal's accuracy."""
    goal = problem.programme.wanted
    found = [each for each in brute_force.sustaining(problem) if brute_force.keeps_sla(problem, each)]
    found = [each for each in found if each.cores <= (goal.cores_at_most or 10**9)]
    if not accurate:
        return found
    whole = Fraction(str(goal.accuracy_at_least or 0)) / 100
    by_stage = [goal.stage_accuracy_at_least.get(stage.name, 0.0) for stage in problem.programme.pipeline.stages]
    return [
        each
        for each in found
        if accuracy(problem, each) >= whole
        and all(100 * float(o.accuracy) >= least for o, least in zip(each.options, by_stage, strict=True))
    ]


@quick
@given(by_seed(with_a_goal))
def test_a_goal_s_plan_is_that_of_enumeration_for_every_solver(problem: Problem) -> None:
    is_for_accuracy = problem.programme.wanted.aim == "accuracy"

    def order(each: Candidate) -> tuple[Any, ...]:
        points = accuracy(problem, each)
        if is_for_accuracy:
            return (-points, each.cores, each.switched, *each.last)
        return (each.cores, each.switched, -points, *each.last)

    best = min(plans(problem), key=order, default=None)
    solvers = ("exact",) if problem.programme.accuracy == "pairs" else SOLVERS
    found = {solver: solve(problem, solver=solver) for solver in solvers}
    for solution in found.values():
        assert solution.feasible == (best is not None)
        assert solution.rung == found["exact"].rung
        assert solution.binding == found["exact"].binding
        assert solution.objective["pas"] == pytest.approx(found["exact"].objective["pas"])
        assert solution.objective["cost_cores"] == found["exact"].objective["cost_cores"]
    if best is not None:
        assert list(chosen(found["exact"].configuration).values()) == best.choice
        return
    others = plans(problem, accurate=False)
    if others and problem.programme.wanted.wants_accuracy:
        assert (found["exact"].rung, found["exact"].binding) == ("no-accuracy", "accuracy")
        assert found["exact"].objective["pas"] == pytest.approx(max(float(accuracy(problem, o)) for o in others))


@pytest.mark.parametrize(
    ("load_rps", "rung", "cores"), [(0.0, "sla-excess", 2), (1e6, "most-throughput", 134)], ids=["slow", "overloaded"]
)
def test_where_nothing_is_feasible_every_solver_takes_the_fewest_cores_of_equals(
    load_rps: float, rung: str, cores: int
) -> None:
    """Two variants of one accuracy and latency, slower than the SLA, of 2 cores and of 1; at most 100 replicas."""
    slow = [variant("dear", 0.6, 2, {1: 0.15}), variant("cheap", 0.6, 1, {1: 0.15})]
    made = tiny_pipeline(slow, [variant("only", 0.4, 1, {1: 0.05})], sla_s=0.1)
    for solver in SOLVERS:
        found = solve(Problem(Programme.of(made, goal={"max": "accuracy"}), load_rps), solver=solver)
        assert (found.rung, found.objective["cost_cores"]) == (rung, cores), solver


def test_more_cores_buy_accuracy_and_more_accuracy_costs_cores() -> None:
    """At 4 rps a large variant serves alone at either stage, on 2 cores; 0.5 x 0.6, 0.8 x 0.6, 0.5 x 0.9, 0.8 x 0.9."""
    pipeline = two_by_two()

    def plan(**goal: Any) -> tuple[float, float]:
        found = solve(Problem(Programme.of(pipeline, goal=goal), 4.0))
        assert found.feasible
        return round(100 * found.objective["pas"], 6), found.objective["cost_cores"]

    assert [plan(max="accuracy", cores_at_most=cores) for cores in (2, 3, 4, 9)] == [
        *((30.0, 2.0), (48.0, 3.0)),
        *((72.0, 4.0), (72.0, 4.0)),
    ]
    assert [plan(min="cost", accuracy_at_least=least) for least in (30, 31, 48, 49)] == [
        *((30.0, 2.0), (48.0, 3.0)),
        *((48.0, 3.0), (72.0, 4.0)),
    ]
    assert plan(min="cost", accuracy_at_least={"b": 61}) == (45.0, 3.0)


def test_the_last_core_and_the_last_point_of_accuracy_have_their_price() -> None:
    most = Problem(Programme.of(two_by_two(), goal={"max": "accuracy", "cores_at_most": 3}), 4.0)
    found = explain_problem(most, prices=True)
    assert {name: (round(each.pas, 6), each.cores) for name, each in found.trade_offs.items()} == {
        "one core more": (72.0, 4),
        "one core less": (30.0, 2),
        "10 ms more of SLA": (48.0, 3),
    }
    assert found.binding == "cores"
    least = Problem(Programme.of(two_by_two(), goal={"min": "cost", "accuracy_at_least": 48}), 4.0)
    found = explain_problem(least, prices=True)
    assert {name: (round(each.pas, 6), each.cores) for name, each in found.trade_offs.items()} == {
        "one point of accuracy more": (72.0, 4),
        "one point of accuracy less": (48.0, 3),
        "10 ms more of SLA": (48.0, 3),
    }
    assert found.binding == "accuracy"
    assert "trade_offs" in found.as_dict()


def test_what_is_infeasible_is_said_with_what_it_would_take() -> None:
    problem = Problem(Programme.of(two_by_two(), goal={"min": "cost", "accuracy_at_least": 50}), 4.0, limit_cores=3)
    found = solve(problem)
    assert (found.rung, found.binding, round(100 * found.objective["pas"])) == ("no-accuracy", "accuracy", 48)
    (note,) = found.notes
    assert "4 rps" in note
    assert "48 is the most; it takes 4 cores" in note


def test_a_frontier_of_plans_does_not_depend_on_the_goal() -> None:
    problems = [
        Problem(Programme.of(profiles.load("video"), **wish), 20.0)
        for wish in ({}, {"goal": {"min": "cost", "accuracy_at_least": 40}})
    ]
    one, other = ([plan.configuration for plan in pareto_plans(problem)] for problem in problems)
    assert one == other


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({"goal": {"mx": "accuracy"}}, "did you mean 'max'"),
        ({"goal": {"max": "cost"}}, "none of: accuracy"),
        ({"goal": {"max": "accuracy", "min": "cost"}}, "max and min"),
        ({"goal": {"cores_at_most": 3}}, "no aim"),
        ({"goal": {"max": "accuracy", "cores_at_most": 0}}, "goal.cores_at_most=0"),
        ({"goal": {"min": "cost", "accuracy_at_least": 73}}, "have 72 together"),
        ({"goal": {"min": "cost", "accuracy_at_least": {"b": 91}}}, "large, has 90"),
        ({"goal": {"min": "cost", "accuracy_at_least": {"c": 9}}}, "unknown stage 'c'"),
        ({"goal": {"late_at_most": 0}}, "goal.late_at_most=0"),
        ({"goal": {"max": "accuracy"}, "alpha": 2.0}, "goal and alpha"),
        ({"goal": {"late_at_most": 0.01}, "quantile": 0.9}, "goal.late_at_most and quantile"),
        ({"goal": "accuracy"}, "should be a mapping"),
    ],
)
def test_a_goal_that_cannot_be_is_refused(parameters: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        create("ipa", two_by_two(), parameters)


def test_every_policy_that_optimises_takes_a_goal_and_states_it() -> None:
    goal = {"max": "accuracy", "cores_at_most": 3}
    for name in ("ipa", "foresight", "scale-only", "switch-only", "oracle"):
        made: Any = create(name, profiles.load("video"), {"goal": goal})
        assert made.parameters["goal"] == goal
    made = create("ipa goal={max: accuracy, cores_at_most: 3}", two_by_two())
    assert made.parameters["goal"] == goal
    assert "goal" not in create("ipa", two_by_two()).parameters  # type: ignore[attr-defined]


# ---- late_at_most ----


def seen(time_s: float, completions: int, drops: int = 0, latency: LatencyQuantiles | None = None) -> Observation:
    found = observation(load_rps=[5.0] * 10, time_s=time_s)
    stages = {
        name: replace(stage, completions=completions, drops=drops if name == "a" else 0)
        for name, stage in found.stages.items()
    }
    return replace(found, stages=stages, latency=latency)


def test_what_was_late_within_the_hour_makes_the_plan_more_cautious() -> None:
    """1 % may be late: nothing was, then 5 of 1,000, then 15 of 2,000 in all; an hour later that is forgotten."""
    level, memory = level_and_memory(0.01, 1.0, seen(0.0, 0), {})
    assert level == pytest.approx(0.99)
    level, memory = level_and_memory(0.01, 1.0, seen(10.0, 995, drops=5), memory)
    assert level == pytest.approx(0.995)
    level, memory = level_and_memory(0.01, 1.0, seen(100.0, 975, drops=25), memory)
    assert level == 1.0
    level, memory = level_and_memory(0.01, 1.0, seen(3700.0, 1000), memory)
    assert level == pytest.approx(0.99)
    assert len(memory["late_by_minute"]) == 1


def test_of_a_graph_requests_end_as_they_come_and_lose_their_items_of_a_stage_together() -> None:
    """By hand: of 100 requests with 3 items each at b, 30 items were lost there, of 10 requests; what c loses, on an
    edge with `partial`, loses none. Half of the other 90 were late. Items are lost also while none comes."""
    graph = Graph((Edge("a", "b", items=3.0), Edge("a", "c", partial=True)), 1.0)
    blank = observation([5.0]).stages["a"]

    def seen(came: int, at_b: int, lost_at_b: int) -> Observation:
        stages = {
            "a": replace(blank, arrivals=came, completions=came),
            "b": replace(blank, arrivals=at_b, completions=at_b - lost_at_b, drops=lost_at_b - 5, failures=5),
            "c": replace(blank, arrivals=came, drops=40),
        }
        return replace(observation([5.0]), stages=stages, latency=LatencyQuantiles(1.0, 2.0, 3.0))

    assert ended_and_late(1.0, seen(100, 300, 30), graph) == pytest.approx((100.0, 10.0 + 45.0))
    assert ended_and_late(1.0, seen(0, 0, 6), graph) == pytest.approx((6.0, 6.0))


def test_what_a_graph_s_policy_counts_as_late_is_about_what_was() -> None:
    """An overloaded graph whose requests have several items: a fifth is late or lost, as the policy sees by the end."""
    scenario = Scenario(pipeline="traffic", trace="bursty").with_values(
        {"window": "300:600", "limit_cores": 3, "policy": "ipa predictor=poisson goal={late_at_most: 0.05}"}
    )
    run = simulate(scenario)
    graph = profiles.load("traffic").graph
    counted = [ended_and_late(run.summary["sla_s"], each.observation, graph) for each in run.entries]
    ended, late = (sum(each) for each in zip(*counted, strict=True))
    assert run.summary["sla_violation_rate"] > 0.1
    assert late / ended == pytest.approx(run.summary["sla_violation_rate"], rel=0.25)


@pytest.mark.parametrize(
    ("sla_s", "share"), [(3.0, 0.0), (2.0, 0.0), (1.5, 0.03), (1.0, 0.05), (0.75, 0.275), (0.5, 0.5), (0.4, 1.0)]
)
def test_the_late_share_follows_from_the_quantiles(sla_s: float, share: float) -> None:
    assert late_share(sla_s, LatencyQuantiles(0.5, 1.0, 2.0)) == pytest.approx(share)


def test_a_policy_that_may_be_late_less_often_plans_for_more() -> None:
    load = [4.0, 6.0, 5.0, 9.0, 3.0, 5.0, 6.0, 4.0, 8.0, 5.0] * 6
    planned = []
    for late in (0.5, 0.05, 0.01):
        made: Any = create("ipa", two_by_two(), {"predictor": "poisson", "goal": {"late_at_most": late}})
        decision = made.decide(observation(load_rps=load), {})
        planned.append(decision.forecast_rps)
        assert "latency" in made.reads
    assert planned == sorted(planned)
    assert planned[0] < planned[-1]


class Wide:
    """A forecast of 10 rps whose quantiles are below that: 4 and 6 rps."""

    reads: tuple[str, ...] = ()

    def forecast(self, observation: Observation, horizon_s: float) -> Forecast:
        return Forecast(horizon_s, 10.0, (0.5, 0.9), (4.0, 6.0))


def test_a_goal_never_plans_for_less_than_none() -> None:
    """A quantile may be below the point; and foresight, which risks 0.2 % of itself, does not risk 1 % with a goal."""
    asked = {"predictor": Wide(), "goal": {"late_at_most": 0.2}}
    assert create("ipa", two_by_two(), asked).decide(observation([5.0] * 60), {}).forecast_rps == 10.0
    load = [4.0, 6.0, 5.0, 9.0, 3.0, 5.0, 6.0, 4.0, 8.0, 5.0] * 12
    free, bound, strict = (
        create("foresight", two_by_two(), {} if late is None else {"goal": {"late_at_most": late}})
        .decide(observation(load), {})
        .planned_load_rps
        for late in (None, 0.01, 0.0001)
    )
    assert free is not None
    assert strict is not None
    assert bound == free < strict


@pytest.mark.parametrize(
    ("predictor", "late_at_most", "text"),
    [
        ("poisson", 0.01, ""),
        ("poisson", 0.001, "the forecast's quantiles end at 0.99; late_at_most asks for that of 0.999"),
        ("max", 0.01, "the forecast's quantiles are missing; late_at_most asks for that of 0.99"),
        ("oracle", 0.01, ""),
    ],
)
def test_a_goal_beyond_the_quantiles_of_a_forecast_is_planned_for_with_the_largest_and_said(
    predictor: str, late_at_most: float, text: str
) -> None:
    policy = create("ipa", two_by_two(), {"predictor": predictor, "goal": {"late_at_most": late_at_most}})
    seen = observation([4.0, 6.0, 5.0] * 20, future_rps=[5.0] * 120)
    decision = policy.decide(seen, {})
    assert (decision.rung, decision.feasible) == (("largest-quantile", False) if text else ("optimal", True))
    assert decision.notes == ((text,) if text else ())
    if predictor == "poisson":
        covered = create("ipa", two_by_two(), {"predictor": predictor, "goal": {"late_at_most": 0.01}})
        assert decision.forecast_rps == covered.decide(seen, {}).forecast_rps
