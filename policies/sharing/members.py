"""What a pipeline of a fleet is to the rules of sharing, and the weights of priorities and tenants."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

from ipa.errors import InputError


class SharingError(InputError):
    """A budget that cannot be shared as it should be. The text says what is allowed."""


@dataclass(frozen=True, slots=True)
class Member:
    """One pipeline of a fleet.

    `weight`: its share of all priorities, above 0. `at_least`: its floor, which it has whatever others want;
    `at_most`: the most that it may have; at least the floor.
    """

    name: str
    weight: Fraction
    at_least: int
    at_most: int

    def most_useful(self, demand_units: int) -> int:
        """The most units that it is given for a demand: no more than both, and no fewer than its floor."""
        return max(self.at_least, min(demand_units, self.at_most))


def weights_of(
    priorities: Sequence[float],
    tenants: Sequence[str | None] = (),
    tenant_weights: Mapping[str, float] | None = None,
) -> list[Fraction]:
    """The weight of each pipeline, exact; they sum to 1, so that scaling all priorities changes nothing.

    With `tenants` (one for each pipeline), each has a weight of its own (1 where `tenant_weights` has none), which its
    pipelines share by priority: W p / sum p. So nobody gains by multiplying the priorities of one's own pipelines.
    Source: the draft for tenants in llm-d's Workload Variant Autoscaler.
    """
    weights = [Fraction(str(priority)) for priority in priorities]
    if any(tenants):
        sums: dict[str | None, Fraction] = {}
        for tenant, weight in zip(tenants, weights, strict=True):
            sums[tenant] = sums.get(tenant, Fraction(0)) + weight
        weight_by_tenant = tenant_weights or {}
        weights = [
            Fraction(str(weight_by_tenant.get(tenant or "", 1))) * weight / sums[tenant]
            for tenant, weight in zip(tenants, weights, strict=True)
        ]
    total = sum(weights, Fraction(0))
    return [weight / total for weight in weights]


def check_floors(budget: int, members: Sequence[Member]) -> None:
    """SharingError: the floors of all members exceed the budget."""
    floors = sum(member.at_least for member in members)
    if floors > budget:
        parts = " + ".join(f"{member.name} {member.at_least}" for member in members)
        raise SharingError(f"budget {budget} is less than the floors take; allowed: at least {floors} ({parts})")
