"""The optimiser on graphs: what it answers is what trying everything finds."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import pytest

from ipa.policies import PolicyError
from ipa.policies.optimiser import (
    Problem,
    Programme,
    Solution,
    SolverError,
    explain_problem,
    graphs,
    pareto_plans,
    scenes,
    solve,
)
from ipa.policies.optimiser.flows import Inflows
from ipa.policies.optimiser.problem import Cheapest, OptionSource
from ipa.profiles import Defaults, Edge, Graph, Join, Pipeline, Stage
from tests.policies import graph_brute_force as brute
from tests.policies.random_graphs import deciding, large, small
from tests.sim.blocks import blocks
from tests.tiny import variant


@pytest.mark.parametrize(
    "first", [pytest.param(first, marks=pytest.mark.long if first >= 250 else ()) for first in range(0, 1000, 25)]
)
def test_the_answer_is_the_one_that_trying_everything_finds(first: int) -> None:
    for seed in range(first, first + 25):
        problem = small(seed)
        _check(problem, solve(problem), seed)


def test_the_least_of_a_part_of_the_range_is_that_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is too high would rule out the best plan where two are equal but for the batch sizes at hand."""
    compared: list[bool] = []

    def cheapest(source: OptionSource, inflows: Inflows, within_ns: int, **kinds: bool) -> dict[str, Cheapest]:
        least = of_source(source, inflows, within_ns, **kinds)
        if not (kinds or source.changes):
            options = source.options(inflows, within_ns)
            assert least == options.cheapest(options.inflows, within_ns)
            compared.append(source.demand.problem.current is not None)
        return least

    of_source = OptionSource.cheapest
    monkeypatch.setattr(OptionSource, "cheapest", cheapest)
    for seed in range(100):
        solve(small(seed))
    assert 100 < sum(compared) < len(compared)


@pytest.mark.parametrize("first", [0, 25, 50])
def test_a_goal_of_accuracy_is_reached_with_the_fewest_cores(first: int) -> None:
    reached = 0
    for seed in range(first, first + 25):
        free = small(seed)
        goal = {"min": "cost", "accuracy_at_least": 45}
        try:
            programme = Programme.of(free.programme.pipeline, goal=goal, max_replicas=free.programme.max_replicas)
        except PolicyError:
            continue  # out of reach
        problem = Problem(programme, free.load_rps, free.limit_cores, current=free.current)
        enough = [
            plan
            for plan in brute.sustaining(problem)
            if plan.latency_ns <= brute.sla_ns(problem) and plan.accuracy >= Fraction(45, 100)
        ]
        solution = solve(problem)
        assert solution.feasible == bool(enough), seed
        if enough:
            best = min(enough, key=lambda plan: (plan.cores, plan.switched, -plan.accuracy, *plan.last))
            assert _choice(solution) == best.choice, seed
            reached += 1
    assert reached > 3


@pytest.mark.parametrize("first", [0, 20, 40])
def test_the_pareto_plans_are_those_that_trying_everything_finds(first: int) -> None:
    for seed in range(first, first + 20):
        problem = replace(small(seed), replicas=None, variants=None)
        unbeaten: list[tuple[int, Fraction]] = []
        feasible = [plan for plan in brute.sustaining(problem) if plan.latency_ns <= brute.sla_ns(problem)]
        for plan in sorted(feasible, key=lambda plan: (plan.cores, -plan.accuracy)):
            if not unbeaten or plan.accuracy > unbeaten[-1][1]:
                unbeaten.append((plan.cores, plan.accuracy))
        plans = [(round(each.objective["cost_cores"]), each.objective["accuracy"]) for each in pareto_plans(problem)]
        assert plans == [(cores, float(accuracy)) for cores, accuracy in unbeaten], seed


FAST = variant("fast", 0.5, 1, {1: 0.1})
SLOW = variant("slow", 0.9, 1, {1: 0.2})


def two_ways(sla_s: float = 0.5) -> Pipeline:
    """find -> cars (3 items a frame) and find -> faces; a replica takes 0.1 s or 0.2 s for an item."""
    graph = Graph((Edge("find", "cars", items=3.0), Edge("find", "faces")), sla_s)
    stages = [("find", [FAST]), ("cars", [FAST]), ("faces", [FAST, SLOW])]
    return Pipeline(
        "two-ways",
        "",
        tuple(Stage(name, "task", sla_s / 2, 1.0, tuple(of)) for name, of in stages),
        Defaults(),
        graph=graph,
    )


def asked(pipeline: Pipeline, load_rps: float = 1.0, limit_cores: int | None = None) -> Problem:
    return Problem(Programme.of(pipeline, alpha=10.0, beta=0.1), load_rps, limit_cores)


def test_a_burst_takes_as_many_services_as_its_replicas_need() -> None:
    """3 cars at once on one replica take 0.3 s, on two 0.2 s, on three 0.1 s; the frame took 0.1 s before."""
    assert [solve(asked(two_ways(sla_s))).configuration["cars"].replicas for sla_s in (0.45, 0.35, 0.25, 0.15)] == [
        1,
        2,
        3,
        3,
    ]


def test_what_a_join_waits_counts_as_latency() -> None:
    """find takes 0.1 s and the faces 0.1 s or 0.2 s; merge waits 0.3 s and takes 0.1 s."""

    def merged(sla_s: float) -> Pipeline:
        edges = (Edge("find", "faces"), Edge("find", "merge"), Edge("faces", "merge"))
        graph = Graph(edges, sla_s, joins={"merge": Join("wait", 0.3)})
        stages = [("find", [FAST]), ("faces", [FAST, SLOW]), ("merge", [FAST])]
        of_stages = tuple(Stage(name, "task", sla_s / 3, 1.0, tuple(of)) for name, of in stages)
        return Pipeline("merged", "", of_stages, Defaults(), graph=graph)

    found = {sla_s: solve(asked(merged(sla_s))) for sla_s in (0.7, 0.6, 0.55)}
    assert [found[sla_s].feasible for sla_s in (0.7, 0.6, 0.55)] == [True, True, False]
    assert [found[sla_s].configuration["faces"].variant for sla_s in (0.7, 0.6)] == ["slow", "fast"]
    assert not solve(asked(merged(0.55), 0.0)).feasible
    assert explain_problem(asked(merged(0.7))).latency_s == pytest.approx(0.7)


def test_the_slowest_way_is_named() -> None:
    found = explain_problem(asked(two_ways(0.45)))
    assert found.slowest_way == ("find", "cars")
    assert found.latency_s == pytest.approx(0.4)
    assert found.as_dict()["slowest_way"] == ("find", "cars")
    options = {option.variant: option for option in found.options["faces"]}
    assert options["slow"].chosen
    assert options["fast"].latency_s == pytest.approx(0.1)


def test_the_runner_up_has_another_variant_or_batch() -> None:
    """Not one replica more for the cars: the fast variant for the faces."""
    second = explain_problem(asked(two_ways(0.45))).runner_up
    assert second is not None
    assert [each.variant for each in second.configuration.values()] == ["fast", "fast", "fast"]


def test_the_reason_names_the_way_that_takes_too_long() -> None:
    found = solve(asked(two_ways(0.15)))
    assert found.rung == "sla-excess"
    assert "the way find -> cars takes at least 0.2 s for 1 rps; the SLA is 0.15 s" in found.notes


def test_the_reason_names_the_cores() -> None:
    found = solve(asked(two_ways(0.25), limit_cores=4))
    assert found.binding == "cores"
    assert "serving 1 rps within 0.25 s takes at least 5 cores; the limit is 4" in found.notes


def test_the_accuracy_is_the_mean_over_the_exits() -> None:
    found = solve(asked(two_ways()))
    assert found.objective["accuracy"] == pytest.approx((0.5 * 0.5 + 0.5 * 0.9) / 2)
    assert found.objective["pas"] == pytest.approx(found.objective["accuracy"])


@pytest.mark.parametrize("solver", ["gurobi", "highs"])
def test_a_general_solver_takes_chains_only(solver: str) -> None:
    with pytest.raises(SolverError, match=f"solver='{solver}' takes chains only"):
        solve(asked(two_ways()), solver=solver)
    found = solve(asked(two_ways()), solver=solver, fallback="exact")
    assert found.feasible
    assert "takes chains only" in found.fallback_note


@pytest.mark.parametrize("block", blocks(6))
def test_ranges_of_inflows_lose_nothing(block: int) -> None:
    """Where every stage decides how many items the later ones get, with bursts, nodes and bounds on replicas."""
    for seed in range(40 * block, 40 * (block + 1)):
        problem = deciding(seed)
        _check(problem, solve(problem), seed)


def row(size: int, sla_s: float, variants: int = 3) -> Pipeline:
    """Stages in a row; the more accurate a variant, the longer it takes and the more items it sends on."""
    of = tuple(variant(f"v{i}", 0.6 + 0.1 * i, 1, {1: 0.01 + 0.004 * i}) for i in range(variants))
    names = [f"s{k}" for k in range(size)]
    items = {f"v{i}": 1.0 + 0.1 * i for i in range(variants)}
    graph = Graph(tuple(Edge(parent, child, items=items) for parent, child in pairwise(names)), sla_s)
    return Pipeline("row", "", tuple(Stage(name, "task", 1.0, 1.0, of) for name in names), Defaults(), graph=graph)


@pytest.mark.parametrize(("sla_s", "limit_cores"), [(2.0, None), (0.07, None), (0.07, 6), (0.05, None), (2.0, 5)])
def test_a_row_of_deciding_stages_is_answered_as_by_trying_everything(sla_s: float, limit_cores: int | None) -> None:
    problem = asked(row(4, sla_s), 40.0, limit_cores)
    _check(problem, solve(problem), 0)


@pytest.mark.parametrize("deciding_stages", [0, 8, 40])
def test_a_hundred_stages_are_answered(deciding_stages: int) -> None:
    """Of up to 3 ** 40 combinations of variants on which the number of items depends."""
    problem = large(1, 100, deciding_stages)
    found = solve(problem)
    assert found.rung == "optimal"
    assert found.latency_s <= problem.programme.target_s
    assert found.sustained_rps >= problem.load_rps


def test_what_takes_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graphs, "MOST_NODES", 10)
    with pytest.raises(SolverError, match=r"10 combinations .* \(s0, s1, s2, s3, s4\) are not enough .* candidates"):
        solve(asked(row(6, 0.1), 40.0))
    monkeypatch.undo()
    monkeypatch.setattr(scenes, "MOST_STEPS", 3)
    with pytest.raises(SolverError, match=r"3 steps are not enough for an answer for 6 stages .* candidates"):
        solve(asked(row(6, 0.1), 40.0))


def _check(problem: Problem, found: Solution, seed: int) -> None:
    best = brute.optimum(problem)
    if best is not None:
        assert found.rung == "optimal", seed
        assert _choice(found) == best.choice, seed
        return
    fastest = brute.least_excess(problem)
    if fastest is not None:
        assert found.rung == "sla-excess", seed
        assert round(found.latency_s * 1e9) == fastest.latency_ns, seed
        assert _choice(found) == fastest.choice, seed
        return
    assert found.rung == "most-throughput", seed
    most_rps = brute.most_throughput_rps(problem)
    if most_rps is not None:
        assert min(found.sustained_rps, problem.load_rps) == pytest.approx(most_rps, rel=1e-9), seed


def _choice(found: Solution) -> dict[str, tuple[str, int, int]]:
    return {name: (each.variant, each.batch, each.replicas) for name, each in found.configuration.items()}
