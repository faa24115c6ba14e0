"""What a number is where a person writes one as text: in a YAML file, an option, or the argument of a policy.

It may have a unit: `500 ms` of a key in seconds is 0.5, `45 %` of a share 0.45, and of a key in per cent 45. What a
number is of, its name says: `sla_s` is a time, `accuracy_at_least` per cent, `limit_cores` cores, anything else perhaps
a share.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from math import isfinite
from typing import Any

_INTEGER = re.compile(r"[-+]?[0-9]+")
_MOST_DIGITS = 300
"""A whole number of so many is still in the range of floating-point numbers."""
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

UNITS_S = {
    "us": Fraction(1, 1_000_000),
    "ms": Fraction(1, 1_000),
    "s": Fraction(1),
    **dict.fromkeys(("m", "min"), Fraction(60)),
    "h": Fraction(3_600),
    "d": Fraction(86_400),
}
"""The units of a time [s]; minutes are `m` as in Prometheus, or `min`."""

_TIMES = {"_s": UNITS_S, "_h": {unit: factor / 3_600 for unit, factor in UNITS_S.items()}}
_SHARE = {"%": Fraction(1, 100)}
_PER_CENT = dict.fromkeys(("%", "points"), Fraction(1))
_CORES = dict.fromkeys(("cores", "core"), Fraction(1))

IN_PER_CENT = ("accuracy_at_least", "pas", "pas_mean", "planned_pas_mean")
"""Names of numbers in per cent; those that end in `_percent` are too."""

IN_CORES = ("cores", "cores_at_most", "cost")
"""Names of numbers of cores; those that end in `_cores` are too."""

_WITH_UNIT = re.compile(r"([-+.0-9]\S*?) *(%|[a-z]+)")


def number_of(text: str) -> int | float | None:
    """The number that a text says, in the digits 0 to 9, perhaps among spaces; None for any other text.

    Python's `float` also takes the digits of other scripts, `1_000`, `inf` and `nan`.
    """
    text = text.strip(" ")
    if _INTEGER.fullmatch(text) and len(text) <= _MOST_DIGITS:
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else None


def is_in_per_cent(name: str) -> bool:
    """Whether numbers of this name are per cent, from 0 to 100."""
    return name.rpartition(".")[2] in IN_PER_CENT or name.endswith("_percent")


def units_of(name: str) -> Mapping[str, Fraction]:
    """The units that numbers of this name may be written in, each with its value in the name's own."""
    if name in ("seconds", "step") or name[-2:] in _TIMES:
        return _TIMES.get(name[-2:], UNITS_S)
    if is_in_per_cent(name):
        return _PER_CENT
    return _CORES if name.rpartition(".")[2] in IN_CORES or name.endswith("_cores") else _SHARE


def perhaps_with_unit(text: object, name: str) -> str:
    """What to add to `a number` where a text of that name is one with a wrong unit: the right ones; else nothing."""
    is_near = isinstance(text, str) and _WITH_UNIT.fullmatch(text.strip(" "))
    return f", perhaps with a unit ({', '.join(units_of(name))})" if is_near else ""


def pattern_of(name: str) -> str:
    """What a text with a unit of that name looks like, for a JSON schema."""
    return rf"^{_NUMBER.pattern} *({'|'.join(units_of(name))})$"


def quantity_of(text: str, name: str) -> int | float | None:
    """The number that a text says in the unit of a name, with a unit of its own or without; None for any other text."""
    number = number_of(text)
    return _with_unit(text, name) if number is None else number


def in_own_unit(value: Any, name: str) -> Any:
    """A value of that name with the texts in it that have a unit as numbers; anything else stays as it is.

    In a mapping, a name of a quantity goes before that of the mapping: `{accuracy_at_least: {detect: 60 %}}`.
    """
    if isinstance(value, str):
        number = _with_unit(value, name)
        return value if number is None else number
    if isinstance(value, Mapping):
        names = {
            key: name if units_of(str(key)) is _SHARE and units_of(name) is not _SHARE else str(key) for key in value
        }
        return {key: in_own_unit(each, names[key]) for key, each in value.items()}
    return [in_own_unit(each, name) for each in value] if isinstance(value, list | tuple) else value


def _with_unit(text: str, name: str) -> int | float | None:
    found = _WITH_UNIT.fullmatch(text.strip(" "))
    number = None if found is None else number_of(found[1])
    factor = None if found is None else units_of(name).get(found[2])
    if found is None or number is None or factor is None or not isfinite(number):
        return None
    exact = Fraction(found[1]) * factor
    return int(exact) if exact.denominator == 1 else float(exact)
