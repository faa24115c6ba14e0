"""A request in a graph of stages, and the items that it becomes there: what queues hold, each at one stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ipa.live.serving.request import Request
from ipa.sim import NO_EDGE

Path = tuple[tuple[int, int], ...]
"""By which edges an item came, and the how-manieth of each it was."""


@dataclass(slots=True, eq=False)
class Arrival:
    """What came to a stage by an edge, the last of the path; `data` is what goes on from the item before."""

    path: Path
    data: Any


@dataclass(slots=True, eq=False)
class WholeRequest(Request):
    """A request and its items, those that have ended too; `stage` is where it was lost.

    `open`: how many of its items have not ended. `places`: by edge, where in the law of its number that is. By stage
    that joins: `left` has how many items are upstream, `last_s` when the latest one ended there, and `arrived` what has
    come; at those in `lost` it will not join, at those in `joined` it has. `missing` says which items, lost on edges
    that let a request go on without, are not in the answer, and why; `lost_item` with which the request was lost.
    """

    items: list[Item] = field(default_factory=list)
    open: int = 0
    places: list[float] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)
    last_s: dict[int, float] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    joined: set[int] = field(default_factory=set)
    arrived: dict[int, list[Arrival]] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)
    lost_item: str = ""


@dataclass(slots=True, eq=False)
class Item(Request):
    """An item at one stage; `edge` is the one by which it came, `key` what its draws are keyed by, `number` that of its
    request, and `place` how many had come to its stage before it."""

    whole: WholeRequest = field(kw_only=True)
    key: int = 0
    edge: int = NO_EDGE
    path: Path = ()
    place: int = 0

    @property
    def called(self) -> str:
        """Which of the items of each edge on its way it is, from 1: `2`, `2.1`; empty at an entry or a join."""
        return ".".join(str(number + 1) for _, number in self.path)
