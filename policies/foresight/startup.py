"""How much longer than profiled replicas take to start, as far as has been seen lately."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipa.policies.interface import StageObservation
from ipa.profiles import Stage

TOLERANCE_S = 1.0
"""Readiness is looked at once in a while: replicas are late only if by more than this."""
MOST_S = 60.0
"""What takes longer than this, lead included, is no start-up but a failure."""
FADES_S = 1800.0
"""What has been seen fades within so much."""


def starting_since(
    seen: StageObservation, was: Mapping[str, Any] | None, now_s: float, step_s: float
) -> tuple[float | None, str, int]:
    """Since when replicas of a stage have been starting [s on the policy's clock; None: none are], and what is desired.

    `was`: the stage's memory of the step before. Those that were asked for start anew with each that is asked for more,
    so that the age of the oldest that are starting is never taken for too long.
    """
    desired = (seen.configuration.variant, seen.configuration.replicas)
    counts = {variant: each for variant, each in seen.replicas.items() if each.starting or each.ready or each.draining}
    if set(counts) != {desired[0]} or not counts[desired[0]].starting:
        return (None, *desired)  # variants are changed a few replicas at a time
    since_s, variant, replicas = (None, *desired) if was is None else was["starting"]
    if variant == desired[0] and replicas < desired[1]:
        return (now_s - step_s, *desired)  # decided a step ago
    return (now_s if since_s is None else since_s, *desired)


def later_s(
    stage: Stage, since: tuple[float | None, str, int], now_s: float, step_s: float, decision_delay_s: float
) -> float:
    """By how much longer than profiled the replicas of a stage take to start, at most [s]; 0 if they may be in time.

    Still starting at an age beyond the profile's, they are taken to be ready just before the next decision.
    """
    since_s, variant, _ = since
    if since_s is None:
        return 0.0
    beyond_s = now_s - since_s - decision_delay_s - stage.variant(variant).start_up_s
    return min(beyond_s + step_s, MOST_S) if beyond_s > TOLERANCE_S else 0.0


def faded(late_s: float, step_s: float) -> float:
    """What is left of a delay after a step."""
    return late_s * max(0.0, 1.0 - step_s / FADES_S)
