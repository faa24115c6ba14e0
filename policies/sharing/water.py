"""Rules that see demands alone: water-filling, quotas and strict priority. All sums are exact fractions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction

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
