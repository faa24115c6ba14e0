"""Variants that failed to start: which are excluded, and what a stage is rolled back to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipa.live.kubernetes.stage_state import StageState, part_of
from ipa.live.kubernetes.timeline import PodReplicas, left_out
from ipa.policies import Configuration, StageConfiguration, mix_by_weight


class FailedVariants:
    """The failed variants of each of `stages`, which hold the excluded ones with the times of their failures."""

    def __init__(self, stages: Mapping[str, PodReplicas]) -> None:
        self._stages = stages
        self._unwritten: dict[str, dict[str, float]] = {}  # stage -> variant -> Unix time, not yet in its Deployment
        self._decided_at: dict[str, int] = {}  # stage -> the step that decided its present variant

    def decided(self, stages: Iterable[str], step: int) -> None:
        """A step has chosen other variants for these stages."""
        self._decided_at |= dict.fromkeys(stages, step)

    def refusal(self, configuration: Configuration) -> str:
        """Why a configuration is refused; empty if it is not."""
        for name, wanted in configuration.items():
            stage = self._stages[name]
            present = {part.variant for part in stage.configuration.parts}
            for part in wanted.parts:
                if part.variant in stage.failed_variants and part.variant not in present:
                    return f"{name}: variant {part.variant} has failed to start and is left out for now"
        return ""

    # ---- failures recorded on the cluster ----

    def to_write(self, states: Mapping[str, StageState], wall_s: float) -> dict[str, dict[str, float]]:
        """Stage -> variant -> Unix time of its failure: what to record on the Deployments of stages with new
        failures."""
        return {name: {**_remembered(states.get(name), wall_s), **new} for name, new in self._unwritten.items()}

    def has_written(self) -> None:
        """All failures are recorded on the Deployments."""
        self._unwritten = {}

    def take_over(self, states: Mapping[str, StageState], wall_s: float) -> None:
        """Exclude the variants that an earlier controller recorded as failed."""
        for name, state in states.items():
            stage = self._stages[name]
            stage.excluded = left_out(state.failed, wall_s) | stage.excluded

    # ---- rolling back ----

    def add(self, stage: str, variant: str, wall_s: float) -> None:
        """A variant has failed at `wall_s` [Unix time]."""
        self._stages[stage].excluded[variant] = wall_s
        self._unwritten.setdefault(stage, {})[variant] = wall_s

    def steps_undone(self, stage: str, step: int) -> range:
        """The steps whose decision is undone when a stage is rolled back at `step`: those that chose its present
        variant or kept it."""
        return range(self._decided_at.get(stage, step), step + 1)

    def trouble(self, failing: Mapping[str, str]) -> str:
        """What fails (stage -> why) or is excluded, as a text; empty if nothing does."""
        excluded = {each.stage: names for each in self._stages.values() if (names := each.failed_variants)}
        said = [f"{stage}: {why}" for stage, why in failing.items()]
        return "; ".join([*said, *(f"left out: {stage}: {', '.join(names)}" for stage, names in excluded.items())])


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


def _remembered(state: StageState | None, wall_s: float) -> Mapping[str, float]:
    return {} if state is None else left_out(state.failed, wall_s)
