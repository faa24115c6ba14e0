"""Variants that failed to start: rolled back to what stood before, and left out for a while.

The stages' Deployments remember which variants failed and when, so that the next controller leaves them out too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipa.live.kubernetes.stage_state import StageState, part_of
from ipa.live.kubernetes.timeline import EXCLUDED_FOR_S, PodReplicas, left_out
from ipa.policies import Configuration, StageConfiguration, mix_by_weight


class FailedVariants:
    """What has failed at each of `stages`, which say for how long each variant is excluded."""

    def __init__(self, stages: Mapping[str, PodReplicas]) -> None:
        self._stages = stages
        self._unwritten: dict[str, dict[str, float]] = {}  # stage -> variant -> Unix time, not yet in its Deployment
        self._decided_at: dict[str, int] = {}  # stage -> the step that decided its present variant

    def decided(self, stages: Iterable[str], step: int) -> None:
        """A step has chosen other variants for these stages."""
        self._decided_at |= dict.fromkeys(stages, step)

    def refusal(self, configuration: Configuration) -> str:
        """Why a configuration may not be asked for; empty if it may."""
        for name, wanted in configuration.items():
            stage = self._stages[name]
            present = {part.variant for part in stage.configuration.parts}
            for part in wanted.parts:
                if part.variant in stage.failed_variants and part.variant not in present:
                    return f"{name}: variant {part.variant} has failed to start and is left out for now"
        return ""

    # ---- what the cluster remembers ----

    def to_write(self, states: Mapping[str, StageState], wall_s: float) -> dict[str, dict[str, float]]:
        """Stage -> variant -> Unix time: what the Deployments of stages with new failures are to remember."""
        return {name: {**_remembered(states.get(name), wall_s), **new} for name, new in self._unwritten.items()}

    def has_written(self) -> None:
        """The Deployments remember all of it now."""
        self._unwritten = {}

    def take_over(self, states: Mapping[str, StageState], now_s: float, wall_s: float) -> None:
        """Leave out what an earlier controller found failing."""
        for name, state in states.items():
            for variant, at_s in left_out(state.failed, wall_s).items():
                self._stages[name].excluded.setdefault(variant, now_s + at_s + EXCLUDED_FOR_S - wall_s)

    # ---- rolling back ----

    def add(self, stage: str, variant: str, now_s: float, wall_s: float) -> None:
        """A variant has failed now: `now_s` of the run, `wall_s` in Unix time."""
        self._stages[stage].excluded[variant] = now_s + EXCLUDED_FOR_S
        self._unwritten.setdefault(stage, {})[variant] = wall_s

    def steps_undone(self, stage: str, step: int) -> range:
        """The steps whose decision comes to nothing when a stage is rolled back at `step`: those that chose its present
        variant or kept it."""
        return range(self._decided_at.get(stage, step), step + 1)

    def trouble(self, failing: Mapping[str, str]) -> str:
        """What fails (stage -> why) or is left out, empty where there is nothing."""
        excluded = {each.stage: names for each in self._stages.values() if (names := each.failed_variants)}
        said = [f"{stage}: {why}" for stage, why in failing.items()]
        return "; ".join([*said, *(f"left out: {stage}: {', '.join(names)}" for stage, names in excluded.items())])


@dataclass(frozen=True, slots=True)
class Rollback:
    """A stage goes `back_to` the configuration that stood before `variant`, which has failed."""

    variant: str
    back_to: StageConfiguration


def rollback(state: StageState, wanted: StageConfiguration) -> Rollback | None:
    """What to do about a stage that cannot go on; None if what fails is no longer wanted, or nothing has stood before.

    If a mix with the failed variant has stood, the others get its requests.
    """
    failed = state.troubled
    if failed is None or state.sound is None or part_of(wanted, failed.variant) is None:
        return None
    parts = [part for part in state.sound.parts if part.variant != failed.variant]
    if len(parts) == len(state.sound.parts):
        return Rollback(failed.variant, state.sound)
    return Rollback(failed.variant, mix_by_weight(parts)) if parts else None


def _remembered(state: StageState | None, wall_s: float) -> Mapping[str, float]:
    return {} if state is None else left_out(state.failed, wall_s)
