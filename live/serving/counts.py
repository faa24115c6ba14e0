"""The run's clock, and counts on it in bounded memory: arrivals by the second, and ended requests."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Iterable
from itertools import islice, takewhile
from math import floor
from sys import getsizeof
from typing import Any

from ipa.live.serving.request import Request, Visit, WholeRequest


class RunClock:
    """Counts from `origin_s`, a moment of the monotonic clock (CLOCK_MONOTONIC, in seconds)."""

    def __init__(self) -> None:
        self.origin_s = time.monotonic()

    def now_s(self) -> float:
        """Seconds since the origin; negative before it."""
        return time.monotonic() - self.origin_s


MOST_SECONDS = 3600
MOST_LATENCIES = 10_000
"""How many latencies an observation looks back at."""

log = logging.getLogger("live.gateway")


class ArrivalCounts:
    """Arrivals at the pipeline, by whole seconds of the run's clock."""

    def __init__(self, since_s: float) -> None:
        self._counts: Counter[int] = Counter()
        self.restart(since_s)

    def restart(self, since_s: float) -> None:
        self._first = max(0, floor(since_s))
        self._counts.clear()

    def add(self, now_s: float) -> None:
        self._counts[floor(now_s)] += 1
        if len(self._counts) > 2 * MOST_SECONDS:
            for old in sorted(self._counts)[:-MOST_SECONDS]:
                del self._counts[old]

    def before(self, now_s: float, seconds: int) -> list[int]:
        """The counts of the last complete seconds, at most so many and none before the start, newest last."""
        end = floor(now_s)
        start = max(self._first, end - min(seconds, MOST_SECONDS))
        return [self._counts[second] for second in range(start, end)]


class NewestLatencies:
    """The newest `MOST_LATENCIES` latencies."""

    def __init__(self) -> None:
        self._ended: deque[tuple[float, float]] = deque(maxlen=MOST_LATENCIES)

    def add(self, since_s: float, end_s: float) -> None:
        self._ended.append((end_s, end_s - since_s))

    def after(self, moment_s: float) -> list[float]:
        """The latencies of those that ended after a moment, in that order."""
        found = [latency_s for _, latency_s in takewhile(lambda each: each[0] > moment_s, reversed(self._ended))]
        return found[::-1]


class Refusals:
    """Requests that a port did not admit, by reason; a new run resets the counts, not the log."""

    def __init__(self, port: str) -> None:
        self.counts: Counter[str] = Counter()
        self._port = port
        self._untold: dict[str, dict[str, Any]] = {}

    def add(self, reason: str, text: str, **about: str) -> None:
        """Count one more; `text` is its client's answer, and `about` has further fields for the log."""
        self.counts[reason] += 1
        count = self._untold.get(reason, {"count": 0})["count"] + 1
        self._untold[reason] = {"count": count, "told": text, **about}

    def tell(self) -> None:
        """Log what was refused since this was last called: one line for each reason, with the last request."""
        for reason, last in self._untold.items():
            log.warning("requests refused", extra={"port": self._port, "reason": reason, **last})
        self._untold.clear()


RECORD_BYTES = 512
"""The bytes reckoned for a record besides its texts, and for each item or stage in it; they take some 350."""
MOST_ROWS = 2_000
"""How many rows one answer has, counting each record and each of its items or stages: it takes some 10 ms."""


class EndedRequests:
    """The requests that have ended, in that order, numbered from 1; beyond `most`, or `most_bytes`, the oldest are
    lost."""

    def __init__(self, most: int, stages: Iterable[str], most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self._stages = tuple(stages)
        self._rows: deque[tuple[Any, ...]] = deque()
        self._bytes = 0
        self.count = 0

    @property
    def lost(self) -> int:
        """How many are no longer kept."""
        return self.count - len(self._rows)

    def clear(self) -> None:
        self._rows.clear()
        self._bytes = self.count = 0

    def add(self, request: Request) -> None:
        """Add one. Only plain values are kept, which cost the garbage collector nothing."""
        visits = tuple(map(_plain, request.visits))
        stage = None if request.outcome == "completed" else self._stages[request.stage]
        ended = (request.name, request.arrival_s, request.end_s, request.outcome, stage, request.problem)
        if isinstance(request, WholeRequest):
            visits = tuple(
                (*_plain(item.visits[-1]), self._stages[item.stage], item.edge, item.place, item.outcome, item.end_s)
                for item in request.items
                if item.visits
            )
        self._rows.append((*ended, visits))
        self._bytes += _size(self._rows[-1])
        self.count += 1
        while len(self._rows) > self._most or self._bytes > self._most_bytes:
            self._bytes -= _size(self._rows.popleft())

    def after(self, number: int, limit: int) -> tuple[int, list[dict[str, Any]]]:
        """The number of the last one given, and those after the `number`-th: at most `limit` of them, and no more than
        one if they have more than MOST_ROWS together."""
        start, rows, found = max(number, self.lost), 0, list[dict[str, Any]]()
        for row in islice(self._rows, start - self.lost, start - self.lost + limit):
            rows += 1 + len(row[-1])
            if rows > MOST_ROWS and found:
                break
            found.append(dict(zip(_KEYS, (*row[:-1], [_told(visit) for visit in row[-1]]), strict=True)))
        return start + len(found), found


def _size(row: tuple[Any, ...]) -> int:
    """The bytes reckoned for a record."""
    name, *_, problem, visits = row
    return RECORD_BYTES * (1 + len(visits)) + getsizeof(name) + getsizeof(problem)


_KEYS = ("id", "arrival_s", "end_s", "outcome", "stage", "problem", "stages")
_VISIT_KEYS = ("enqueue_s", "start_s", "finish_s", "batch", "batch_size", "replica", "variant", "retried")
_ITEM_KEYS = ("stage", "edge", "place", "outcome", "end_s")
"""In a graph, `stages` has a request's items, each with its stage, the number of its edge (-1: none), how many came
there before it, and its end."""
_TEXT_KEYS = ("input_tokens", "output_tokens", "first_token_s")
"""At a stage of language models, of a text that is there."""
_KEYS_OF_VISITS = {
    len(keys): keys
    for keys in (
        _VISIT_KEYS,
        (*_VISIT_KEYS, *_TEXT_KEYS),
        (*_VISIT_KEYS, *_ITEM_KEYS),
        (*_VISIT_KEYS, *_TEXT_KEYS, *_ITEM_KEYS),
    )
}


def _plain(visit: Visit) -> tuple[Any, ...]:
    if (batch := visit.batch) is None:
        return visit.enqueue_s, None, None, None, None, None, None, visit.is_retried
    plain = (
        *(visit.enqueue_s, batch.start_s, visit.finish_s, batch.number, batch.size),
        *(batch.replica.number, batch.replica.variant, visit.is_retried),
    )
    if (generated := batch.generated) is None or batch.sent_s is None:
        return plain
    return (*plain, generated.input_tokens, generated.output_tokens, batch.sent_s + generated.ttft_s)


def _told(visit: tuple[Any, ...]) -> dict[str, Any]:
    return dict(zip(_KEYS_OF_VISITS[len(visit)], visit, strict=True))
