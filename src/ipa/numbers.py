"""What a number is where a person writes one as text: in a YAML file, an option, or the argument of a policy."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[-+]?[0-9]+")
_MOST_DIGITS = 300
"""A whole number of so many is still in the range of floating-point numbers."""
_NUMBER = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


def number_of(text: str) -> int | float | None:
    """The number that a text says, in the digits 0 to 9, perhaps among spaces; None for any other text.

    Python's `float` also takes the digits of other scripts, `1_000`, `inf` and `nan`.
    """
    text = text.strip(" ")
    if _INTEGER.fullmatch(text) and len(text) <= _MOST_DIGITS:
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else None
