"""A document read key by key: what is not taken is refused, so that no setting is overlooked in silence."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ipa.policies.interface import PolicyError

_SUFFIXES = {"n": 1e-9, "u": 1e-6, "m": 1e-3, "": 1.0, "k": 1e3, "M": 1e6, "G": 1e9}
_QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)(n|u|m|k|M|G|)")


class Fields:
    """A mapping of a document under its path. PolicyError names the path of whatever is wrong."""

    def __init__(self, data: object, path: str, notes: list[str]) -> None:
        if not isinstance(data, Mapping):
            raise PolicyError(f"{path or 'the document'}: {shown(data)}; allowed: a mapping")
        self._data = dict(data)
        self.path = path
        self.notes = notes

    def at(self, key: object) -> str:
        """The path of a key."""
        return f"{self.path}.{key}" if self.path else str(key)

    def take(self, key: str, default: Any = None) -> Any:
        """The value of a key, which has now been read."""
        value = self._data.pop(key, default)
        return default if value is None else value

    def fields(self, key: str) -> Fields:
        """The mapping at a key; empty without one."""
        return Fields(self.take(key, {}), self.at(key), self.notes)

    def items(self, key: str) -> list[Fields]:
        """The mappings of the list at a key."""
        listed = self.take(key, [])
        if not isinstance(listed, Sequence) or isinstance(listed, str):
            raise PolicyError(f"{self.at(key)}: {shown(listed)}; allowed: a list")
        return [Fields(item, f"{self.at(key)}[{place}]", self.notes) for place, item in enumerate(listed)]

    def whole(self, key: str, default: int | None, *, at_least: int) -> int | None:
        """The whole number at a key, which may stand in quotes."""
        value = self.take(key, default)
        if isinstance(value, str) and re.fullmatch(r"[0-9]+", value):
            value = int(value)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or value < at_least:
            raise PolicyError(f"{self.at(key)}: {shown(value)}; allowed: a whole number of at least {at_least}")
        return value

    def quantity(self, key: str, default: float | None, *, above: float | None = None, at_least: float = 0.0) -> float:
        """The number at a key, as Kubernetes writes quantities: 10, "10", "500m", "1k"."""
        value = self.take(key, default)
        number = _number(value)
        if number is None or number < at_least or (above is not None and number <= above):
            bound = f"at least {at_least:g}" if above is None else f"above {above:g}"
            raise PolicyError(f"{self.at(key)}: {shown(value)}; allowed: a quantity {bound}, such as 10 or 500m")
        return number

    def one_of(self, key: str, default: str | None, allowed: Sequence[str]) -> str:
        """The text at a key, one of those allowed."""
        value = self.take(key, default)
        if value not in allowed:
            raise PolicyError(f"{self.at(key)}: {shown(value)}; allowed: {', '.join(allowed)}")
        return str(value)

    def skip(self, *keys: str) -> None:
        """Keys that do not say how many replicas there are to be."""
        for key in keys:
            self._data.pop(key, None)

    def say(self, why: str, *keys: str) -> None:
        """Keys that have no counterpart and cannot matter here; what is set of them is noted."""
        noted = [self.at(key) for key in keys if self._data.pop(key, None) is not None]
        if noted:
            self.notes.append(f"{', '.join(noted)}: {why}")

    def refuse(self, key: str, why: str) -> None:
        """Refuse a key, if it is set."""
        if self._data.get(key) is not None:
            raise PolicyError(f"{self.at(key)}: {shown(self._data[key])}: {why}")

    def end(self) -> None:
        """Refuse what has not been read."""
        for key in self._data:
            raise PolicyError(f"{self.at(key)}: has no counterpart here; leave it out to read the rest")


def shown(value: object) -> str:
    """A value in a message."""
    text = "nothing" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _number(value: object) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return float(value)
    match = _QUANTITY.fullmatch(value.strip()) if isinstance(value, str) else None
    # The quotient is the nearest double where the product with 0.001 is not.
    if match is None:
        return None
    factor = _SUFFIXES[match[2]]
    return float(match[1]) * factor if factor >= 1 else float(match[1]) / round(1 / factor)


def as_quantity(value: float) -> str:
    """A number as Kubernetes writes quantities, in thousandths where it is not whole."""
    return f"{value:.0f}" if value == int(value) else f"{round(1000 * value)}m"
