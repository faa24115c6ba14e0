"""Profiled figures in the text of a pipeline file: only they change, and the file stays valid."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipa.profiles import Figure, ProfiledVariant, ProfileError, Provenance, new_pipeline_text, profiled_text
from ipa.profiles.profiled import profiled_pipeline
from tests.command import PIPELINE

MEASURED = ProfiledVariant(
    "sort",
    "small",
    (Figure(1, 1, 0.2, 0.3, 5.0, "new", "new", "new", 0.01, 0.04), Figure(1, 2, 0.4, 0.6, 4.0, "new", "new", "law")),
    "new",
    start_up_s=1.5,
    memory_mb=80.5,
)
ORIGINS = {"new": Provenance("measured", "here, today"), "law": Provenance("interpolated", "by a law")}

COMMENTED = """\
# Mine.
schema_version: 1
kind: pipeline
name: mine
description: >-
  Two
  variants.
provenance:
  guess:  # a comment
    kind: assumed
    why: >-
      for
      a test
  kept: {kind: assumed, why: for the other}  # another

stages:
  # the only one
  - name: sort
    task: sorts
    accuracy_metric: share
    variants:
      - name: small
        # as the paper has it
        accuracy: {value: 0.8, from: kept}  # published
        figures:  # all guessed
          - {cores: 1, batch: 1, mean_s: 0.1, p99_s: 0.1, throughput_rps: 10, from: guess}
          # a comment that goes with its figures
          - {cores: 1, batch: 2, mean_s: 0.15, p99_s: 0.15, throughput_rps: 12, from: guess}

      # the second
      - name: large
        accuracy: {value: 0.9, from: kept}
        start_up: {seconds: 3, from: kept}
        figures:
        - {cores: 1, batch: 1, mean_s: 0.3, p99_s: 0.3, throughput_rps: 3, from: kept}
defaults: {load_rps: 3}  # few
"""

REPLACED = """\
# Mine.
schema_version: 1
kind: pipeline
name: mine
description: >-
  Two
  variants.
provenance:
  kept: {kind: assumed, why: for the other}  # another
  new:
    kind: measured
    source: >-
      here, today
  law:
    kind: interpolated
    law: >-
      by a law

stages:
  # the only one
  - name: sort
    task: sorts
    accuracy_metric: share
    variants:
      - name: small
        # as the paper has it
        accuracy: {value: 0.8, from: kept}  # published
        start_up: {seconds: 1.5, from: new}
        memory_mb: {value: 80.5, from: new}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.2, p99_s: 0.3, throughput_rps: 5.0, from: new, \
within: {mean: 0.0100, p99: 0.0400}}
          - {cores: 1, batch: 2, mean_s: 0.4, p99_s: 0.6, throughput_rps: 4.0, from: \
{mean: new, p99: new, throughput: law}}

      # the second
      - name: large
        accuracy: {value: 0.9, from: kept}
        start_up: {seconds: 3, from: kept}
        figures:
        - {cores: 1, batch: 1, mean_s: 0.3, p99_s: 0.3, throughput_rps: 3, from: kept}
defaults: {load_rps: 3}  # few
"""


def test_only_the_figures_change_and_what_nothing_comes_from_goes() -> None:
    assert profiled_text(COMMENTED, "mine.yaml", [MEASURED], ORIGINS) == REPLACED


def test_what_was_measured_is_what_the_pipeline_has() -> None:
    """Written over figures of its own, too, and in a file whose mappings are in braces."""
    once = profiled_text(PIPELINE, "mine.yaml", [MEASURED], ORIGINS)
    again = replace(MEASURED, start_up_s=2.5, memory_mb=None)
    twice = profiled_text(once, "mine.yaml", [again], {})
    variant = profiled_pipeline(twice, "mine.yaml").stage("sort").variant("small")
    assert variant.figures == MEASURED.figures
    assert (variant.start_up_s, variant.memory_mb) == (2.5, 80.5)


def test_a_new_file_has_all_variants_and_says_that_no_accuracy_was_measured() -> None:
    other = replace(MEASURED, stage="name", variant="only")
    text = new_pipeline_text("mine", "two stages", [MEASURED, replace(MEASURED, variant="large"), other], ORIGINS)
    pipeline = profiled_pipeline(text, "mine.yaml")
    found = {stage.name: [variant.name for variant in stage.variants] for stage in pipeline.stages}
    assert found == {"sort": ["small", "large"], "name": ["only"]}
    accuracies = {variant.accuracy_from for stage in pipeline.stages for variant in stage.variants}
    assert accuracies == {"not-measured"}
    assert pipeline.provenance["not-measured"].kind == "assumed"


def test_figures_that_make_the_file_invalid_are_refused() -> None:
    """Its base cores are pinned to 1; these figures are of 2."""
    on_two = replace(MEASURED, figures=tuple(replace(each, cores=2) for each in MEASURED.figures))
    with pytest.raises(ProfileError, match=r"base_cores\.pinned: should be a profiled allocation: 2; given 1"):
        profiled_text(PIPELINE, "mine.yaml", [on_two], ORIGINS)
