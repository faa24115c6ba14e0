"""The points of a sweep: combinations, lists, draws, and conditions on them."""

from __future__ import annotations

import pytest

from ipa.studies import Scenario
from ipa.studies.many.sweeps import conditions, sample
from ipa.studies.many.sweeps.sample import Space, parse_draw
from ipa.studies.scenario.errors import ScenarioError

BASE = Scenario(pipeline="video").as_dict()


def space(*vary: str, where: tuple[str, ...] = (), points: str | None = None) -> Space:
    axes = tuple(map(sample.parse_axis, vary))
    return Space(axes, tuple(map(conditions.parse, where)), None if points is None else parse_draw(points))


def test_a_grid_is_every_combination_and_later_keys_vary_fastest() -> None:
    points = list(space("hop_s=0,0.1", "limit_cores=10,20").values(BASE))
    assert [tuple(each.values()) for each in points] == [(0, 10), (0, 20), (0.1, 10), (0.1, 20)]


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


@pytest.mark.parametrize("by", ["", "sobol:"])
def test_more_points_keep_the_ones_before_and_another_seed_draws_others(by: str) -> None:
    vary = ("hop_s=0:1", "policy.beta=0.1:10:log")
    few, many = (list(space(*vary, points=f"{by}{points}").values(BASE)) for points in (8, 16))
    assert many[:8] == few
    assert all(0.0 <= each["hop_s"] < 1.0 and 0.1 <= each["policy.beta"] < 10.0 for each in many)
    assert list(space(*vary, points=f"{by}8").values({**BASE, "seed": 2})) != few


def test_every_part_of_the_range_has_one_point_of_a_sobol_sequence() -> None:
    points = list(space("hop_s=0:8", "policy.beta=0:8", points="sobol:8").values(BASE))
    for key in ("hop_s", "policy.beta"):
        assert sorted(int(each[key]) for each in points) == list(range(8))


def test_a_drawn_point_comes_once_and_steps_are_kept() -> None:
    points = list(space("hop_s=0:0.2:0.1", points="100").values(BASE))
    assert sorted(each["hop_s"] for each in points) == [0.0, 0.1, 0.2]


@pytest.mark.parametrize(
    ("vary", "points", "said"),
    [
        (("hop_s=0:1",), None, "hop_s: a range without a step is for drawn points"),
        (("hop_s=0:1",), "lhs:4", "--points lhs:4: should be a number from 1, such as 128, or sobol:128"),
        (("hop_s=0,1",), "0", "--points 0: should be a number from 1"),
        (("hop_s=0,1", "hop_s=2"), None, "hop_s: is varied twice"),
    ],
)
def test_what_does_not_fit_is_said(vary: tuple[str, ...], points: str | None, said: str) -> None:
    with pytest.raises(ScenarioError) as raised:
        space(*vary, points=points)
    assert said in str(raised.value)
