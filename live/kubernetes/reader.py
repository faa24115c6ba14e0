"""Reads from the server how the stages of a deployed pipeline stand, and its gateway."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.deployments import ReplicaSet, has_available, is_rolled_out, present
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.pods import Pod, ours
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState, read_stage


def stages(api: Api, deployed: Deployed, pods: Sequence[Pod] | None = None) -> dict[str, StageState]:
    """The stages as the server has them; without `pods`, as their Deployments alone say. Raises ApiError."""
    found = api.list("Deployment", deployed.namespace, _selector(deployed, MODEL_SERVER))["items"]
    by_name = {each["metadata"]["name"]: each for each in found}
    is_quiet = pods is None or all(map(is_rolled_out, found))
    made = {} if is_quiet else _made(api, deployed, MODEL_SERVER, found)
    now_s = None if is_quiet else api.time_s()

    def read_lane(stage: str, lane: int, further: Mapping[int, StageState]) -> StageState | None:
        given = by_name.get(deployed.stage_name(stage, lane))
        if given is None:
            return None
        here = [pod for pod in pods or () if (pod.stage, pod.lane) == (stage, lane)]
        return read_stage(given, here, further, made.get(given["metadata"]["name"]), now_s)

    found_stages = {}
    for stage in deployed.stages:
        lanes = {lane: read_lane(stage, lane, {}) for lane in deployed.further_lanes(stage)}
        state = read_lane(stage, 0, {lane: each for lane, each in lanes.items() if each is not None})
        if state is not None:
            found_stages[stage] = state
    return found_stages


def gateway(api: Api, deployed: Deployed, given: Mapping[str, Any] | None) -> StageState | None:
    """The gateway as the server has it, with its pods unless all is well; None: there is none. Raises ApiError.

    `given` is its Deployment.
    """
    if given is None:
        return None
    if is_rolled_out(given) and has_available(given):
        return read_stage(given, ())
    made = _made(api, deployed, GATEWAY, [given])
    pods = ours(api.list("Pod", deployed.namespace, _selector(deployed, GATEWAY))["items"])
    return read_stage(given, pods, made=made.get(deployed.gateway_name), now_s=api.time_s())


def _made(api: Api, deployed: Deployed, component: str, given: Sequence[Mapping[str, Any]]) -> dict[str, ReplicaSet]:
    """Deployment -> the ReplicaSet of its present template; none where this account may not read them."""
    try:
        found = api.list("ReplicaSet", deployed.namespace, _selector(deployed, component))["items"]
    except ApiError as error:
        if error.status != 403:
            raise
        return {}
    return {each["metadata"]["name"]: present(each, found, api.time_s()) for each in given}


def _selector(deployed: Deployed, component: str) -> str:
    return names.as_query(names.selector(deployed.instance, component))
