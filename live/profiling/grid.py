"""The order in which a variant's points are measured, and which need not be: functions of numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Visit:
    """A variant on so many cores, with the batch sizes that are measured while its server runs."""

    stage: str
    variant: str
    cores: int
    batches: tuple[int, ...]


def visits(variants: Sequence[tuple[str, str]], cores: Sequence[int], batches: Sequence[int]) -> list[Visit]:
    """All visits, in order: first all single requests, from which the stages' SLAs follow, then larger batches.

    `variants`: (stage, name). Batches ascend, so that what a batch takes can rule out larger ones.
    """
    larger = tuple(sorted(set(batches) - {1}))
    rounds = [(1,), larger] if larger else [(1,)]
    return [Visit(*each, n, sizes) for sizes in rounds for each in variants for n in sorted(set(cores))]


def ruled_out(mean_s: Mapping[int, float], batch: int, most_s: float) -> int | None:
    """The smaller batch which shows that a batch takes longer than `most_s`, or None.

    A batch takes no less time than a smaller one on the same cores, so nothing that keeps `most_s` is lost. `mean_s`:
    batch -> its measured mean.
    """
    return next((size for size in sorted(mean_s) if size < batch and mean_s[size] > most_s), None)
