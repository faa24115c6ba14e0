"""The lanes of a stage (rule 11) on a cluster: each has a Deployment of its own, and serves one variant.

What is in force in which lane, the gateway says; here is what the Deployments say of it, for whoever cannot ask one: a
controller that begins, `up`, and a controller whose gateway was started anew and has to be told. A lane that is free
keeps its Deployment, without replicas. That of the first lane speaks for the stage: its annotations say what is wanted
of the whole, even while that lane is free.
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
"""Lane -> what is in force there."""


def in_force(stage: Stage, wanted: StageConfiguration, state: StageState | None) -> Parts:
    """What is in force, as far as the Deployments say: a variant that has a lane keeps it, another one gets a free one.

    What is in force in other lanes stays so, and nothing shrinks until all that is wanted is ready. If one variant
    follows one other, it gets the lane of that one.
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


def what_stood(stage: Stage, wanted: StageConfiguration, state: StageState | None) -> Parts:
    """What a gateway that was started anew is told to be in force, before it is told what is wanted.

    It is what stood last, as far as there are pods that serve it: if a change was under way, requests go on to what
    they went to before. Where nothing serves, it is what is wanted.
    """
    lanes = {} if state is None else _occupied(stage, state)
    serving = {lane: each for lane, each in lanes.items() if any(pod.is_serving for pod in each.pods)}
    stood = None if state is None else state.sound
    sound = {
        lane: replace(part, replicas=max(_asked(each), 1))
        for lane, each in serving.items()
        if stood is not None and (part := part_of(stood, each.variant)) is not None
    }
    parts = sound or {lane: as_it_is(each) for lane, each in serving.items()}
    if not parts:
        return in_force(stage, wanted, state)
    return dict(zip(parts, mix_by_weight(list(parts.values())).parts, strict=True))


def targets(
    pipeline: Pipeline, wanted: Configuration, states: Mapping[str, StageState], lanes: Mapping[str, Parts] | None
) -> dict[str, Parts]:
    """Stage -> what the Deployment of every lane should be: what is in force there; no replicas where nothing is.

    `lanes`: stage -> what the gateway says is in force; stages of which it says nothing are left out. None: nobody has
    asked it, and the Deployments say so themselves.
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
    """A lane's configuration as its Deployment has it; of batches it says nothing if its variant is wanted no more."""
    labels = state.given["spec"]["template"]["metadata"]["labels"]
    part = state.part or StageConfiguration(state.variant, 1, 1, 0.0, int(labels[names.CORES]))
    return replace(part, replicas=_asked(state))


def _asked(state: StageState) -> int:
    """The replicas of a lane, whatever another may have set lately."""
    return state.replicas if state.is_ours or state.asked is None else state.asked


def _is_warm(state: StageState, part: StageConfiguration) -> bool:
    return state.is_complete and state.replicas >= part.replicas


def _occupied(stage: Stage, state: StageState) -> dict[int, StageState]:
    """The lanes that are not free; the only one never is."""
    if not state.further:
        return {0: state}
    return {lane: each for lane, each in state.lanes.items() if _asked(each) and _known(stage, each)}


def _known(stage: Stage, state: StageState | None) -> StageConfiguration | None:
    """A lane's configuration as it is, unless the pipeline's file no longer has its variant with its cores."""
    found = None if state is None else as_it_is(state)
    is_known = found is not None and any(
        found.variant == each.name and found.cores in each.cores for each in stage.variants
    )
    return found if is_known else None
