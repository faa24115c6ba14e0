"""What a pod of a model server says of its replica."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.manifests import MODEL_PORT

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
"""Why a container may wait that will not start by waiting alone."""

_DIGEST_BITS = 22

log = logging.getLogger("ipa.live.kubernetes.pods")


@dataclass(frozen=True, slots=True)
class Pod:
    """One replica; moments are seconds of the wall clock (Unix time), None where they have not come.

    `uid` is the pod's, unique for all time; `template` the digest of what it was made from; `ended_s` when the last
    container of a pod that is to go had ended, to half a second; `waiting` why its container does not start, empty
    where it does, and `said` what it, or the system, last said of that; `crash` how a container that was started again
    had ended; `unschedulable`: why no node takes it, empty where one may; `is_over`: it serves no more and holds
    nothing.
    """

    uid: str
    name: str
    stage: str
    variant: str
    cores: int
    template: str = ""
    address: str | None = None
    created_s: float = 0.0
    ready_s: float | None = None
    removed_s: float | None = None
    ended_s: float | None = None
    waiting: str = ""
    said: str = ""
    restarts: int = 0
    crash: str = ""
    is_scheduled: bool = True
    unschedulable: str = ""
    is_over: bool = False

    @property
    def is_serving(self) -> bool:
        """Ready, and to stay."""
        return self.ready_s is not None and self.removed_s is None and not self.is_over and self.address is not None

    @property
    def number(self) -> int:
        """The replica's number: whoever sees the pod finds the same; it grows with the second of creation.

        A double holds it exactly (53 bits), as it goes through JSON and tables.
        """
        digest = int.from_bytes(sha256(self.uid.encode()).digest()[:4], "big") >> (32 - _DIGEST_BITS)
        return (int(self.created_s) << _DIGEST_BITS) | digest


def ours(given: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """Pods as the API server gives them, without those that carry our labels and cannot be read: others made them."""
    found = []
    for each in given:
        try:
            found.append(read(each))
        except ValueError as error:
            log.warning("a pod is none of ours", extra={"pod": each["metadata"]["name"], "problem": str(error)})
    return found


def read(given: Mapping[str, Any]) -> Pod:
    """A pod as the API server gives it. ValueError for labels that we would not give it."""
    meta, status = given["metadata"], given.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    ready, scheduled = conditions.get("Ready", {}), conditions.get("PodScheduled", {})
    containers = status.get("containerStatuses") or ()
    # Containers wait for the init containers before them, so that these come first.
    all_containers = (*(status.get("initContainerStatuses") or ()), *containers)
    labels, annotations = meta.get("labels") or {}, meta.get("annotations") or {}
    return Pod(
        uid=meta["uid"],
        name=meta["name"],
        stage=labels.get(names.STAGE, ""),
        variant=annotations.get(names.VARIANT, labels.get(names.VARIANT, "")),
        cores=int(labels.get(names.CORES, 1)),
        template=annotations.get(names.TEMPLATE, ""),
        address=status.get("podIP") or None,
        created_s=seconds(meta["creationTimestamp"]),
        ready_s=seconds(ready["lastTransitionTime"]) if ready.get("status") == "True" else None,
        removed_s=_removed_s(meta),
        ended_s=_ended_s(containers),
        waiting=next((why for each in all_containers if (why := _waiting(each))), ""),
        said=next((text for each in all_containers if (text := _said(each))), ""),
        restarts=sum(each.get("restartCount", 0) for each in all_containers),
        crash=next((how for each in all_containers if (how := _crash(each))), ""),
        is_scheduled=scheduled.get("status") == "True",
        unschedulable=_unschedulable(scheduled),
        is_over=status.get("phase") in ("Failed", "Succeeded") or _has_ended(meta, containers),
    )


def listing(pods: Iterable[Pod], stages: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """The gateway's list of replicas: every stage, its serving pods in order of their numbers.

    Of pods whose numbers are equal (some 1 in 10,000 lists of 50 made within one second) the later ones count up.
    """
    listed: dict[str, list[dict[str, Any]]] = {stage: [] for stage in stages}
    taken: set[tuple[str, int]] = set()
    for pod in sorted(pods, key=lambda pod: (pod.number, pod.uid)):
        if pod.address is None or not pod.is_serving or pod.stage not in listed:
            continue
        number = pod.number
        while (pod.stage, number) in taken:
            number += 1
        taken.add((pod.stage, number))
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


def seconds(timestamp: str) -> float:
    """Unix time of a timestamp of the API (RFC 3339)."""
    return datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp()


def _unschedulable(scheduled: Mapping[str, Any]) -> str:
    is_refused = scheduled.get("reason") == "Unschedulable"
    return str(scheduled.get("message") or "Unschedulable") if is_refused else ""


def _removed_s(meta: Mapping[str, Any]) -> float | None:
    """When its deletion was asked for: the timestamp is when the grace period ends."""
    at = meta.get("deletionTimestamp")
    return None if at is None else seconds(at) - float(meta.get("deletionGracePeriodSeconds") or 0)


def _has_ended(meta: Mapping[str, Any], containers: Sequence[Mapping[str, Any]]) -> bool:
    """Whether a pod that is to go runs no container any more.

    A kubelet that finds an ended container cleared away says that it waits, and not when it ended.
    """
    is_to_go = meta.get("deletionTimestamp") is not None
    return is_to_go and bool(containers) and not any("running" in (each.get("state") or {}) for each in containers)


def _ended_s(containers: Sequence[Mapping[str, Any]]) -> float | None:
    """When all containers had ended: the middle of the second that the API's timestamp names."""
    ends = [((each.get("state") or {}).get("terminated") or {}).get("finishedAt") for each in containers]
    return max(map(seconds, filter(None, ends))) + 0.5 if ends and all(ends) else None


def _crash(container: Mapping[str, Any]) -> str:
    """Such as "OOMKilled, exit code 137"."""
    ended = (container.get("lastState") or {}).get("terminated")
    return "" if ended is None else f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"


def _waiting(container: Mapping[str, Any]) -> str:
    return str(((container.get("state") or {}).get("waiting") or {}).get("reason", ""))


def _said(container: Mapping[str, Any]) -> str:
    """The last line of what a container that does not run says: its own words where it had any, else the system's."""
    state, last = container.get("state") or {}, container.get("lastState") or {}
    if "running" in state:
        return ""
    ended = state.get("terminated") or last.get("terminated") or {}
    waiting = state.get("waiting") or {}
    text = ended.get("message") or ("" if ended else waiting.get("message")) or ""
    return text.strip().rpartition("\n")[2]
