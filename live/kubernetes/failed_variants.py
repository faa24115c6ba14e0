"""Variants that failed to start: how decisions for them are refused, and what a stage is rolled back to."""

from __future__ import annotations

from collections.abc import Mapping

from ipa.live.kubernetes.stage_state import StageState
from ipa.live.kubernetes.timeline import PodReplicas
from ipa.policies import Configuration, StageConfiguration


def refusal(stages: Mapping[str, PodReplicas], configuration: Configuration) -> str:
    """Why a configuration is refused: it chooses a variant that is excluded; empty if it does not."""
    for name, wanted in configuration.items():
        stage = stages[name]
        if wanted.variant in stage.failed_variants and wanted.variant != stage.configuration.variant:
            return f"{name}: variant {wanted.variant} has failed to start and is left out for now"
    return ""


def trouble(stages: Mapping[str, PodReplicas], failing: Mapping[str, str]) -> str:
    """What fails (stage -> why) or is excluded, as a text; empty if nothing does."""
    excluded = {name: names for name, each in stages.items() if (names := each.failed_variants)}
    left_out = [f"left out: {name}: {', '.join(names)}" for name, names in excluded.items()]
    return "; ".join([*(f"{stage}: {why}" for stage, why in failing.items()), *left_out])


def rollback(state: StageState, wanted: StageConfiguration) -> StageConfiguration | None:
    """What a stage that cannot go on is rolled back to: the configuration that was complete before, of another variant
    or with other cores. None if the failed variant is no longer wanted, or there is no such configuration."""
    sound = state.sound
    if not state.obstacle.problem or sound is None or state.variant != wanted.variant:
        return None
    return sound if (sound.variant, sound.cores) != (wanted.variant, wanted.cores) else None
