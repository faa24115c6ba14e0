"""What is wrong with a file or a name, and how it is said: the nearest right one, and all that are allowed.

It imports nothing slow, unlike `yaml_file`: who only asks for names does not wait for pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from ipa.errors import InputError


class ProfileError(InputError):
    """A pipeline, a profile or a name in one that cannot be used; the text says what is allowed."""


def did_you_mean(name: str, allowed: Iterable[str], prefix: str = "") -> str:
    """`; did you mean 'right'?` with the name nearest to `name`, after a prefix, or nothing if none is near."""
    near = get_close_matches(name, list(allowed), n=1)
    return f"; did you mean {prefix + near[0]!r}?" if near else ""


def listed(values: Iterable[object]) -> str:
    """The values, comma-separated, as an error lists what is allowed."""
    return ", ".join(str(value) for value in values)
