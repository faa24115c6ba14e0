"""A difference shared out among its causes, against every order of removing them."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipa.studies.many.losses import shared_out
from ipa.studies.many.losses.losses import subsets


@given(st.integers(1, 4), st.data())
def test_shares_are_the_means_over_all_orders_and_add_up(count: int, data: st.DataObject) -> None:
    causes = "abcd"[:count]
    value = {removed: data.draw(st.integers(-9, 9)) for removed in subsets(causes)}
    taken: dict[str, list[int]] = {cause: [] for cause in causes}
    for order in permutations(causes):
        for place, cause in enumerate(order):
            before = frozenset(order[:place])
            taken[cause].append(value[before] - value[before | {cause}])
    found = shared_out(causes, value.__getitem__)
    for cause, share in found.items():
        assert share.mean == pytest.approx(sum(taken[cause]) / len(taken[cause]))
        assert (share.least, share.most) == (min(taken[cause]), max(taken[cause]))
    whole = value[frozenset()] - value[frozenset(causes)]
    assert sum(share.mean for share in found.values()) == pytest.approx(whole)
    assert sum(share.in_order for share in found.values()) == whole


def test_two_causes_that_cost_only_together_share_the_cost() -> None:
    """Either removal ends it, so each has half; in the given order the first takes all of it."""
    found = shared_out(("late", "wrong"), lambda removed: 0.0 if removed else 6.0)
    assert [(each.mean, each.in_order, each.least, each.most) for each in found.values()] == [
        (3.0, 6.0, 0.0, 6.0),
        (3.0, 0.0, 0.0, 6.0),
    ]
