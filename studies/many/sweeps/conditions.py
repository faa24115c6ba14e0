"""Conditions on the values of a point: `policy==ipa and policy.load_margin<=0.2`, `guards.min_replicas<limit_cores`.

Each term compares a key of the scenario with a value or with another key; a mapping with a name (a policy, a predictor)
is compared by its name. For a key that the point does not have, only `!=` can hold.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ipa.numbers import in_own_unit
from ipa.profiles import did_you_mean
from ipa.studies.scenario import Scenario, ScenarioError, parse_value

OPERATORS: Mapping[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}

_TERM = re.compile(r"\s*([\w.]+)\s*(==|!=|<=|>=|<|>)\s*(.*\S)\s*")


@dataclass(frozen=True)
class PointCondition:
    """A conjunction of terms: (key, operator, text of the other side)."""

    text: str
    terms: tuple[tuple[str, str, str], ...]
    keys: Collection[str] = tuple(Scenario.model_fields)

    def holds(self, data: Mapping[str, Any], names: Mapping[str, Any] = MappingProxyType({})) -> bool:
        """Whether it holds for a scenario as plain data and the values of further `names`, which take precedence.

        Raises ScenarioError for values that cannot be compared.
        """
        return all(self._holds(data, names, *term) for term in self.terms)

    def _holds(self, data: Mapping[str, Any], names: Mapping[str, Any], key: str, sign: str, text: str) -> bool:
        value = value_of(names if key in names else data, key)
        is_key = _is_key(text, self.keys)
        bound = value_of(data, text) if is_key else in_own_unit(parse_value(text), key.rpartition(".")[2])
        if value is None or (bound is None and is_key):
            return sign == "!=" and value is not bound
        if isinstance(value, str) and not isinstance(bound, str) and sign in ("==", "!="):
            bound = text  # a name that looks like a number or a list
        try:
            return bool(OPERATORS[sign](value, bound))
        except TypeError:
            raise ScenarioError(f"{self.text}: {value!r} and {bound!r} cannot be compared with {sign}") from None


def parse(text: str, option: str = "--where", names: Collection[str] = ()) -> PointCondition:
    """The condition in a text, given by `option`, on keys of a scenario and further `names`.

    Raises ScenarioError for an invalid form or an unknown key.
    """
    keys = (*names, *Scenario.model_fields)
    terms = []
    for part in re.split(r"\band\b", text):
        term = _TERM.fullmatch(part)
        if term is None:
            raise ScenarioError(
                f"{option} {text}: should be KEY==VALUE, with ==, !=, <, <=, > or >=, several joined by `and`"
            )
        key, sign, text_of_bound = term.groups()
        if not _is_key(key, keys):
            hint = did_you_mean(key.partition(".")[0], keys)
            raise ScenarioError(f"{option} {text}: no key of a scenario is called {key!r}{hint}")
        terms.append((key, sign, text_of_bound))
    return PointCondition(text, tuple(terms), keys)


def value_of(data: Mapping[str, Any], key: str) -> Any:
    """The value of a dotted key; for a mapping with a name, its name; None if there is none."""
    value: Any = data
    for name in [key] if key in data else key.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value.get("name", value) if isinstance(value, Mapping) else value


def _is_key(text: str, keys: Collection[str]) -> bool:
    return text.partition(".")[0] in keys
