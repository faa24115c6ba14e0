"""What is changed of the published settings. No value is chosen by the published counts.

Where the publication says nothing of a thing, it is varied over a range that contains what is usual.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product
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


def one_by_one(pipeline: str) -> Iterator[Setting]:
    """The published settings, then each with one thing changed."""
    yield Setting("as published")
    yield Setting("the first decision ready at the start", {"start": "warm"})
    for seconds in (0.0, SOLVER_S, 1.0, 5.0, 10.0):
        yield Setting(f"a decision takes {seconds:g} s, not 2 s", {"decision_delay_s": seconds})
    for seconds in (2.0, 5.0, 10.0):
        yield Setting(f"metrics come {seconds:g} s late", late_s=int(seconds))
    for seconds in (2.0, 15.0, 30.0, 60.0):
        yield Setting(f"starts of {seconds:g} s, not 8 s", {"start_up_s": seconds})
    yield Setting("starts of 15 s that vary (sigma 0.5)", {"start_up_s": 15.0, "start_up_sigma": 0.5})
    yield Setting("rollouts: all new replicas at once", {"max_surge": 100})
    yield Setting("rollouts: one old replica gone first", OLD_FIRST)
    yield Setting("rollouts: all old replicas gone first", {"max_surge": 0, "max_unavailable": 100})
    yield Setting("one queue a stage", {"dispatch": "central"})
    yield Setting("late requests dropped alone", {"drop": "request"})
    for times, sla_s in ((1, SLA_S[pipeline]), (2, 2 * SLA_S[pipeline]), (10, 10 * SLA_S[pipeline])):
        yield Setting(f"dropped after {times} x SLA", {"drop_limits_s": dict.fromkeys(STAGES[pipeline], sla_s)})
    yield Setting("arrivals: Poisson", {"arrivals": "poisson"})
    yield Setting("arrivals: even", {"arrivals": "even"})
    yield Setting("service times: the mean", {"service_times": "mean"})
    for factor in (1.1, 1.25):
        yield Setting(f"batches take {factor:g} x as long", {"service_factor": factor})
    yield Setting("50 ms more for each batch", {"dispatch_overhead_s": 0.05})
    yield Setting("50 ms between the stages", {"hop_s": 0.05})
    yield Setting("lost: what removed replicas hold", LOSING)
    for seconds in (SOLVER_S, 1.0):
        yield Setting(
            f"decisions of {seconds:g} s; lost: what removed replicas hold", {**LOSING, "decision_delay_s": seconds}
        )


SLA_S = {"video": 6.89, "audio-qa": 9.23}
STAGES = {
    "video": ("object-detection", "image-classification"),
    "audio-qa": ("speech-to-text", "question-answering"),
}

TOGETHER: Mapping[str, Mapping[str, Setting]] = {
    "starts": {f"{seconds:g} s": Setting("", {"start_up_s": seconds}) for seconds in (4.0, 8.0, 12.0, 20.0, 40.0)},
    "rollouts": {"new ready first": Setting(""), "old gone first": Setting("", OLD_FIRST)},
    "lost": {"nothing": Setting(""), "what is held": Setting("", LOSING)},
    "decisions": {f"{seconds:g} s": Setting("", {"decision_delay_s": seconds}) for seconds in (SOLVER_S, 1.0, 2.0)},
}
"""What is combined: what -> how -> the setting. Starts are around the assumed 8 s."""


def together() -> Iterator[tuple[tuple[str, ...], Setting]]:
    """All combinations: how each of `TOGETHER` is, and the setting."""
    for ways in product(*TOGETHER.values()):
        parts = [of[way] for of, way in zip(TOGETHER.values(), ways, strict=True)]
        keys = {key: value for part in parts for key, value in part.keys.items()}
        yield ways, Setting(", ".join(ways), keys)
