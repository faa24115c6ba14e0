"""Configurations that mix variants within a stage: what they may be, who may decide them, and how files say them."""

from __future__ import annotations

from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from ipa.policies import (
    Bounds,
    Configuration,
    Controller,
    CoreLimit,
    Decision,
    Journal,
    Memory,
    Observation,
    PolicyError,
    StageConfiguration,
    check_configuration,
    create,
    mix_of,
    mixes,
)
from ipa.policies.optimiser import Programme
from ipa.policies.static import Static
from ipa.studies import Scenario, simulate
from tests.tiny import SMALL_ONES, observation, two_by_two

SMALL, LARGE = StageConfiguration("small", 1, 3, 0.0, 1), StageConfiguration("large", 2, 1, 0.5, 2)
PIPELINE = two_by_two()


def of(*shares: float) -> StageConfiguration:
    """Small and large with these shares."""
    return mix_of([replace(part, share=share) for part, share in zip((SMALL, LARGE), shares, strict=True)])


def with_a(stage: StageConfiguration) -> Configuration:
    return {**SMALL_ONES, "a": stage}


def test_one_variant_is_a_mix_of_itself() -> None:
    assert (SMALL.parts, SMALL.is_mix, SMALL.total_cores, SMALL.variants) == ((SMALL,), False, 3, "small")
    assert mix_of([SMALL]) == SMALL


def test_a_mix_has_the_cores_of_all_its_variants() -> None:
    mix = of(0.25, 0.75)
    assert (mix.is_mix, mix.total_cores, mix.variants) == (True, 5, "small + large")
    assert mix.parts == (replace(SMALL, share=0.25), replace(LARGE, share=0.75))


@pytest.mark.parametrize(
    ("wanted", "why"),
    [
        (of(0.5, 0.6), r"stage 'a': the shares of small, large add up to 1.1; allowed: 1"),
        (of(1.0, 0.0), r"share 0.0 of 'large'; allowed: above 0, at most 1"),
        (of(-0.5, 1.5), r"share -0.5 of 'small'"),
        (mix_of([replace(SMALL, share=0.5), replace(SMALL, share=0.5)]), r"small, small; allowed: each variant once"),
        (replace(SMALL, share=0.5), r"the shares of small add up to 0.5"),
        (mix_of([replace(SMALL, share=0.5), replace(LARGE, share=0.5, batch=9)]), r"batch 9; allowed for 'large'"),
        (mix_of([replace(SMALL, share=0.5), of(0.5, 0.5)]), r"allowed: the ipa.policies.StageConfiguration of one"),
        (replace(SMALL, beside=[LARGE]), r"beside .*; allowed: a tuple"),  # type: ignore[arg-type]
    ],
)
def test_an_impossible_mix_is_refused(wanted: StageConfiguration, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        check_configuration(PIPELINE, with_a(wanted))


def test_shares_that_add_up_but_for_rounding_are_accepted() -> None:
    check_configuration(PIPELINE, with_a(of(1 / 3, 2 / 3)))
    check_configuration(PIPELINE, with_a(of(0.333333, 0.666667)))


class Mixing:
    """Always the same mix."""

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(with_a(of(0.5, 0.5)), memory)


class SaysSo(Mixing):
    mixes = True


def test_a_mix_needs_a_policy_that_says_that_it_mixes() -> None:
    seen = observation()
    assert Controller(PIPELINE, SaysSo(), Journal()).decide(seen).configuration["a"].is_mix
    with pytest.raises(PolicyError, match="stage 'a': mixes small, large; allowed: for policies with the attribute"):
        Controller(PIPELINE, Mixing(), Journal()).decide(seen)


def test_any_policy_may_keep_a_mix_that_stands() -> None:
    """As a controller does that has taken over from another, and whose policy fails or is late."""
    standing = with_a(of(0.5, 0.5))
    assert Controller(PIPELINE, Mixing(), Journal()).decide(observation(at_hand=standing)).configuration == standing


def test_a_guarded_policy_mixes_if_the_policy_does() -> None:
    guarded: Any = CoreLimit(Bounds(SaysSo(), PIPELINE), PIPELINE)
    assert mixes(guarded)
    assert not mixes(CoreLimit(Bounds(Mixing(), PIPELINE), PIPELINE))


def test_a_core_limit_takes_replicas_from_all_variants_of_a_mix() -> None:
    """At 7 cores nothing goes; at 4, stage a keeps one small (1 core) and one large (2), stage b has its one."""
    guarded = CoreLimit(SaysSo(), PIPELINE)
    seven, four = (guarded.decide(observation(limit_cores=limit), {}).configuration["a"].parts for limit in (7, 4))
    assert [part.replicas for part in seven] == [3, 1]
    assert [part.replicas for part in four] == [1, 1]


def test_bounds_hold_for_all_variants_of_a_mix_together_and_each_keeps_a_replica() -> None:
    decided = Bounds(SaysSo(), PIPELINE, min_replicas=2, max_replicas=2).decide(observation(), {})
    assert [part.replicas for part in decided.configuration["a"].parts] == [1, 1]
    assert decided.notes == ("bounds: a small 3 -> 1 replicas", "bounds: b 1 -> 2 replicas")
    one = Bounds(SaysSo(), PIPELINE, max_replicas=1).decide(observation(), {})
    assert [part.replicas for part in one.configuration["a"].parts] == [1, 1]
    more = Bounds(SaysSo(), PIPELINE, min_replicas=6).decide(observation(), {})
    assert sum(part.replicas for part in more.configuration["a"].parts) == 6


# ---- static ----


def test_static_takes_a_mix_as_argument_and_as_configuration() -> None:
    said = create("static:small:1:3@0.25+large:2:1@0.75,small:1:1", PIPELINE)
    part = {"variant": "small", "replicas": 3, "share": 0.25}, {"variant": "large", "batch": 2, "share": 0.75}
    given = create("static", PIPELINE, {"configuration": {"a": {"mix": part}, "b": {"variant": "small"}}})
    assert isinstance(said, Static)
    assert isinstance(given, Static)
    assert said.configuration == given.configuration
    assert (said.mixes, create("static", PIPELINE).mixes) == (True, False)  # type: ignore[attr-defined]
    assert [each.share for each in said.configuration["a"].parts] == [0.25, 0.75]


@pytest.mark.parametrize(
    ("argument", "why"),
    [
        ("small:1:3@0.25+large:2:1,small:1:1", "must be variant:batch:replicas for each of: a, b"),
        ("small:1:3@x+large:2:1@1,small:1:1", "must be variant:batch:replicas"),
        ("small:1:3@0.25+large:2:1@0.5,small:1:1", "configuration.a: the shares of small, large add up to 0.75"),
        ("small:1:3@0.5+small:2:1@0.5,small:1:1", "configuration.a: a mix of small, small; allowed: each variant"),
    ],
)
def test_static_refuses_a_wrong_mix(argument: str, why: str) -> None:
    with pytest.raises(PolicyError, match=why):
        create(f"static:{argument}", PIPELINE)


def test_the_others_get_the_requests_of_a_variant_that_fails_to_start() -> None:
    static = create("static:small:1:3@0.25+large:2:1@0.75,small:1:1", PIPELINE)
    decided = static.decide(observation(failed={"a": ("large",)}), {})
    assert [(part.variant, part.share) for part in decided.configuration["a"].parts] == [("small", 1.0)]
    assert (decided.rung, decided.feasible) == ("no-accuracy", False)


def test_the_score_of_a_mix_is_the_mean_over_its_requests() -> None:
    programme = Programme.of(PIPELINE)
    shares = 0.25, 0.75
    of_each = [programme.score(with_a(replace(part, share=1.0))) for part in (SMALL, LARGE)]
    found = programme.score(with_a(of(*shares)))
    for name in ("accuracy", "pas", "batch"):
        assert found[name] == pytest.approx(sum(s * e[name] for s, e in zip(shares, of_each, strict=True)))
    assert found["cost_cores"] == 6.0


# ---- in runs ----

BESIDE = "interference: {measured: [{busy_cores: 1, factor: 1.2}, {busy_cores: 4, factor: 1.5}], from: tail}"


@pytest.fixture
def slowing(tmp_path: Path) -> Path:
    """The video pipeline with batches that take up to half as long again beside others."""
    shipped = Path(str(resources.files("ipa.profiles"))) / "library" / "video.yaml"
    file = tmp_path / "slowing.yaml"
    file.write_text(shipped.read_text().replace("        base_cores:", f"        {BESIDE}\n        base_cores:"))
    return file


@pytest.mark.parametrize(
    "keys",
    [
        {"drop": "deadline"},
        {"interference": "measured"},
        {"guards.hysteresis": 0.1, "guards.flap_budget": 2},
        {"drop": "deadline", "interference": "measured", "dispatch": "eager", "resize": "in_place", "hop_s": 0.01},
    ],
    ids=str,
)
def test_mixes_go_with_everything_else_and_both_engines_are_equal(keys: dict[str, Any], slowing: Path) -> None:
    """Loki mixes variants within eight cores, of which the load would need more."""
    values = {"window": "280:400", "policy": "loki", "limit_cores": 8, **keys}
    scenario = Scenario(pipeline=str(slowing)).with_values(values)
    one, other, without = (
        simulate(each)
        for each in (
            scenario.with_values({"engine": "simpy"}),
            scenario.with_values({"engine": "compiled"}),
            Scenario(pipeline=str(slowing)).with_values({key: values[key] for key in values.keys() - keys.keys()}),
        )
    )
    assert one.entries == other.entries
    assert any(each.is_mix for entry in one.entries for each in entry.decision.configuration.values())
    for name, table in one.tables.items():
        assert table.equals(other.tables[name]), name
    assert not one.tables["requests"].equals(without.tables["requests"])
