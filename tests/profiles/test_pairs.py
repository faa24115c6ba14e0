"""Accuracies of pairs: what a file may say of two variants together, and what then follows from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ipa import profiles
from ipa.policies import PolicyError
from ipa.policies.optimiser import Problem, Programme, explain_problem, solve
from ipa.profiles import Defaults, ProfileError
from tests.tiny import two_by_two

MEASURED = {"small": {"small": 0.7, "large": 0.75}, "large": {"small": 0.71, "large": 0.72}}
"""By the product, large and large is best (0.72), small and large is 0.45; measured together, the latter is best."""


def paired(defaults: Defaults | None = None) -> profiles.Pipeline:
    return replace(two_by_two(defaults or Defaults(alpha=10.0, load_margin=0.0)), pair_accuracies=MEASURED)


def test_the_accuracy_of_a_pair_is_the_measured_one_and_else_the_product() -> None:
    assert two_by_two().accuracy_of(["small", "large"]) == 0.5 * 0.9
    assert paired().accuracy_of(["small", "large"]) == 0.75


def test_the_optimiser_takes_the_pair_that_is_best_together_and_not_by_the_product() -> None:
    """Without a limit: by the product large, large; measured, small, large, which also costs less."""
    found = {
        accuracy: solve(Problem(Programme.of(paired(), accuracy=accuracy, alpha=1000.0), 1.0))
        for accuracy in ("product", "pairs")
    }
    chosen = {key: [each.variant for each in one.configuration.values()] for key, one in found.items()}
    assert chosen == {"product": ["large", "large"], "pairs": ["small", "large"]}
    assert found["pairs"].objective["accuracy"] == 0.75
    assert [each.objective["pas"] for each in found.values()] == [0.72, 0.75]


def test_an_explanation_shows_values_of_pairs_and_calls_no_other_variant_dominated() -> None:
    said = explain_problem(Problem(Programme.of(paired(), accuracy="pairs", alpha=10.0, gamma=0.0), 1.0))
    first = {(each.variant, each.batch): each for each in said.options["a"]}
    assert first["small", 1].chosen
    assert first["large", 1].value == pytest.approx(10 * 0.71 - 3)
    assert first["small", 1].value == pytest.approx(10 * 0.70 - 2)
    assert not first["large", 1].dominated


def test_what_pairs_cannot_be_is_refused() -> None:
    with pytest.raises(PolicyError, match="tiny has no pair_accuracies; allowed: product, sum, average"):
        Programme.of(two_by_two(), accuracy="pairs")
    with pytest.raises(PolicyError, match="accuracy_scale='rank': with accuracy='pairs' allowed: raw"):
        Programme.of(paired(), accuracy="pairs", accuracy_scale="rank")
    one_missing = {"small": {"small": 0.7}, "large": MEASURED["large"]}
    with pytest.raises(ProfileError, match=r"pair_accuracies\.small: the variant 'large' is missing"):
        replace(two_by_two(), pair_accuracies=one_missing)


FILE = """\
pair_accuracies:
  from: together
  values:
    small: {small: 0.7, large: 0.75}
    large: {small: 0.71, large: 0.72}
"""


def file_of(folder: Path, pairs: str = FILE) -> Path:
    """A file of `two_by_two`, with accuracies of pairs."""
    path = folder / "tiny.yaml"
    path.write_text(HEAD + "".join(map(stage, (("sort", 0.5, 0.8), ("answer", 0.6, 0.9)))) + pairs)
    return path


HEAD = """\
schema_version: 1
kind: pipeline
name: tiny
description: sorts, then answers
provenance:
  alone: {kind: measured, source: each stage alone}
  together: {kind: measured, source: both at once}
stages:
"""


def stage(given: tuple[str, float, float]) -> str:
    name, *accuracies = given
    variants = "".join(
        f"""\
      - name: {variant}
        accuracy: {{value: {accuracy}, from: alone}}
        figures:
          - {{cores: {cores}, batch: 1, mean_s: {mean_s}, p99_s: {mean_s}, throughput_rps: {1 / mean_s}, from: alone}}
"""
        for variant, accuracy, cores, mean_s in zip(("small", "large"), accuracies, (1, 2), (0.1, 0.2), strict=True)
    )
    return f"""\
  - name: {name}
    task: something
    accuracy_metric: share that is right
    variants:
{variants}"""


def test_a_file_with_pairs_counts_them_unless_it_says_otherwise(tmp_path: Path) -> None:
    loaded = profiles.load(file_of(tmp_path))
    assert loaded.pair_accuracies == MEASURED
    assert loaded.pair_accuracies_from == "together"
    assert loaded.defaults.accuracy == "pairs"
    assert loaded.defaults.scale_only["high"] == {"sort": "small", "answer": "large"}
    assert profiles.load(file_of(tmp_path, FILE + "defaults: {accuracy: product}\n")).defaults.accuracy == "product"


@pytest.mark.parametrize(
    ("old", "new", "answer"),
    [
        ("small: 0.7,", "smal: 0.7,", "pair_accuracies.values.small.smal: no variant is called 'smal'; did you mean"),
        ("large: 0.75}", "large: 1.75}", "pair_accuracies.values.small.large: should be at most 1"),
        ("    large: {small: 0.71, large: 0.72}\n", "", "pair_accuracies.values: the variant 'large' is missing"),
        ("from: together", "from: togethr", "pair_accuracies.from: no provenance is called 'togethr'; did you mean"),
    ],
)
def test_a_mistake_in_pairs_is_answered_by_its_place(tmp_path: Path, old: str, new: str, answer: str) -> None:
    with pytest.raises(ProfileError) as refused:
        profiles.load(file_of(tmp_path, FILE.replace(old, new)))
    assert answer in str(refused.value)
