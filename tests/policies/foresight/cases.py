"""The pipelines and loads of these tests, and how a decision is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ipa.policies import Decision, Foresight
from ipa.policies.foresight.forecast import Reach
from ipa.profiles import Pipeline
from tests.tiny import observation, published, two_by_two

PIPELINE = two_by_two(published())
LONG_SLA = PIPELINE.with_limits(8.0, {})
REACH = Reach(step_s=10.0, lead_s=8.0, wait_s=6.0)
HALF_A_STEP = 2 ** (1 / 34) - 1
"""How far a planned rate may be from what was asked for."""


def steps(*parts: tuple[float, int]) -> list[float]:
    """A load of so many requests per second for so many seconds, one part after the other."""
    return [rate for rate, seconds in parts for _ in range(seconds)]


def decided(
    load: Sequence[float], memory: Any = None, *, pipeline: Pipeline = LONG_SLA, policy: Any = None, **seen: Any
) -> Decision:
    """The decision after a load, of which the last two minutes are seen and the rest is the past."""
    shown = replace(observation(load[-120:], **seen), past_rps=tuple(map(float, load[:-120])))
    return Foresight(pipeline, **(policy or {})).decide(shown, memory or {})
