"""IPA, scale-only, switch-only and static on a pipeline whose right decisions can be found by hand."""

from __future__ import annotations

import json
from dataclasses import replace
from math import nan

import pytest

from ipa import profiles
from ipa.policies.configurations import lightest, lightest_configuration
from ipa.policies.interface import Memory, Policy, PolicyError, knows_future
from ipa.policies.ipa import Ipa
from ipa.policies.optimiser import Problem, Programme, solve
from ipa.policies.predictors import DEFAULT_PREDICTOR, create_predictor
from ipa.policies.registry import create, describe
from ipa.policies.scale_only import ScaleOnly
from ipa.policies.static import Static
from ipa.policies.switch_only import SwitchOnly
from tests.tiny import SMALL_ONES, chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
NOTHING: Memory = {}
LARGE_ONES = {"a": ("large", 1, 1), "b": ("large", 1, 1)}


def test_ipa_plans_for_the_rounded_forecast_and_says_why() -> None:
    """Windows with maxima 4: 1.04 x 4 = 4.16 rps, planned 4; large at both stages (13 - 2e-6)."""
    decision = Ipa(PIPELINE, predictor="mean").decide(observation([4] * 40), NOTHING)
    assert decision.forecast_rps == pytest.approx(4.16)
    assert decision.planned_load_rps == 4.0
    assert chosen(decision.configuration) == LARGE_ONES
    assert decision.objective is not None
    assert list(decision.objective) == ["accuracy", "pas", "cost_cores", "batch", "total"]
    assert decision.objective["total"] == pytest.approx(13.0 - 2e-6)
    assert (decision.rung, decision.binding, decision.feasible) == ("optimal", "none", True)
    assert decision.memory == {}


@pytest.mark.parametrize("policy", [Ipa(PIPELINE), ScaleOnly(PIPELINE), SwitchOnly(PIPELINE)])
def test_given_no_predictor_a_policy_plans_by_the_default_one(policy: Ipa) -> None:
    seen = observation([float(second % 7) for second in range(120)])
    default = create_predictor(DEFAULT_PREDICTOR).forecast(seen, 20.0).point_rps
    assert policy.decide(seen, NOTHING).forecast_rps == default > 0


def test_the_margin_comes_before_the_rounding() -> None:
    """Forecast 4 rps: with a margin of 20 % 4.8, planned 5, or 4.8 unrounded."""
    seen = observation([4] * 10)
    planned = Ipa(PIPELINE, predictor="reactive", load_margin=0.2).decide(seen, NOTHING)
    assert planned.planned_load_rps == 5.0
    exact = Ipa(PIPELINE, predictor="reactive", load_margin=0.2, rounding="none")
    assert exact.decide(seen, NOTHING).planned_load_rps == pytest.approx(4.8)


def test_the_margin_defaults_to_the_published_one() -> None:
    policy = Ipa(two_by_two(published(load_margin=0.5)), predictor="reactive")
    assert policy.decide(observation([4] * 10), NOTHING).planned_load_rps == 6.0


@pytest.mark.parametrize("policy", [Ipa(PIPELINE), ScaleOnly(PIPELINE), SwitchOnly(PIPELINE)])
def test_without_a_load_sample_the_configuration_is_held(policy: Ipa) -> None:
    at_hand = configuration(a=("large", 2, 3, 2), b=("small", 1, 4, 1))
    decision = policy.decide(observation([nan] * 40, at_hand=at_hand), NOTHING)
    assert decision.configuration == at_hand
    assert (decision.rung, decision.notes) == ("hold", ("no load sample",))
    assert decision.forecast_rps is None


def test_the_core_limit_of_the_observation_holds() -> None:
    decision = Ipa(PIPELINE).decide(observation([4] * 40, limit_cores=2), NOTHING)
    assert chosen(decision.configuration) == {"a": ("small", 1, 1), "b": ("small", 1, 1)}
    assert decision.binding == "cores"


def test_ties_go_to_the_configuration_at_hand() -> None:
    """3 cores: one large variant, at a or b; whichever is there stays."""
    for stage in ("a", "b"):
        at_hand = {**SMALL_ONES, **configuration(**{stage: ("large", 1, 1, 2)})}
        seen = observation([4] * 40, limit_cores=3, at_hand=at_hand)
        assert chosen(Ipa(PIPELINE).decide(seen, NOTHING).configuration)[stage][0] == "large"


@pytest.mark.parametrize("name", ["ipa", "scale-only:high", "switch-only", "static:large:1:1,large:1:1"])
def test_no_policy_chooses_a_failed_variant_while_there_is_another(name: str) -> None:
    seen = observation([4] * 40, failed={"a": ("large",)})
    decision = create(name, PIPELINE).decide(seen, NOTHING)
    assert [stage.variant for stage in decision.configuration.values()] == ["small", "large"]


def test_scale_only_scales_its_variants() -> None:
    """12 rps: small with batch 2 (12.5) one replica, large with batch 2 (6.25) two.

    Large at batch 1 takes three: 6 cores a stage.
    """
    seen = observation([12] * 10)
    low = ScaleOnly(PIPELINE, variants="low", predictor="reactive").decide(seen, NOTHING)
    high = ScaleOnly(PIPELINE, variants="high", predictor="reactive").decide(seen, NOTHING)
    assert chosen(low.configuration) == {"a": ("small", 2, 1), "b": ("small", 2, 1)}
    assert chosen(high.configuration) == {"a": ("large", 2, 2), "b": ("large", 2, 2)}


def test_scale_only_keeps_its_variants_whatever_happens_unless_told() -> None:
    """Large takes 0.4 s at least; the SLA is 0.3 s."""
    seen = observation([4] * 40)
    kept = ScaleOnly(PIPELINE, variants="high", sla_s=0.3).decide(seen, NOTHING)
    assert (chosen(kept.configuration), kept.rung, kept.feasible) == (LARGE_ONES, "sla-excess", False)
    told = ScaleOnly(PIPELINE, variants="high", sla_s=0.3, keep_variants=False)
    assert told.decide(seen, NOTHING).rung == "no-accuracy"


def test_published_candidates_limit_ipa_and_not_the_variants_of_scale_only() -> None:
    """At 4 rps one replica of large (5 rps) will do and is the more accurate, but small is the only candidate of a."""
    limited = replace(PIPELINE, defaults=replace(PIPELINE.defaults, candidates={"a": ("small",)}))
    seen = observation([4] * 40)

    def variants_of(policy: Policy) -> list[str]:
        return [stage.variant for stage in policy.decide(seen, NOTHING).configuration.values()]

    assert variants_of(Ipa(limited)) == ["small", "large"]
    assert variants_of(Ipa(limited, candidates={})) == ["large", "large"]
    assert variants_of(ScaleOnly(limited, variants="high")) == ["large", "large"]
    with pytest.raises(PolicyError, match=r"variants\.a='large' is none of: small"):
        ScaleOnly(limited, variants="high", candidates={"a": ["small"]})


def test_where_nothing_is_given_low_is_the_lightest_and_high_the_most_accurate() -> None:
    plain = two_by_two()
    assert ScaleOnly(plain).variants == {"a": "small", "b": "small"}
    assert ScaleOnly(plain, variants="high").variants == {"a": "large", "b": "large"}
    assert lightest(profiles.load("video").stages[0]) == "yolov5n"


def test_switch_only_switches_on_its_replicas() -> None:
    """Two replicas each: at 10 rps large serves, at 24 rps small with batch 2 alone."""
    policy = SwitchOnly(PIPELINE, predictor="reactive")
    low = policy.decide(observation([10] * 10), NOTHING)
    high = policy.decide(observation([24] * 10), NOTHING)
    assert chosen(low.configuration) == {"a": ("large", 1, 2), "b": ("large", 1, 2)}
    assert chosen(high.configuration) == {"a": ("small", 2, 2), "b": ("small", 2, 2)}


def test_switch_only_has_the_replicas_of_the_pipeline_s_rule() -> None:
    """At 30 rps, three replicas of small: 12.5 rps each."""
    assert SwitchOnly(two_by_two()).replicas == {"a": 3, "b": 3}


def test_static_is_the_best_plan_for_the_busiest_minute_or_a_load_or_what_is_given() -> None:
    """10 rps in the busiest minute and a margin of a fifth: what IPA plans at 12 rps."""
    made = two_by_two(published(load_margin=0.2))
    seen = replace(observation([400] * 10), peak_rps=10.0)
    best = solve(Problem(Programme.of(made), 12.0)).configuration
    decision = Static(made).decide(seen, NOTHING)
    assert (decision.configuration, decision.planned_load_rps) == (best, 12.0)
    assert decision.notes == ("the best plan for the load's busiest minute, 10 rps, known beforehand",)
    asked = Static(made, planned_load_rps=12.0)
    assert asked.decide(observation([400] * 10), NOTHING).configuration == best
    assert [knows_future(policy) for policy in (Static(made), asked)] == [True, False]
    with pytest.raises(PolicyError, match=r"busiest minute, which only a simulation knows; .*static:3,2"):
        Static(made).decide(observation([400] * 10), NOTHING)
    assert Static(PIPELINE, replicas={"a": 1, "b": 1}).decide(seen, NOTHING).configuration == SMALL_ONES
    given: dict[str, dict[str, object]] = {
        "a": {"variant": "large", "batch": 2, "replicas": 3},
        "b": {"variant": "small"},
    }
    decision = Static(PIPELINE, configuration=given, planned_load_rps=4.0).decide(seen, NOTHING)
    assert chosen(decision.configuration) == {"a": ("large", 2, 3), "b": ("small", 1, 1)}
    assert decision.configuration["a"].batch_timeout_s == 0.25
    assert decision.objective is not None
    assert decision.objective["cost_cores"] == 7.0


def test_static_says_when_it_is_above_the_core_limit() -> None:
    decision = Static(PIPELINE, replicas={"a": 1, "b": 1}).decide(observation([4], limit_cores=1), NOTHING)
    assert (decision.feasible, decision.binding) == (False, "cores")
    assert decision.notes == ("takes 2 cores; limit: 1",)


@pytest.mark.parametrize("name", ["ipa", "scale-only:high", "switch-only", "static"])
def test_policies_are_pure_and_described(name: str) -> None:
    policy = create(name, PIPELINE)
    seen = replace(observation([4, 9, 2, 7] * 10), peak_rps=9.0)
    before = json.dumps(describe(policy))
    assert policy.decide(seen, NOTHING) == policy.decide(seen, NOTHING)
    assert json.dumps(describe(policy)) == before


def test_described_parameters_make_the_same_policy() -> None:
    first = create("scale-only:high", PIPELINE, {"beta": 0.5, "predictor": "max"})
    described = describe(first)
    second = create(described["name"], PIPELINE, described["parameters"])
    assert describe(second) == described
    assert described["parameters"]["predictor"] == {
        "name": "max",
        "windows": 12,
        "window_s": 10,
        "of": "max",
    }


# Published decisions, with the shipped profile of video: (planned load) -> variants and cores.
VIDEO = profiles.load("video")


@pytest.mark.parametrize(
    ("load_rps", "expected", "cores"),
    [
        (7.0, ("yolov5n", "resnet50"), 2),
        (32.0, ("yolov5n", "resnet18"), 5),
    ],
)
def test_ipa_decides_as_published_on_video(load_rps: float, expected: tuple[str, str], cores: int) -> None:
    """Seen most: steady-low yolov5n + resnet50 on 2 cores, steady-high yolov5n + resnet18 on 5."""
    policy = Ipa(VIDEO, predictor={"name": "mean", "factor": 1.0})
    at_hand = lightest_configuration(VIDEO)
    decision = policy.decide(observation([load_rps] * 40, at_hand=at_hand), NOTHING)
    assert tuple(stage.variant for stage in decision.configuration.values()) == expected
    assert sum(stage.total_cores for stage in decision.configuration.values()) == cores
