"""Axes: keys with their values, from the command line or from Python."""

from __future__ import annotations

from typing import Any

import pytest

from ipa.studies.many.sweeps import sample
from ipa.studies.scenario import ScenarioError


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("policy.alpha=0.5,1,2", (0.5, 1, 2)),
        ("policy=ipa,rate,scale-only:low", ("ipa", "rate", "scale-only:low")),
        ('policy="static:a:1:2,b:1:1",ipa', ("static:a:1:2,b:1:1", "ipa")),
        ("policy.load_margin=0:0.3:0.1", (0.0, 0.1, 0.2, 0.3)),
        ("history_s=60:200:60", (60, 120, 180)),
        ("policy.predictor=max,{name: ewma, weight: 0.5}", ("max", {"name": "ewma", "weight": 0.5})),
        ("window=0:600,600:1200", ("0:600", "600:1200")),
        ("window=600:1200", ("600:1200",)),
        ("trace=constant:5:40,bursty", ("constant:5:40", "bursty")),
        ("limit_cores=null,12", (None, 12)),
    ],
)
def test_values_are_read_as_in_yaml_and_steps_are_exact(text: str, values: tuple[Any, ...]) -> None:
    """0.3 is the third step of 0.1, not 0.30000000000000004; whole steps make whole numbers."""
    axis = sample.parse_axis(text)
    assert axis.values == values
    assert [type(each) for each in axis.values] == [type(each) for each in values]


def test_between_two_ends_a_share_of_the_way_is_a_value() -> None:
    even, log = sample.parse_axis("policy.beta=1:100"), sample.parse_axis("policy.beta=1:100:log")
    assert [even.at(share) for share in (0.0, 0.5)] == [1.0, 50.5]
    assert [log.at(share) for share in (0.0, 0.5)] == [1.0, pytest.approx(10.0)]
    assert [sample.parse_axis("hop_s=0:0.2:0.1").at(share) for share in (0.0, 0.34, 0.99)] == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy.alpha", "should be KEY=VALUE,VALUE,... or KEY=FROM:TO:STEP"),
        ("=1", "should be KEY=VALUE"),
        ("hop_s=", "should be KEY=VALUE"),
        ("hop_s=0.2:0.1:0.1", "a range should end above its beginning"),
        ("hop_s=0:1:0", "the step should be above 0"),
        ("hop_s=0:1e9:1e-9", "at most 1,000,000 values"),
        ("hop_s=0:1:log", "should begin above 0"),
        ("hop_s=0.1,0.1", "hop_s: 0.1 is given twice"),
        ("hop_s=[", "hop_s: "),
    ],
)
def test_what_is_no_axis_is_said(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        sample.parse_axis(text)
    assert said in str(raised.value)


def test_in_python_values_are_a_sequence_or_a_text() -> None:
    assert sample.axis_of("hop_s", [0.0, 0.1]).values == (0.0, 0.1)
    assert sample.axis_of("hop_s", "0:0.1:0.1").values == (0.0, 0.1)
    with pytest.raises(ScenarioError, match="hop_s: needs at least one value"):
        sample.axis_of("hop_s", [])
