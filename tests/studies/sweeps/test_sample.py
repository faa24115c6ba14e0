"""The points of a sweep: combinations, lists, draws, and conditions on them."""

from __future__ import annotations

from typing import Any

import pytest

from ipa.studies import Scenario
from ipa.studies.many.sweeps import conditions, sample
from ipa.studies.many.sweeps.sample import Branch, Space
from ipa.studies.scenario.errors import ScenarioError

BASE = Scenario(pipeline="video").as_dict()


def space(*vary: str, when: tuple[str, ...] = (), where: tuple[str, ...] = (), **options: Any) -> Space:
    branches = [Branch(sample.parse_axis(text)) for text in vary]
    for text in when:
        condition, _, axis = text.partition(": ")
        branches.append(Branch(sample.parse_axis(axis), conditions.parse(condition)))
    return Space(tuple(branches), tuple(map(conditions.parse, where)), **options)


def test_a_grid_is_every_combination_and_later_keys_vary_fastest() -> None:
    points = list(space("hop_s=0,0.1", "limit_cores=10,20").values(BASE))
    assert [tuple(each.values()) for each in points] == [(0, 10), (0, 20), (0.1, 10), (0.1, 20)]


def test_a_key_is_varied_only_where_its_condition_holds() -> None:
    """`rate` has no alpha: two points of ipa, one of rate."""
    points = list(space("policy=ipa,rate", when=("policy==ipa: policy.alpha=1,2",)).values(BASE))
    assert points == [
        {"policy": "ipa", "policy.alpha": 1},
        {"policy": "ipa", "policy.alpha": 2},
        {"policy": "rate"},
    ]


def test_each_policy_has_its_own_values_of_one_key() -> None:
    when = ("policy==ipa: policy.load_margin=0,0.1", "policy!=ipa: policy.load_margin=0.5")
    points = list(space("policy=ipa,rate", when=when).values(BASE))
    assert [tuple(each.values()) for each in points] == [("ipa", 0), ("ipa", 0.1), ("rate", 0.5)]


def test_points_that_a_condition_excludes_are_left_out() -> None:
    given = space(
        "guards.min_replicas=1,2,3", "guards.max_replicas=1,2", where=("guards.min_replicas<=guards.max_replicas",)
    )
    assert [tuple(each.values()) for each in given.values(BASE)] == [(1, 1), (1, 2), (2, 2)]


def test_a_condition_may_name_what_is_not_varied_and_join_terms() -> None:
    one = conditions.parse("interval_s==10 and limit_cores<20")
    assert not one.holds(BASE)  # no limit: neither above nor below
    assert one.holds({**BASE, "limit_cores": 19})
    assert conditions.parse("policy.predictor!=max").holds(BASE)
    assert conditions.parse("policy.predictor==ewma").holds({**BASE, "policy": {"predictor": {"name": "ewma"}}})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("policy", "should be KEY==VALUE"),
        ("polcy==ipa", "no key of a scenario is called 'polcy'; did you mean 'policy'?"),
        ("policy<3", "'ipa' and 3 cannot be compared with <"),
    ],
)
def test_an_unusable_condition_is_said(text: str, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        conditions.parse(text).holds(BASE)
    assert said in str(raised.value)


def test_a_list_takes_the_first_values_then_the_second_ones() -> None:
    points = list(space("hop_s=0,0.1", "limit_cores=10,20", "seed=7", sample_seed=1, method="list").values(BASE))
    assert [tuple(each.values()) for each in points] == [(0, 10, 7), (0.1, 20, 7)]
    with pytest.raises(ScenarioError, match=r"as many values, or one; given hop_s: 2, limit_cores: 3"):
        list(space("hop_s=0,0.1", "limit_cores=1,2,3", method="list").values(BASE))


@pytest.mark.parametrize("method", ["random", "sobol"])
def test_more_points_keep_the_ones_before(method: Any) -> None:
    few, many = (
        list(space("hop_s=0:1", "policy.beta=0.1:10:log", method=method, points=points).values(BASE))
        for points in (8, 16)
    )
    assert many[:8] == few
    assert all(0.0 <= each["hop_s"] < 1.0 and 0.1 <= each["policy.beta"] < 10.0 for each in many)
    other = list(space("hop_s=0:1", "policy.beta=0.1:10:log", method=method, points=8, sample_seed=2).values(BASE))
    assert other != few


@pytest.mark.parametrize("method", ["lhs", "sobol"])
def test_every_part_of_the_range_has_one_point(method: Any) -> None:
    points = list(space("hop_s=0:8", "policy.beta=0:8", method=method, points=8).values(BASE))
    for key in ("hop_s", "policy.beta"):
        assert sorted(int(each[key]) for each in points) == list(range(8))


def test_a_drawn_point_comes_once_and_steps_are_kept() -> None:
    points = list(space("hop_s=0:0.2:0.1", method="random", points=100).values(BASE))
    assert sorted(each["hop_s"] for each in points) == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("vary", "options", "said"),
    [
        (("hop_s=0:1",), {}, "hop_s: a range without a step is for samples"),
        (("hop_s=0:1",), {"method": "lhs"}, "--sample lhs: needs --points"),
        (("hop_s=0,1",), {"points": 3}, "--sample grid: takes no --points"),
        (("hop_s=0,1", "hop_s=2"), {}, "hop_s: is varied twice"),
    ],
)
def test_what_does_not_fit_is_said(vary: tuple[str, ...], options: dict[str, Any], said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        space(*vary, **options)
    assert said in str(raised.value)
