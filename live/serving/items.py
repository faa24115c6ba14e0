"""A request in a graph of stages, and its items, which queues hold: each is at one stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ipa.live.serving.request import Request
from ipa.sim import NO_EDGE

Path = tuple[tuple[int, int], ...]
"""The edges by which an item came, each with the item's number among those on it."""


@dataclass(slots=True, eq=False)
class Arrival:
    """Data that came to a stage by an edge, the last of the path; `data` is what the item before passes on."""

    path: Path
    data: Any


@dataclass(slots=True, eq=False)
class WholeRequest(Request):
    """A request and all its items, also ended ones; `stage` is where it was lost.

    `open`: how many of its items have not ended. `places`: by edge, the quantile level of its number of items there. By
    joining stage: `left`, how many items are upstream; `last_s`, when the latest of them ended; `arrived`, the data
    that have come. It will not join at the stages in `lost`, and has joined at those in `joined`. `missing`: which
    items the answer lacks (those lost on edges that let a request go on without), and why. `lost_item`: the item with
    which the request was lost.
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
    """An item at one stage. `edge`: the one by which it came; `key`: the key of its draws; `number`: that of its
    request; `place`: how many items had come to its stage before it."""

    whole: WholeRequest = field(kw_only=True)
    key: int = 0
    edge: int = NO_EDGE
    path: Path = ()
    place: int = 0

    @property
    def called(self) -> str:
        """Which of the items of each edge on its way it is, from 1: `2`, `2.1`; empty at an entry or a join."""
        return ".".join(str(number + 1) for _, number in self.path)
