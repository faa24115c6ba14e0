"""What a pipeline leaves out is by rule: weights, baselines, start-ups, SLAs and base cores."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipa import profiles
from ipa.profiles import Defaults, Pipeline, ProfileError, default_rules
from tests.tiny import pipeline, two_by_two, variant

BARE = """\
schema_version: 1
kind: pipeline
name: bare
description: one stage
provenance:
  bench: {kind: measured, source: a bench}
stages:
  - name: only
    task: does it
    accuracy_metric: top-1
    variants:
      - name: small
        accuracy: {value: 0.5, from: bench}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.10, p99_s: 0.12, throughput_rps: 10, from: bench}
          - {cores: 2, batch: 1, mean_s: 0.05, p99_s: 0.06, throughput_rps: 20, from: bench}
      - name: large
        accuracy: {value: 0.9, from: bench}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.80, p99_s: 3.00, throughput_rps: 1, from: bench}
          - {cores: 2, batch: 1, mean_s: 0.25, p99_s: 0.30, throughput_rps: 4, from: bench}
"""


def loaded(tmp_path: Path, text: str) -> Pipeline:
    (tmp_path / "bare.yaml").write_text(text)
    return profiles.load(tmp_path / "bare.yaml")


def with_sla(seconds: str) -> str:
    return BARE.replace("    variants:", f"    sla: {{pinned_s: {seconds}, why: a wish}}\n    variants:")


def by_rule(**given: object) -> Defaults:
    """The defaults of `two_by_two`: small has 12.5 rps a core, large 3.125; accuracies 0.5 x 0.6 and 0.8 x 0.9."""
    return two_by_two(Defaults(**{"load_margin": 0.0, **given})).defaults  # type: ignore[arg-type]


# ---- the defaults ----


def test_alpha_makes_low_and_high_worth_the_same_at_the_load_it_is_made_for() -> None:
    """At 20 rps low takes 2 + 2 replicas of 1 core, high 4 + 4 of 2 cores: 12 cores more for 0.42 more accuracy."""
    made = two_by_two(Defaults(load_margin=0.0))
    alpha, ends = made.defaults.alpha, made.defaults.scale_only
    assert alpha == 28.6  # 12 / 0.42 = 28.57
    low, high = (
        alpha * default_rules.combined_accuracy(made, ends[end]) - default_rules.total_cores(made, ends[end], 20)
        for end in ("low", "high")
    )
    assert low == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize(
    ("given", "alpha"),
    [
        ({"beta": 0.5}, 14.3),  # half as much a core
        ({"beta": 0.0}, 28.6),  # accuracy alone is wanted: any weight will do
        ({"accuracy": "sum"}, 20.0),  # 12 / 0.6
        ({"accuracy": "average"}, 40.0),  # 12 / 0.3
        ({"accuracy_scale": "rank"}, 12.0),  # 12 / (1 x 1 - 0 x 0)
        ({"accuracy_scale": "rank", "accuracy_floor": 0.5}, 16.0),  # 12 / (1 - 0.25)
        ({"load_rps": 40.0}, 47.6),  # low 4 + 4 cores, high 7 x 2 + 7 x 2: 20 / 0.42
        ({"load_margin": 0.3}, 33.3),  # 26 rps: low 3 + 3, high 5 x 2 + 5 x 2: 14 / 0.42
        ({"throughput_share": 0.5}, 47.6),  # as at 40 rps
        ({"batch_cap": 1}, 28.6),  # 10 and 5 rps: low 2 + 2, high 4 x 2 + 4 x 2
        ({"alpha": 3.0}, 3.0),
        ({"scale_only": {"high": {"a": "small", "b": "large"}}}, 40.0),  # 6 cores for 0.15
    ],
)
def test_alpha_follows_what_is_given(given: dict[str, object], alpha: float) -> None:
    assert by_rule(**given).alpha == alpha


def test_the_baselines_are_the_lightest_and_the_most_accurate_within_the_sla() -> None:
    defaults = by_rule()
    assert defaults.scale_only == {"low": {"a": "small", "b": "small"}, "high": {"a": "large", "b": "large"}}
    assert defaults.switch_only_replicas == {"a": 3, "b": 3}  # 30 rps / 12.5
    assert defaults.by_rule == ("scale_only.low", "scale_only.high", "alpha", "switch_only_replicas")
    first, second = two_by_two().stages
    with_best = replace(first, variants=(*first.variants, variant("best", 0.99, 4, {1: 0.6})))
    slow = Pipeline("slow", "", (with_best, second))
    assert slow.defaults.scale_only["high"] == {"a": "large", "b": "large"}  # 0.6 s is above the stage's 0.5 s


def test_of_variants_that_nobody_has_measured_the_quickest_is_the_lightest_whatever_its_name() -> None:
    large, small = variant("large", 1.0, 1, {1: 0.3}), variant("small", 1.0, 1, {1: 0.1})
    assert pipeline([large, small], published=Defaults()).defaults.scale_only == {
        "low": {"a": "small"}, "high": {"a": "small"}
    }  # fmt: skip


def test_where_nothing_can_be_weighed_alpha_is_one() -> None:
    only = [variant("only", 0.7, 1, {1: 0.1})]
    assert pipeline(only, published=Defaults()).defaults.alpha == 1.0


def test_better_for_fewer_cores_still_counts_as_a_core() -> None:
    """The lightest variant is slow: at 24 rps it takes 24 cores, the better one 2 x 2."""
    slow, quick = variant("slow", 0.5, 1, {1: 1.0}), variant("quick", 0.75, 2, {1: 0.05})
    made = pipeline([slow, quick], sla_s=2.0, published=Defaults())
    assert made.defaults.alpha == 4.0  # 1 core / 0.25


def test_what_is_given_stays_and_nothing_is_by_rule_twice() -> None:
    made = two_by_two(Defaults(load_margin=0.0))
    assert default_rules.complete(made) == made.defaults
    assert default_rules.complete(made).by_rule == made.defaults.by_rule
    for shipped in map(profiles.load, profiles.names()):
        assert shipped.defaults.by_rule == () or shipped.graph is not None or shipped.has_language_models


def test_every_shipped_pipeline_can_do_without_its_defaults() -> None:
    for name in profiles.names():
        shipped = profiles.load(name)
        stages = shipped.stages
        defaults = Pipeline(name, "", stages, graph=shipped.graph).defaults
        assert defaults.alpha is not None
        assert defaults.alpha > 1 or all(len({v.accuracy for v in stage.variants}) == 1 for stage in stages)
        for stage in stages:
            high = stage.variant(defaults.scale_only["high"][stage.name])
            assert high.accuracy == max(variant.accuracy for variant in stage.variants)


# ---- files ----


def test_a_bare_file_gets_everything_by_rule(tmp_path: Path) -> None:
    """SLA 25 x (0.06 + 0.3) / 2 = 4.5 s; both variants keep it on one core, where the slower has 1 rps."""
    bare = loaded(tmp_path, BARE)
    only = bare.stages[0]
    assert only.sla_s == pytest.approx(4.5)
    assert [(each.name, each.base_cores, each.start_up_s) for each in only.variants] == [
        ("small", 1, 8.0),
        ("large", 1, 8.0),
    ]
    assert only.threshold_rps == 1.0
    assert [only.base_cores_rule(each.name) for each in only.variants] == [1, 1]
    assert bare.defaults.alpha == 52.5  # at 24 rps 3 and 24 cores: 21 / 0.4
    assert bare.defaults.load_margin == 0.2
    assert set(bare.defaults.by_rule) > {"alpha", "beta", "load_margin", "scale_only.low", "switch_only_replicas"}


def test_without_a_threshold_base_cores_are_the_fewest_that_keep_the_sla(tmp_path: Path) -> None:
    """With 1 s, large needs two cores; small carries at least as much as those, 4 rps, on one."""
    only = loaded(tmp_path, with_sla("1")).stages[0]
    assert [each.base_cores for each in only.variants] == [1, 2]
    assert only.threshold_rps == 4.0


def test_a_variant_that_never_keeps_the_sla_is_answered_with_its_place(tmp_path: Path) -> None:
    answer = r"bare.yaml:18: .*\[large\]: the rule finds no allocation with p99_s at most 0.2"
    with pytest.raises(ProfileError, match=answer):
        loaded(tmp_path, with_sla("0.2"))


@pytest.mark.parametrize("key", ["defaults", "published"])
def test_any_single_default_may_be_given(tmp_path: Path, key: str) -> None:
    free = loaded(tmp_path, BARE).defaults
    for name, text in {
        "load_rps": "5", "alpha": "7", "beta": "2", "gamma": "0", "accuracy": "sum", "accuracy_scale": "rank",
        "accuracy_floor": "0.1", "batch_cap": "1", "load_margin": "0", "throughput_share": "0.5",
        "candidates": "{only: [small]}", "scale_only": "{high: {only: small}}", "switch_only_replicas": "{only: 5}",
    }.items():  # fmt: skip
        defaults = loaded(tmp_path, f"{BARE}{key}:\n  {name}: {text}\n").defaults
        assert getattr(defaults, name) != getattr(free, name), name
        assert name not in defaults.by_rule


@pytest.mark.parametrize(
    ("section", "answer"),
    [
        ("defaults: {alpha: 1}\npublished: {alpha: 1}\n", ":23: published: `defaults` are given as well"),
        ("defaults: {alhpa: 1}\n", ":22: defaults.alhpa: unknown key; did you mean 'alpha'"),
        ("defaults: {beta: }\n", ":22: defaults.beta: should be a number; given nothing"),
        ("defaults: {load_rps: 0}\n", ":22: defaults.load_rps: should be above 0; given 0"),
        ("defaults: {scale_only: {high: {only: lagre}}}\n", ":22: defaults.scale_only.high.only: only has no variant"),
    ],
)
def test_a_wrong_default_is_answered_with_its_place(tmp_path: Path, section: str, answer: str) -> None:
    with pytest.raises(ProfileError) as caught:
        loaded(tmp_path, BARE + section)
    assert f"bare.yaml{answer}" in str(caught.value)


def test_an_empty_section_is_none(tmp_path: Path) -> None:
    assert loaded(tmp_path, BARE + "defaults:\n  # alpha: 3\n") == loaded(tmp_path, BARE)
