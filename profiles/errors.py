"""Errors in a file or a name, with the nearest right name and all that are allowed.

It imports nothing slow, unlike `yaml_file`: listing names must not wait for pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable

from ipa.errors import InputError
from ipa.errors import did_you_mean as did_you_mean


class ProfileError(InputError):
    """A pipeline, a profile or a name in one that cannot be used; the text says what is allowed."""


def listed(values: Iterable[object]) -> str:
    """The values, comma-separated, as an error lists what is allowed."""
    return ", ".join(str(value) for value in values)
