"""Errors in a file or a name, with the nearest right name and all that are allowed.

It imports nothing slow, unlike `yaml_file`: listing names must not wait for pydantic.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from ipa.errors import InputError
from ipa.errors import did_you_mean as did_you_mean

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable


class ProfileError(InputError):
    """A pipeline, a profile or a name in one that cannot be used; the text says what is allowed."""


def listed(values: Iterable[object]) -> str:
    """The values, comma-separated, as an error lists what is allowed."""
    return ", ".join(str(value) for value in values)


def text_of(path: str | Path | Traversable, error: type[ValueError] = ProfileError) -> str:
    """The text of a file; `error` if it cannot be read."""
    source = Path(path) if isinstance(path, str) else path
    try:
        return source.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise error(f"{path}: not a text file (UTF-8)") from None
    except (OSError, ValueError) as cause:  # a path with a null byte is a ValueError
        raise error(f"{path}: cannot be read: {getattr(cause, 'strerror', None) or cause}") from None
