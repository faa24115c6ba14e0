"""Admission by bytes: requests that memory has no room for are refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ipa.live.serving.protocol import ProtocolError

MOST_INSIDE_BYTES = 2 * 2**30
"""How many bytes the requests inside may hold; further ones are refused (503), so that no overload takes all memory."""
REQUEST_BYTES = 16 * 2**10
"""What a request counts beyond its body: its connection, its task and its place in the books."""


class Admission:
    """Counts the bytes of the requests inside, at most `most_bytes`."""

    def __init__(self, most_bytes: int = MOST_INSIDE_BYTES) -> None:
        self._most_bytes = most_bytes
        self._inside_bytes = 0

    @contextmanager
    def room_for(self, size: int) -> Iterator[None]:
        """Count so many bytes as inside meanwhile. Raises ProtocolError (503) where there is no room for them."""
        if self._inside_bytes + size > self._most_bytes:
            raise ProtocolError(f"the requests inside hold {self._inside_bytes} bytes; that is as many as may", 503)
        self._inside_bytes += size
        try:
            yield
        finally:
            self._inside_bytes -= size
