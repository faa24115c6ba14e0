"""What has been decided and has yet to take effect, where that takes longer than until the next decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from ipa.policies.interface import (
    Configuration,
    Memory,
    Observation,
    ReplicaCounts,
    StageConfiguration,
    StageObservation,
    without_mix,
)

NONE = ReplicaCounts()


def as_decided(observation: Observation, memory: Memory, delay_s: float) -> Observation:
    """The observation with the last decision in the place of what is desired, until it has taken effect; what is
    missing of its replicas counts as starting.

    A policy that does not see its last decision would make it again, or another one each time. If what is desired is
    not what the latest of the decisions due was, somebody held that back, and what is desired stands.
    """
    before = [(_age_s(observation, each), each["stages"]) for each in memory.get("pending", ())]
    due = [stages for age_s, stages in before if age_s > delay_s]
    coming = [stages for age_s, stages in before if 0 <= age_s <= delay_s]
    if not coming or len(due) + len(coming) < len(before) or (due and due[-1] != _written(observation.configuration)):
        return observation
    stages = {
        name: _as_wanted(stage, StageConfiguration(**coming[-1][name])) for name, stage in observation.stages.items()
    }
    return replace(observation, stages=stages)


def pending(
    observation: Observation, memory: Memory, configuration: Configuration, delay_s: float, step_s: float
) -> Sequence[Mapping[str, Any]]:
    """What later steps have to know of this decision and those before: none if the next one sees it."""
    if delay_s < step_s:
        return []
    before = [each for each in memory.get("pending", ()) if _age_s(observation, each) >= 0]
    latest_due = [each for each in before if _age_s(observation, each) > delay_s][-1:]
    coming = [each for each in before if _age_s(observation, each) <= delay_s]
    return [*latest_due, *coming, {"at_s": observation.time_s, "stages": _written(configuration)}]


def _age_s(observation: Observation, decision: Mapping[str, Any]) -> float:
    """In tenths, as a live step comes some milliseconds late; negative where the clock has restarted."""
    return round(observation.time_s - float(decision["at_s"]), 1)


def _written(configuration: Configuration) -> dict[str, dict[str, Any]]:
    return {name: asdict(each, dict_factory=without_mix) for name, each in configuration.items()}


def _as_wanted(stage: StageObservation, wanted: StageConfiguration) -> StageObservation:
    """The stage as if that were desired; those at hand still make batches as before."""
    at_hand = stage.configuration
    counts = stage.replicas.get(wanted.variant, NONE)
    starting = max(counts.starting, wanted.replicas - counts.ready)
    if wanted.variant == at_hand.variant:
        wanted = replace(wanted, batch=at_hand.batch)
    replicas = {**stage.replicas, wanted.variant: replace(counts, starting=starting)}
    return replace(stage, configuration=wanted, replicas=replicas)
