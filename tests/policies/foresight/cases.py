"""The pipelines, loads and surges of these tests, and how a decision is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ipa.policies import Decision, Foresight
from ipa.policies.foresight.insurance import Timing
from ipa.policies.foresight.surges import Surge
from ipa.profiles import Pipeline
from tests.tiny import observation, published, two_by_two

PIPELINE = replace(two_by_two(published()), stages=two_by_two(published()).stages)
LONG_SLA = two_by_two(published()).with_limits(8.0, {})
TIMING = Timing(step_s=10.0, lead_s=8.0, wait_s=6.0)
MINUTE = 60
DEAR = 100.0
"""A gain that no plan brings: above IPA's cost, only what is due is bought."""
HALF_A_STEP = 2 ** (1 / 34) - 1
"""How far a planned rate may be from what was asked for."""


def steps(*parts: tuple[float, int]) -> list[float]:
    """A load of so many requests per second for so many seconds, one part after the other."""
    return [rate for rate, seconds in parts for _ in range(seconds)]


def surge(onset_s: float, beyond_rps: float = 20.0, follows: bool = False) -> Surge:
    """One that adds the same number of requests in every second, for five minutes, to 5 rps."""
    return Surge(onset_s, 5.0, onset_s + 300, tuple(beyond_rps * 5 * (k + 1) for k in range(12)), follows)


def decided(
    load: Sequence[float],
    memory: Any = None,
    *,
    pipeline: Pipeline = LONG_SLA,
    gain: float | str | None = None,
    **seen: Any,
) -> Decision:
    past = tuple(map(float, load[:-120]))
    shown = replace(observation(load[-120:], **seen), past_rps=past)
    return Foresight(pipeline, gain_above_ipa=gain).decide(shown, memory or {})
