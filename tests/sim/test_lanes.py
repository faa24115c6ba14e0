"""Rule 11: how a mix takes effect at a stage, lane by lane, with numbers that can be checked by hand."""

from __future__ import annotations

from dataclasses import replace

from ipa.policies import StageConfiguration, mix_of
from ipa.sim.lanes import Lanes


def one(variant: str, replicas: int = 2) -> StageConfiguration:
    return StageConfiguration(variant, 1, replicas, 0.0, 1)


def mix(**parts: tuple[float, int]) -> StageConfiguration:
    """Variant -> share and replicas."""
    return mix_of([replace(one(variant, replicas), share=share) for variant, (share, replicas) in parts.items()])


def desired(lanes: Lanes) -> list[tuple[str, int]]:
    """The variant and the replicas desired of each lane that is not free."""
    return [(lane.wanted.variant, lane.desired) for lane in lanes.lanes if lane.desired]


def routes(lanes: Lanes) -> list[str]:
    """Where the draws 0.1, 0.3, 0.5, 0.7, 0.9 go."""
    return [lanes.lanes[lanes.lane_of(draw)].wanted.variant for draw in (0.1, 0.3, 0.5, 0.7, 0.9)]


def test_a_draw_goes_to_the_first_variant_whose_shares_add_up_to_more() -> None:
    assert routes(Lanes(mix(a=(0.2, 1), b=(0.3, 1), c=(0.5, 1)), 3)) == ["a", "b", "c", "c", "c"]
    assert routes(Lanes(one("a"), 3)) == ["a"] * 5


def test_a_draw_of_exactly_a_sum_goes_to_the_next_variant() -> None:
    lanes = Lanes(mix(a=(0.5, 1), b=(0.5, 1)), 2)
    assert (lanes.lane_of(0.4999), lanes.lane_of(0.5)) == (0, 1)


def test_until_a_new_variant_is_ready_requests_go_where_they_went_and_nothing_shrinks() -> None:
    lanes = Lanes(one("a", 4), 2)
    lanes.configure(mix(a=(0.4, 2), b=(0.6, 3)), ready=[4, 0], present=[1, 0])
    assert desired(lanes) == [("a", 4), ("b", 3)]
    assert routes(lanes) == ["a"] * 5
    assert not lanes.readied(1, ready=2)
    assert lanes.readied(1, ready=3)
    assert desired(lanes) == [("a", 2), ("b", 3)]
    assert routes(lanes) == ["a", "a", "b", "b", "b"]


def test_a_variant_that_is_there_already_grows_at_once() -> None:
    lanes = Lanes(one("a", 2), 2)
    lanes.configure(mix(a=(0.5, 5), b=(0.5, 1)), ready=[2, 0], present=[0, 0])
    assert desired(lanes) == [("a", 5), ("b", 1)]


def test_other_shares_of_the_same_variants_hold_at_once() -> None:
    lanes = Lanes(mix(a=(0.4, 2), b=(0.6, 3)), 2)
    lanes.configure(mix(b=(0.2, 1), a=(0.8, 4)), ready=[2, 3], present=[0, 0])
    assert desired(lanes) == [("a", 4), ("b", 1)]
    assert routes(lanes) == ["b", "a", "a", "a", "a"]


def test_a_lane_without_a_share_serves_what_it_has_and_then_is_free() -> None:
    lanes = Lanes(mix(a=(0.5, 2), b=(0.5, 3)), 2)
    lanes.configure(one("b", 4), ready=[2, 3], present=[7, 0])
    assert desired(lanes) == [("a", 2), ("b", 4)]
    assert routes(lanes) == ["b"] * 5
    assert lanes.lanes[0].is_closing
    lanes.emptied(0)
    assert desired(lanes) == [("b", 4)]


def test_a_lane_without_a_share_and_requests_is_free_at_once() -> None:
    lanes = Lanes(mix(a=(0.5, 2), b=(0.5, 3)), 2)
    lanes.configure(one("b", 4), ready=[2, 3], present=[0, 0])
    assert desired(lanes) == [("b", 4)]


def test_going_back_to_a_variant_keeps_its_replicas() -> None:
    lanes = Lanes(mix(a=(0.5, 2), b=(0.5, 3)), 2)
    lanes.configure(one("b", 4), ready=[2, 3], present=[7, 0])
    lanes.configure(mix(b=(0.5, 3), a=(0.5, 2)), ready=[2, 3], present=[6, 1])
    assert desired(lanes) == [("a", 2), ("b", 3)]
    assert routes(lanes) == ["b", "b", "a", "a", "a"]


def test_one_variant_follows_another_in_its_lane() -> None:
    """As without lanes: a rollout within the lane, to which all requests go."""
    lanes = Lanes(one("a", 4), 3)
    lanes.configure(one("b", 2), ready=[4, 0, 0], present=[9, 0, 0])
    assert desired(lanes) == [("b", 2)]
    assert routes(lanes) == ["b"] * 5


def test_one_variant_after_a_mix_of_others_starts_beside_them() -> None:
    lanes = Lanes(mix(a=(0.5, 2), b=(0.5, 3)), 3)
    lanes.configure(one("c", 4), ready=[2, 3, 0], present=[5, 5, 0])
    assert desired(lanes) == [("a", 2), ("b", 3), ("c", 4)]
    assert routes(lanes) == ["a", "a", "b", "b", "b"]
    assert lanes.readied(2, ready=4)
    assert routes(lanes) == ["c"] * 5
    assert [lane.is_closing for lane in lanes.lanes] == [True, True, False]


def test_a_variant_that_is_no_longer_wanted_before_it_was_ready_goes_at_once() -> None:
    lanes = Lanes(one("a", 2), 2)
    lanes.configure(mix(a=(0.5, 2), b=(0.5, 3)), ready=[2, 0], present=[1, 0])
    lanes.configure(one("a", 2), ready=[2, 1], present=[1, 0])
    assert desired(lanes) == [("a", 2)]
    assert routes(lanes) == ["a"] * 5


def test_fewer_replicas_of_a_new_variant_may_be_ready_already() -> None:
    lanes = Lanes(one("a", 2), 2)
    lanes.configure(mix(a=(0.5, 1), b=(0.5, 3)), ready=[2, 0], present=[1, 0])
    lanes.configure(mix(a=(0.5, 1), b=(0.5, 1)), ready=[2, 1], present=[1, 0])
    assert desired(lanes) == [("a", 1), ("b", 1)]
    assert routes(lanes) == ["a", "a", "b", "b", "b"]


def test_all_variants_of_a_stage_have_room() -> None:
    """Whatever follows what, a variant is in one lane, so that as many lanes as variants are enough."""
    lanes = Lanes(one("a"), 3)
    for wanted in (mix(a=(0.5, 1), b=(0.5, 1)), one("c"), one("a"), mix(c=(0.5, 1), b=(0.5, 1)), one("b"), one("c")):
        lanes.configure(wanted, ready=[0, 0, 0], present=[1, 1, 1])
        names = [variant for variant, _ in desired(lanes)]
        assert len(set(names)) == len(names)
        assert {part.variant for part in wanted.parts} <= set(names)


def test_what_stands_is_in_force_in_the_lanes_that_are_said_and_who_is_elsewhere_is_served_there() -> None:
    """The third lane, of c, has two requests: it closes. The second is free, so that d gets it."""
    lanes = Lanes(mix(a=(0.5, 1), b=(0.3, 2), c=(0.2, 3)), 4)
    lanes.put_in_force({0: replace(one("b", 4), share=0.4), 3: replace(one("a", 1), share=0.6)}, present=[0, 0, 2, 0])
    assert [(lane.wanted.variant, lane.desired, lane.is_closing) for lane in lanes.lanes if lane.desired] == [
        ("b", 4, False),
        ("c", 3, True),
        ("a", 1, False),
    ]
    assert routes(lanes) == ["b", "b", "a", "a", "a"]
    assert lanes.configuration.variants == "b + a"
    lanes.configure(mix(a=(0.5, 1), d=(0.5, 2)), ready=[4, 0, 0, 1], present=[0, 0, 2, 0])
    assert desired(lanes) == [("b", 4), ("d", 2), ("c", 3), ("a", 1)]
    assert routes(lanes) == ["b", "b", "a", "a", "a"]
    assert lanes.readied(1, ready=2)
    assert routes(lanes) == ["a", "a", "d", "d", "d"]
