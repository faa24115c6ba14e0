"""What to measure, in which order, and the results: plain values; a line of JSON holds one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Target:
    """A variant's model: in a folder, or on a server at a URL (then on whatever cores that has)."""

    stage: str
    variant: str
    folder: Path | None = None
    url: str = ""
    samples: Path | None = None
    shapes: Mapping[str, Sequence[tuple[int, ...]]] | None = None


@dataclass(frozen=True)
class Effort:
    """The precision to reach (half-width of intervals, as a share), the longest time for a point, and the seed for
    drawing requests."""

    within: float = 0.05
    longest_s: float = 30.0
    seed: int = 1


@dataclass(frozen=True)
class Content:
    """Batches of one kind of requests, among those of a point: `share` of them, and what they took."""

    kind: str
    share: float
    mean_s: float
    p99_s: float


@dataclass(frozen=True)
class Point:
    """Batches of one size on `cores` cores.

    `count` batches one after another gave mean and p99, with the half-widths of their 95 % intervals as shares (None:
    too few to say); `throughput_rps` is that of a server which always has work. `client_s` is the processor time of the
    profiler's own process for a batch; `steal` and `others` are shares of the machine's processor time (see `machine`).
    """

    stage: str
    variant: str
    cores: int
    batch: int
    count: int
    mean_s: float
    mean_within: float | None
    p99_s: float
    p99_within: float | None
    outliers: int
    throughput_rps: float
    throughput_within: float | None
    client_s: float
    steal: float
    others: float
    content: tuple[Content, ...]


@dataclass(frozen=True)
class Start:
    """A start of the server: `start_up_s` from the creation of its process until it answered ready, and the most memory
    that it held until its end (None: not known)."""

    stage: str
    variant: str
    cores: int
    start_up_s: float
    memory_mb: float | None


@dataclass(frozen=True)
class Overhead:
    """The mean time of a batch of these inputs with a model that does nothing: HTTP, the server, the profiler."""

    stage: str
    variant: str
    batch: int
    mean_s: float


@dataclass(frozen=True)
class TextLoad:
    """Requests that a language model has served, up to `at_once` at a time, in the order in which they were sent.

    When each was sent, had its first token and was answered, since the load began [s], and its tokens.
    """

    stage: str
    variant: str
    at_once: int
    queued_s: tuple[float, ...]
    first_token_s: tuple[float, ...]
    last_token_s: tuple[float, ...]
    input_tokens: tuple[int, ...]
    output_tokens: tuple[int, ...]
    steal: float
    others: float


Record = Point | Start | Overhead | TextLoad


@dataclass(frozen=True)
class MeasuredVariant:
    """A variant on `cores` cores, with the batch sizes that are measured while its server runs."""

    stage: str
    variant: str
    cores: int
    batches: tuple[int, ...]


def visits(variants: Sequence[tuple[str, str]], cores: Sequence[int], batches: Sequence[int]) -> list[MeasuredVariant]:
    """All visits, in order: first all single requests, from which the stages' SLAs follow, then larger batches.

    `variants`: (stage, name). Batches ascend, so that the time of a batch can rule out larger ones.
    """
    larger = tuple(sorted(set(batches) - {1}))
    rounds = [(1,), larger] if larger else [(1,)]
    return [MeasuredVariant(*variant, n, sizes) for sizes in rounds for variant in variants for n in sorted(set(cores))]


def ruled_out(mean_s: Mapping[int, float], batch: int, most_s: float) -> int | None:
    """The smaller batch which shows that a batch takes longer than `most_s`, or None.

    A batch takes no less time than a smaller one on the same cores, so no batch within `most_s` is left out. `mean_s`:
    batch -> its measured mean.
    """
    return next((size for size in sorted(mean_s) if size < batch and mean_s[size] > most_s), None)
