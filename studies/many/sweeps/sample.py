"""The points of a sweep: each gives values to some keys, from a list or from between two ends (an axis).

policy.alpha=0.5,1,2           a list, as in YAML
policy.load_margin=0:0.5:0.1   from 0 to 0.5 in steps of 0.1, both ends included
policy.beta=0.1:10             anywhere between the ends, for samples
policy.beta=0.1:10:log         the same, evenly on a logarithmic scale

grid     every combination; later keys vary fastest
list     the first values of all keys, the second ones, ...
random   drawn evenly between the ends, or among the values, of each key
lhs      a Latin hypercube: of N points every N-th part of each key's range holds one
sobol    a scrambled Sobol sequence, which fills the space evenly; best with a power of two of points

`random` and `sobol` with more points keep the ones before.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np

from ipa.numbers import in_own_unit, number_of, quantity_of
from ipa.sim import FloatArray
from ipa.studies.many.sweeps.conditions import PointCondition
from ipa.studies.scenario import ScenarioError, choices, parse_value, put

LOG = "log"

NEVER_A_RANGE = ("window",)
"""Keys whose values START:END are not a range to vary over."""

MOST_STEPS = 1_000_000

SHAPE = "should be KEY=VALUE,VALUE,... or KEY=FROM:TO:STEP, such as policy.alpha=0.5,1,2 or hop_s=0:0.1:0.02"


@dataclass(frozen=True)
class Axis:
    """A key with its `values`, or with the `ends` of its range, on a linear or logarithmic scale."""

    key: str
    values: tuple[Any, ...] = ()
    ends: tuple[float, float] | None = None
    is_log: bool = False

    def at(self, share: float) -> Any:
        """The value at a share of the range from first to last, 0 <= share < 1."""
        if self.ends is None:
            return self.values[int(share * len(self.values))]
        low, high = self.ends
        return low * (high / low) ** share if self.is_log else low + share * (high - low)


def parse_axis(text: str, option: str = "--vary") -> Axis:
    """The axis of `KEY=VALUES`, given by `option`. Raises ScenarioError for anything else."""
    key, equals, values = text.partition("=")
    if not equals or not all(key.split(".")) or not values.strip():
        raise ScenarioError(f"{option} {text}: {SHAPE}")
    return axis_of(key.strip(), values)


def axis_of(key: str, values: str | Sequence[Any]) -> Axis:
    """The axis of a key from a command-line text or a sequence of values. Raises ScenarioError if it is invalid."""
    if isinstance(values, str):
        axis = None if key in NEVER_A_RANGE else _range(key, values)
        if axis is not None:
            return axis
        try:
            values = parse_value(f"[{values}]")
        except ScenarioError as error:
            raise ScenarioError(f"{key}: {error}") from None
    values = tuple(in_own_unit(list(values), _name(key)))
    if not values:
        raise ScenarioError(f"{key}: needs at least one value")
    for place, value in enumerate(values):
        if any(value == earlier and type(value) is type(earlier) for earlier in values[:place]):
            raise ScenarioError(f"{key}: {value!r} is given twice")
    return Axis(key, values)


def _range(key: str, text: str) -> Axis | None:
    """The axis of FROM:TO, FROM:TO:STEP or FROM:TO:log; None for any other form.

    Raises ScenarioError for an empty range, a bad step, or a logarithmic scale that does not begin above 0.
    """
    first, colon, rest = text.strip().partition(":")
    last, _, by = rest.partition(":")
    low, high, step = (_number(number, _name(key)) for number in (first, last, by))
    if not colon or low is None or high is None or (by and by != LOG and step is None):
        return None
    if high <= low:
        raise ScenarioError(f"{key}={text}: a range should end above its beginning")
    if not by or by == LOG:
        if by == LOG and low <= 0:
            raise ScenarioError(f"{key}={text}: a logarithmic scale should begin above 0")
        return Axis(key, ends=(float(low), float(high)), is_log=by == LOG)
    assert step is not None
    if step <= 0 or (high - low) / step > MOST_STEPS:
        raise ScenarioError(f"{key}={text}: the step should be above 0 and make at most {MOST_STEPS:,} values")
    whole = all(number == number.to_integral_value() and "." not in str(number) for number in (low, high, step))
    steps = (low + step * place for place in range(int((high - low) / step) + 1))
    return Axis(key, tuple(int(number) if whole else float(number) for number in steps))


def _number(text: str, name: str) -> Decimal | None:
    """A number exactly as it is written, in the unit of its name."""
    if number_of(text) is not None:
        return Decimal(text.strip(" "))
    number = quantity_of(text, name)
    return None if number is None else Decimal(str(number))


def _name(key: str) -> str:
    return key.rpartition(".")[2]


DRAWN = ("random", "lhs", "sobol")

Values = dict[str, Any]
"""The values of a point, by key, without keys that are not varied there."""


@dataclass(frozen=True)
class Branch:
    """An axis, and the condition under which it is varied; None: always."""

    axis: Axis
    when: PointCondition | None = None


@dataclass(frozen=True)
class Space:
    """What is varied, which points are left out, and how points are chosen."""

    branches: tuple[Branch, ...]
    where: tuple[PointCondition, ...] = ()
    method: choices.Sample = "grid"
    points: int | None = None
    sample_seed: int = 1

    def __post_init__(self) -> None:
        keys = [branch.axis.key for branch in self.branches if branch.when is None]
        if twice := {key for key in keys if keys.count(key) > 1}:
            raise ScenarioError(f"{min(twice)}: is varied twice; give all its values at once")
        if (self.method in DRAWN) != (self.points is not None):
            needs = "needs --points" if self.method in DRAWN else "takes no --points"
            raise ScenarioError(f"--sample {self.method}: {needs}; points are drawn for {', '.join(DRAWN)}")
        for branch in self.branches:
            if branch.axis.ends is not None and self.method not in DRAWN:
                raise ScenarioError(
                    f"{branch.axis.key}: a range without a step is for samples ({', '.join(DRAWN)}); give a step, "
                    "FROM:TO:STEP"
                )
        if self.method == "list" and any(branch.when for branch in self.branches):
            raise ScenarioError("--sample list: takes no condition on a key; leave points out with --where")

    @property
    def keys(self) -> tuple[str, ...]:
        """The varied keys, in order."""
        return tuple(dict.fromkeys(branch.axis.key for branch in self.branches))

    def values(self, base: Mapping[str, Any]) -> Iterator[Values]:
        """The points for a base scenario as plain data, none twice. Raises ScenarioError for unusable conditions."""
        before: set[int] = set()
        for values in self._all(base):
            if self.where and not _hold(self.where, base, values):
                continue
            if self.method in DRAWN:
                mark = hash(repr(values))
                if mark in before:
                    continue
                before.add(mark)
            yield values

    def _all(self, base: Mapping[str, Any]) -> Iterator[Values]:
        if self.method == "grid":
            yield from self._grid(base, {}, 0)
        elif self.method == "list":
            yield from self._listed()
        else:
            for shares in self._shares():
                yield self._drawn(base, shares.tolist())

    def _grid(self, base: Mapping[str, Any], before: Values, place: int) -> Iterator[Values]:
        if place == len(self.branches):
            yield before
            return
        branch = self.branches[place]
        if branch.when is not None and not _hold([branch.when], base, before):
            yield from self._grid(base, before, place + 1)
            return
        for value in branch.axis.values:
            yield from self._grid(base, {**before, branch.axis.key: value}, place + 1)

    def _listed(self) -> Iterator[Values]:
        lengths = {len(branch.axis.values) for branch in self.branches} - {1}
        if len(lengths) > 1:
            raise ScenarioError(
                "--sample list: all keys need as many values, or one; given "
                + ", ".join(f"{branch.axis.key}: {len(branch.axis.values)}" for branch in self.branches)
            )
        for place in range(max(lengths, default=1)):
            yield {
                branch.axis.key: branch.axis.values[place if len(branch.axis.values) > 1 else 0]
                for branch in self.branches
            }

    def _drawn(self, base: Mapping[str, Any], shares: Sequence[float]) -> Values:
        values: Values = {}
        for branch, share in zip(self.branches, shares, strict=True):
            if branch.when is None or _hold([branch.when], base, values):
                values[branch.axis.key] = branch.axis.at(share)
        return values

    def _shares(self) -> FloatArray:
        """Shares of the axes' ranges, 0 <= share < 1, shape (points, axes)."""
        assert self.points is not None
        rng = np.random.default_rng(self.sample_seed)
        if self.method == "random":
            return rng.random((self.points, len(self.branches)))
        from scipy.stats import qmc

        if self.method == "lhs":
            return np.asarray(qmc.LatinHypercube(len(self.branches), rng=rng).random(self.points))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about balance, which the documentation explains
            return np.asarray(qmc.Sobol(len(self.branches), rng=rng).random(self.points))


def _hold(conditions: Sequence[PointCondition], base: Mapping[str, Any], values: Values) -> bool:
    data = deepcopy(dict(base))
    for key, value in values.items():
        put(data, key.split("."), value, key)
    return all(condition.holds(data) for condition in conditions)
