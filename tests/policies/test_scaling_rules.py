"""How fast an HPA may change, with numbers to check by hand."""

from __future__ import annotations

import pytest

from ipa.policies import Hpa, PolicyError
from ipa.policies.scaling_rules import DOWN, UP, Pace, ScalingRule, allowed, parse_rules, remembered, stabilised
from tests.tiny import published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
FREE = Pace(0.0, (ScalingRule(15.0, percent=1e6),))


def pods(count: int, period_s: float = 60.0) -> ScalingRule:
    return ScalingRule(period_s, pods=count)


def percent(share: float, period_s: float = 60.0) -> ScalingRule:
    return ScalingRule(period_s, percent=share)


@pytest.mark.parametrize(("select", "up", "down"), [("max", 20, 5), ("min", 14, 6), ("disabled", 10, 10)])
def test_of_several_rules_the_one_that_allows_most_or_least_holds(select: str, up: int, down: int) -> None:
    """From 10: 4 pods or 100 % up: 14 or 20; 4 pods or 50 % down: 6 or 5."""
    upwards = Pace(0.0, (pods(4), percent(100)), select)
    downwards = Pace(0.0, (pods(4), percent(50)), select)
    assert allowed(10, 99, [], 0.0, upwards, downwards) == up
    assert allowed(10, 1, [], 0.0, upwards, downwards) == down


def test_a_percentage_is_rounded_so_that_a_change_is_possible() -> None:
    """10 % of 5 is half a replica: 6 up (ceil 5.5), 4 down (floor 4.5)."""
    tenth = Pace(0.0, (percent(10),))
    assert allowed(5, 9, [], 0.0, tenth, tenth) == 6
    assert allowed(5, 1, [], 0.0, tenth, tenth) == 4


def test_a_period_begins_without_what_was_added_in_it_and_with_what_was_removed() -> None:
    """12 now, 4 of them added 30 s ago: 8 at the start of the minute, so 4 pods allow 12 and 100 % allow 16; 20 s ago
    it had removed 2: 10 at the start, so 14 and 20. What is a minute old counts no more."""
    changes = [(0.0, 9), (30.0, 4)]
    assert allowed(12, 99, changes, 60.0, Pace(0.0, (pods(4),)), FREE) == 12
    assert allowed(12, 99, changes, 60.0, Pace(0.0, (percent(100),)), FREE) == 16
    assert allowed(12, 99, [*changes, (40.0, -2)], 60.0, Pace(0.0, (pods(4),)), FREE) == 14
    assert allowed(12, 99, [*changes, (40.0, -2)], 60.0, Pace(0.0, (percent(100),)), FREE) == 20


def test_rules_that_are_used_up_change_nothing() -> None:
    """Never the other way: from 12 with 9 added in the period, 4 pods would allow 7."""
    assert allowed(12, 99, [(50.0, 9)], 60.0, Pace(0.0, (pods(4),)), FREE) == 12
    assert allowed(12, 1, [(50.0, -9)], 60.0, FREE, Pace(0.0, (pods(4),))) == 12


def test_windows_wait_for_the_lowest_upwards_and_for_the_highest_downwards() -> None:
    up, down = Pace(60.0, UP), Pace(300.0, DOWN)
    assert stabilised(10, 20, [(0.0, 12), (50.0, 14)], 59.0, up, down) == 12
    assert stabilised(10, 20, [(0.0, 12), (50.0, 14)], 60.0, up, down) == 14
    assert stabilised(10, 4, [(0.0, 12), (100.0, 7)], 299.0, up, down) == 10
    assert stabilised(10, 4, [(0.0, 12), (100.0, 7)], 300.0, up, down) == 7


def test_changes_are_remembered_as_long_as_a_rule_needs_them() -> None:
    changes = remembered([(0.0, 1), (50.0, -1)], 60.0, 3, Pace(0.0, (pods(1, 15),)), Pace(0.0, (pods(1, 60),)))
    assert changes == [(50.0, -1), (60.0, 3)]
    assert remembered([], 0.0, 0, FREE, FREE) == []


def test_what_a_parameter_gives_is_what_is_described() -> None:
    rules = [{"pods": 2, "period_s": 30.0}, {"percent": 10.0, "period_s": 60.0}]
    policy = Hpa(PIPELINE, scale_up_rules=rules)
    assert policy.parameters["scale_up_rules"] == rules
    assert policy.parameters["scale_down_rules"] == [{"percent": 100.0, "period_s": 15.0}]


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("fast", r"scale_up_rules='fast' must be a list of rules such as \{pods: 4, period_s: 15\}"),
        ([], "must be a list of rules"),
        ([4], r"scale_up_rules\[0\]=4 must be a mapping"),
        ([{"period_s": 15}], "must have either pods or percent"),
        ([{"pods": 1, "percent": 1}], "must have either pods or percent"),
        ([{"pod": 1}], r"unknown key 'pod' of scale_up_rules\[0\] \(did you mean 'pods'\?\)"),
        ([{"pods": 0}], r"scale_up_rules\[0\]\.pods=0 must be a whole number of at least 1"),
        (
            [{"percent": 5}, {"pods": 1, "period_s": 1801}],
            r"scale_up_rules\[1\]\.period_s=1801 must be .* at most 1800",
        ),
    ],
)
def test_wrong_rules_are_refused_by_name(rules: object, message: str) -> None:
    with pytest.raises(PolicyError, match=message):
        parse_rules("scale_up_rules", rules, UP)


def test_an_external_utilisation_is_refused() -> None:
    with pytest.raises(PolicyError, match="external=True: a utilisation is each replica's own"):
        Hpa(PIPELINE, external=True)
