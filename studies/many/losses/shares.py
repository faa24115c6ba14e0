"""A difference shared out among the causes of it, from what is left of it without each set of causes.

For a set of removed causes S, d(S) is what is left of the difference; d of all causes is 0. Removing cause i after S
takes d(S) - d(S + i) off it. The order in which causes are removed matters where they act together, so that a cause's
share is the mean over all orders (Shapley, 1953):

    share(i) = sum over S without i of |S|! (n - |S| - 1)! / n! [ d(S) - d(S + i) ]

Shares add up to the whole difference.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import factorial

Causes = frozenset[str]


@dataclass(frozen=True, slots=True)
class Share:
    """What one cause takes off a difference: `mean` over all orders, `in_order` in the one that was given, and the
    `least` and `most` in any."""

    mean: float
    in_order: float
    least: float
    most: float


def subsets(causes: Sequence[str]) -> list[Causes]:
    """All sets of the causes, the smaller ones first."""
    return [frozenset(chosen) for size in range(len(causes) + 1) for chosen in combinations(causes, size)]


def shared_out(causes: Sequence[str], left: Callable[[Causes], float]) -> dict[str, Share]:
    """Cause -> its share of `left` of nothing removed; `causes` are in the order in which `in_order` removes them."""
    count = len(causes)
    found = {}
    for place, cause in enumerate(causes):
        others = [other for other in causes if other != cause]
        taken = {removed: left(removed) - left(removed | {cause}) for removed in subsets(others)}
        mean = sum(
            factorial(len(removed)) * factorial(count - len(removed) - 1) / factorial(count) * off
            for removed, off in taken.items()
        )
        found[cause] = Share(mean, taken[frozenset(causes[:place])], min(taken.values()), max(taken.values()))
    return found
