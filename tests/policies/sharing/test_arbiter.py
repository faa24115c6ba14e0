"""The arbiter: parts by the latest demands, and cores handed on only when they are free."""

from __future__ import annotations

import numpy as np

from ipa.policies.sharing import Arbiter, Member, weights_of


def arbiter(budget: int, floors: tuple[int, ...] = (1, 1), rule: str = "water-filling") -> Arbiter:
    weights = weights_of([1] * len(floors))
    members = [Member("ABC"[k], weights[k], floor, budget) for k, floor in enumerate(floors)]
    return Arbiter(rule, budget, members)


def test_if_all_fit_what_is_left_is_room_for_replicas_that_start_before_others_stop() -> None:
    both = arbiter(20)
    both.wish("A", 6)
    both.wish("B", 4)
    assert both.grant("A") == (6, 16), "20 less the part of B"
    both.hold("A", 9)
    assert both.grant("B") == (4, 11), "20 less what may exist of A"


def test_what_one_gives_back_is_handed_on_when_it_is_gone() -> None:
    """A had all 10 cores but B's floor; now both want 8. B's part is 5, and it gets more as A's cores go."""
    both = arbiter(10)
    both.wish("A", 9)
    both.wish("B", 1)
    both.hold("A", 9)
    both.hold("B", 1)
    both.wish("A", 8)
    both.wish("B", 8)
    assert both.grant("A") == (5, 5)
    assert both.grant("B") == (1, 1)
    both.hold("A", 7)
    assert both.grant("B") == (3, 3)
    both.hold("A", 5)
    assert both.grant("B") == (5, 5)


def test_a_pipeline_that_has_ended_leaves_its_cores() -> None:
    both = arbiter(10, floors=(3, 1))
    both.wish("A", 5)
    both.wish("B", 10)
    both.hold("A", 5)
    assert both.grant("B") == (5, 5)
    both.leave("A")
    assert both.grant("B") == (10, 10)


def test_the_cores_that_may_exist_never_exceed_the_budget() -> None:
    """Random demands, and holdings anywhere between nothing and what was granted."""
    draw = np.random.default_rng(7)
    for _ in range(50):
        floors = tuple(draw.integers(1, 4, 3).tolist())
        budget = int(draw.integers(sum(floors), 30))
        fleet = arbiter(budget, floors, str(draw.choice(["quota", "priority", "water-filling"])))
        claims = dict.fromkeys("ABC", 0)
        for name in draw.choice(list("ABC"), 100).tolist():
            fleet.wish(name, int(draw.integers(0, 30)))
            grant = fleet.grant(name)
            assert floors["ABC".index(name)] <= grant.plan_units <= grant.exist_units
            claims[name] = int(draw.integers(0, grant.exist_units + 1))
            fleet.hold(name, claims[name])
            assert sum(claims.values()) <= budget
