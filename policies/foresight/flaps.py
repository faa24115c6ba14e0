"""The flap budget: how often a stage has changed its variant lately, and which stages may not again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipa.policies.interface import Observation


def changes_of(variant: str, was: Mapping[str, Any] | None, now_s: float, window_s: float) -> list[float]:
    """When a stage's variant was changed within the window [s on the policy's clock], oldest first.

    `was`: the stage's memory of the step before. What counts is what has come into force, whoever decided it.
    """
    known: Sequence[float] = () if was is None else was.get("changed_s", ())
    kept = [min(time_s, now_s) for time_s in known if now_s - time_s < window_s]  # clocks may restart
    is_changed = was is not None and was.get("variant", variant) != variant
    return [*kept, now_s] if is_changed else kept


def spent(observation: Observation, changes: Mapping[str, Sequence[float]], budget: int | None) -> dict[str, list[str]]:
    """Stage -> the variant that it keeps, as its budget is spent. A variant that fails to start is never kept."""
    if budget is None:
        return {}
    return {
        name: [stage.configuration.variant]
        for name, stage in observation.stages.items()
        if len(changes[name]) >= budget and stage.configuration.variant not in stage.failed_variants
    }
