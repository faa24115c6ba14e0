"""Variants that failed to start: how decisions for them are refused, and what a stage is rolled back to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ipa.live.kubernetes.stage_state import StageState, part_of
from ipa.live.kubernetes.timeline import PodReplicas
from ipa.policies import Configuration, StageConfiguration, mix_by_weight


def refusal(stages: Mapping[str, PodReplicas], configuration: Configuration) -> str:
    """Why a configuration is refused: it chooses a variant that is excluded; empty if it does not."""
    for name, wanted in configuration.items():
        stage = stages[name]
        present = {part.variant for part in stage.configuration.parts}
        for part in wanted.parts:
            if part.variant in stage.failed_variants and part.variant not in present:
                return f"{name}: variant {part.variant} has failed to start and is left out for now"
    return ""


def trouble(stages: Mapping[str, PodReplicas], failing: Mapping[str, str]) -> str:
    """What fails (stage -> why) or is excluded, as a text; empty if nothing does."""
    excluded = {name: names for name, each in stages.items() if (names := each.failed_variants)}
    left_out = [f"left out: {name}: {', '.join(names)}" for name, names in excluded.items()]
    return "; ".join([*(f"{stage}: {why}" for stage, why in failing.items()), *left_out])


@dataclass(frozen=True, slots=True)
class Rollback:
    """A stage goes `back_to` the configuration that was complete before `variant` failed."""

    variant: str
    back_to: StageConfiguration


def rollback(state: StageState, wanted: StageConfiguration) -> Rollback | None:
    """How to roll back a stage that cannot go on; None if the failed variant is no longer wanted, or no configuration
    was ever complete.

    If the last complete one is a mix with the failed variant, the others get its requests. If it is that variant alone,
    with other cores, it gets those back.
    """
    failed = state.troubled
    if failed is None or state.sound is None or (part := part_of(wanted, failed.variant)) is None:
        return None
    others = [each for each in state.sound.parts if each.variant != failed.variant]
    if len(others) == len(state.sound.parts) or (not others and state.sound.cores != part.cores):
        return Rollback(failed.variant, state.sound)
    return Rollback(failed.variant, mix_by_weight(others)) if others else None
