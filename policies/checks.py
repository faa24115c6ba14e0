"""Checks of user input. Errors name the key, the value, what is allowed and the nearest right name."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from ipa.errors import nearest as nearest_name
from ipa.numbers import perhaps_with_unit
from ipa.policies.interface import PolicyError

LARGEST = 1e12
"""Bound of numbers without another one: exact sums and products of two of them stay finite."""

LONGEST_SHOWN = 80
"""In characters: how much of a value stands in a message."""


def number(
    key: str,
    value: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
) -> float:
    """`value` as a float within the bounds and `LARGEST`; PolicyError otherwise (a bool does not count as a number)."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        result = float(value)
        if (
            abs(result) <= LARGEST
            and (at_least is None or result >= at_least)
            and (above is None or result > above)
            and (at_most is None or result <= at_most)
        ):
            return result
    bounds = [f"of at least {at_least:g}"] if at_least is not None else []
    bounds += [f"above {above:g}"] if above is not None else []
    bounds += [f"at most {at_most:g}"] if at_most is not None else []
    if isinstance(value, float | int) and math.isfinite(value) and abs(value) > LARGEST:
        bounds += [f"at most {LARGEST:g}"] * (at_most is None)
    allowed = " ".join(["a finite number", " and ".join(bounds)]).strip()
    raise PolicyError(f"{key}={value!r} must be {allowed}{perhaps_with_unit(value, key)}")


def integer(key: str, value: Any, *, at_least: int = 1) -> int:
    """`value` as an int of at least `at_least`; PolicyError otherwise (True does not count as a number)."""
    if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
        unit = perhaps_with_unit(value, key)
        raise PolicyError(f"{key}={value!r} must be a whole number of at least {at_least}{unit}")
    return value


def flag(key: str, value: Any) -> bool:
    """`value` if it is true or false; PolicyError otherwise."""
    if not isinstance(value, bool):
        raise PolicyError(f"{key}={value!r} must be true or false")
    return value


def choice(key: str, value: Any, allowed: Iterable[str]) -> str:
    """`value` if it is one of `allowed`; PolicyError with the nearest one otherwise."""
    names = tuple(allowed)
    if not isinstance(value, str) or value not in names:
        raise PolicyError(f"{key}={value!r} is none of: {', '.join(names)}{nearest(value, names)}")
    return value


def known(kind: str, names: Iterable[str], allowed: Iterable[str], suffix: str = "") -> None:
    """PolicyError for the first of `names` that is not `allowed`, with the nearest allowed one and the list.

    `suffix` follows the name: whose names they are, such as " of policy 'ipa'".
    """
    right = tuple(dict.fromkeys(allowed))  # a class may have a parameter that it also passes on
    for name in names:
        if name not in right:
            listed = ", ".join(right) if right else "none"
            raise PolicyError(f"unknown {kind} {name!r}{suffix}{nearest(name, right)}; allowed: {listed}")


def mapping(key: str, value: Any, allowed: Iterable[str]) -> dict[str, Any]:
    """`value` as a dict with exactly the keys `allowed`; PolicyError otherwise, with what is wrong or missing."""
    names = tuple(allowed)
    if not isinstance(value, Mapping):
        raise PolicyError(f"{key}={value!r} must be a mapping with each of: {', '.join(names)}")
    known("key", (str(name) for name in value), names, suffix=f" of {key}")
    missing = [name for name in names if name not in value]
    if missing:
        raise PolicyError(f"{key} lacks {', '.join(missing)}; it must be a mapping with each of: {', '.join(names)}")
    return {name: value[name] for name in names}


def shown(value: object) -> str:
    """A value in a message: its repr, cut where it is long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def nearest(value: Any, allowed: Iterable[str]) -> str:
    """' (did you mean ...?)', or nothing if no allowed name is near."""
    near = nearest_name(str(value), allowed, likeness=0.5)
    return f" (did you mean {near!r}?)" if near is not None else ""
