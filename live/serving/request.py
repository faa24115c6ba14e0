"""A request on its way, the batch that it is in and the replica that serves it, as the router knows them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class Visit:
    """A request at one stage: when it arrived there, the last batch it was in, and whether one before that failed."""

    __slots__ = ("batch", "enqueue_s", "finish_s", "is_retried")

    def __init__(self, enqueue_s: float) -> None:
        self.enqueue_s = enqueue_s
        self.batch: Batch | None = None
        self.finish_s: float | None = None
        self.is_retried = False


class Request:
    """A request on its way through the pipeline; `kind`, `data` and `size_bytes` are those at its present stage.

    `outcome` is None until it has ended. `tries` counts the failed batches that it was in at this stage. `number`
    counts the requests in order of arrival at the pipeline; `lane` is the one that it went to at this stage.
    """

    __slots__ = (
        "arrival_s",
        "data",
        "end_s",
        "kind",
        "lane",
        "name",
        "number",
        "outcome",
        "problem",
        "size_bytes",
        "stage",
        "tries",
        "visits",
    )

    def __init__(
        self, name: str | None, arrival_s: float, kind: Any = None, data: Any = None, size_bytes: int = 0
    ) -> None:
        self.name = name
        self.arrival_s = arrival_s
        self.kind = kind
        self.data = data
        self.size_bytes = size_bytes
        self.number = 0
        self.stage = 0
        self.lane = 0
        self.tries = 0
        self.visits: list[Visit] = []
        self.outcome: str | None = None
        self.end_s = 0.0
        self.problem = ""

    @property
    def enqueue_s(self) -> float:
        """When it arrived at its present stage."""
        return self.visits[-1].enqueue_s


class RoutedReplica:
    """A replica as the router sees it.

    It is listed while the control plane wants it to serve, and suspended from a failed batch until it is ready again.
    """

    __slots__ = (
        "batch",
        "batches",
        "cores",
        "failures",
        "is_listed",
        "is_suspended",
        "lane",
        "max_batch",
        "model",
        "number",
        "url",
        "variant",
    )

    def __init__(
        self, number: int, variant: str, max_batch: int, url: str = "", model: str = "", cores: int = 1, lane: int = 0
    ) -> None:
        self.number = number
        self.lane = lane
        self.variant = variant
        self.max_batch = max_batch
        self.cores = cores
        self.url = url
        self.model = model or variant
        self.batch: Batch | None = None
        self.batches = 0
        self.failures = 0
        self.is_listed = True
        self.is_suspended = False

    @property
    def is_idle(self) -> bool:
        """Whether it may take a batch now."""
        return self.batch is None and self.is_listed and not self.is_suspended


class Batch:
    """The `number`-th batch started at a stage, and the `number_in_lane`-th of its lane: the same unless variants are
    mixed."""

    __slots__ = ("lane", "number", "number_in_lane", "replica", "requests", "size", "stage", "start_s")

    def __init__(
        self,
        number: int,
        stage: int,
        replica: RoutedReplica,
        requests: Sequence[Request],
        start_s: float,
        lane: int = 0,
    ) -> None:
        self.number = self.number_in_lane = number
        self.lane = lane
        self.stage = stage
        self.replica = replica
        self.requests = requests
        self.size = len(requests)
        self.start_s = start_s
