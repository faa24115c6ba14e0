"""A model server's pod, as the state of its replica."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.manifest_parts import MODEL_PORT, OUR_CONTAINERS, PREPARE_CONTAINER

FAILING = (
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "ErrImageNeverPull",
    "ErrImagePull",
    "ImagePullBackOff",
    "InvalidImageName",
    "RunContainerError",
)
"""Reasons for which a container waits and will not start by waiting alone."""

_DIGEST_BITS = 22

log = logging.getLogger("ipa.live.kubernetes.pods")


@dataclass(frozen=True, slots=True)
class Pod:
    """One replica; times are Unix times [s], None if they have not come.

    `uid` is unique for all time. `template`: the digest of its template; `replica_set`: the name of its ReplicaSet.
    `scheduled_s`: when it got a node; `started_s`: when a container of ours first ran there, so that its image was
    there. `unready_s`: since when its node has reported it as not ready. `ended_s`: when its last container ended, to
    half a second. `waiting`: why a container does not start, empty if all do; `failing_s`: since when that has been for
    one of `FAILING`, as far as a watch has seen; `message`: the last about that, its own or the system's; `crash`:
    how a crashed container ended. `unschedulable`: why no node takes the pod, empty if one may.
    `is_over`: it no longer serves, and holds no resources. `is_lost`: it is marked as not ready but
    its containers are not, since its node is silent. `model_key` and
    `model_digest`: those of its real model, once it has said them.
    """

    uid: str
    name: str
    stage: str
    variant: str
    cores: int
    template: str = ""
    replica_set: str = ""
    address: str | None = None
    created_s: float = 0.0
    scheduled_s: float | None = None
    started_s: float | None = None
    ready_s: float | None = None
    unready_s: float | None = None
    removed_s: float | None = None
    ended_s: float | None = None
    waiting: str = ""
    failing_s: float | None = None
    message: str = ""
    restarts: int = 0
    crash: str = ""
    unschedulable: str = ""
    is_over: bool = False
    node: str = ""
    is_lost: bool = False
    model_key: str = ""
    model_digest: str = ""

    @property
    def is_serving(self) -> bool:
        """Whether it is ready, and not terminating."""
        return self.ready_s is not None and self.removed_s is None and not self.is_over and self.address is not None

    def remembering(self, earlier: Pod | None, now_s: float) -> Pod:
        """The pod, with what the kubelet clears away with time, by what was known `earlier`: how a container crashed,
        when one first ran, and since when one has failed to start. `now_s`: the server's Unix time."""
        failing_s = now_s if self.waiting in FAILING else None
        if earlier is None:
            return replace(self, failing_s=failing_s)
        starts_s = [at_s for at_s in (self.started_s, earlier.started_s) if at_s is not None]
        return replace(
            self,
            crash=self.crash or (earlier.crash if self.restarts else ""),
            started_s=min(starts_s, default=None),
            failing_s=None if failing_s is None else earlier.failing_s or failing_s,
        )

    @property
    def number(self) -> int:
        """The replica's number: the same for every observer, and rising with the second of creation.

        A double holds it exactly (53 bits), since it passes through JSON and tables.
        """
        digest = int.from_bytes(sha256(self.uid.encode()).digest()[:4], "big") >> (32 - _DIGEST_BITS)
        return (int(self.created_s) << _DIGEST_BITS) | digest


def ours(resources: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """The pods in objects of the API server, without those that have our labels but were made by others."""
    pods = []
    for resource in resources:
        try:
            pods.append(read(resource))
        except ValueError as error:
            log.warning("a pod is not one of ours", extra={"pod": resource["metadata"]["name"], "problem": str(error)})
    return pods


def read(resource: Mapping[str, Any]) -> Pod:
    """The pod in an object of the API server. Raises ValueError for labels that we would not give it."""
    meta, status = resource["metadata"], resource.get("status") or {}
    conditions = {condition["type"]: condition for condition in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
    containers = status.get("containerStatuses") or ()
    # Containers wait for the init containers, so those come first.
    all_containers = (*(status.get("initContainerStatuses") or ()), *containers)
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    return Pod(
        uid=meta["uid"],
        name=meta["name"],
        stage=labels.get(names.STAGE, ""),
        variant=annotations.get(names.VARIANT, labels.get(names.VARIANT, "")),
        cores=int(labels.get(names.CORES, 1)),
        template=annotations.get(names.TEMPLATE, ""),
        replica_set=controller_of(resource).get("name", ""),
        address=status.get("podIP") or None,
        created_s=seconds(meta["creationTimestamp"]),
        scheduled_s=_scheduled_s(scheduled, meta),
        started_s=_started_s(all_containers),
        ready_s=seconds(ready["lastTransitionTime"]) if ready.get("status") == "True" else None,
        unready_s=seconds(since) if (since := ready.get("lastTransitionTime")) and ready["status"] == "False" else None,
        removed_s=_removed_s(meta),
        ended_s=_ended_s(containers),
        waiting=next((why for container in all_containers if (why := _waiting(container))), ""),
        message=next((text for container in all_containers if (text := _said(container))), ""),
        restarts=sum(container.get("restartCount", 0) for container in all_containers),
        crash=next(
            (how for container in all_containers if (how := _crash(container, "deletionTimestamp" in meta))), ""
        ),
        unschedulable=_unschedulable(scheduled),
        is_over=status.get("phase") in ("Failed", "Succeeded") or _has_ended(meta, status),
        node=str((resource.get("spec") or {}).get("nodeName") or ""),
        # A kubelet sets both together; the control plane marks pods of a silent node by the one alone.
        is_lost=ready.get("status") == "False" and conditions.get("ContainersReady", {}).get("status") == "True",
        model_key=_model(all_containers)[0],
        model_digest=_model(all_containers)[1],
    )


def listing(pods: Iterable[Pod], stages: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The gateway's list of replicas: for every stage, its serving pods in order of their numbers.

    If pods have the same number (some 1 in 10,000 lists of 50 created within one second), the later ones count up.
    """
    listed: dict[str, list[dict[str, Any]]] = {stage: [] for stage in stages}
    numbers: set[tuple[str, int]] = set()
    for pod in sorted(pods, key=lambda pod: (pod.number, pod.uid)):
        if pod.address is None or not pod.is_serving or pod.stage not in listed:
            continue
        number = pod.number
        while (pod.stage, number) in numbers:
            number += 1
        numbers.add((pod.stage, number))
        listed[pod.stage].append(
            {
                "number": number,
                "url": names.url(pod.address, MODEL_PORT),
                "variant": pod.variant,
                "cores": pod.cores,
                "state": "ready",
            }
        )
    return listed


def controller_of(resource: Mapping[str, Any]) -> Mapping[str, Any]:
    """The owner reference to the controller of an object; empty if it has none."""
    return next((owner for owner in resource["metadata"].get("ownerReferences") or () if owner.get("controller")), {})


def seconds(timestamp: str) -> float:
    """Unix time of one of the API's timestamps (RFC 3339)."""
    return datetime.fromisoformat(timestamp).timestamp()


def _unschedulable(scheduled: Mapping[str, Any]) -> str:
    is_refused = scheduled.get("reason") == "Unschedulable"
    return str(scheduled.get("message") or "Unschedulable") if is_refused else ""


def _scheduled_s(scheduled: Mapping[str, Any], meta: Mapping[str, Any]) -> float | None:
    is_placed = scheduled.get("status") == "True"
    return seconds(scheduled.get("lastTransitionTime") or meta["creationTimestamp"]) if is_placed else None


def _removed_s(meta: Mapping[str, Any]) -> float | None:
    """When its deletion was requested: the timestamp is that of the end of the grace period."""
    at = meta.get("deletionTimestamp")
    return None if at is None else seconds(at) - float(meta.get("deletionGracePeriodSeconds") or 0)


def _has_ended(meta: Mapping[str, Any], status: Mapping[str, Any]) -> bool:
    """Whether all containers of a terminating pod have ended.

    The kubelet reports an ended container that has been cleared away as waiting, without the time of its end. A
    container that waits in a pending pod may yet start, and then runs for a while before it is ended.
    """
    is_to_go = meta.get("deletionTimestamp") is not None
    containers = status.get("containerStatuses") or ()
    are_running = any("running" in (container.get("state") or {}) for container in containers)
    return is_to_go and bool(containers) and status.get("phase") == "Running" and not are_running


def _started_s(containers: Iterable[Mapping[str, Any]]) -> float | None:
    """When the first container of ours ran, of those runs that are still reported; others may have another image."""
    runs = [
        run
        for container in containers
        if container.get("name") in OUR_CONTAINERS
        for state in (container.get("state") or {}, container.get("lastState") or {})
        for run in (state.get("running"), state.get("terminated"))
    ]
    return min((seconds(run["startedAt"]) for run in runs if run and run.get("startedAt")), default=None)


def _ended_s(containers: Sequence[Mapping[str, Any]]) -> float | None:
    """When all containers had ended: the middle of the second that the API's timestamp names."""
    ends = [((container.get("state") or {}).get("terminated") or {}).get("finishedAt") for container in containers]
    return max(map(seconds, filter(None, ends))) + 0.5 if ends and all(ends) else None


def _crash(container: Mapping[str, Any], is_to_go: bool) -> str:
    """How a container crashed, such as "OOMKilled, exit code 137". Exits of a terminating pod are no crashes."""
    ended = (container.get("lastState") or {}).get("terminated")
    now = (container.get("state") or {}).get("terminated")
    if now is not None and now.get("exitCode") and not is_to_go:
        ended = now
    return "" if ended is None else f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"


def _waiting(container: Mapping[str, Any]) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason", ""))


def _model(containers: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
    """The key and the digest of the model that the init container has prepared, as it has said them; empty before."""
    states = (
        (container.get("state") or {}).get("terminated") or {}
        for container in containers
        if container.get("name") == PREPARE_CONTAINER
    )
    words: list[str] = next((state.get("message", "").split() for state in states if state.get("exitCode") == 0), [])
    return (words[0], words[1]) if len(words) == 2 else ("", "")


def _said(container: Mapping[str, Any]) -> str:
    """The last line that a container that is not ready said: its own words if it left any, else the system's."""
    state, last = container.get("state") or {}, container.get("lastState") or {}
    if "running" in state and (container.get("ready") or not last.get("terminated")):
        return ""
    ended = state.get("terminated") or last.get("terminated") or {}
    waiting = state.get("waiting") or {}
    text = ended.get("message") or ("" if ended else waiting.get("message")) or ""
    return text.strip().rpartition("\n")[2]
