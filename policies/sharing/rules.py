"""The rules of sharing, by name.

Water-filling, quotas and strict priority see demands alone; `objective` weighs what units are worth. All but the curves
are exact fractions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ipa.policies.sharing.curves import Curve
from ipa.policies.sharing.members import Member, check_floors


def water_filling(budget: int, members: Sequence[Member], demands: Sequence[int]) -> list[int]:
    """The units of each member: its floor, and a part of the rest in proportion to weight x demand.

    A part ends at the demand; what is over is split again among the others by the same rule. Whole ones go by the
    largest remainder, ties by name. Source: the rescaling of llm-d's Workload Variant Autoscaler.
    Raises SharingError if the floors exceed the budget.
    """
    return _filled(budget, members, demands, [m.weight * d for m, d in zip(members, demands, strict=True)])


def quota(budget: int, members: Sequence[Member], demands: Sequence[int]) -> list[int]:
    """The units of each member: no more than its fixed part of the budget, in proportion to the weights.

    The parts are those of water-filling if all want all that they may have and demands weigh nothing, so they never
    change; what a member does not want of its part stays unused, as with Kubernetes' ResourceQuota. Raises SharingError
    if the floors exceed the budget.
    """
    parts = _filled(budget, members, [budget] * len(members), [member.weight for member in members])
    return [min(part, m.most_useful(d)) for part, m, d in zip(parts, members, demands, strict=True)]


def strict_priority(budget: int, members: Sequence[Member], demands: Sequence[int]) -> list[int]:
    """The units of each member: all floors, then what the one of the greatest weight wants, and so on.

    Members of one weight share what is left for them by water-filling. Raises SharingError if the floors exceed the
    budget.
    """
    check_floors(budget, members)
    units = [member.at_least for member in members]
    for weight in sorted({member.weight for member in members}, reverse=True):
        equals = [place for place, member in enumerate(members) if member.weight == weight]
        units_left = budget - sum(units) + sum(units[place] for place in equals)
        parts = water_filling(units_left, [members[place] for place in equals], [demands[place] for place in equals])
        for place, part in zip(equals, parts, strict=True):
            units[place] = part
    return units


def topped_up(budget: int, members: Sequence[Member], demands: Sequence[int], units: Sequence[int]) -> list[int]:
    """A split with what it leaves of the budget shared by water-filling, up to the demands."""
    above = [
        replace(member, at_least=part, at_most=max(part, member.at_most))
        for member, part in zip(members, units, strict=True)
    ]
    return water_filling(budget, above, demands)


def _filled(budget: int, members: Sequence[Member], demands: Sequence[int], weights: Sequence[Fraction]) -> list[int]:
    """The floors, and the rest in proportion to the weights, each up to the most that is useful to a member."""
    check_floors(budget, members)
    most = [member.most_useful(demand) for member, demand in zip(members, demands, strict=True)]
    targets = [Fraction(member.at_least) for member in members]
    rising = [place for place, member in enumerate(members) if weights[place] > 0 and most[place] > targets[place]]
    while rising:
        units_left = budget - sum(targets)
        total = sum(weights[place] for place in rising)
        full = [place for place in rising if targets[place] + units_left * weights[place] / total >= most[place]]
        for place in full or rising:
            targets[place] = Fraction(most[place]) if full else targets[place] + units_left * weights[place] / total
        rising = [place for place in rising if place not in full] if full else []
    return _whole(targets, [member.name for member in members])


def _whole(targets: Sequence[Fraction], names: Sequence[str]) -> list[int]:
    """Whole numbers of the same sum, rounded down, by the largest remainder; ties by name."""
    units = [int(target) for target in targets]
    order = sorted(range(len(targets)), key=lambda place: (units[place] - targets[place], names[place]))
    for place in order[: int(sum(targets)) - sum(units)]:
        units[place] += 1
    return units


def greatest_sum(budget: int, members: Sequence[Member], demands: Sequence[int], curves: Sequence[Curve]) -> list[int]:
    """The units of each member with which the weighted sum of the objectives is the greatest.

    By dynamic programming over members and units, in O(members x units^2). Of equal splits, the one with the fewest
    units for the last member, then for the one before it, and so on; what is left goes by water-filling. Raises
    SharingError if the floors exceed the budget.
    """
    check_floors(budget, members)
    best = np.zeros(budget + 1)  # the greatest sum of the members so far within each number of units
    chosen = []
    for member, demand, curve in zip(members, demands, curves, strict=True):
        least, most = member.at_least, min(member.most_useful(demand), budget)
        gains = float(member.weight) * _values(curve, most)[least:]
        padded = np.concatenate([np.full(most, -np.inf), best])
        # Row b, column i: what is left of b units for those before if this member has least + i.
        windows = np.lib.stride_tricks.sliding_window_view(padded, most - least + 1)[: budget + 1, ::-1]
        sums = windows + gains
        choice = sums.argmax(axis=1)
        chosen.append(least + choice)
        best = sums[np.arange(budget + 1), choice]
    units, units_left = [], budget
    for choice in reversed(chosen):
        units.append(int(choice[units_left]))
        units_left -= units[-1]
    return topped_up(budget, members, demands, units[::-1])


def _values(curve: Curve, most_units: int) -> Curve:
    """The best objective within 0 .. `most_units` units; beyond its end, a curve is level."""
    if len(curve) > most_units:
        return curve[: most_units + 1]
    return np.concatenate([curve, np.full(most_units + 1 - len(curve), curve[-1])])


BY_DEMAND = {"quota": quota, "priority": strict_priority, "water-filling": water_filling}

SHARING = (*BY_DEMAND, "objective")
"""The names of all rules."""


def split(
    rule: str,
    budget: int,
    members: Sequence[Member],
    demands: Sequence[int],
    curves: Sequence[Callable[[], Curve]] = (),
) -> list[int]:
    """The units that each member may have: its demand (within its own bounds) if all fit, else as the rule says.

    `curves`: one for each member, called only if `objective` has to split. Raises SharingError if the floors exceed
    the budget.
    """
    useful = [member.most_useful(demand) for member, demand in zip(members, demands, strict=True)]
    if sum(useful) <= budget:
        return useful
    if rule in BY_DEMAND:
        return BY_DEMAND[rule](budget, members, demands)
    return greatest_sum(budget, members, demands, [curve() for curve in curves])
