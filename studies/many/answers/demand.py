"""What is asked of the settings that are compared: an aim, and limits on the figures of their runs.

Limits come from the goal of the policies, from `limit_cores` and from `--require`. A goal is
asked of all settings, also of those that cannot plan for one, unless there are several different goals; a limit of
cores unless it differs. What differs is what is compared, and no question.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import TYPE_CHECKING, Any

import numpy as np

from ipa.errors import InputError
from ipa.policies import Goal, PolicyError, split_spec, takes
from ipa.sim import FloatArray
from ipa.studies.intervals import Estimate
from ipa.studies.many.answers.outcome import LATE_AT_MOST, OF_STAGE, Outcome, known_outcome
from ipa.studies.scenario import ScenarioError

if TYPE_CHECKING:
    from ipa.studies.many.requirements import Requirement
    from ipa.studies.scenario import Scenario

COST = known_outcome("cost_mean_cores")
ACCURACY = known_outcome("pas_mean")
LATE = known_outcome("sla_violation_worst_hour_rate")
"""Late or lost requests are limited in any hour; of runs of at most an hour, this is the share of all."""

ROUNDING = 1e-9
"""The relative error of a figure that is exactly at its limit."""


@dataclass(frozen=True)
class DemandLimit:
    """A figure of the runs' summaries must be at most (`is_most`), or else at least, `bound`, in the summary's unit."""

    outcome: Outcome
    is_most: bool
    bound: float

    @property
    def text(self) -> str:
        """The limit in words: `PAS at least 38`, `at most 1 % late`."""
        bound = f"{'at most' if self.is_most else 'at least'} {self.outcome.factor * self.bound:.6g}"
        if self.outcome == LATE:
            return f"{bound} % late"
        if self.outcome.column == COST.column:
            return f"{bound} cores"
        return f"{self.outcome.title} {bound} {self.outcome.unit}".rstrip()

    def figure(self, estimate: Estimate) -> str:
        """A setting's figure in words, in the outcome's unit: `2.50 ± 0.10 % late`, `PAS 31.88`."""
        text = estimate.text(self.outcome.decimals)
        if self.outcome == LATE:
            return f"{text} % late"
        if self.outcome.column == COST.column:
            return f"{text} cores"
        return f"{self.outcome.title} {text} {self.outcome.unit}".rstrip()

    def excess(self, values: FloatArray) -> FloatArray:
        """How far figures are beyond the limit: at most 0 if they keep it, NaN if unknown."""
        beyond = values - self.bound if self.is_most else self.bound - values
        return np.asarray(np.where(np.abs(beyond) <= ROUNDING * abs(self.bound), 0.0, beyond))

    def missed_by(self, estimate: Estimate) -> str:
        """By how much a setting misses the limit, in words."""
        bound = self.outcome.factor * self.bound
        beyond = abs(estimate.mean - bound)
        unit = "percentage points" if self.outcome.unit == "%" else self.outcome.unit
        reaches = estimate.low <= bound if self.is_most else estimate.high >= bound
        within = " (its interval reaches the limit)" if reaches else ""
        return f"{self.text} by {beyond:.{self.outcome.decimals}f} {unit}".rstrip() + within

    def is_shown(self, estimate: Estimate) -> bool:
        """Whether a setting's interval is within the limit; a single seed, which has none, does not say otherwise."""
        bound, rounding = self.outcome.factor * self.bound, ROUNDING * abs(self.outcome.factor * self.bound)
        return not (estimate.high > bound + rounding if self.is_most else estimate.low < bound - rounding)


@dataclass(frozen=True)
class Demand:
    """An `aim`, least "cost" or most "accuracy" (None: neither is asked for), and the limits to keep.

    `notes`: what is not asked, in sentences.
    """

    aim: str | None = None
    limits: tuple[DemandLimit, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """The figures that say whether a setting meets it, besides cost, accuracy and late requests."""
        return tuple(dict.fromkeys(limit.outcome.column for limit in self.limits))

    @property
    def text(self) -> str:
        """The limits in words: `PAS at least 38 and at most 1 % late`."""
        *first, last = [limit.text for limit in self.limits]
        return f"{', '.join(first)} and {last}" if first else last

    @property
    def late(self) -> DemandLimit:
        """The limit on late requests."""
        return next(limit for limit in self.limits if limit.outcome == LATE)

    def excesses(self, means: Mapping[str, FloatArray], settings: int) -> FloatArray:
        """How far settings are beyond each limit, shape (limits, settings); NaN: unknown.

        Where no setting has a figure of late requests, none is beyond the limit on them.
        """
        unknown = {limit: np.full(settings, 0.0 if limit.outcome == LATE else np.nan) for limit in self.limits}
        return np.array(
            [
                limit.excess(means[limit.outcome.column]) if limit.outcome.column in means else unknown[limit]
                for limit in self.limits
            ]
        ).reshape(len(self.limits), settings)

    def with_late(self, late_at_most: float | None) -> Demand:
        """The demand with another limit on late requests; None: its own. Raises ScenarioError for no share below 1."""
        if late_at_most is None:
            return self
        others = tuple(limit for limit in self.limits if limit.outcome != LATE)
        return replace(self, limits=(*others, DemandLimit(LATE, True, _share(late_at_most))))


def demand_of(
    scenarios: Iterable[Scenario], late_at_most: float | None = None, required: Sequence[Requirement] = ()
) -> Demand:
    """What is asked of the runs of some scenarios. `late_at_most`: None is that of their goal, or else 1 %.

    Raises PolicyError for a malformed goal, ScenarioError for a limit that is no share below 1.
    """
    goals: list[Goal] = []
    is_lacking = False
    limits_cores: list[int | None] = []
    prices: list[float] = []
    for scenario in scenarios:
        goal = _goal_of(scenario)
        if goal is not None:
            _add(goals, goal)
        else:
            is_lacking |= takes_goal(scenario.policy.name)
        _add(limits_cores, scenario.limit_cores)
        _add(prices, scenario.price_per_core)
    notes = []
    if len(goals) > 1:
        notes.append("Goals differ, so none of them is asked of all.")
    elif goals and is_lacking:
        notes.append("The goal is asked of all, also of those that take one and did not plan for it.")
    if len(limits_cores) > 1:
        notes.append("Limits of cores differ, so none of them is asked of all.")
    goal_of_all = goals[0] if len(goals) == 1 else Goal()
    price = prices[0] if len(prices) == 1 else None
    return _demand(
        goal_of_all, limits_cores[0] if len(limits_cores) == 1 else None, price, late_at_most, required, notes
    )


def demand_for(late_at_most: float | None = None, goal: Mapping[str, Any] | None = None) -> Demand:
    """What a goal as a scenario has it asks of runs whose cores have the price 1. Raises as `demand_of`."""
    return _demand(Goal() if goal is None else Goal.parsed(goal), None, 1.0, late_at_most)


def _demand(
    goal: Goal,
    limit_cores: int | None,
    price_per_core: float | None,
    late_at_most: float | None,
    required: Sequence[Requirement] = (),
    notes: Sequence[str] = (),
) -> Demand:
    limits = list(_limits(goal, limit_cores, price_per_core))
    limits += [
        DemandLimit(known_outcome(requirement.column), requirement.is_most, requirement.bound)
        for requirement in required
    ]
    late = [_share(requirement) for requirement in (goal.late_at_most, late_at_most) if requirement is not None]
    limits.append(DemandLimit(LATE, True, min(late, default=LATE_AT_MOST)))
    return Demand(goal.aim, tuple(_strictest(limits)), tuple(notes))


def _limits(goal: Goal, limit_cores: int | None, price_per_core: float | None) -> Iterator[DemandLimit]:
    """The limits of a goal and of cores, without that on late requests."""
    if goal.accuracy_at_least is not None:
        yield DemandLimit(ACCURACY, False, goal.accuracy_at_least)
    for stage, least in goal.stage_accuracy_at_least.items():
        yield DemandLimit(known_outcome(f"{OF_STAGE}.{stage}"), False, least)
    if goal.ttft_at_most_s is not None:
        yield DemandLimit(known_outcome("ttft_p99_s"), True, goal.ttft_at_most_s)
    most_cores = goal.core_limit(limit_cores)
    if most_cores is not None and price_per_core is not None:
        yield DemandLimit(replace(COST, factor=1.0 / price_per_core), True, most_cores * price_per_core)


def demand_of_goal(scenario: Scenario) -> tuple[str | None, tuple[DemandLimit, ...]]:
    """The aim of a scenario's goal (None: none) and its limits, of late requests only if it has one.

    Raises PolicyError for a malformed goal.
    """
    goal = _goal_of(scenario) or Goal()
    late = () if goal.late_at_most is None else (DemandLimit(LATE, True, goal.late_at_most),)
    return goal.aim, (*_limits(goal, None, scenario.price_per_core), *late)


def _share(late_at_most: float) -> float:
    if not 0.0 <= late_at_most < 1.0:  # all requests are a limit that nothing can break
        raise ScenarioError(f"late_at_most: should be a share from 0 and below 1; given {late_at_most!r}")
    return late_at_most


def _strictest(limits: Sequence[DemandLimit]) -> Iterator[DemandLimit]:
    """Of limits on the same side of a figure the strictest, in the order in which they are given."""
    strictest: dict[tuple[str, bool], DemandLimit] = {}
    for limit in limits:
        strictest_yet = strictest.setdefault((limit.outcome.column, limit.is_most), limit)
        if limit.bound != strictest_yet.bound and (limit.bound < strictest_yet.bound) == limit.is_most:
            strictest[limit.outcome.column, limit.is_most] = limit
    yield from strictest.values()


def takes_goal(policy: str) -> bool:
    """Whether a policy has a goal among its parameters; not if it is unknown, as one whose file is gone."""
    try:
        return takes(policy, "goal")
    except PolicyError:
        return False


def _goal_of(scenario: Scenario) -> Goal | None:
    goal = scenario.policy.parameters.get("goal") or split_spec(scenario.policy.name)[1].get("goal")
    return None if goal is None else Goal.parsed(goal)


def _add(values: list[Any], value: Any) -> None:
    """Add a value that is not known yet."""
    if value not in values:
        values.append(value)


ASKING = ("policy", "policy.name", "limit_cores", "price_per_core")
"""Keys of a scenario on which a demand depends, besides those of the goal."""

MOST_ASKING = 1000
"""The most combinations of values of these keys that are looked at."""


def demand_of_points(
    base: Scenario,
    axes: Mapping[str, Sequence[Any]],
    late_at_most: float | None = None,
    required: Sequence[Requirement] = (),
) -> Demand:
    """As `demand_of`, of the points of a sweep: `axes` are the values of its varied keys."""
    asking = {
        key: values for key, values in axes.items() if values and (key in ASKING or key.startswith("policy.goal"))
    }
    scenarios = []
    for values in islice(product(*asking.values()), MOST_ASKING):
        try:
            scenarios.append(base.with_values(dict(zip(asking, values, strict=True))))
        except InputError:  # values that no point has together
            continue
    return demand_of(scenarios, late_at_most, required)
