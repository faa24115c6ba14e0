"""What is believed after a look that broke off: what an earlier one has seen, where this one has not come."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.looks import Looks
from ipa.live.kubernetes.threads import Threads


class Looking:
    """A reconciler that finds these, one after another."""

    def __init__(self, *found: Look) -> None:
        self._found = iter(found)

    def look(self, *_: object) -> Look:
        return next(self._found)


def believed(*found: Look) -> Sequence[Look]:
    async def story() -> list[Look]:
        looks = Looks(Looking(*found), Threads())  # type: ignore[arg-type]
        return [await looks.take({}, (), {}, lambda: True) for _ in found]

    return asyncio.run(story())


def test_the_kill_switch_is_on_until_it_is_read_to_be_off() -> None:
    """A write that is refused says nothing against what was read before it."""
    unread = Look(error="away", has_read=False)
    looks = believed(Look(is_held=True), unread, Look(error="PATCH: HTTP 500"), unread)
    assert [each.is_held for each in looks] == [True, True, False, False]


def test_a_part_is_stopped_until_a_look_that_comes_to_it_goes_on() -> None:
    """Stage a may be changed again, and a write at stage b is refused for a while; whether c may is not known."""
    stopped = Look(stopped={"a": "paused", "c": "paused"}, judged=frozenset({"a", "b", "c"}))
    looks = believed(stopped, Look(error="PATCH b: HTTP 429", judged=frozenset({"a"})))
    assert looks[-1].stopped == {"c": "paused"}
