"""What is changed of the published settings. No value is chosen by the published counts.

Where the publication says nothing of a thing, it is varied over a range that contains what is usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

PIPELINES = ("video", "audio-qa")
FORECASTS = ("true future", "lstm", "reactive")

OLD_FIRST = {"max_surge": 0, "max_unavailable": 1}
"""One old replica at a time is gone before its successor is ready."""

SOLVER_S = 0.2
"""What the publication's own optimiser takes on a pipeline of video's size, measured on two cores: 0.22 s."""

LOSING = {"removal": "lose"}
"""What removed replicas hold is lost."""


@dataclass(frozen=True)
class Setting:
    """Keys of the scenario, and how late the metrics come [s]."""

    name: str
    keys: Mapping[str, Any] = field(default_factory=dict)
    late_s: int = 0


def settings() -> Iterator[Setting]:
    """The published settings, then each with one thing changed, and what removed replicas hold lost."""
    yield Setting("as published")
    yield Setting("a decision takes 0.2 s, not 2 s", {"decision_delay_s": SOLVER_S})
    yield Setting("metrics come 5 s late", late_s=5)
    yield Setting("starts of 30 s, not 8 s", {"start_up_s": 30.0})
    yield Setting("rollouts: one old replica gone first", OLD_FIRST)
    yield Setting("one queue a stage", {"dispatch": "central"})
    yield Setting("late requests dropped alone", {"drop": "request"})
    yield Setting("arrivals: Poisson", {"arrivals": "poisson"})
    yield Setting("batches take 1.1 x as long", {"service_factor": 1.1})
    yield Setting("lost: what removed replicas hold", LOSING)
    for seconds in (SOLVER_S, 1.0):
        yield Setting(
            f"decisions of {seconds:g} s; lost: what removed replicas hold", {**LOSING, "decision_delay_s": seconds}
        )
