"""The exact splits: of the greatest weighted sum of all objectives, and of the greatest least one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ipa.policies.sharing.curves import Curve
from ipa.policies.sharing.members import Member, check_floors
from ipa.policies.sharing.water import topped_up

FloatArray = npt.NDArray[np.float64]


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


def greatest_least(
    budget: int, members: Sequence[Member], demands: Sequence[int], curves: Sequence[Curve]
) -> list[int]:
    """The units of each member with which the least of the normalised objectives is the greatest.

    An objective is normalised to 0 with the floor and 1 with the demand, which a member has alone. The least one is
    raised to its next value as long as the budget allows; of equals, first the one of the greatest weight, then by
    name. One that cannot rise stays, and the least of the others goes on. What is left goes by water-filling. Raises
    SharingError if the floors exceed the budget.
    """
    check_floors(budget, members)
    units = [member.at_least for member in members]
    values = [
        _normalised(_values(curve, member.most_useful(demand)), member.at_least)
        for member, demand, curve in zip(members, demands, curves, strict=True)
    ]
    rising = set(range(len(members)))
    while rising:
        place = min(rising, key=lambda k: (values[k][units[k]], -members[k].weight, members[k].name))
        above = np.flatnonzero(values[place][units[place] :] > values[place][units[place]])
        if len(above) and sum(units) + int(above[0]) <= budget:
            units[place] += int(above[0])
        else:
            rising.remove(place)
    return topped_up(budget, members, demands, units)


def _values(curve: Curve, most_units: int) -> FloatArray:
    """The best objective within 0 .. `most_units` units; beyond its end, a curve is level."""
    if len(curve) > most_units:
        return curve[: most_units + 1]
    return np.concatenate([curve, np.full(most_units + 1 - len(curve), curve[-1])])


def _normalised(values: FloatArray, least: int) -> FloatArray:
    """Values from 0 with the floor to 1 with the most; all 1 if there is nothing between."""
    lowest, highest = values[least], values[-1]
    if not highest > lowest:
        return np.ones(len(values))
    normalised: FloatArray = (values - lowest) / (highest - lowest)
    return normalised
