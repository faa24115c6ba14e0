"""What stages really serve: their replicas as profiled, less what saturated stages have fallen short by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.policies.interface import Observation, StageObservation
from ipa.profiles import Stage

BUSY_S = 0.5
"""What waits at a saturated stage is at least what it serves in this time, by its profile."""
FADES_S = 1800.0
"""A correction fades within so much."""
FEWEST = 30
"""A stage that completed fewer in a step says nothing."""
STEP = 0.05
"""A shortfall counts in whole steps of so much: what is less, a request more or less in a step's count makes."""
LEAST = 0.5
"""No stage is taken to serve less than this share of its profile."""


def have_rps(stage: Stage, observation: Observation) -> tuple[float, int]:
    """What the ready replicas of a stage serve by their profiles [rps], and how many they are."""
    seen = observation.stages[stage.name]
    rate_rps, ready = 0.0, 0
    for name, counts in seen.replicas.items():
        variant = stage.variant(name)
        rate_rps += counts.ready * variant.throughput_rps(min(seen.configuration.batch, variant.max_batch()))
        ready += counts.ready
    return rate_rps, ready


def share_of(stage: Stage, observation: Observation, was: Mapping[str, Any] | None, step_s: float) -> float:
    """The share of its profiled throughput that a stage reaches; `was`: what `noted` said at the step before.

    A stage with at least two full batches waiting per replica, and enough for `BUSY_S`, now and then, was saturated:
    less may wait at one that is busy only most of the time, and whose shortfall says nothing. Nor does that of one
    whose replicas were not the same all along.
    """
    share: float = 1.0 if was is None else was["share"]
    if was is None or not observation.elapsed_s:
        return share
    seen = observation.stages[stage.name]
    rate_rps, ready = have_rps(stage, observation)
    full = max(2 * ready * seen.configuration.batch, BUSY_S * rate_rps)
    settled = _settled(seen)
    same = bool(settled) and settled == was.get("replicas") and was["batch"] == seen.configuration.batch
    if same and min(was["queue"], seen.queue_length) >= full and seen.completions >= FEWEST:
        reached = 1.0 - STEP * int((1.0 - seen.completions / (step_s * rate_rps)) / STEP)
        return share + 0.5 * (min(1.0, max(LEAST, reached)) - share)
    return share + (1.0 - share) * min(1.0, step_s / FADES_S)


def noted(stage: Stage, observation: Observation, share: float) -> dict[str, Any]:
    """What the next step has to know of a stage."""
    seen = observation.stages[stage.name]
    return {
        "share": share,
        "queue": seen.queue_length,
        "replicas": _settled(seen),
        "batch": seen.configuration.batch,
    }


def _settled(seen: StageObservation) -> dict[str, int] | None:
    """How many replicas of each variant are ready; None while others start or drain."""
    if any(counts.starting or counts.draining for counts in seen.replicas.values()):
        return None
    return {name: counts.ready for name, counts in seen.replicas.items() if counts.ready}
