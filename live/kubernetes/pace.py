"""How many changes of pods a controller may ask for within a minute."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ipa.policies import StageConfiguration

WINDOW_S = 60.0


class ChangeLimit:
    """At most `changes_per_minute` changes of a stage's pods, over all stages."""

    def __init__(self, changes_per_minute: int = 30, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = changes_per_minute
        self._clock = clock
        self._changed_at_s: deque[float] = deque()

    def refusal(self, changes: int) -> str:
        """Why so many changes are refused now; empty if they are not. After a minute without changes, any number is
        allowed."""
        since_s = self._clock() - WINDOW_S
        while self._changed_at_s and self._changed_at_s[0] < since_s:
            self._changed_at_s.popleft()
        if changes and self._changed_at_s and len(self._changed_at_s) + changes > self._most:
            return f"too fast: {len(self._changed_at_s)} changes within a minute; at most {self._most}"
        return ""

    def note(self, changes: int) -> None:
        self._changed_at_s.extend([self._clock()] * changes)


def moves_pods(before: StageConfiguration, after: StageConfiguration) -> bool:
    """Whether a change concerns pods, and not only queues."""
    return _pods(before) != _pods(after)


def _pods(wanted: StageConfiguration) -> tuple[str, int, int]:
    return wanted.variant, wanted.cores, wanted.replicas
