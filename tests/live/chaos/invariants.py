"""What must be true of every history, whatever faults there were: functions that yield the evidence against it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.live.chaos.history import SILENT, UNREACHABLE, Answer, History, Life, Usage
from tests.live.serving.books import STATUSES, is_lawful

ALLOWED = {200, 502, 503, 504, UNREACHABLE}
BOOKED = {200, 502, 504}
"""What only a request in the books is answered; 503 is for those that a gateway does not take, too."""
MOST_EVIDENCE = 20
"""Lines of evidence that are kept for one invariant."""


@dataclass(frozen=True)
class Bounds:
    """How much time and room the surroundings allow.

    Everything stands as it should `converges_within_s` after the last fault. A process never takes more than
    `most_bytes` or `most_descriptors`, by part, and in a life of `grows_after_s` or more its memory at the end is at
    most `grows_bytes` above that at `grows_after_s`, besides what it remembers of each request.
    """

    converges_within_s: float
    most_bytes: Mapping[str, int]
    most_descriptors: int = 1000
    grows_after_s: float = 20.0
    grows_bytes: int = 96 * 2**20
    remembered_bytes: int = 8192


@dataclass(frozen=True)
class Broken:
    """An invariant that does not hold, and the evidence."""

    invariant: str
    evidence: tuple[str, ...]

    def __str__(self) -> str:
        return "\n  ".join((self.invariant, *self.evidence))


def broken(history: History, bounds: Bounds) -> list[Broken]:
    """The invariants that a history breaks."""
    found = []
    for invariant, check in INVARIANTS.items():
        evidence = list(check(history, bounds))
        if len(evidence) > MOST_EVIDENCE:
            evidence[MOST_EVIDENCE:] = [f"and {len(evidence) - MOST_EVIDENCE} more"]
        if evidence:
            found.append(Broken(invariant, tuple(evidence)))
    return found


# ---- requests ----


def one_answer(history: History, _: Bounds) -> Iterator[str]:
    """Every request has one answer, of those that there are; its connection breaks only while there is no gateway."""
    count = Counter(answer.request for answer in history.answers)
    yield from (f"{request}: {count[request]} answers" for request in history.asked if count[request] != 1)
    yield from (f"{request}: answered, but never asked" for request in count if request not in history.asked)
    for answer in history.answers:
        if answer.status in (UNREACHABLE, SILENT) and any(
            answer.sent_s <= outage.until_s and answer.end_s >= outage.from_s for outage in history.outages
        ):
            continue
        if answer.status == SILENT:
            yield f"{_told(answer)}: no answer"
        elif answer.status not in ALLOWED:
            yield f"{_told(answer)}: status {answer.status} {answer.problem}"
        elif answer.status == UNREACHABLE:
            yield f"{_told(answer)}: its connection broke ({answer.problem}) while there was a gateway"


def fails_alone(history: History, _: Bounds) -> Iterator[str]:
    """A request on which a model fails does not fail those in its batch, on which it does not."""
    for answer in history.answers:
        if answer.status == 502 and "the model failed" in answer.problem:
            yield f"{_told(answer)}: {answer.problem}"


def own_answer(history: History, _: Bounds) -> Iterator[str]:
    """No request gets the answer of another."""
    for answer in history.answers:
        if answer.status == 200 and answer.problem:
            yield f"{_told(answer)}: {answer.problem}"


def in_the_books(history: History, _: Bounds) -> Iterator[str]:
    """The books have every answered request once, with the outcome that its client saw.

    What a gateway wrote between the last look at its books and its end is not known. On a cluster, one that is leaving
    answers clients that are still connected when the next one's books are already read.
    """
    entries = Counter(record["id"] for life in history.lives for record in life.records)
    yield from (f"{name}: in the books {count} times" for name, count in entries.items() if is_ours(name) and count > 1)
    outcomes = {record["id"]: record["outcome"] for life in history.lives for record in life.records}
    unknown = [*_unread(history.lives), *((each.from_s, each.until_s) for each in history.leavings)]
    for answer in history.answers:
        outcome = outcomes.get(answer.request)
        if outcome is not None:
            if answer.status not in (*STATUSES[outcome], UNREACHABLE, SILENT):
                yield f"{_told(answer)}: {outcome} in the books, yet answered {answer.status}"
        elif answer.status in BOOKED and not any(
            from_s <= answer.end_s and answer.sent_s <= until_s for from_s, until_s in unknown
        ):
            yield f"{_told(answer)}: answered {answer.status}, and not in the books"
    asked = history.asked | {answer.request for answer in history.hostile}
    strangers = (name for name in entries if is_ours(name) and name not in asked)
    yield from (f"{name}: in the books, but never asked" for name in strangers)


def is_ours(name: str) -> bool:
    """Whether a request is of the client that checks, or hostile; those of a run's own load are not."""
    return name[:1] in ("r", "h") and name[1:].isdecimal()


def _unread(lives: Sequence[Life]) -> Iterator[tuple[float, float]]:
    """When requests may have ended in books that nobody has read."""
    if lives:
        yield float("-inf"), lives[0].first_s
    for life, following in pairwise(lives):
        yield life.read_s, following.first_s
    if lives and not lives[-1].is_whole:
        yield lives[-1].read_s, float("inf")


def lawful(history: History, _: Bounds) -> Iterator[str]:
    """The times of every request are in order (law L2)."""
    for life in history.lives:
        yield from (f"times out of order: {record}" for record in life.records if not is_lawful(record))


def sums(history: History, _: Bounds) -> Iterator[str]:
    """A gateway has received what has ended and what is inside, and has a record of all that has ended."""
    for life in history.lives:
        if life.is_whole:
            ended = sum(life.ended.values())
            if life.received != ended + life.inside:
                yield f"epoch {life.epoch}: {life.received} received, {ended} ended, {life.inside} inside"
            if len(life.records) != ended:
                yield f"epoch {life.epoch}: {len(life.records)} records of {ended} requests that ended"


def hostile_answered(history: History, _: Bounds) -> Iterator[str]:
    """Hostile requests are refused in form: no internal error, and none is left without an end."""
    for answer in history.hostile:
        if answer.status in (500, SILENT):
            yield f"{_told(answer)}: status {answer.status} {answer.problem}"


def _told(answer: Answer) -> str:
    return f"{answer.request}, sent at {answer.sent_s:.2f}, ended after {answer.end_s - answer.sent_s:.2f} s"


# ---- parts ----


def nothing_by_itself(history: History, _: Bounds) -> Iterator[str]:
    """No process ends, reports a defect, or stays behind unless a fault says so."""
    yield from history.defects


def one_writer(history: History, _: Bounds) -> Iterator[str]:
    """Only the Lease's holder writes, and a journal's steps are in order, each begun once."""
    holder = ""
    for write in sorted(history.writes, key=lambda write: write.end_s):
        if write.gives_lease:
            holder = "" if holder == write.writer else holder
        elif write.takes_lease:
            holder = write.writer
        elif holder and write.writer != holder:
            yield f"{write.writer} wrote {write.what} at {write.end_s:.2f}, while {holder} held the Lease"
        elif not holder:
            yield f"{write.writer} wrote {write.what} at {write.end_s:.2f}, while nobody held the Lease"
    for steps in history.steps:
        for before, after in pairwise(dict.fromkeys(steps)):
            if after < before:
                yield f"step {after} was begun after step {before}"


def bounded(history: History, bounds: Bounds) -> Iterator[str]:
    """Memory and descriptors of each process stay below a bound, and do not grow from request to request."""
    lives: dict[tuple[str, int], list[Usage]] = defaultdict(list)
    for usage in history.usage:
        lives[usage.part, usage.pid].append(usage)
    for (part, pid), seen in lives.items():
        most = max(seen, key=lambda usage: usage.resident_bytes)
        if most.resident_bytes > bounds.most_bytes[part]:
            yield f"{part} {pid}: {most.resident_bytes >> 20} MiB resident at {most.at_s:.1f}"
        open_ = max(seen, key=lambda usage: usage.descriptors)
        if open_.descriptors > bounds.most_descriptors:
            yield f"{part} {pid}: {open_.descriptors} descriptors at {open_.at_s:.1f}"
        yield from _growth(history, bounds, part, seen)


def _growth(history: History, bounds: Bounds, part: str, seen: Sequence[Usage]) -> Iterator[str]:
    settled = next((each for each in seen if each.at_s - seen[0].at_s >= bounds.grows_after_s), None)
    if settled is None:
        return
    last = seen[-1]
    asked = sum(settled.at_s <= each.end_s <= last.at_s for each in (*history.answers, *history.hostile))
    allowed = bounds.grows_bytes + bounds.remembered_bytes * asked
    if last.resident_bytes - settled.resident_bytes > allowed:
        yield (
            f"{part} {last.pid}: from {settled.resident_bytes >> 20} to {last.resident_bytes >> 20} MiB within "
            f"{last.at_s - settled.at_s:.0f} s and {asked} requests"
        )


def converged(history: History, bounds: Bounds) -> Iterator[str]:
    """Soon after the last fault everything stands as was decided last, and serves."""
    if history.converged_s is None:
        yield f"{bounds.converges_within_s:g} s after the last fault: {history.standing}"
    if history.converged_s is not None and (wrong := Counter(status for status in history.probes if status != 200)):
        yield f"requests after that were answered {dict(wrong)}"


INVARIANTS: Mapping[str, Callable[[History, Bounds], Iterable[str]]] = {
    "every request has exactly one outcome": one_answer,
    "no request fails by what is in another": fails_alone,
    "no request gets the answer of another": own_answer,
    "the books say what clients saw": in_the_books,
    "the laws hold": lawful,
    "the accounting adds up": sums,
    "hostile requests are refused in form": hostile_answered,
    "nothing ends or fails by itself": nothing_by_itself,
    "there is one writer": one_writer,
    "memory and descriptors are bounded": bounded,
    "the configuration converges": converged,
}
