"""A request on its way, the batch that it is in and the replica that serves it, as the router knows them.

In a graph of stages, queues hold the items of a request, each of which is at one stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.sim import NO_EDGE


@dataclass(slots=True, eq=False)
class Visit:
    """A request at one stage: when it arrived there, the last batch it was in, and whether one before that failed."""

    enqueue_s: float
    batch: Batch | None = None
    finish_s: float | None = None
    is_retried: bool = False


@dataclass(slots=True, eq=False)
class Request:
    """A request on its way through the pipeline; `kind`, `data` and `size_bytes` are those at its present stage.

    `outcome` is None
    until it has ended. `tries` counts the failed batches that it was in at this stage. `number` counts the requests in
    order of arrival at the pipeline, `place` what came to its present stage before it.
    """

    name: str | None
    arrival_s: float
    kind: Any = None
    data: Any = None
    size_bytes: int = 0
    number: int = 0
    place: int = 0
    stage: int = 0
    tries: int = 0
    visits: list[Visit] = field(default_factory=list)
    outcome: str | None = None
    end_s: float = 0.0
    problem: str = ""

    @property
    def enqueue_s(self) -> float:
        return self.visits[-1].enqueue_s


@dataclass(frozen=True, slots=True)
class Generated:
    """The tokens of a prompt and of the text that a language model has made of it; the first came after `ttft_s`."""

    input_tokens: int
    output_tokens: int
    ttft_s: float


@dataclass(slots=True, eq=False)
class RoutedReplica:
    """A replica as the router sees it; its model is called as the variant unless `model` says otherwise.

    It is listed while the control plane wants it to serve, and suspended from a failed batch until it is ready again.
    `serving`: the batches that it has now, of which a language model may have several, each of one request.
    """

    number: int
    variant: str
    max_batch: int
    url: str = ""
    model: str = ""
    cores: int = 1
    serving: list[Batch] = field(default_factory=list)
    batches: int = 0
    failures: int = 0
    is_listed: bool = True
    is_suspended: bool = False

    def __post_init__(self) -> None:
        self.model = self.model or self.variant

    @property
    def can_serve(self) -> bool:
        """Whether it can take a batch, now or when it has finished one."""
        return self.is_listed and not self.is_suspended


class Batch:
    """The `number`-th batch started at a stage. It was sent to its replica at `sent_s` and answered at `answered_s`;
    None: not yet. `generated`: what a language model says about its answer."""

    __slots__ = ("answered_s", "generated", "number", "replica", "requests", "sent_s", "size", "stage", "start_s")

    def __init__(
        self,
        number: int,
        stage: int,
        replica: RoutedReplica,
        requests: Sequence[Request],
        start_s: float,
    ) -> None:
        self.number = number
        self.stage = stage
        self.replica = replica
        self.requests = requests
        self.size = len(requests)
        self.start_s = start_s
        self.sent_s: float | None = None
        self.answered_s: float | None = None
        self.generated: Generated | None = None


# ---- in a graph ----


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
    request."""

    whole: WholeRequest = field(kw_only=True)
    key: int = 0
    edge: int = NO_EDGE
    path: Path = ()

    @property
    def number_at_stage(self) -> int:
        """How many items of its request have come to its stage before it."""
        return sum(
            item.stage == self.stage and bool(item.visits) and item.place < self.place for item in self.whole.items
        )

    @property
    def called(self) -> str:
        """Which of the items of each edge on its way it is, from 1: `2`, `2.1`; empty at an entry or a join."""
        return ".".join(str(number + 1) for _, number in self.path)
