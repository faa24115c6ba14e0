"""What every error of ours is: a sentence for the person who can mend it, and the exit code of a command it ends."""

from __future__ import annotations

from typing import ClassVar


class Error(Exception):
    """The base of all errors that `ipa` raises on purpose. The text is complete: it needs no traceback."""

    exit_code: ClassVar[int] = 1


class InputError(Error, ValueError):
    """Input that cannot be used. The text says which, and what is allowed."""

    exit_code = 2
