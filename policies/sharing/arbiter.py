"""The arbiter: says at each step of a pipeline how many units it may plan with, and how many may exist of it.

It knows the latest demand of every pipeline, and how many units of it may exist at most. What one has given up is free
for others only once that number has fallen, so the units that exist of all never exceed the budget.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ipa.policies.sharing.curves import Curve
from ipa.policies.sharing.members import Member, check_floors
from ipa.policies.sharing.rules import split


class Grant(NamedTuple):
    """What a pipeline gets at a step: the units that it may plan with, and those of it that may exist from now on."""

    plan_units: int
    exist_units: int


class Step(NamedTuple):
    """One step of one pipeline: the units that its policy wanted, those that it decided within its limit, and `why` it
    may not plan with more (empty if it may with all that it wanted)."""

    time_s: float
    pipeline: str
    step: int
    wanted: int
    got: int
    why: str


def _level() -> Curve:
    return np.zeros(1)


@dataclass(slots=True)
class _Standing:
    """What the arbiter knows of one pipeline: its demand, its curve (level until it has told one), and the most units
    of it that may exist."""

    demand_units: int = 0
    claim_units: int = 0
    curve: Callable[[], Curve] = _level
    is_gone: bool = False


@dataclass
class Arbiter:
    """Shares `budget` among the members of a fleet by a rule of `SHARING`.

    Raises SharingError if the floors exceed the budget.
    """

    rule: str
    budget: int
    members: Sequence[Member]
    _standings: dict[str, _Standing] = field(init=False)
    _parts: dict[str, int] | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        check_floors(self.budget, self.members)
        self._standings = {member.name: _Standing() for member in self.members}

    def wish(self, name: str, demand_units: int, curve: Callable[[], Curve] | None = None) -> None:
        """Note what a pipeline wants now; `curve` tells what units are worth to it, if the rule weighs objectives."""
        standing = self._standings[name]
        standing.demand_units = demand_units
        if curve is not None:
            standing.curve = curve
        self._parts = None

    def hold(self, name: str, claim_units: int) -> None:
        """Note how many units of a pipeline may exist at most, until this is called again."""
        self._standings[name].claim_units = claim_units

    def leave(self, name: str) -> None:
        """A pipeline has ended: nothing of it exists any more, not even its floor."""
        self._standings[name].is_gone = True
        self._parts = None

    def grant(self, name: str) -> Grant:
        """What a pipeline gets now.

        It plans with its part, or with what others leave if that is less: from the budget, their floors and what may
        exist of them are taken off. What it has itself it need not give back for that: at the start of a fleet that
        runs already, more than the budget may exist. Beyond its part, only what is no other's part may exist of it:
        room for replicas that start before others stop.
        """
        parts = self.parts()
        others = [m for m in self.members if m.name != name and not self._standings[m.name].is_gone]
        claims = {m.name: max(self._standings[m.name].claim_units, m.at_least) for m in others}
        left_units = max(self.budget - sum(claims.values()), self._standings[name].claim_units)
        plan_units = min(parts[name], left_units)
        spare_units = self.budget - sum(max(claims[m.name], parts[m.name]) for m in others)
        return Grant(plan_units, max(plan_units, spare_units))

    def why(self, name: str, wanted_units: int, grant: Grant) -> str:
        """Why a pipeline may plan with less than it wants; empty if it may with all."""
        part_units = self.parts()[name]
        if grant.plan_units >= wanted_units:
            return ""
        if grant.plan_units < part_units:
            return f"{part_units - grant.plan_units} of its part of {part_units} are not free yet"
        return f"its part by {self.rule} is {part_units}"

    def parts(self) -> dict[str, int]:
        """The part of each pipeline that is there, by the latest demands."""
        if self._parts is None:
            present = [member for member in self.members if not self._standings[member.name].is_gone]
            standings = [self._standings[member.name] for member in present]
            demands = [standing.demand_units for standing in standings]
            units = split(self.rule, self.budget, present, demands, [standing.curve for standing in standings])
            self._parts = dict(zip([member.name for member in present], units, strict=True))
        return self._parts
