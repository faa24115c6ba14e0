"""How many runs a sweep has, and how long they would take: by a trial of a few of them on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

from ipa.studies.many import FINISHED, Keys, make, opened
from ipa.studies.many.sweeps.course import example
from ipa.studies.many.sweeps.plan import Plan, Point, asked_of

TRIED = 3
"""Runs of the trial: of the first, the middle and the last point, after one that warms up."""


@dataclass(frozen=True)
class Trial:
    """The size of a sweep. `run_s`: the mean time of a run on one core of this machine; `missing`: the runs that the
    folder lacks; `seeds`: at most, where `is_open`."""

    points: int
    seeds: int
    is_open: bool
    missing: int
    run_s: float
    tried: int
    jobs: int
    example: str

    @property
    def runs(self) -> int:
        """All runs; at most, where `is_open`."""
        return self.points * self.seeds

    @property
    def estimated_s(self) -> float:
        """How long the missing runs would take on this machine."""
        return self.missing * self.run_s / min(self.jobs, max(1, self.missing))

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return {**vars(self), "runs": self.runs, "estimated_s": self.estimated_s}


def trial(plan: Plan, points: int, jobs: int, folder: Path | None) -> Trial:
    """Try a sweep of so many points: what it is, and how long it would take in `jobs` processes."""
    chosen = _some(plan, points)
    keys = Keys()
    asked = [asked for point in chosen for _, _, asked in asked_of(point, keys, range(1))]
    mark = uuid4().hex
    make("summary", mark, asked[:1])
    took_s = make("summary", mark, asked).took_s
    return Trial(
        points=points,
        seeds=plan.seeds,
        is_open=bool(plan.aims),
        missing=points * plan.seeds - _there(plan, folder),
        run_s=took_s / len(asked),
        tried=len(asked),
        jobs=jobs,
        example=example(*chosen[0]),
    )


def _some(plan: Plan, points: int) -> list[Point]:
    wanted = {0, points // 2, points - 1}
    return [point for place, point in enumerate(plan.points()) if place in wanted]


def _there(plan: Plan, folder: Path | None) -> int:
    """How many of the runs the folder holds already."""
    if folder is None or not (folder / FINISHED).is_file():
        return 0
    with opened(folder / FINISHED) as store:
        keys = Keys()
        return store.count(asked.key for _, _, asked in plan.asked(keys, range(plan.seeds)))
