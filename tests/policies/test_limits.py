"""Limits of real clusters: nodes, bounds per stage, variants ruled out, a price and a highest utilisation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa.policies import (
    Configuration,
    Controller,
    CoreLimit,
    Journal,
    PolicyError,
    ScaleOnly,
    SwitchOnly,
    check_configuration,
    create,
)
from ipa.policies.optimiser import Problem, Programme, explain_problem, solve
from ipa.profiles import Limits, Pipeline, ProfileError, fits_nodes
from ipa.studies import ScenarioError, find, simulate
from tests.policies import brute_force, random_problems
from tests.policies.test_guards import Says
from tests.policies.test_optimiser import by_seed, quick
from tests.policies.test_solvers import INSTALLED
from tests.tiny import chosen, configuration, observation, pipeline, published, two_by_two, variant


def limited(most_stages: int = 3) -> st.SearchStrategy[Problem]:
    """Problems on a small cluster, on which nodes, bounds and the ceiling all matter."""
    return by_seed(lambda rng: on_a_small_cluster(rng, random_problems.small(rng, most_stages, most_replicas=6)))


def on_a_small_cluster(rng: Random, problem: Problem) -> Problem:
    made = problem.programme.pipeline
    names = [stage.name for stage in made.stages]
    limits = Limits(
        node_cores=tuple(rng.randint(3, 7) for _ in range(rng.randint(1, 4))) if rng.random() < 0.5 else None,
        min_replicas={name: 2 for name in names if rng.random() < 0.25},
        max_replicas={name: rng.randint(2, 3) for name in names if rng.random() < 0.25},
        utilisation=rng.choice((1.0, 0.8)),
        price_per_core=rng.choice((1.0, 0.05)),
    )
    programme = replace(
        problem.programme, pipeline=made.within(limits), max_replicas=max(2, problem.programme.max_replicas)
    )
    return replace(problem, programme=programme, replicas=None, variants=None)


@pytest.mark.long
@settings(parent=quick, max_examples=100)
@given(limited(most_stages=3))
def test_all_solvers_find_what_enumeration_finds_within_the_limits(problem: Problem) -> None:
    optimum = brute_force.optimum(problem)
    best = optimum or brute_force.least_excess(problem)
    for solver in ("exact", *(INSTALLED if problem.programme.accuracy != "pairs" else ())):
        solution = solve(problem, solver=solver)
        assert (solution.rung == "optimal") == (optimum is not None), solver
        if best is None:
            assert solution.rung == "most-throughput", solver
            continue
        assert solution.objective["total"] == pytest.approx(float(best.objective), abs=1e-12), solver
        if solution.rung == "sla-excess":
            assert solution.latency_s == pytest.approx(best.latency_ns / 1e9, abs=1e-12), solver
        if solver == "exact":  # the others may choose differently among equals
            assert list(chosen(solution.configuration).values()) == best.choice


@settings(parent=quick, max_examples=100)
@given(limited(most_stages=2))
def test_the_most_that_the_nodes_sustain_is_that_of_enumeration(problem: Problem) -> None:
    solution = solve(problem)
    if solution.rung != "most-throughput":
        return
    expected = brute_force.most_throughput(problem)
    if expected is None:  # not even the fewest replicas allowed fit: said, and answered all the same
        assert any("limit:" in note or "no room" in note for note in solution.notes)
        return
    reached = min(problem.load_rps, solution.sustained_rps)
    assert reached == pytest.approx(min(problem.load_rps, expected.sustained_rps))
    assert solution.latency_s == pytest.approx(expected.latency_ns / 1e9, abs=1e-12)


@settings(parent=quick, max_examples=100)
@given(limited(most_stages=2))
def test_nodes_bind_where_something_better_fits_without_them(problem: Problem) -> None:
    explanation = explain_problem(problem)
    if explanation.rung != "optimal" or not problem.room.nodes:
        assert explanation.gains.get("nodes", 0.0) == 0.0
        return
    free = replace(problem.programme.pipeline.limits, node_cores=None)
    without = replace(problem, programme=replace(problem.programme, pipeline=problem.programme.pipeline.within(free)))
    best = brute_force.optimum(without)
    assert best is not None
    gain = float(best.objective) - explanation.objective["total"]
    assert explanation.gains["nodes"] == pytest.approx(gain, abs=1e-9)
    if explanation.binding == "nodes":
        assert gain > 0


def test_large_problems_stay_exact_where_replicas_hardly_fit() -> None:
    """Sizes of 3, 5 and 7 cores on nodes of 8: much of the cluster cannot be used, and the totals do not say so."""
    rng = Random(7)
    for seed in range(12):
        stages = [
            [
                variant(f"v{i}", rng.choice([0.5, 0.6, 0.9]), rng.choice([3, 5, 7]), {1: 0.05 * (1 + i)})
                for i in range(5)
            ]
            for _ in range(3)
        ]
        made = pipeline(*stages, sla_s=3.0).within(Limits(node_cores=(8,) * (6 + seed % 5)))
        problem = Problem(Programme(made, alpha=60.0, beta=0.5), float(rng.randint(10, 40)))
        expected = brute_force.optimum(problem)
        solution = solve(problem)
        assert (expected is None) == (solution.rung != "optimal")
        if expected is not None:
            assert list(chosen(solution.configuration).values()) == expected.choice


# First fit


@pytest.mark.parametrize(
    ("replicas", "nodes", "fits"),
    [
        ([(16, 1)], (8, 8), False),
        ([(8, 2)], (8, 8), True),
        ([(5, 2)], (10,), True),
        ([(5, 2)], (8, 2), False),
        ([(3, 2), (5, 2)], (8, 8), True),
        ([(5, 3), (3, 1)], (8, 10), True),
        ([(5, 3), (3, 2)], (8, 10), False),
        ([], (1,), True),
    ],
)
def test_replicas_find_a_node_by_first_fit_largest_first(
    replicas: list[tuple[int, int]], nodes: tuple[int, ...], fits: bool
) -> None:
    assert fits_nodes(replicas, nodes) == fits


def test_a_large_replica_fits_no_small_node_and_its_variant_is_not_chosen() -> None:
    """At 4 rps, the large variants (2 cores, 5 rps) are worth their cores; on nodes of 1 core there are only small."""
    made = two_by_two(published())
    assert set(chosen(solve(Problem(Programme.of(made), 4.0)).configuration).values()) == {("large", 1, 1)}
    small = made.within(Limits(node_cores=1))
    assert set(chosen(solve(Problem(Programme.of(small), 4.0)).configuration).values()) == {("small", 1, 1)}


def test_two_nodes_of_three_cores_hold_two_replicas_of_two() -> None:
    """Three large replicas take 6 cores, as many as there are, yet each node has room for one and one core besides.

    At 4 rps one large replica a stage is best; of three stages, two have one and the third has to be small.
    """
    stage = [variant("small", 0.5, 1, {1: 0.1}), variant("large", 0.8, 2, {1: 0.2})]
    made = pipeline(stage, stage, stage, published=replace(published(), scale_only={}, switch_only_replicas={}))
    total = solve(Problem(Programme.of(made, alpha=100.0), 4.0, limit_cores=6))
    assert [each.variant for each in total.configuration.values()] == ["large", "large", "large"]
    on_nodes = made.within(Limits(node_cores=(3, 3)))
    best = solve(Problem(Programme.of(on_nodes, alpha=100.0), 4.0, limit_cores=6))
    assert sorted(each.variant for each in best.configuration.values()) == ["large", "large", "small"]
    assert best.binding == "nodes"


# What a pipeline is within limits


def test_measured_accuracies_of_pairs_go_with_the_variants_that_are_ruled_out() -> None:
    pairs = {"small": {"small": 0.1, "large": 0.9}, "large": {"small": 0.8, "large": 0.2}}
    made = replace(two_by_two(published()), pair_accuracies=pairs)
    within = made.within(Limits(ruled_out={"b": ("large",)}, node_cores=(4, 4)))
    assert within.pair_accuracies == {"small": {"small": 0.1}, "large": {"small": 0.8}}
    best = solve(Problem(Programme.of(within, alpha=1000.0), 1.0)).configuration
    assert [each.variant for each in best.values()] == ["large", "small"]


def test_a_variant_ruled_out_by_name_is_not_there_for_anyone() -> None:
    made = two_by_two(published()).within(Limits(ruled_out={"a": ("small",)}))
    assert [v.name for v in made.stage("a").variants] == ["large"]
    assert made.defaults.scale_only["low"] == {"a": "large", "b": "small"}
    for load_rps in (1.0, 40.0):
        assert solve(Problem(Programme.of(made), load_rps)).configuration["a"].variant == "large"
    with pytest.raises(PolicyError, match="stage 'a': small is ruled out; allowed: large"):
        ScaleOnly(made, variants={"a": "small", "b": "small"})
    with pytest.raises(PolicyError, match="stage 'a': small is ruled out; allowed: large"):
        check_configuration(made, configuration(a=("small", 1, 1, 1), b=("small", 1, 1, 1)))


@pytest.mark.parametrize("policy", ["ipa", "foresight", "scale-only:low", "rate", "kpa"])
@pytest.mark.parametrize("load_rps", [(), (5.0,) * 60])
def test_a_variant_that_runs_and_has_been_ruled_out_since_is_let_go(policy: str, load_rps: tuple[float, ...]) -> None:
    """Also where there is no sample of the load to plan for."""
    made = two_by_two(published()).within(Limits(ruled_out={"a": ("small",)}))
    standing = configuration(a=("small", 1, 3, 1), b=("small", 1, 1, 1))
    seen = observation(load_rps or (float("nan"),) * 60, at_hand=standing)
    decided = Controller(made, create(policy, made), Journal()).decide(seen)
    check_configuration(made, decided.configuration)
    assert decided.configuration["a"].variant == "large"
    if not load_rps:
        assert decided.configuration["a"].replicas == 3


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        (Limits(ruled_out={"a": ("small", "large")}), "a is left without a variant: small is ruled out; large is"),
        (Limits(ruled_out={"a": ("smal",)}), "did you mean 'small'"),
        (Limits(ruled_out={"x": ("small",)}), "x"),
        (Limits(min_replicas={"a": 3}, max_replicas={"a": 2}), "a: max_replicas 2 is below min_replicas 3"),
        (Limits(node_cores=(1, 1), ruled_out={"b": ("small",)}), "a replica of large takes 2 cores, and the largest"),
    ],
)
def test_limits_that_cannot_be_are_refused(limits: Limits, text: str) -> None:
    with pytest.raises(ProfileError, match=text):
        two_by_two(published()).within(limits)


@given(by_seed(random_problems.small_pipeline), st.floats(0.1, 20.0))
def test_a_price_weighs_cores_as_beta_does(made: Pipeline, price: float) -> None:
    price = round(price, 2)
    priced = made.within(Limits(price_per_core=price))
    one = solve(Problem(Programme(priced, alpha=10.0, beta=1.0), 13.7))
    other = solve(Problem(Programme(made, alpha=10.0, beta=price), 13.7))
    assert one.configuration == other.configuration
    assert one.objective == other.objective


def test_fixed_replicas_are_moved_into_the_bounds() -> None:
    made = two_by_two(published()).within(Limits(min_replicas={"a": 3}, max_replicas={"b": 1}))
    assert SwitchOnly(made).replicas == {"a": 3, "b": 1}


# Guards, for policies that do not plan within limits


def test_replicas_without_a_node_are_taken_from_the_stage_that_can_spare_most() -> None:
    """Nodes of 3: each takes one of two cores and one of one. Four small at b beside one large at a take both nodes."""
    made = two_by_two(published()).within(Limits(node_cores=(3, 3)))
    says = Says(configuration(a=("large", 1, 2, 2), b=("small", 1, 4, 1)))
    decision = CoreLimit(says, made).decide(observation(), {})
    assert chosen(decision.configuration) == {"a": ("large", 1, 2), "b": ("small", 1, 2)}
    assert decision.notes == ("said", "nodes: b 4 -> 2 replicas")
    assert decision.binding == "nodes"


def test_a_single_replica_a_stage_without_room_is_said() -> None:
    made = two_by_two(published()).within(Limits(node_cores=(2,)))
    says = Says(configuration(a=("large", 1, 1, 2), b=("large", 1, 1, 2)))
    decision = CoreLimit(says, made).decide(observation(), {})
    assert "nodes: one replica a stage already takes 4 of the nodes' 2 cores" in decision.notes


def test_a_replica_larger_than_every_node_is_refused_by_name() -> None:
    """Profiled on 1 and on 4 cores: the variant is there with its base of 1, yet not with 4 on nodes of 2."""
    figures = (*variant("v", 0.5, 1, {1: 0.1}).figures, *variant("v", 0.5, 4, {1: 0.05}).figures)
    made = pipeline([replace(variant("v", 0.5, 1, {1: 0.1}), figures=figures)]).within(Limits(node_cores=2))
    check_configuration(made, configuration(a=("v", 1, 1, 1)))
    with pytest.raises(PolicyError, match="a replica of 'v' with 4 cores; the largest node has 2"):
        check_configuration(made, configuration(a=("v", 1, 1, 4)))
    with pytest.raises(PolicyError, match="a: every replica takes at least 4 cores; the largest node has 2"):
        solve(Problem(Programme.of(made, threshold_rps=15.0), 1.0))


# In a scenario


POLICIES = (
    "ipa",
    "scale-only:high",
    "switch-only",
    "static",
    "hpa:high",
    "kpa:high",
    "inferline:high",
    "rate:high",
    "oracle",
)
ON_NODES: Mapping[str, Any] = {
    "trace": "constant:30:60",
    "limits.node_cores": [4, 4, 2],
    "limits.ruled_out": {"image-classification": ["resnet152"]},
    "limits.min_replicas": {"object-detection": 2},
    "limits.max_replicas": {"image-classification": 5},
}


@pytest.mark.parametrize("policy", POLICIES)
def test_every_policy_keeps_the_limits_at_every_step(policy: str) -> None:
    run = simulate(find("video", {**ON_NODES, "policy": policy}))
    for entry in run.entries:
        decided: Configuration = entry.decision.configuration
        assert fits_nodes([(each.cores, each.replicas) for each in decided.values()], (4, 4, 2))
        assert decided["object-detection"].replicas >= 2
        assert decided["image-classification"].replicas <= 5
        assert decided["image-classification"].variant != "resnet152"


@pytest.mark.parametrize("policy", POLICIES)
def test_no_policy_plans_with_more_than_the_highest_utilisation(policy: str) -> None:
    """At most half busy: the mean of what is profiled for what stands is at least twice the load."""
    run = simulate(find("video", {"trace": "constant:20:60", "limits.utilisation": 0.5, "policy": policy}))
    for entry in run.entries[1:]:
        for stage in run.pipeline.stages:
            at = entry.decision.configuration[stage.name]
            sustained_rps = at.replicas * stage.variant(at.variant).throughput_rps(at.batch, at.cores)
            # The oracle lets a queue even out seconds, and so plans for a little less than comes.
            load_rps = entry.decision.planned_load_rps if policy == "oracle" else 20.0
            assert load_rps is not None
            assert sustained_rps * 0.5 >= load_rps * (1 - 1e-9)


def test_the_price_is_what_a_run_is_planned_with_and_costs() -> None:
    cheap, dear = (
        simulate(find("video", {"trace": "constant:20:60", "price_per_core": price})).summary for price in (0.01, 1.0)
    )
    assert cheap["pas_mean"] > dear["pas_mean"]
    assert cheap["cost_mean_cores"] < dear["cost_mean_cores"] * 2


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"limits": {"node_cores": 0}}, "limits.node_cores: should be a whole number of cores from 1, or a list of"),
        ({"limits": {"node_cores": []}}, "limits.node_cores: should be"),
        ({"limits": {"utilisation": 1.5}}, "limits.utilisation"),
        ({"limits": {"ruled_out": {"object-detection": "yolov5n"}}}, "limits.ruled_out.object-detection"),
        (
            {"profile_factors.object-detection.yolov5n": 0},
            "profile_factors.object-detection.yolov5n: should",
        ),
        (
            {"profile_factors.object-detection.yolov5n": 1e300},
            "profile_factors.object-detection.yolov5n: should be at most 1000000000000; given 1e",
        ),
        ({"limits": {"nodes": 3}}, "limits.nodes: unknown key"),
    ],
)
def test_keys_that_cannot_be_are_refused(values: Mapping[str, Any], text: str) -> None:
    with pytest.raises(ScenarioError, match=text):
        find("video", values)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"limits.min_replicas": {"x": 2}}, "limits.min_replicas: 'video' has no stage 'x'"),
        ({"limits.ruled_out": {"object-detection": ["yolov5"]}}, "limits: object-detection has no variant 'yolov5'"),
        ({"profile_factors": {"x": {"yolov5n": 2}}}, "profile_factors: 'video' has no stage 'x'"),
        (
            {"profile_factors": {"object-detection": {"yolov5": 2}}},
            "profile_factors: object-detection has no variant 'yolov5'; did you mean",
        ),
        ({"limits.node_cores": 8, "limits.max_replicas": {"object-detection": 1}, "guards.min_replicas": 2}, "below"),
        (
            {"limits.ruled_out": {"object-detection": ["yolov5n"]}, "policy": "static:yolov5n:1:1,resnet18:1:1"},
            "stage 'object-detection': yolov5n is ruled out; allowed: yolov5s",
        ),
        ({"limits.node_cores": [4, 4], "policy": "scale-only:yolov5x,resnet18"}, "a replica of yolov5x takes 8 cores"),
        (
            {"limits.node_cores": 4, "policy.candidates": {"object-detection": ["yolov5x"]}},
            "a replica of yolov5x takes 8 cores, and the largest node has 4; allowed: yolov5n",
        ),
        (
            {"limits.node_cores": 4, "start": "configured", "initial": {"object-detection": {"variant": "yolov5x"}}},
            "initial: stage 'object-detection': a replica of yolov5x takes 8 cores",
        ),
    ],
)
def test_limits_that_the_pipeline_cannot_have_are_refused(values: Mapping[str, Any], text: str) -> None:
    with pytest.raises((ScenarioError, PolicyError), match=text):
        simulate(find("video", values))


def test_enumeration_knows_the_limits() -> None:
    """The brute force itself: two nodes of 3 cores hold one replica of 2 cores each, so 20 rps at most."""
    made = pipeline([variant("v", 0.5, 2, {1: 0.1})], sla_s=5.0).within(Limits(node_cores=(3, 3)))
    found = [brute_force.optimum(Problem(Programme.of(made), load_rps)) for load_rps in (10.0, 20.0, 21.0)]
    assert [each is not None for each in found] == [True, True, False]
