"""Conditions on a model's outputs, by which an item takes an edge of a graph: `small < 0.5`, `label == "car"`."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ipa.numbers import quantity_of

COMPARISONS: Mapping[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
PATTERN = r"""^\s*([^\s<>=!]+)\s*(<=|>=|==|!=|<|>)\s*([^\s"'<>=!]+(?: +%)?|"[^"]*"|'[^']*')\s*$"""
ALLOWED = "should be an output, one of < <= > >= == !=, and a number or a quoted text, as in `score < 0.5`"
_WORDS = {"true": 1.0, "false": 0.0}


@dataclass(frozen=True)
class Condition:
    """`value`: a number, or a text that the output is or is not; true is 1 and false 0."""

    output: str
    comparison: str
    value: float | str

    @property
    def problem(self) -> str:
        """What is wrong with it; empty if all is well."""
        if not self.output or self.comparison not in COMPARISONS:
            return f"{ALLOWED}; given {str(self)!r}"
        if isinstance(self.value, str):
            return "" if self.comparison in ("==", "!=") else f"a text is compared by == or !=; given {str(self)!r}"
        return "" if math.isfinite(self.value) else f"{ALLOWED}; given {str(self)!r}"

    def holds(self, value: float | str) -> bool:
        """Whether it holds of that value of the output. TypeError: a number for a text, or a text for a number."""
        if isinstance(value, str) is not isinstance(self.value, str):
            raise TypeError(f"compared with {self.value!r}")
        return COMPARISONS[self.comparison](value, self.value)

    def __str__(self) -> str:
        value = f'"{self.value}"' if isinstance(self.value, str) else f"{self.value:g}"
        return f"{self.output} {self.comparison} {value}"


def parsed(text: str) -> Condition:
    """The condition that a text says. ValueError in words for one that it does not."""
    match = re.match(PATTERN, text)
    if match is None:
        raise ValueError(f"{ALLOWED}; given {text!r}")
    output, comparison, operand = match.groups()
    value: float | str
    if operand[0] in "\"'":
        value = operand[1:-1]
    elif operand in _WORDS:
        value = _WORDS[operand]
    else:
        number = quantity_of(operand, output)
        if number is None:
            raise ValueError(f'a text to compare with is quoted, as in `{output} {comparison} "{operand}"`')
        value = float(number)
    condition = Condition(output, comparison, value)
    if condition.problem:
        raise ValueError(condition.problem)
    return condition
