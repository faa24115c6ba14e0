"""Loki and InfAdapter: the best mixes by brute force, and what each of them weighs, in numbers to check by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import ceil, prod
from typing import Any

import pytest

from ipa.policies import Decision, create
from ipa.policies.mixing import Chosen, MixingPolicy
from ipa.profiles import Pipeline, Variant
from ipa.studies import Scenario, simulate
from tests.tiny import SMALL_ONES, observation, pipeline, two_by_two, variant

LOADS = (0.5, 3.0, 7.0, 11.0, 18.0)
LIMITS = (2, 3, 4, 6, 9, 13)


def three_variants() -> Pipeline:
    """Two stages whose batches of 1, 2 and 4 take longer the more accurate the variant is; SLA 1.6 s."""
    small = variant("small", 0.5, 1, {1: 0.1, 2: 0.15, 4: 0.25})
    middle = variant("middle", 0.7, 2, {1: 0.18, 2: 0.3, 4: 0.5})
    large = variant("large", 0.8, 3, {1: 0.25, 2: 0.4, 4: 0.7})
    return pipeline([small, middle, large], [small, large], sla_s=1.6)


def policy(spec: str, of: Pipeline, **parameters: Any) -> MixingPolicy:
    made = create(spec, of, {"predictor": "reactive", "load_margin": 0.0, **parameters})
    assert isinstance(made, MixingPolicy)
    return made


def chosen(policy: MixingPolicy, of: Pipeline, load_rps: float, limit: int | None) -> Chosen:
    stages = [list(stage.variants) for stage in of.stages]
    return policy.choose(load_rps, limit, stages, [frozenset()] * len(stages))


Way = tuple[int, float, float, Sequence[str]]
"""Cores, mean accuracy, the longest latency of a batch, and the variants."""


def ways(variants: Sequence[Variant], load_rps: float, batches: Sequence[int]) -> list[Way]:
    """All ways to serve a load by one or two variants, each with any of the batches and any number of replicas."""
    found: list[Way] = []
    sized = [(each, batch) for each in variants for batch in batches]
    for one, batch in sized:
        most = ceil(load_rps / one.throughput_rps(batch) - 1e-9) or 1
        found.append((most * one.base_cores, one.accuracy, one.p99_s(batch), [one.name]))
        for (other, second), count in product(sized, range(1, most)):
            if other.name != one.name:
                share = count * one.throughput_rps(batch) / load_rps
                rest = max(1, ceil((1 - share) * load_rps / other.throughput_rps(second) - 1e-9))
                found.append(
                    (
                        count * one.base_cores + rest * other.base_cores,
                        share * one.accuracy + (1 - share) * other.accuracy,
                        max(one.p99_s(batch), other.p99_s(second)),
                        [one.name, other.name],
                    )
                )
    return found


# ---- loki ----


@pytest.mark.parametrize("load_rps", LOADS)
def test_loki_is_as_accurate_as_the_best_of_all_mixes(load_rps: float) -> None:
    of = three_variants()
    loki = policy("loki", of)
    every = [ways(stage.variants, load_rps, (1, 2, 4)) for stage in of.stages]
    feasible = [pair for pair in product(*every) if sum(way[2] for way in pair) <= of.sla_s / 2]
    for limit in LIMITS:
        within = [pair for pair in feasible if sum(way[0] for way in pair) <= limit]
        found = chosen(loki, of, load_rps, limit)
        if not within:
            assert found.rung == "most-throughput"
            continue
        best = max(prod(way[1] for way in pair) for pair in within)
        cores = sum(option.cores for option in found.options)
        assert prod(option.accuracy for option in found.options) == pytest.approx(best, rel=1e-9)
        assert (found.rung, cores <= limit) == ("optimal", True)


@pytest.mark.parametrize("load_rps", LOADS)
def test_without_a_limit_loki_has_full_accuracy_for_the_fewest_cores(load_rps: float) -> None:
    of = three_variants()
    found = chosen(policy("loki", of), of, load_rps, None)
    large = [stage.variant("large") for stage in of.stages]
    alone = [[way for way in ways([each], load_rps, (1, 2, 4)) if len(way[3]) == 1] for each in large]
    cheapest = min(sum(w[0] for w in pair) for pair in product(*alone) if sum(w[2] for w in pair) <= of.sla_s / 2)
    assert [part.candidate.variant.name for option in found.options for part in option.parts] == ["large", "large"]
    assert sum(option.cores for option in found.options) == cheapest
    assert (found.rung, found.binding) == ("optimal", "none")


def test_the_more_accurate_variant_gets_all_that_it_sustains() -> None:
    """8 rps at stage a: large sustains 5 with one replica of 2 cores, small the other 3 with one core."""
    stage = [variant("small", 0.5, 1, {1: 0.1}), variant("large", 0.8, 2, {1: 0.2})]
    of = pipeline(stage, sla_s=1.0)
    (option,) = chosen(policy("loki", of), of, 8.0, 3).options
    assert [(part.candidate.variant.name, part.replicas) for part in option.parts] == [("large", 1), ("small", 1)]
    assert [part.share for part in option.parts] == pytest.approx([0.625, 0.375])
    assert option.accuracy == pytest.approx(0.625 * 0.8 + 0.375 * 0.5)


def test_batches_of_all_variants_used_fit_into_half_the_sla() -> None:
    """With an SLA of 0.7 s, batches of large (0.32 s for two) leave 0.03 s for the other stage, so both take one."""
    stage = [variant("small", 0.5, 1, {1: 0.1, 2: 0.16}), variant("large", 0.8, 2, {1: 0.2, 2: 0.24})]
    of = pipeline(stage, stage, sla_s=0.7)
    for limit in (6, 8, 10, 20):
        found = chosen(policy("loki", of), of, 9.0, limit)
        longest = [max(part.candidate.latency_s for part in option.parts) for option in found.options]
        assert sum(longest) <= 0.35


def test_beyond_the_limit_loki_serves_as_much_as_fits() -> None:
    """Two cores: one small replica at each stage, 12.5 rps with batches of 2."""
    of = two_by_two()
    found = chosen(policy("loki", of), of, 40.0, 2)
    assert (found.rung, found.binding) == ("most-throughput", "cores")
    assert found.served_rps == pytest.approx(12.5, rel=1e-3)
    assert [option.cores for option in found.options] == [1, 1]


def test_an_sla_that_even_the_fastest_cannot_keep_is_said() -> None:
    of = pipeline([variant("small", 0.5, 1, {1: 0.1})], [variant("small", 0.5, 1, {1: 0.1})], sla_s=0.3)
    found = chosen(policy("loki", of), of, 5.0, None)
    assert (found.rung, found.binding) == ("sla-excess", "sla")
    assert [option.cores for option in found.options] == [1, 1]


# ---- infadapter ----


@pytest.mark.parametrize("load_rps", LOADS)
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_infadapter_is_as_good_as_the_best_of_all_mixes(load_rps: float, gamma: float) -> None:
    of = three_variants()
    weights = {"alpha": 1.0, "beta": 7.0, "gamma": gamma}
    adapter = policy("infadapter", of, **weights)
    stages = [list(stage.variants) for stage in of.stages]
    loaded = [frozenset({"small"}), frozenset({"large"})]

    def value(cores: int, accuracy: float, names: Sequence[str], there: frozenset[str]) -> float:
        return 100 * accuracy - 7 * cores - gamma * (8.0 if set(names) - there else 0.0)

    every = [ways(stage.variants, load_rps, (1,)) for stage in of.stages]
    for limit in (*LIMITS, None):
        within = [pair for pair in product(*every) if limit is None or sum(way[0] for way in pair) <= limit]
        found = adapter.choose(load_rps, limit, stages, loaded)
        if not within:
            assert found.rung == "most-throughput"
            continue
        best = max(
            sum(value(w[0], w[1], w[3], there) for w, there in zip(pair, loaded, strict=True)) for pair in within
        )
        ours = sum(
            value(o.cores, o.accuracy, [part.candidate.variant.name for part in o.parts], there)
            for o, there in zip(found.options, loaded, strict=True)
        )
        assert ours == pytest.approx(best)
        assert found.rung == "optimal"


def test_a_long_start_up_keeps_the_variant_that_is_loaded() -> None:
    """Large is worth 30 points for one core more (7): 23. Loading it takes 8 s: above 23 / 8 a second it stays out."""
    of = two_by_two()

    def variant_at_a(gamma: float) -> str:
        adapter = policy("infadapter", of, beta=7.0, gamma=gamma)
        stages = [list(stage.variants) for stage in of.stages]
        option = adapter.choose(1.0, None, stages, [frozenset({"small"})] * 2).options[0]
        return option.parts[0].candidate.variant.name

    assert (variant_at_a(23 / 8 - 0.01), variant_at_a(23 / 8 + 0.01)) == ("large", "small")


def test_infadapter_makes_no_batches() -> None:
    decided = policy("infadapter", two_by_two()).decide(observation([30.0]), {})
    assert {part.batch for stage in decided.configuration.values() for part in stage.parts} == {1}


# ---- both ----

BOTH = ("loki", "infadapter")


@pytest.mark.parametrize("name", BOTH)
def test_without_a_sample_nothing_changes(name: str) -> None:
    made = policy(name, two_by_two())
    for seen in (observation([float("nan")]), observation([5.0], sample_age_s=20.0)):
        assert made.decide(seen, {}).configuration == SMALL_ONES
        assert made.decide(seen, {}).rung == "hold"


@pytest.mark.parametrize("name", BOTH)
def test_a_variant_that_has_failed_to_start_is_left_out(name: str) -> None:
    decided: Decision = policy(name, two_by_two()).decide(observation([4.0], failed={"a": ("large",)}), {})
    assert decided.configuration["a"].variants == "small"
    assert decided.configuration["b"].variants == "large"


@pytest.mark.parametrize("name", BOTH)
def test_at_zero_load_every_stage_has_a_replica(name: str) -> None:
    decided = policy(name, two_by_two()).decide(observation([0.0], limit_cores=2), {})
    assert [part.replicas for stage in decided.configuration.values() for part in stage.parts] == [1, 1]


@pytest.mark.parametrize("name", BOTH)
def test_a_limit_below_one_replica_a_stage_is_answered(name: str) -> None:
    decided = policy(name, two_by_two()).decide(observation([5.0], limit_cores=1), {})
    assert (decided.rung, decided.feasible) == ("most-throughput", False)


@pytest.mark.parametrize("name", BOTH)
def test_a_run_is_the_same_in_both_engines(name: str) -> None:
    pytest.importorskip("numba")
    given: Mapping[str, Any] = {
        "policy": f"{name} predictor=reactive",
        "window": "0:120",
        "limit_cores": 8,
        "scale": 2.0,
    }
    runs = [simulate(Scenario(pipeline="video").with_values({**given, "engine": e})) for e in ("simpy", "compiled")]
    assert any(wanted.is_mix for entry in runs[0].entries for wanted in entry.decision.configuration.values())
    one, other = ({k: v for k, v in run.summary.items() if k not in ("engine", "wall_s")} for run in runs)
    assert one == other
    for table in ("requests", "stages", "decisions", "replicas"):
        assert runs[0].tables[table].equals(runs[1].tables[table])
