"""The state of a deployed pipeline, for a person or a script that asks."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.deploy import leftovers, refused
from ipa.live.kubernetes.deployments import has_available
from ipa.live.kubernetes.lease import DURATION_S
from ipa.live.kubernetes.pods import Pod, seconds
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import read_gateway, read_pods, read_stages
from ipa.live.kubernetes.timeline import left_out
from ipa.policies import to_plain


def status(api: Api, deployed: Deployed) -> dict[str, Any]:
    """The state of a deployed pipeline, ready for JSON. Raises LiveError if it does not exist or cannot be read."""
    try:
        root_object = api.get("ConfigMap", deployed.namespace, deployed.instance)
        if root_object is None:
            raise LiveError(f"{deployed.instance} is not deployed in namespace {deployed.namespace}; run ipa live up")
        lease = api.get("Lease", deployed.namespace, deployed.instance)
        gateway = api.get("Deployment", deployed.namespace, deployed.gateway_name)
        pods = read_pods(api, deployed)
        stages, at_gateway = read_stages(api, deployed, pods), read_gateway(api, deployed, gateway)
        former = leftovers(api, deployed)
    except ApiError as error:
        raise LiveError(refused(error, deployed)) from None
    return {
        "name": deployed.instance,
        "namespace": deployed.namespace,
        "pipeline": deployed.pipeline,
        "gateway_ready": has_available(gateway),
        "gateway_problem": "" if at_gateway is None else at_gateway.obstacle.problem or at_gateway.obstacle.delay,
        **_of_controller(lease, api.time_s()),
        "held": (root_object["metadata"].get("annotations") or {}).get(names.HOLD) == "true",
        "stages": {
            stage: {
                "wanted": None if state.wanted is None else to_plain(state.wanted),
                "replicas": state.replicas,
                "ready": sum(pod.is_serving for pod in state.pods),
                "complete": state.is_complete,
                "problem": state.obstacle.problem or state.obstacle.delay,
                "failed_variants": sorted(left_out(state.failed, api.time_s())),
                "pods": [
                    {
                        "name": pod.name,
                        "variant": pod.variant,
                        "cores": pod.cores,
                        "state": _state(pod),
                        "restarts": pod.restarts,
                        "crash": pod.crash,
                    }
                    for pod in sorted(state.pods, key=lambda pod: pod.number)
                ],
            }
            for stage, state in stages.items()
        },
        "leftovers": sorted(name for kind, name in former if kind == "Deployment"),
    }


def _of_controller(lease: Mapping[str, Any] | None, now_s: float) -> dict[str, Any]:
    """The holder of the Lease, its latest step, and the troubles it reports."""
    spec = (lease or {}).get("spec", {})
    holder = spec.get("holderIdentity") or None
    if lease is None or holder is None:
        return {"controller": None, "step": None, "troubles": {"no_controller": "no controller holds the Lease"}}
    report = json.loads((lease["metadata"].get("annotations") or {}).get(names.REPORT) or "{}")
    age_s = now_s - seconds(spec["renewTime"])
    silent = {"no_controller": f"{holder} has not renewed the Lease for {age_s:.0f} s"} if age_s > DURATION_S else {}
    return {"controller": holder, "step": report.get("step"), "troubles": silent or report.get("troubles", {})}


def _state(pod: Pod) -> str:
    if pod.removed_s is not None:
        return "draining"
    if pod.is_lost:
        return "lost"
    if pod.unschedulable:
        return "unschedulable"
    return "ready" if pod.is_serving else pod.waiting or "starting"
