"""The rules of sharing, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ipa.policies.sharing.curves import Curve
from ipa.policies.sharing.members import Member
from ipa.policies.sharing.optimum import greatest_least, greatest_sum
from ipa.policies.sharing.water import quota, strict_priority, water_filling

BY_DEMAND = {"quota": quota, "priority": strict_priority, "water-filling": water_filling}
BY_OBJECTIVE = {"fair": greatest_least, "objective": greatest_sum}

SHARING = (*BY_DEMAND, *BY_OBJECTIVE)
"""The names of all rules."""


def split(
    rule: str,
    budget: int,
    members: Sequence[Member],
    demands: Sequence[int],
    curves: Sequence[Callable[[], Curve]] = (),
) -> list[int]:
    """The units that each member may have: its demand (within its own bounds) if all fit, else as the rule says.

    `curves`: one for each member, called only if a rule of `BY_OBJECTIVE` has to split. Raises SharingError if the
    floors exceed the budget.
    """
    useful = [member.most_useful(demand) for member, demand in zip(members, demands, strict=True)]
    if sum(useful) <= budget:
        return useful
    if rule in BY_DEMAND:
        return BY_DEMAND[rule](budget, members, demands)
    return BY_OBJECTIVE[rule](budget, members, demands, [curve() for curve in curves])
