"""The points of a sweep: each gives values to some keys, from a list or from between two ends (an axis).

policy.alpha=0.5,1,2           a list, as in YAML
policy.load_margin=0:0.5:0.1   from 0 to 0.5 in steps of 0.1, both ends included
policy.beta=0.1:10             anywhere between the ends, for samples
policy.beta=0.1:10:log         the same, evenly on a logarithmic scale

Without a number of points, every combination is one; later keys vary fastest. With one, they are drawn by the seed:

128         evenly between the ends, or among the values, of each key
sobol:128   by a scrambled Sobol sequence, which fills the space more evenly; best with a power of two of points

More points keep the ones before.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from decimal import Decimal
from itertools import product
from typing import Any

import numpy as np

from ipa.numbers import in_own_unit, number_of, quantity_of
from ipa.sim import FloatArray
from ipa.studies.many.sweeps.conditions import PointCondition
from ipa.studies.scenario import ScenarioError, parse_value, put

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


def parse_axis(text: str) -> Axis:
    """The axis of `KEY=VALUES`. Raises ScenarioError for anything else."""
    key, equals, values = text.partition("=")
    if not equals or not all(key.split(".")) or not values.strip():
        raise ScenarioError(f"--vary {text}: {SHAPE}")
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


SOBOL = "sobol:"
"""The prefix of a number of points that a Sobol sequence draws."""

MOST_POINTS = 10_000_000

Values = dict[str, Any]
"""The values of a point, by key."""


@dataclass(frozen=True)
class Draw:
    """How many points are drawn, and whether by a Sobol sequence."""

    points: int
    is_sobol: bool = False

    def __str__(self) -> str:
        return f"{SOBOL if self.is_sobol else ''}{self.points}"

    def shares(self, axes: int, seed: int) -> FloatArray:
        """Shares of the axes' ranges, 0 <= share < 1, shape (points, axes)."""
        rng = np.random.default_rng(seed)
        if not self.is_sobol:
            return rng.random((self.points, axes))
        from scipy.stats import qmc

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about balance, which the documentation explains
            return np.asarray(qmc.Sobol(axes, rng=rng).random(self.points))


def parse_draw(text: str) -> Draw:
    """The points of `128` or `sobol:128`. Raises ScenarioError for anything else."""
    points = number_of(text.removeprefix(SOBOL))
    if not isinstance(points, int) or not 1 <= points <= MOST_POINTS:
        raise ScenarioError(f"--points {text}: should be a number from 1, such as 128, or sobol:128")
    return Draw(points, text.startswith(SOBOL))


@dataclass(frozen=True)
class Space:
    """What is varied, which points are left out, and how points are drawn; None: every combination is one."""

    axes: tuple[Axis, ...]
    where: tuple[PointCondition, ...] = ()
    draw: Draw | None = None

    def __post_init__(self) -> None:
        if twice := {key for key in self.keys if self.keys.count(key) > 1}:
            raise ScenarioError(f"{min(twice)}: is varied twice; give all its values at once")
        for axis in self.axes:
            if axis.ends is not None and self.draw is None:
                raise ScenarioError(
                    f"{axis.key}: a range without a step is for drawn points (--points); give a step, FROM:TO:STEP"
                )

    @property
    def keys(self) -> tuple[str, ...]:
        """The varied keys, in order."""
        return tuple(axis.key for axis in self.axes)

    def values(self, base: Mapping[str, Any]) -> Iterator[Values]:
        """The points for a base scenario as plain data, none twice. Raises ScenarioError for unusable conditions."""
        before: set[int] = set()
        for values in self._all(base):
            if self.where and not _hold(self.where, base, values):
                continue
            if self.draw is not None:
                mark = hash(repr(values))
                if mark in before:
                    continue
                before.add(mark)
            yield values

    def _all(self, base: Mapping[str, Any]) -> Iterator[Values]:
        if self.draw is None:
            for values in product(*(axis.values for axis in self.axes)):
                yield dict(zip(self.keys, values, strict=True))
            return
        for shares in self.draw.shares(len(self.axes), base.get("seed", 1)):
            yield {axis.key: axis.at(share) for axis, share in zip(self.axes, shares.tolist(), strict=True)}


def _hold(conditions: Sequence[PointCondition], base: Mapping[str, Any], values: Values) -> bool:
    data = deepcopy(dict(base))
    for key, value in values.items():
        put(data, key.split("."), value, key)
    return all(condition.holds(data) for condition in conditions)
