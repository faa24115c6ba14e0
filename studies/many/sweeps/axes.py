"""An axis: a key of a scenario with the values that it takes, listed or between two ends.

policy.alpha=0.5,1,2           a list, as in YAML
policy.load_margin=0:0.5:0.1   from 0 to 0.5 in steps of 0.1, both ends included
policy.beta=0.1:10             anywhere between the ends, for samples
policy.beta=0.1:10:log         the same, evenly on a logarithmic scale
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from ipa.studies.scenario import ScenarioError, parse_value

LOG = "log"

NEVER_A_RANGE = ("window",)
"""Keys whose values look like ranges: of seconds."""

MOST_STEPS = 1_000_000

SHAPE = "should be KEY=VALUE,VALUE,... or KEY=FROM:TO:STEP, such as policy.alpha=0.5,1,2 or hop_s=0:0.1:0.02"


@dataclass(frozen=True)
class Axis:
    """A key with its `values`, or with the `ends` between which it lies, evenly or on a logarithmic scale."""

    key: str
    values: tuple[Any, ...] = ()
    ends: tuple[float, float] | None = None
    is_log: bool = False

    def at(self, share: float) -> Any:
        """The value at a share of the way from the first to the last, 0 <= share < 1."""
        if self.ends is None:
            return self.values[int(share * len(self.values))]
        low, high = self.ends
        return low * (high / low) ** share if self.is_log else low + share * (high - low)


def parse(text: str, option: str = "--vary") -> Axis:
    """The axis of `KEY=VALUES`, which `option` gives. Raises ScenarioError for anything else."""
    key, equals, given = text.partition("=")
    if not equals or not all(key.split(".")) or not given.strip():
        raise ScenarioError(f"{option} {text}: {SHAPE}")
    return axis(key.strip(), given)


def axis(key: str, given: str | Sequence[Any]) -> Axis:
    """The axis of a key, of a text as on the command line or of a sequence of values. Raises ScenarioError."""
    if isinstance(given, str):
        found = None if key in NEVER_A_RANGE else _range(key, given)
        if found is not None:
            return found
        try:
            given = parse_value(f"[{given}]")
        except ScenarioError as error:
            raise ScenarioError(f"{key}: {error}") from None
    values = tuple(given)
    if not values:
        raise ScenarioError(f"{key}: needs at least one value")
    for place, value in enumerate(values):
        if any(value == other and type(value) is type(other) for other in values[:place]):
            raise ScenarioError(f"{key}: {value!r} is given twice")
    return Axis(key, values)


def _range(key: str, text: str) -> Axis | None:
    """The axis of FROM:TO, FROM:TO:STEP or FROM:TO:log; None for a text of another form."""
    first, colon, rest = text.strip().partition(":")
    last, _, by = rest.partition(":")
    low, high, step = _number(first), _number(last), _number(by)
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
    whole = all(each == each.to_integral_value() and "." not in str(each) for each in (low, high, step))
    steps = (low + step * place for place in range(int((high - low) / step) + 1))
    return Axis(key, tuple(int(each) if whole else float(each) for each in steps))


def _number(text: str) -> Decimal | None:
    try:
        found = Decimal(text)
    except InvalidOperation:
        return None
    return found if found.is_finite() else None
