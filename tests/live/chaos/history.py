"""What happened while the faults did: all that the invariants are judged by. Times are of `time.monotonic()`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

UNREACHABLE, SILENT = -1, -2
"""Statuses of requests that broke with their connection, and of those that nothing came of."""


@dataclass(frozen=True)
class Answer:
    """One answer to a request: an HTTP status, or one of the above; `problem` where it is not this request's own."""

    request: str
    sent_s: float
    end_s: float
    status: int
    problem: str = ""


@dataclass
class Life:
    """One period of a gateway's counting: an epoch, as its books were read.

    It was first seen at `first_s`; what had ended by `read_s` has been read. `received`, `inside` and `ended` (by
    outcome) are what its metrics said at that time.
    """

    epoch: str
    first_s: float
    read_s: float
    records: list[dict[str, Any]] = field(default_factory=list)
    received: int = 0
    inside: int = 0
    ended: Counter[str] = field(default_factory=Counter)
    is_whole: bool = False
    """Whether books and metrics were read when no request was coming any more."""


@dataclass(frozen=True)
class Span:
    """From when to when something was so, and why."""

    from_s: float
    until_s: float
    why: str = ""


@dataclass(frozen=True)
class Usage:
    """What a process used at a moment: resident memory and open descriptors."""

    at_s: float
    part: str
    pid: int
    resident_bytes: int
    descriptors: int


@dataclass(frozen=True)
class Write:
    """A change that the API server accepted from a controller, sent at `sent_s` and answered at `end_s`.

    `takes_lease`: it made or kept its writer the Lease's holder; `gives_lease`: it gave the Lease back.
    """

    writer: str
    sent_s: float
    end_s: float
    what: str
    takes_lease: bool = False
    gives_lease: bool = False


@dataclass
class History:
    """Everything that was seen; see the fields' types."""

    asked: set[str] = field(default_factory=set)
    answers: list[Answer] = field(default_factory=list)
    hostile: list[Answer] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    outages: list[Span] = field(default_factory=list)
    leavings: list[Span] = field(default_factory=list)
    """When a gateway that is to end may still answer, beside the next one, whose books are then read."""
    usage: list[Usage] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    steps: list[list[int]] = field(default_factory=list)
    """Of each journal, the numbers of its control steps, in order of writing."""
    defects: list[str] = field(default_factory=list)
    """What has gone wrong by itself: tracebacks, ends without a reason, processes left behind."""
    missed: list[str] = field(default_factory=list)
    """Faults that found nothing to act on."""
    ends: list[str] = field(default_factory=list)
    """How each process that ended did, and the end of what it said."""
    converged_s: float | None = None
    """How long after the last fault everything stood as it should; None: it did not within the patience."""
    standing: str = ""
    """What was not as it should be, at the last look."""
    probes: list[int] = field(default_factory=list)
    """The statuses of requests after that."""
