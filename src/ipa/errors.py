"""What every error of ours is: a sentence for the person who can mend it, and the exit code of a command it ends."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar


class Error(Exception):
    """The base of all errors that `ipa` raises on purpose. The text is complete: it needs no traceback."""

    exit_code: ClassVar[int] = 1


class InputError(Error, ValueError):
    """Input that cannot be used. The text says which, and what is allowed."""

    exit_code = 2


def nearest(name: str, allowed: Iterable[str], likeness: float = 0.6) -> str | None:
    """The allowed name that is most like another one; None if none is like it."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(name, list(allowed), n=1, cutoff=likeness)), None)


def did_you_mean(name: str, allowed: Iterable[str], prefix: str = "") -> str:
    """The end of a message: `; did you mean 'right'?`, the name after a prefix, or nothing if none is near."""
    near = nearest(name, allowed)
    return "" if near is None else f"; did you mean {prefix + near!r}?"
