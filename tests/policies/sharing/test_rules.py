"""The rules of sharing: a published table, the enumeration of all splits, and what must not matter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import partial
from itertools import product

import numpy as np
import pytest

from ipa.policies.sharing import SHARING, Curve, Member, SharingError, split, weights_of

Fleet = tuple[int, list[Member], list[int], list[Curve]]


def given(curves: Sequence[Curve]) -> list[Callable[[], Curve]]:
    """Curves as the rules take them."""
    return [partial(np.copy, curve) for curve in curves]


def members(
    priorities: Sequence[float] = (1, 1), floors: Sequence[int] = (0, 0), most: Sequence[int] | None = None
) -> list[Member]:
    """Pipelines A, B, ...; no floors and no bounds unless given."""
    weights = weights_of(priorities)
    tops = most or [1000] * len(priorities)
    return [Member("ABCDEFGH"[k], weights[k], floors[k], tops[k]) for k in range(len(priorities))]


@pytest.mark.parametrize(
    ("priorities", "demands", "floors", "budget", "expected"),
    [
        ((1, 3), (8, 8), (0, 0), 8, [2, 6]),
        ((1, 3), (8, 4), (0, 0), 8, [4, 4]),
        ((1, 1), (10, 10), (2, 0), 6, [4, 2]),
        ((1, 1), (10, 10), (0, 0), 7, [4, 3]),
        ((1, 1), (0, 10), (1, 0), 6, [1, 5]),
    ],
    ids=["priorities", "one-is-satisfied", "a-floor", "a-tie", "an-idle-one"],
)
def test_water_filling_gives_the_published_table(
    priorities: Sequence[float], demands: Sequence[int], floors: Sequence[int], budget: int, expected: list[int]
) -> None:
    """Cases and answers: llm-d's Workload Variant Autoscaler, the rescaling of a budget between A and B."""
    assert split("water-filling", budget, members(priorities, floors), demands) == expected


@pytest.mark.parametrize("rule", SHARING)
def test_floors_above_the_budget_are_an_error(rule: str) -> None:
    with pytest.raises(SharingError, match=r"budget 6 .* at least 7 \(A 4 \+ B 3\)"):
        split(rule, 6, members(floors=(4, 3)), [9, 9], given([np.arange(7.0)] * 2))


def test_quotas_are_fixed_parts_whatever_is_wanted() -> None:
    """12 cores by 1 : 2 are 4 and 8; what B does not want of its part stays unused."""
    assert split("quota", 12, members((1, 2)), [20, 20]) == [4, 8]
    assert split("quota", 12, members((1, 2)), [9, 7]) == [4, 7]


def test_the_higher_priority_takes_what_it_wants() -> None:
    """B takes its 8 first; of 4, A has its floor of 1, and both a half of the other 3; the tie goes to A."""
    assert split("priority", 12, members((1, 5)), [9, 8]) == [4, 8]
    assert split("priority", 12, members((1, 5, 1), (1, 0, 0)), [9, 8, 9]) == [3, 8, 1]


def splits(fleet: Fleet) -> Iterator[tuple[int, ...]]:
    """All splits within the budget, from the floors to the most that is useful."""
    budget, all_members, demands, _ = fleet
    ranges = [
        range(m.at_least, max(m.at_least, min(d, m.at_most)) + 1) for m, d in zip(all_members, demands, strict=True)
    ]
    return (cores for cores in product(*ranges) if sum(cores) <= budget)


def random_fleet(draw: np.random.Generator) -> Fleet:
    """Two to four pipelines, a few cores, and objectives in whole numbers, so that sums are exact; too few cores."""
    count = int(draw.integers(2, 5))
    floors = draw.integers(0, 3, count).tolist()
    demands = draw.integers(1, 9, count).tolist()
    most = [max(f, int(top)) for f, top in zip(floors, draw.integers(2, 10, count), strict=True)]
    # Priorities of which each is a fraction of the sum that a double holds exactly.
    priorities = draw.permutation([1, 2, 1, 4])[:count].astype(float)
    priorities[0] += 8 - priorities.sum()
    wanted = sum(max(f, min(d, m)) for f, d, m in zip(floors, demands, most, strict=True))
    budget = int(draw.integers(sum(floors), max(wanted, sum(floors) + 1)))
    curves = [np.cumsum(draw.integers(0, 6, 12) * (draw.random(12) < 0.6)).astype(float) for _ in range(count)]
    return budget, members(priorities.tolist(), floors, most), demands, curves


SEEDS = range(200)


@pytest.mark.parametrize("start", range(0, 200, 50))
def test_objective_is_the_best_of_all_splits(start: int) -> None:
    for seed in SEEDS[start : start + 50]:
        fleet = random_fleet(np.random.default_rng(seed))
        budget, all_members, demands, curves = fleet

        def total(cores: Sequence[int], of: Fleet = fleet) -> float:
            return sum(float(m.weight) * curve[c] for m, curve, c in zip(of[1], of[3], cores, strict=True))

        answer = split("objective", budget, all_members, demands, given(curves))
        assert sum(answer) <= budget
        assert total(answer) == max(total(cores) for cores in splits(fleet)), seed


@pytest.mark.parametrize("rule", SHARING)
def test_every_split_keeps_the_budget_the_floors_and_the_demands(rule: str) -> None:
    for seed in SEEDS:
        budget, all_members, demands, curves = random_fleet(np.random.default_rng(seed))
        answer = split(rule, budget, all_members, demands, given(curves))
        useful = [m.most_useful(d) for m, d in zip(all_members, demands, strict=True)]
        assert all(m.at_least <= c <= u for m, c, u in zip(all_members, answer, useful, strict=True))
        assert sum(answer) <= budget
        if rule != "quota":
            assert sum(answer) == min(budget, sum(useful)), "what somebody wants is not left over"


@pytest.mark.parametrize("rule", SHARING)
def test_if_all_fit_all_have_what_they_want(rule: str) -> None:
    assert split(rule, 16, members((1, 5)), [9, 7]) == [9, 7]


def test_scaling_all_priorities_changes_no_weight() -> None:
    expected = [Fraction(1, 11), Fraction(3, 11), Fraction(7, 11)]
    assert weights_of([1, 3, 7]) == weights_of([0.1, 0.3, 0.7]) == weights_of([3, 9, 21]) == expected


def test_a_tenant_shares_its_weight_among_its_own_pipelines() -> None:
    """Tenants x and y weigh 1 each; x has two pipelines, 1 : 3. Multiplying the priorities of one tenant is in vain."""
    expected = [Fraction(1, 8), Fraction(3, 8), Fraction(1, 2)]
    assert weights_of([1, 3, 7], ["x", "x", "y"]) == expected
    assert weights_of([100, 300, 7], ["x", "x", "y"]) == expected
    assert weights_of([1, 3, 7], ["x", "x", "y"], {"y": 3}) == [Fraction(1, 16), Fraction(3, 16), Fraction(3, 4)]
