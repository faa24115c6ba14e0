"""The lanes of a stage (rule 11) on a cluster: each has a Deployment of its own, and serves one variant.

The gateway knows the configuration in force in each lane. This derives it from the Deployments where no gateway can be
asked: in a starting controller, in `up`, and in a controller that has to configure a restarted gateway. A free lane
keeps its Deployment, without replicas. That of the first lane represents the stage: its annotations hold the wanted
configuration of the whole stage, even while that lane is free.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from ipa.live.kubernetes import names
from ipa.live.kubernetes.stage_state import StageState, part_of
from ipa.policies import Configuration, StageConfiguration, mix_by_weight
from ipa.profiles import Pipeline, Stage

Parts = Mapping[int, StageConfiguration]
"""Lane -> the configuration in force there."""


def in_force(stage: Stage, wanted: StageConfiguration, state: StageState | None) -> Parts:
    """The configurations in force, by the Deployments: a variant keeps its lane, and another one gets a free lane.

    Other lanes stay as they are, and none shrinks until all wanted ones are ready. If a single variant follows another
    single one, it takes over its lane.
    """
    parts = wanted.parts
    there = {} if state is None else _occupied(stage, state)
    if state is None or not there:
        return dict(enumerate(parts))
    was_mix = state.wanted is not None and state.wanted.is_mix
    if len(there) == 1 and not (wanted.is_mix or was_mix):
        return dict.fromkeys(there, wanted)
    lane_of = {each.variant: lane for lane, each in there.items()}
    free = (lane for lane in count() if lane not in there)
    placed = {lane_of[part.variant] if part.variant in lane_of else next(free): part for part in parts}
    if not all(lane in there and _is_warm(there[lane], part) for lane, part in placed.items()):
        grown = {lane: max(part.replicas, _asked(there[lane])) for lane, part in placed.items() if lane in there}
        placed = {lane: replace(part, replicas=grown.get(lane, part.replicas)) for lane, part in placed.items()}
    return {lane: found for lane, each in there.items() if (found := _known(stage, each))} | placed


def to_restore(stage: Stage, wanted: StageConfiguration, state: StageState | None) -> Parts:
    """The configurations to restore in a restarted gateway, before it gets the wanted ones.

    They are the last complete ones, as far as pods serve them: if a change was under way, requests still go where they
    went before. If no pod serves, they are the wanted ones.
    """
    lanes = {} if state is None else _occupied(stage, state)
    serving = {lane: each for lane, each in lanes.items() if any(pod.is_serving for pod in each.pods)}
    known = None if state is None else state.sound
    sound = {
        lane: replace(part, replicas=max(_asked(each), 1))
        for lane, each in serving.items()
        if known is not None and (part := part_of(known, each.variant)) is not None
    }
    parts = sound or {lane: as_it_is(each) for lane, each in serving.items()}
    if not parts:
        return in_force(stage, wanted, state)
    return dict(zip(parts, mix_by_weight(list(parts.values())).parts, strict=True))


def targets(
    pipeline: Pipeline, wanted: Configuration, states: Mapping[str, StageState], lanes: Mapping[str, Parts] | None
) -> dict[str, Parts]:
    """Stage -> the target of each lane's Deployment: the configuration in force there; without replicas if the lane is
    free.

    `lanes`: stage -> the configurations in force, as the gateway reports them; stages that it does not report are left
    out. None: the gateway was not asked, and they follow from the Deployments.
    """
    found: dict[str, Parts] = {}
    for name, configuration in wanted.items():
        stage, state = pipeline.stage(name), states.get(name)
        parts = in_force(stage, configuration, state) if lanes is None else lanes.get(name)
        if parts is not None:
            there = {0: None} if state is None else state.lanes
            free = {
                lane: replace(_known(stage, each) or configuration.parts[0], replicas=0) for lane, each in there.items()
            }
            found[name] = dict(sorted({**free, **parts}.items()))
    return found


def as_it_is(state: StageState) -> StageConfiguration:
    """A lane's configuration by its Deployment, which does not say the batch size of a variant that is no longer
    wanted: 1."""
    labels = state.given["spec"]["template"]["metadata"]["labels"]
    part = state.part or StageConfiguration(state.variant, 1, 1, 0.0, int(labels[names.CORES]))
    return replace(part, replicas=_asked(state))


def _asked(state: StageState) -> int:
    """The replicas that we last asked of a lane, whatever somebody else has set."""
    return state.replicas if state.is_ours or state.asked is None else state.asked


def _is_warm(state: StageState, part: StageConfiguration) -> bool:
    return state.is_complete and state.replicas >= part.replicas


def _occupied(stage: Stage, state: StageState) -> dict[int, StageState]:
    """The lanes that are not free; a stage's only lane never is."""
    if not state.further:
        return {0: state}
    return {lane: each for lane, each in state.lanes.items() if _asked(each) and _known(stage, each)}


def _known(stage: Stage, state: StageState | None) -> StageConfiguration | None:
    """A lane's configuration; None if the pipeline's file no longer has its variant with its cores."""
    found = None if state is None else as_it_is(state)
    is_known = found is not None and any(
        found.variant == each.name and found.cores in each.cores for each in stage.variants
    )
    return found if is_known else None
