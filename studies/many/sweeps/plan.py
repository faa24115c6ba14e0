"""The runs of a sweep: every point with the same seeds, so that points are compared on the same random draws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ipa.studies.many import Asked, Keys, key_of
from ipa.studies.many.sweeps.sample import Space, Values
from ipa.studies.many.sweeps.stopping import Aim
from ipa.studies.runs import prepare
from ipa.studies.scenario import LARGEST_SEED, Scenario, ScenarioError

MOST_CHECKED = 50
"""Scenarios that are prepared before anything runs; the others are checked for their keys and values alone."""


class Point(NamedTuple):
    """A point: the values of the keys that are varied there, and the scenario with its first seed."""

    values: Values
    scenario: Scenario


@dataclass(frozen=True)
class Plan:
    """A scenario, what is varied, and the seeds `base.seed`, `base.seed` + 1, ...: `seeds` of them, or with aims as
    many as these need but at most that."""

    base: Scenario
    space: Space
    seeds: int
    aims: tuple[Aim, ...] = ()

    def points(self) -> Iterator[Point]:
        """All points in order, made as they are asked for. Raises ScenarioError for values that cannot be."""
        for values in self.space.values(self.base.as_dict()):
            yield Point(values, self.base.with_values(values))

    def asked(self, keys: Keys, seeds: range) -> Iterator[tuple[Values, int, Asked]]:
        """The runs with the seeds of these places (0: the first): values, seed, and the run as it is made."""
        for point in self.points():
            yield from asked_of(point, keys, seeds)


def asked_of(point: Point, keys: Keys, seeds: range) -> Iterator[tuple[Values, int, Asked]]:
    """The runs of a point; see `Plan.asked`."""
    shared, data = keys.shared(point.scenario), point.scenario.as_dict()
    for place in seeds:
        seed = point.scenario.seed + place
        yield point.values, seed, Asked(key_of(shared, seed), {**data, "seed": seed})


def check(plan: Plan) -> int:
    """How many points there are. Raises ScenarioError for none, and for any that cannot be run, naming its values.

    The keys and values of every point are checked; beyond that, a scenario with each value that a key takes is prepared
    (its policy, pipeline and load are made).
    """
    if "seed" in plan.space.keys and (plan.seeds > 1 or plan.aims):
        raise ScenarioError("seed: is varied itself; leave out --seeds and --until")
    if plan.base.seed + plan.seeds - 1 > LARGEST_SEED:
        raise ScenarioError(f"seed: the last seed would be above {LARGEST_SEED}")
    checked: set[str] = set()
    count = 0
    for values, scenario in plan.points():
        count += 1
        new = {f"{key}={value!r}" for key, value in values.items() if key != "seed"} - checked
        if count == 1 or (new and len(checked) < MOST_CHECKED):
            checked |= new
            _prepare(values, scenario, plan.base)
    if count == 0:
        raise ScenarioError("--where: leaves no point")
    return count


def _prepare(values: Values, scenario: Scenario, base: Scenario) -> None:
    if error := _refusal(scenario):
        is_of_base = str(_refusal(base)) == str(error)
        raise error if is_of_base else ScenarioError(f"{in_words(values)}: {error}") from None


def _refusal(scenario: Scenario) -> ValueError | None:
    """Why the scenario cannot be run, if it cannot."""
    try:
        prepare(scenario)
    except ValueError as error:
        return error
    return None


def in_words(values: Values) -> str:
    """The values of a point: `policy.alpha=1, hop_s=0.1`."""
    return ", ".join(f"{key}={value}" for key, value in values.items())
