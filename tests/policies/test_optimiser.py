"""The optimiser against enumeration, its ladder rung by rung, and its explanations."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import product
from math import prod
from random import Random
from typing import Any, TypeVar, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipa import profiles
from ipa.policies import create
from ipa.policies.interface import PolicyError
from ipa.policies.optimiser import RUNGS, Problem, Programme, explain_problem, solve
from ipa.policies.optimiser.exact import exact
from ipa.policies.optimiser.flows import StageFlow
from ipa.policies.optimiser.problem import Knapsack, StageOptions
from ipa.policies.optimiser.programme import Row
from ipa.profiles import Defaults, Pipeline
from tests.policies import brute_force, random_problems
from tests.tiny import chosen, configuration, pipeline, published, two_by_two, variant

T = TypeVar("T")
SEEDS = st.integers(0, 2**32)


def by_seed(make: Callable[[Random], T]) -> st.SearchStrategy[T]:
    """What `make` makes with one seed or another."""
    return SEEDS.map(lambda seed: make(Random(seed)))


def problems(most_stages: int = 3, most_replicas: int = 100) -> st.SearchStrategy[Problem]:
    """Random problems that are small enough to try everything."""
    return by_seed(lambda rng: random_problems.small(rng, most_stages, most_replicas))


quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@quick
@given(problems())
def test_the_answer_is_that_of_enumeration_in_objective_and_decision(problem: Problem) -> None:
    expected = brute_force.optimum(problem)
    solution = solve(problem)
    if expected is None:
        assert solution.rung in RUNGS[2:]
        expected = brute_force.least_excess(problem)
    else:
        assert solution.rung == "optimal"
    if expected is not None:
        assert list(chosen(solution.configuration).values()) == expected.choice
        assert solution.objective["total"] == pytest.approx(float(expected.objective), abs=1e-12)
        assert solution.latency_s == pytest.approx(expected.latency_ns / 1e9, abs=1e-12)
    else:
        assert solution.rung == "most-throughput"


@quick
@given(SEEDS)
def test_with_candidates_the_other_variants_might_as_well_not_be_there(seed: int) -> None:
    rng = Random(seed)
    problem = random_problems.small(rng)
    made = problem.programme.pipeline
    candidates = {
        stage.name: rng.sample([each.name for each in stage.variants], rng.randint(1, len(stage.variants)))
        for stage in made.stages
    }
    fewer = replace(
        made,
        defaults=Defaults(),
        stages=tuple(
            replace(stage, variants=tuple(v for v in stage.variants if v.name in candidates[stage.name]))
            for stage in made.stages
        ),
        pair_accuracies={
            first: {second: row[second] for second in candidates[made.stages[1].name]}
            for first, row in made.pair_accuracies.items()
            if first in candidates[made.stages[0].name]
        },
    )
    free = replace(problem, variants=None)
    limited = solve(replace(free, programme=replace(problem.programme, candidates=candidates)))
    alone = solve(replace(free, programme=replace(problem.programme, pipeline=fewer)))
    assert limited == alone


def bare_options(random: Random) -> list[StageOptions]:
    """Two to four stages of up to five options with any figures; no two sums of losses are equal."""
    return [
        StageOptions(
            rows=[cast("Row", None)] * count,
            replicas=[1] * count,
            latency_ns=[random.randint(-1, 9) for _ in range(count)],
            cores=[random.randint(1, 9) for _ in range(count)],
            loss=[(random.randint(-9, 9) << 12) + (i << 3 * k) for i in range(count)],
            accuracy=[random.randint(1, 9) for _ in range(count)],
        )
        for k in range(random.randint(2, 4))
        for count in [random.randint(1, 5)]
    ]


def chain_of(stages: Sequence[StageOptions]) -> StageFlow:
    """A chain of stages without names."""
    return StageFlow.of_chain([""] * len(stages))


def within(bounds: list[list[int]], random: Random) -> int:
    """A budget between the least and the mean of what stages spend, so that it often binds."""
    least = sum(map(min, bounds))
    return random.randint(least, max(least, sum(sum(each) // len(each) for each in bounds)))


@pytest.mark.parametrize("reward", [0, 1 << 12, 5 << 12])
def test_merging_fronts_finds_what_enumeration_finds(reward: int) -> None:
    held: Counter[tuple[str, ...]] = Counter()
    for seed in range(400):
        random = Random(seed)
        stages = bare_options(random)
        sla_ns = within([stage.latency_ns for stage in stages], random)
        limit = within([stage.cores for stage in stages], random)
        possible = []
        for indices in product(*(range(len(stage.rows)) for stage in stages)):
            picked = list(zip(stages, indices, strict=True))
            if sum(s.latency_ns[i] for s, i in picked) > sla_ns:
                continue
            if sum(s.cores[i] for s, i in picked) > limit:
                continue
            loss = sum(s.loss[i] for s, i in picked)
            possible.append((loss - reward * prod(s.accuracy[i] for s, i in picked), indices))
        found = exact(Knapsack(stages, chain_of(stages), sla_ns, limit, reward))
        assert (found and (found.loss, found.indices)) == min(possible, default=None)
        held.update([found.binding] if found else [])
    assert min(held[each] for each in [(), ("sla",), ("cores",), ("sla", "cores")]) > 10


@quick
@given(problems(most_stages=2, most_replicas=3))
def test_the_last_rung_is_that_of_enumeration(problem: Problem) -> None:
    solution = solve(problem)
    if solution.rung != "most-throughput":
        return
    expected = brute_force.most_throughput(problem)
    if expected is None:
        assert any("cores; limit" in note for note in solution.notes)
    else:
        assert list(chosen(solution.configuration).values()) == expected.choice


@quick
@given(problems(most_stages=2))
def test_the_runner_up_is_the_second_of_enumeration(problem: Problem) -> None:
    found = [c for c in brute_force.sustaining(problem) if brute_force.keeps_sla(problem, c)]
    found.sort(key=lambda c: c.order)
    if not found:
        return
    second = explain_problem(problem).runner_up
    if len(found) == 1:
        assert second is None
    else:
        assert second is not None
        assert list(chosen(second.configuration).values()) == found[1].choice
        assert second.difference == pytest.approx(float(found[0].objective - found[1].objective), abs=1e-9)


@quick
@given(problems(most_stages=2))
def test_what_binds_is_what_gains_when_lifted(problem: Problem) -> None:
    explanation = explain_problem(problem)
    if explanation.rung != "optimal":
        return
    programme = replace(problem.programme, sla_s=1e6)
    relaxed = {
        "sla": replace(problem, programme=programme),
        "cores": replace(problem, limit_cores=None),
    }
    for name, lifted in relaxed.items():
        best = brute_force.optimum(lifted)
        assert best is not None
        gain = float(best.objective) - explanation.objective["total"]
        assert explanation.gains[name] == pytest.approx(gain, abs=1e-9)
    if explanation.binding in ("sla", "cores", "replicas"):
        assert explanation.gains[explanation.binding] == max(explanation.gains.values()) > 0
    else:
        assert max(explanation.gains.values()) == 0


@settings(max_examples=200, deadline=None)
@given(st.floats(0, 1e4), st.none() | st.integers(0, 60), st.booleans())
def test_every_load_has_an_answer(load_rps: float, limit: int | None, defect: bool) -> None:
    programme = Programme.of(profiles.load("video"), published_queue_defect=defect)
    solution = solve(Problem(programme, load_rps, limit_cores=limit))
    counts = [stage.replicas for stage in solution.configuration.values()]
    assert min(counts) >= 1
    assert limit is None or solution.objective["cost_cores"] <= limit or max(counts) == 1
    assert solution.rung == "most-throughput" or solution.sustained_rps >= load_rps * (1 - 1e-9)


def problem(load_rps: float, *, made: Pipeline | None = None, **changes: object) -> Problem:
    """A problem of `two_by_two` with alpha 10, beta 1; changes of the programme and the problem."""
    of_problem = ("limit_cores", "variants", "keep_variants", "replicas", "failed", "current")
    own = {key: changes.pop(key) for key in of_problem if key in changes}
    weights: dict[str, object] = {"alpha": 10.0, "beta": 1.0, "accuracy": "sum"}
    programme = Programme(made or two_by_two(), **{**weights, **changes})  # type: ignore[arg-type]
    return Problem(programme, load_rps, **own)  # type: ignore[arg-type]


def test_large_variants_are_worth_their_cores_at_a_low_load() -> None:
    """4 rps: one replica of each does. Large gains 3 of accuracy for 1 core more, at both stages.

    10 x (0.8 + 0.9) - 4 cores - 0.000002 = 12.999998; the SLA of 1 s has 0.6 s to spare.
    """
    solution = solve(problem(4.0))
    assert chosen(solution.configuration) == {"a": ("large", 1, 1), "b": ("large", 1, 1)}
    assert solution.objective == {
        "accuracy": pytest.approx(1.7),
        "pas": pytest.approx(0.72),
        "cost_cores": 4.0,
        "batch": 2.0,
        "total": pytest.approx(12.999998),
    }
    assert solution.latency_s == pytest.approx(0.4)
    assert (solution.rung, solution.binding, solution.sustained_rps) == ("optimal", "none", 5.0)


def test_a_larger_batch_saves_a_replica_and_waits_to_fill() -> None:
    """6 rps: large with batch 1 needs two replicas (4 cores), with batch 2 one: 6.25 rps.

    Each stage then takes 0.32 + 1/6 s; the wait is the batch timeout.
    """
    solution = solve(problem(6.0))
    assert chosen(solution.configuration) == {"a": ("large", 2, 1), "b": ("large", 2, 1)}
    assert solution.latency_s == pytest.approx(2 * (0.32 + 1 / 6))
    assert solution.configuration["a"].batch_timeout_s == pytest.approx(1 / 6)


def test_the_sla_binds_where_that_batch_waits_too_long() -> None:
    """SLA 0.7 s: large with batch 2 takes 0.487 s, at both stages 0.973.

    With small at one: 0.587 s and 3 cores, 10 x 1.4 - 3 = 11; that at a is first in order.
    Large twice, once with two replicas of batch 1: 0.687 s and 6 cores, 10 x 1.7 - 6 = 11, a tie.
    """
    solution = solve(problem(6.0, sla_s=0.7))
    assert chosen(solution.configuration) == {"a": ("small", 1, 1), "b": ("large", 2, 1)}
    assert solution.binding == "sla"


def test_two_constraints_can_bind_together_only() -> None:
    """alpha 10, beta 0: accurate needs both 2 cores and 0.3 s; neither alone helps."""
    made = pipeline([variant("plain", 0.5, 1, {1: 0.1}), variant("fine", 0.9, 2, {1: 0.3})])
    solution = solve(problem(1.0, made=made, beta=0.0, sla_s=0.2, limit_cores=1))
    assert (chosen(solution.configuration), solution.binding) == (
        {"a": ("plain", 1, 1)},
        "sla+cores",
    )


def test_replicas_bind_where_the_cap_keeps_the_accurate_variant_out() -> None:
    """10 rps need two replicas of large, 3 cores more than small; worth 20 x 0.3; the cap is 1."""
    solution = solve(problem(10.0, alpha=20.0, max_replicas=1))
    assert chosen(solution.configuration) == {"a": ("small", 1, 1), "b": ("small", 1, 1)}
    assert solution.binding == "replicas"


def test_every_measured_batch_size_may_be_planned() -> None:
    """60 rps: three replicas of batch 1 (25 rps each), or one of batch 10 (100 rps); 3 and 10 are no powers of two."""
    made = pipeline([variant("light", 0.61, 1, {1: 0.04, 3: 0.09, 10: 0.1})])
    assert chosen(solve(problem(60.0, made=made)).configuration) == {"a": ("light", 10, 1)}
    assert chosen(solve(problem(60.0, made=made, batch_cap=9)).configuration) == {"a": ("light", 3, 2)}
    assert create("rate", made).batch == {"a": 10}  # type: ignore[attr-defined]


def test_equal_objectives_go_to_the_variant_at_hand_then_to_fewer_cores_then_to_smaller_batches() -> None:
    """alpha 5, beta 1, gamma 0: 0.2 more accuracy is worth exactly one core."""
    made = pipeline([variant("dear", 0.7, 2, {1: 0.1, 2: 0.2}), variant("cheap", 0.5, 1, {1: 0.1, 2: 0.2})])
    tie = problem(5.0, made=made, alpha=5.0, gamma=0.0)
    assert chosen(solve(tie).configuration) == {"a": ("cheap", 1, 1)}
    for name, cores in (("dear", 2), ("cheap", 1)):
        at_hand = replace(tie, current=configuration(a=(name, 2, 1, cores)))
        assert chosen(solve(at_hand).configuration) == {"a": (name, 1, 1)}


def test_where_cores_weigh_nothing_those_that_are_not_needed_are_given_back() -> None:
    """beta 0, two variants of one accuracy: of 2 cores, which is at hand, and of 1."""
    made = pipeline([variant("dear", 0.5, 2, {1: 0.1}), variant("cheap", 0.5, 1, {1: 0.1})])
    dear = configuration(a=("dear", 1, 1, 2))
    assert chosen(solve(problem(5.0, made=made, beta=0.0, current=dear)).configuration) == {"a": ("cheap", 1, 1)}


def test_equal_in_all_goes_to_the_configuration_at_hand_then_to_the_first() -> None:
    twins = [variant("first", 0.5, 1, {1: 0.1}), variant("second", 0.5, 1, {1: 0.1})]
    made = pipeline(twins)
    assert chosen(solve(problem(5.0, made=made)).configuration)["a"][0] == "first"
    at_hand = configuration(a=("second", 1, 7, 1))
    solution = solve(problem(5.0, made=made, current=at_hand))
    assert chosen(solution.configuration)["a"] == ("second", 1, 1)


def test_equal_in_all_keeps_the_batch_sizes_at_hand() -> None:
    """25 rps on small ones within 0.31 s: one stage has time for batches of 2 (0.2 s), which save a replica there."""
    for batches in ((1, 2), (2, 1)):
        at_hand = {name: ("small", batch, 1, 1) for name, batch in zip("ab", batches, strict=True)}
        solution = solve(problem(25.0, alpha=0.0, sla_s=0.31, current=configuration(**at_hand)))
        assert tuple(batch for _, batch, _ in chosen(solution.configuration).values()) == batches


def test_a_sum_that_is_the_sla_keeps_it() -> None:
    """0.1 + 0.2 is above 0.3 in binary floating point, but not to a nanosecond."""
    made = pipeline([variant("x", 0.5, 1, {1: 0.1})], [variant("y", 0.5, 1, {1: 0.2})], sla_s=0.3)
    assert solve(problem(1.0, made=made)).rung == "optimal"
    assert solve(problem(1.0, made=made, sla_s=0.29999)).rung == "sla-excess"


def test_no_replica_is_added_for_rounding() -> None:
    """3 x 0.1 rps is 0.30000000000000004: three replicas of 0.1 rps, not four."""
    made = pipeline([variant("slow", 0.5, 1, {1: 10.0})], sla_s=60.0)
    assert chosen(solve(problem(3 * 0.1, made=made)).configuration)["a"] == ("slow", 1, 3)


def test_at_zero_load_one_replica_waits_with_batch_one() -> None:
    solution = solve(problem(0.0, alpha=0.0, gamma=0.0))
    assert chosen(solution.configuration) == {"a": ("small", 1, 1), "b": ("small", 1, 1)}
    assert solution.latency_s == pytest.approx(0.2)


def test_ranks_are_equally_spaced_and_lifted_to_the_floor() -> None:
    """Accuracies 0.1, 0.2, 0.9 rank 0, 1/2, 1; with a floor of 0.05 the lowest counts 0.05. An only one ranks 1."""
    made = pipeline([variant(f"v{a}", a, 1, {1: 0.1}) for a in (0.2, 0.1, 0.9)])
    scored = Programme(made, accuracy_scale="rank", accuracy_floor=0.05)
    accuracies = [scored.score(configuration(a=(name, 1, 1, 1)))["accuracy"] for name in ("v0.1", "v0.2", "v0.9")]
    assert accuracies == [0.05, 0.5, 1.0]
    alone = Programme(pipeline([variant("only", 0.4, 1, {1: 0.1})]), accuracy_scale="rank")
    assert alone.score(configuration(a=("only", 1, 1, 1)))["accuracy"] == 1.0


def test_ranks_are_among_the_candidates() -> None:
    """Of 0.2 and 0.9 alone, 0.2 ranks 0; 0.5, should it still serve, reaches 0.2, and 0.1 nothing."""
    made = pipeline([variant(f"v{a}", a, 1, {1: 0.1}) for a in (0.2, 0.1, 0.9, 0.5)])
    scored = Programme(made, accuracy_scale="rank", candidates={"a": ["v0.2", "v0.9"]})
    of = {name: scored.score(configuration(a=(name, 1, 1, 1)))["accuracy"] for name in ("v0.1", "v0.2", "v0.5", "v0.9")}
    assert of == {"v0.1": 0.0, "v0.2": 0.0, "v0.5": 0.0, "v0.9": 1.0}


@pytest.mark.parametrize(
    ("candidates", "answer"),
    [
        ({"b": ["v"]}, "unknown stage 'b' in candidates"),
        ({"a": ["smal"]}, "unknown variant 'smal' in candidates.a \\(did you mean 'small'\\?\\); allowed: small"),
        ({"a": []}, "must be a list of some of: small"),
        ({"a": "small"}, "must be a list of some of: small"),
        (["small"], "must map stages to variants; stages: a"),
    ],
)
def test_candidates_are_checked(candidates: Any, answer: str) -> None:
    with pytest.raises(PolicyError, match=answer):
        Programme(pipeline([variant("small", 0.4, 1, {1: 0.1})]), candidates=candidates)


def test_a_capped_throughput_needs_more_replicas_of_that_stage_and_costs_no_time() -> None:
    """20 rps at stage b: 2 replicas of 10 rps, but 4 where each counts for 5; half the throughput of all: 4 and 8."""
    fixed = {"a": ["small"], "b": ["small"]}
    plain = solve(problem(20.0, variants=fixed, batch_cap=1))
    capped = solve(problem(20.0, variants=fixed, batch_cap=1, throughput_cap_rps={"b": 5.0}))
    assert [n for _, _, n in chosen(plain.configuration).values()] == [2, 2]
    assert [n for _, _, n in chosen(capped.configuration).values()] == [2, 4]
    assert capped.latency_s == plain.latency_s
    halved = solve(problem(20.0, variants=fixed, batch_cap=1, throughput_cap_rps={"b": 5.0}, throughput_share=0.5))
    assert [n for _, _, n in chosen(halved.configuration).values()] == [4, 8]


def test_a_threshold_gives_replicas_the_fewest_cores_that_carry_it() -> None:
    """On 1, 2 and 4 cores the stage serves 2, 4 and 8 rps; the base is 2 cores. Nothing carries 9: the most it is."""
    figures = tuple(profiles.Figure(cores, 1, 0.5 / cores, 0.5 / cores, 2.0 * cores) for cores in (1, 2, 4))
    scaling = replace(variant("scaling", 0.5, 1, {1: 0.5}), figures=figures, base_cores=2)
    made = pipeline([scaling], sla_s=1.0)
    for threshold_rps, cores, replicas in ((None, 2, 2), (1.5, 1, 4), (2.5, 2, 2), (5.0, 4, 1), (9.0, 4, 1)):
        programme = Programme(made, threshold_rps=threshold_rps)
        (stage,) = solve(Problem(programme, 8.0)).configuration.values()
        assert (stage.cores, stage.replicas) == (cores, replicas)


def test_the_published_defect_loosens_the_sla() -> None:
    """2 variants x (2 batch sizes - 1) / load at either stage: 4 / 8 rps = 0.5 s in all.

    Large at both stages takes 0.4 s; an SLA of 0.2 s allows 0.7 s so loosened.
    """
    honest = solve(problem(8.0, alpha=20.0, sla_s=0.2))
    assert chosen(honest.configuration) == {"a": ("small", 1, 1), "b": ("small", 1, 1)}
    loosened = solve(problem(8.0, alpha=20.0, sla_s=0.2, published_queue_defect=True))
    assert chosen(loosened.configuration) == {"a": ("large", 1, 2), "b": ("large", 1, 2)}
    assert loosened.latency_s == pytest.approx(0.4 - 0.5)


def test_the_plan_may_use_mean_latencies() -> None:
    spread = replace(
        variant("spread", 0.5, 1, {1: 0.1}),
        figures=(profiles.Figure(1, 1, mean_s=0.1, p99_s=0.4, throughput_rps=10.0),),
    )
    made = pipeline([spread], sla_s=0.2)
    assert solve(problem(1.0, made=made)).rung == "sla-excess"
    assert solve(problem(1.0, made=made, statistic="mean")).rung == "optimal"


def test_fixed_replicas_must_sustain_the_load() -> None:
    """Two replicas each: large serves 10 rps at batch 1, 12.5 at batch 2; small 20 and 25."""
    fixed = {"a": 2, "b": 2}
    assert chosen(solve(problem(10.0, replicas=fixed)).configuration) == {
        "a": ("large", 1, 2),
        "b": ("large", 1, 2),
    }
    assert chosen(solve(problem(20.0, replicas=fixed)).configuration) == {
        "a": ("small", 1, 2),
        "b": ("small", 1, 2),
    }


# The ladder


LARGE_ONES = {"a": ["large"], "b": ["large"]}


@pytest.mark.parametrize(
    ("changes", "answer", "choice", "note"),
    [
        # Large at both stages takes 0.4 s; small is cheapest, though one large variant would be worth its core.
        (
            {"load_rps": 4.0, "sla_s": 0.3, "variants": LARGE_ONES, "keep_variants": False},
            ("no-accuracy", "variants"),
            [("small", 1, 1), ("small", 1, 1)],
            "the wish for certain variants is dropped",
        ),
        (
            {"load_rps": 4.0, "sla_s": 0.3, "variants": LARGE_ONES},
            ("sla-excess", "sla"),
            [("large", 1, 1), ("large", 1, 1)],
            "the SLA of 0.3 s is exceeded by 0.1 s",
        ),
        # Nothing is faster than small at batch 1: 0.2 s.
        (
            {"load_rps": 25.0, "sla_s": 0.15},
            ("sla-excess", "sla"),
            [("small", 1, 3), ("small", 1, 3)],
            "the SLA of 0.15 s is exceeded by 0.05 s",
        ),
        # On 5 cores, two replicas with batch 2 at one stage; 0.25 s asks for six cores.
        (
            {"load_rps": 25.0, "sla_s": 0.25, "limit_cores": 5},
            ("sla-excess", "cores"),
            [("small", 1, 3), ("small", 2, 2)],
            "exceeded by",
        ),
        # A core serves 12.5 rps with batch 2, 10 with batch 1: two at one stage make 25 rps the most.
        (
            {"load_rps": 50.0, "limit_cores": 5},
            ("most-throughput", "cores"),
            [("small", 1, 3), ("small", 2, 2)],
            "sustains 25 of 50 rps",
        ),
        (
            {"load_rps": 50.0, "max_replicas": 2},
            ("most-throughput", "replicas"),
            [("small", 2, 2), ("small", 2, 2)],
            "sustains 25 of 50 rps",
        ),
        (
            {"load_rps": 4.0, "limit_cores": 1},
            ("most-throughput", "cores"),
            [("small", 1, 1), ("small", 1, 1)],
            "one replica per stage takes 2 cores; limit: 1",
        ),
        (
            {"load_rps": 4.0, "variants": LARGE_ONES, "failed": {"a": ("large",)}},
            ("no-accuracy", "variants"),
            [("large", 1, 1), ("small", 1, 1)],
            "a: every wanted variant has failed to start",
        ),
        (
            {"load_rps": 4.0, "failed": {"a": ("small", "large")}},
            ("optimal", "none"),
            [("large", 1, 1), ("large", 1, 1)],
            "a: every variant has failed to start",
        ),
    ],
)
def test_each_rung_answers_by_hand(
    changes: dict[str, Any], answer: tuple[str, str], choice: list[tuple[str, int, int]], note: str
) -> None:
    solution = solve(problem(**changes))
    assert (solution.rung, solution.binding, solution.feasible) == (*answer, answer[0] == "optimal")
    assert sorted(chosen(solution.configuration).values()) == choice
    assert any(note in each for each in solution.notes)


# Batch timeouts (rule 10)


@pytest.mark.parametrize(
    ("stage", "batch", "load_rps", "expected_s"),
    [
        (0, 1, 10.0, 0.0),
        (0, 8, 10.0, 0.7),
        (0, 8, 2.0, 1.0),
        (1, 8, 2.0, 0.75),
        (0, 2, 0.0, 1.0),
    ],
)
def test_a_batch_waits_for_the_least_of_three(stage: int, batch: int, load_rps: float, expected_s: float) -> None:
    """SLA 1.5 s: the drop limits are 3 s at the first stage, 1.5 s later; half is 1.5 and 0.75."""
    programme = Programme(two_by_two(), sla_s=1.5)
    assert programme.batch_timeout_s(stage, batch, load_rps) == pytest.approx(expected_s)


def test_drop_limits_can_be_given() -> None:
    programme = Programme(two_by_two(), drop_limits_s=(10.0, 0.4))
    assert programme.batch_timeout_s(1, 8, 1.0) == 0.2


# Explanations


def test_an_explanation_shows_every_option_and_is_json() -> None:
    """6 rps; see above: large b 2 at both stages. b 1 takes two replicas, 2 cores more: 2 worse."""
    explanation = explain_problem(problem(6.0, gamma=0.0))
    shown = {(o.variant, o.batch): o for o in explanation.options["a"]}
    assert list(shown) == [("small", 1), ("small", 2), ("large", 1), ("large", 2)]
    assert [key for key, option in shown.items() if option.chosen] == [("large", 2)]
    assert shown["large", 2].value == pytest.approx(13.0)
    assert shown["large", 1].value == pytest.approx(11.0)
    assert shown["large", 2].queue_wait_s == pytest.approx(1 / 6)
    assert shown["small", 2].dominated
    assert not shown["small", 1].dominated
    assert explanation.slack_s == pytest.approx(1 - 2 * (0.32 + 1 / 6))
    assert explanation.runner_up is not None
    assert explanation.runner_up.difference == pytest.approx(2.0)
    assert json.loads(json.dumps(explanation.as_dict()))["binding"] == "none"


def test_an_explanation_shows_what_the_cap_keeps_out() -> None:
    explanation = explain_problem(problem(10.0, alpha=20.0, max_replicas=1))
    out = [(o.variant, o.batch, o.replicas) for o in explanation.options["a"] if not o.sustains]
    assert out == [("large", 1, 2), ("large", 2, 2)]
    assert explanation.gains["replicas"] == pytest.approx(2 * (6 - 3))


@pytest.mark.parametrize("limit", [None, 1, 5])
def test_every_rung_can_be_explained(limit: int | None) -> None:
    for load_rps in (0.0, 5.0, 50.0, 5000.0):
        explanation = explain_problem(problem(load_rps, sla_s=0.15, limit_cores=limit))
        assert sum(option.chosen for option in explanation.options["a"]) == 1
        json.dumps(explanation.as_dict())


# Refusals


@pytest.mark.parametrize("load_rps", [float("nan"), -1.0, float("inf")])
def test_a_load_that_is_none_is_refused(load_rps: float) -> None:
    with pytest.raises(PolicyError, match="load_rps"):
        problem(load_rps)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"alpha": float("nan")}, "alpha=nan must be a finite number of at least 0"),
        ({"beta": -1}, "beta=-1 must be"),
        ({"gamma": True}, "gamma=True must be"),
        ({"accuracy": "prod"}, "did you mean 'product'"),
        ({"batch_cap": 2.5}, "batch_cap=2.5 must be a whole number"),
        ({"throughput_share": 0}, "throughput_share=0 must be"),
        ({"throughput_cap_rps": 10}, "throughput_cap_rps=10 must map stages to requests per second; stages: a, b"),
        ({"throughput_cap_rps": {"c": 10}}, "unknown stage 'c' in throughput_cap_rps"),
        ({"throughput_cap_rps": {"a": 0}}, "throughput_cap_rps.a=0 must be"),
        ({"threshold_rps": 0}, "threshold_rps=0 must be"),
        ({"drop_limits_s": [1.0]}, "must be a list of seconds, one for each of: a, b"),
        ({"variants": {"c": ["small"]}}, "unknown stage 'c' in variants"),
        ({"variants": {"a": ["smal"]}}, "unknown variant 'smal' of a.*did you mean 'small'"),
        ({"replicas": {"a": 1}}, "replicas lacks b"),
        ({"replicas": {"a": 1, "b": 0}}, "replicas.b=0 must be"),
        ({"limit_cores": -1}, "limit_cores=-1 must be"),
    ],
)
def test_values_that_cannot_be_are_refused(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        problem(1.0, **changes)


def test_published_parameters_come_from_the_pipeline() -> None:
    programme = Programme.of(two_by_two(published(alpha=7.0)), beta=0.25)
    assert (programme.alpha, programme.beta, programme.batch_cap) == (7.0, 0.25, 8)
    with pytest.raises(PolicyError, match=r"unknown parameter 'bta' \(did you mean 'beta'\?\)"):
        Programme.of(two_by_two(), bta=1)
