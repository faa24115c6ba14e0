"""What has been decided and has yet to take effect, where that takes longer than until the next decision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from ipa.policies.interface import Configuration, Memory, Observation, StageConfiguration, without_mix


def as_decided(observation: Observation, memory: Memory, delay_s: float) -> Observation:
    """The observation with what is decided in the place of what is desired, until it has taken effect.

    A policy that does not see its last decision would make it again, or another one each time.
    """
    pending = memory.get("pending")
    if pending is None or not 0 <= observation.time_s - pending["since_s"] <= delay_s:
        return observation
    decided = {name: StageConfiguration(**fields) for name, fields in pending["stages"].items()}
    stages = {name: replace(stage, configuration=decided[name]) for name, stage in observation.stages.items()}
    return replace(observation, stages=stages)


def pending(
    observation: Observation, memory: Memory, configuration: Configuration, delay_s: float, step_s: float
) -> Mapping[str, Any] | None:
    """What the next step has to know of this decision: None if that sees it. With the same variants as the decision
    before, it is as old as that, so that one which never takes effect is not waited for."""
    if delay_s < step_s:
        return None
    before = memory.get("pending")
    variants = {name: each.variant for name, each in configuration.items()}
    is_same = before is not None and variants == {name: each["variant"] for name, each in before["stages"].items()}
    return {
        "since_s": before["since_s"] if before is not None and is_same else observation.time_s,
        "stages": {name: asdict(each, dict_factory=without_mix) for name, each in configuration.items()},
    }
