"""Tokens for a gateway's ports: made, kept in files that only their owner can read, and compared.

A file holds one token a line. All are accepted, and the first is the one to send, so that a token can be replaced
without an interruption. A file that has changed is read again: this is how tokens are rotated.
"""

from __future__ import annotations

import hmac
import os
import re
import secrets
import stat
from pathlib import Path

from ipa.live.errors import LiveError

CONTROL_HEADER = "X-Ipa-Control-Token"
"""Carries the control token through the API server's proxy, which does not forward `Authorization`."""

_TOKEN = re.compile(r"[\x21-\x7e]{16,}")


def new_token() -> str:
    """A token of 256 random bits, in characters that every header may have."""
    return secrets.token_urlsafe(32)


def create_token_file(path: Path) -> None:
    """Write a new token to a new file that only this user may read. Raises OSError, also if the file exists."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(new_token() + "\n")


class TokenFile:
    """The tokens in a file, as they are now."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._state: tuple[int, int] | None = None
        self._tokens: tuple[str, ...] = ()

    def read(self) -> tuple[str, ...]:
        """The tokens. Raises LiveError for a file that is missing, holds no token, or can be read by everyone."""
        try:
            found = self.path.stat()
            if (state := (found.st_ino, found.st_mtime_ns)) != self._state:
                if found.st_mode & stat.S_IROTH:
                    raise LiveError(f"{self.path}: everyone on this machine can read the token; chmod 600 {self.path}")
                self._tokens = tokens_in(self.path.read_text(encoding="utf-8"), str(self.path))
                self._state = state
        except (OSError, UnicodeDecodeError) as error:
            raise LiveError(f"{self.path}: the token cannot be read: {getattr(error, 'strerror', error)}") from None
        return self._tokens

    def accepts(self, given: str) -> bool:
        """Whether `given` is one of the tokens, in a time that reveals nothing about them. Raises LiveError as
        `read`."""
        offered = given.encode("utf-8", "surrogateescape")
        matches = [hmac.compare_digest(offered, token.encode()) for token in self.read()]  # all: any() stops early
        return any(matches)

    def headers(self) -> dict[str, str]:
        """The header that a request to the port carries. Raises LiveError as `read`."""
        return {"Authorization": f"Bearer {self.read()[0]}"}


def tokens_in(text: str, where: str) -> tuple[str, ...]:
    """The tokens in a text. Raises LiveError for a line that is no token; the error never quotes one."""
    lines = tuple(text.split())
    if not lines or not all(map(_TOKEN.fullmatch, lines)):
        raise LiveError(f"{where}: should hold tokens, one a line, each of at least 16 printable ASCII characters")
    return lines
