"""Whether one profile is slower than another: by more than a threshold, and by more than chance."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from ipa.profiles.profiled import profiled_pipeline
from ipa.studies.runs.profiling import changes
from ipa.studies.runs.profiling.figures import FigureChange
from tests.command import PIPELINE, answer, ipa, refusal

pytestmark = pytest.mark.usefixtures("elsewhere")


def with_first(mean_s: float, within: str = ", within: {mean: 0.03, p99: 0.06}") -> str:
    """The pipeline with another mean, and throughput, at batch 1."""
    old = "batch: 1, mean_s: 0.1, p99_s: 0.1, throughput_rps: 10, from: guess"
    new = f"batch: 1, mean_s: {mean_s}, p99_s: 0.2, throughput_rps: {0.99 / mean_s:.4g}, from: guess{within}"
    return PIPELINE.replace(old, new).replace("mean_s: 0.15, p99_s: 0.15", "mean_s: 0.16, p99_s: 0.2")


def verdicts(before: str, after: str, threshold: float = 0.05) -> dict[str, str]:
    """What is said of batch 1."""
    found = changes(profiled_pipeline(before, "a"), profiled_pipeline(after, "b"), threshold)
    return {each.what: each.verdict for each in found if each.batch == 1}


def test_a_change_counts_above_the_threshold_and_above_chance() -> None:
    """Two intervals of 3 % leave a ratio within 4.2 %."""
    assert verdicts(with_first(0.1), with_first(0.11)) == {
        "mean_s": "worse",
        "p99_s": "same",
        "throughput_rps": "worse",
    }
    assert verdicts(with_first(0.11), with_first(0.1))["mean_s"] == "better"
    assert verdicts(with_first(0.1), with_first(0.104))["mean_s"] == "same"
    assert verdicts(with_first(0.1), with_first(0.104), threshold=0.01)["mean_s"] == "unsure"
    assert verdicts(with_first(0.1), with_first(0.105), threshold=0.01)["mean_s"] == "worse"


def test_without_intervals_no_change_is_sure() -> None:
    assert verdicts(with_first(0.1, within=""), with_first(0.15))["mean_s"] == "unsure"


def test_memory_and_start_up_are_compared_where_both_were_measured() -> None:
    before = PIPELINE.replace("base_cores:", "memory_mb: {value: 100, from: guess}\n        base_cores:")
    after = before.replace("value: 100", "value: 130").replace("seconds: 8", "seconds: 12")
    found = changes(profiled_pipeline(before, "a"), profiled_pipeline(after, "b"), 0.05)
    assert [each for each in found if each.cores is None] == [
        FigureChange("sort", "small", None, None, "start_up_s", 8.0, 12.0, None, "unsure"),
        FigureChange("sort", "small", None, None, "memory_mb", 100.0, 130.0, 0.0, "worse"),
    ]


def test_the_command_ends_with_1_if_something_became_worse(tmp_path: Path) -> None:
    before, after = tmp_path / "a.yaml", tmp_path / "b.yaml"
    before.write_text(with_first(0.1))
    after.write_text(with_first(0.12))
    result = ipa("profile", "compare", before, after)
    assert result.exit_code == 1
    assert "10 numbers: 2 worse, 0 better, 0 unsure, 1 same, 7 copied" in result.stdout
    assert re.search(r"\+20\.0 +4\.2 +worse", result.stdout)
    assert answer("profile", "compare", before, before, "--json")["counts"] == {"copied": 10}
    assert answer("profile", "compare", after, before, "--json")["counts"]["better"] == 2


def test_what_another_profile_was_made_of_is_copied_and_not_the_same(tmp_path: Path) -> None:
    """The same numbers measured twice are the same; taken over with their provenance, they are copied."""
    again = PIPELINE.replace("why: for a test}\nstages", "why: for another test}\nstages")
    found = {each.verdict for each in changes(profiled_pipeline(PIPELINE, "a"), profiled_pipeline(again, "b"), 0.05)}
    assert found == {"same"}
    found = {each.verdict for each in changes(profiled_pipeline(PIPELINE, "a"), profiled_pipeline(PIPELINE, "b"), 0.05)}
    assert found == {"copied"}


def test_a_machine_that_was_busy_when_it_measured_is_said(tmp_path: Path) -> None:
    before, after = tmp_path / "a.yaml", tmp_path / "b.yaml"
    before.write_text(PIPELINE)
    busy = "ipa profile run, on a machine; others used up to 81 % of the machine; its host took up to 7 %; a.jsonl"
    after.write_text(
        PIPELINE.replace("{kind: assumed, why: for a test}\nst", f'{{kind: measured, source: "{busy}"}}\nst')
    )
    result = ipa("profile", "compare", before, after)
    assert result.stderr.splitlines() == [
        f"Warning: {after}: others used up to 81 % of the machine while it was measured",
        f"Warning: {after}: its host took up to 7 % while it was measured",
    ]
    found = json.loads(ipa("profile", "compare", before, after, "--json").stdout)
    assert found["warnings"][0] == f"{after}: others used up to 81 % of the machine"


def test_pipelines_with_nothing_in_common_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(PIPELINE)
    assert "have no figures in common" in refusal("profile", "compare", tmp_path / "a.yaml", "video")
