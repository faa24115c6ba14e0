"""How fast an HPA may change: the rules, windows and tolerances of its `behavior`, for one direction each.

Source: Kubernetes, autoscaling/v2 HPAScalingRules and pkg/controller/podautoscaler. In each direction:

*Window*: with R the replicas now, the recommendations of the window and the new one, R goes up at least to the lowest
of the window of scaling up, and down at most to the highest of the window of scaling down.

*Rules*: each says by how much the replicas may change within its period: a number of pods, or a percentage of the
replicas with which the period began (those of now, without what was added in it and with what was removed). Percentages
are rounded so that the change is possible: up when scaling up, and the rest down when scaling down. Of several rules
the one that allows most holds (`max`), or the one that allows least (`min`); `disabled` forbids the direction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor
from typing import Any

from ipa.policies import checks
from ipa.policies.interface import PolicyError
from ipa.policies.scaler import EPSILON, within

SELECTS = ("max", "min", "disabled")
LONGEST_PERIOD_S = 1800
LONGEST_WINDOW_S = 3600
"""The bounds that the API has."""


@dataclass(frozen=True, slots=True)
class ScalingRule:
    """A change by at most `pods` replicas, or by `percent` of them, within `period_s`; one of the two is None."""

    period_s: float
    pods: int | None = None
    percent: float | None = None

    def highest(self, begun_with: int) -> int:
        """The most replicas, if the period began with so many."""
        if self.pods is not None:
            return begun_with + self.pods
        return ceil(begun_with * (1 + (self.percent or 0.0) / 100) - EPSILON)

    def lowest(self, begun_with: int) -> int:
        """The fewest replicas, if the period began with so many."""
        if self.pods is not None:
            return begun_with - self.pods
        return floor(begun_with * (1 - (self.percent or 0.0) / 100) + EPSILON)

    def as_given(self) -> dict[str, float]:
        """The rule as a parameter."""
        amount = {"pods": self.pods} if self.pods is not None else {"percent": self.percent or 0.0}
        return {**amount, "period_s": self.period_s}


UP = (ScalingRule(15.0, pods=4), ScalingRule(15.0, percent=100.0))
DOWN = (ScalingRule(15.0, percent=100.0),)
"""The rules where none are given."""


@dataclass(frozen=True, slots=True)
class Pace:
    """One direction: its window [s], its rules, and which of them holds."""

    window_s: float
    rules: tuple[ScalingRule, ...]
    select: str = "max"

    @property
    def longest_period_s(self) -> float:
        """How long a change has to be remembered."""
        return max((rule.period_s for rule in self.rules), default=0.0)


Changes = Sequence[tuple[float, int]]
"""What changed: the time [s], and the replicas added; below 0 for those that were removed."""


def parse_rules(key: str, rules: object, default: tuple[ScalingRule, ...]) -> tuple[ScalingRule, ...]:
    """The rules that a parameter gives, as mappings of `period_s` and `pods` or `percent`; None: the default.

    PolicyError: a key or value that cannot be.
    """
    if rules is None:
        return default
    if not isinstance(rules, Sequence) or isinstance(rules, str) or not rules:
        raise PolicyError(f"{key}={rules!r} must be a list of rules such as {{pods: 4, period_s: 15}}")
    return tuple(_parse_rule(f"{key}[{place}]", rule) for place, rule in enumerate(rules))


def _parse_rule(key: str, rule: object) -> ScalingRule:
    if isinstance(rule, ScalingRule):
        return rule
    if not isinstance(rule, Mapping):
        raise PolicyError(f"{key}={rule!r} must be a mapping such as {{pods: 4, period_s: 15}}")
    checks.known("key", map(str, rule), ("pods", "percent", "period_s"), suffix=f" of {key}")
    if ("pods" in rule) == ("percent" in rule):
        raise PolicyError(f"{key}={dict(rule)!r} must have either pods or percent")
    period_s = checks.number(f"{key}.period_s", rule.get("period_s", 15.0), above=0, at_most=LONGEST_PERIOD_S)
    if "pods" in rule:
        return ScalingRule(period_s, pods=checks.integer(f"{key}.pods", rule["pods"]))
    return ScalingRule(period_s, percent=checks.number(f"{key}.percent", rule["percent"], above=0))


def stabilised(
    current: int, recommended: int, before: Iterable[tuple[float, int]], now_s: float, up: Pace, down: Pace
) -> int:
    """The replicas that the windows allow; `before`: earlier recommendations, each with its time."""
    earlier = list(before)
    lowest = min([recommended, *(count for _, count in within(earlier, now_s, up.window_s))])
    highest = max([recommended, *(count for _, count in within(earlier, now_s, down.window_s))])
    return min(max(current, lowest), highest)


def allowed(current: int, replicas: int, changes: Changes, now_s: float, up: Pace, down: Pace) -> int:
    """The replicas that the rules allow on the way to those wanted."""
    if replicas == current:
        return current
    pace = up if replicas > current else down
    if pace.select == "disabled":
        return current
    begun = [current - sum(count for _, count in within(changes, now_s, rule.period_s)) for rule in pace.rules]
    most_change = pace.select == "max"
    if replicas > current:
        highest = [rule.highest(count) for rule, count in zip(pace.rules, begun, strict=True)]
        return min(replicas, max(current, max(highest) if most_change else min(highest)))
    lowest = [rule.lowest(count) for rule, count in zip(pace.rules, begun, strict=True)]
    return max(replicas, min(current, min(lowest) if most_change else max(lowest)))


def remembered(changes: Changes, now_s: float, change: int, up: Pace, down: Pace) -> list[tuple[float, Any]]:
    """What has to be remembered of the changes, with one made now."""
    longest_s = max(up.longest_period_s, down.longest_period_s)
    return [*within(changes, now_s, longest_s), *([(now_s, change)] if change else [])]
