"""Ranges of parameters: how they are written, and that each can be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipa import profiles
from ipa.policies import (
    POLICIES,
    RANGES,
    Choices,
    PolicyError,
    Range,
    create,
    create_predictor,
    parse_range,
    ranges_of,
    takes,
)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0:1", Range(0, 1)),
        ("0.1:100:log", Range(0.1, 100, None, True)),
        ("10:60:5", Range(10, 60, 5)),
        ("-1:0.5:0.25", Range(-1, 0.5, 0.25)),
        ("1,2,4", Choices((1, 2, 4))),
        ("p99, mean", Choices(("p99", "mean"))),
        ("mean,{name: max, windows: 3}", Choices(("mean", {"name": "max", "windows": 3}))),
    ],
)
def test_a_range_is_written_in_one_line(text: str, meant: Range | Choices) -> None:
    assert parse_range(text) == meant


def test_only_a_range_of_whole_numbers_in_whole_steps_means_whole_numbers() -> None:
    def whole(text: str) -> bool:
        found = parse_range(text)
        assert isinstance(found, Range)
        return found.is_whole

    assert [whole(text) for text in ("1:9:2", "1:9", "1:9:0.5", "1.0:9:2")] == [True, False, False, False]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("5", "should be FROM:TO"),
        ("a:b", "should be FROM:TO"),
        ("0:inf", "should be FROM:TO"),
        ("0:1:2:3", "should be FROM:TO"),
        ("[:", "should be FROM:TO"),
        ("{a", "should be FROM:TO"),
        ("1:1", "should begin below its end"),
        ("0:1:log", "should begin above 0"),
        ("0:1:2", "step should be above 0 and at most 1"),
        ("a,b,a", "names a value twice"),
    ],
)
def test_anything_else_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(PolicyError, match=said):
        parse_range(text)


@pytest.mark.parametrize("policy", POLICIES)
def test_both_ends_of_every_range_are_values_that_a_policy_takes(policy: str) -> None:
    video = profiles.load("video")
    spec = {"scale-only": "scale-only:low", "static": "static:2"}.get(policy, policy)
    for name, text in ranges_of(spec).items():
        found = parse_range(text)
        for value in found.values if isinstance(found, Choices) else (found.low, found.high):
            create(spec, video, {name: value})


def test_every_range_is_of_a_parameter_that_some_policy_has() -> None:
    for name in RANGES:
        assert any(takes(policy, name) for policy in POLICIES), name
    predictors = parse_range(RANGES["predictor"])
    assert isinstance(predictors, Choices)
    for name in predictors.values:
        create_predictor(name)


def test_a_policy_of_a_file_says_its_own_ranges(tmp_path: Path) -> None:
    text = "class Mine:\n    ranges = {'level': '1:10:1'}\n    def __init__(self, pipeline, level=1): ...\n"
    file = tmp_path / "my.py"
    file.write_text(f"{text}    def decide(self, observation, memory): ...\n")
    assert ranges_of(f"{file}:Mine") == {"level": "1:10:1"}
    file.write_text("class Mine:\n    ranges = 5\n    def decide(self, observation, memory): ...\n")
    with pytest.raises(PolicyError, match="ranges is 5; allowed: a mapping"):
        ranges_of(f"{file}:Mine")
