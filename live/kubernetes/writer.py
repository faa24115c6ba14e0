"""Does what is left to do at a deployed pipeline, part by part: a part that is stopped stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import Action, Apply, ForeignOwnerError, Kept, ResizePod, Scale, difference
from ipa.live.kubernetes.foreign_scalers import Autoscalers, Dispute, actor, judged
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.lanes import Parts
from ipa.live.kubernetes.manifests import owner_of, root
from ipa.live.kubernetes.names import MODEL_SERVER
from ipa.live.kubernetes.parts import MODEL_CONTAINER
from ipa.live.kubernetes.resizing import Resizing
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import StageState
from ipa.policies import Configuration, StageConfiguration


@dataclass(frozen=True)
class Found:
    """What a look has read: the pipeline's ConfigMap, its stages, and the gateway's Deployment, if there is one."""

    root: Mapping[str, Any]
    stages: Mapping[str, StageState]
    gateway: Mapping[str, Any] | None


@dataclass(frozen=True)
class Aim:
    """What is to be: `wanted` of the stages, and of it `parts` in force in their lanes. `failed`: stage -> the variants
    to remember as failed, with when; where a stage is missing, those remembered already stay."""

    wanted: Configuration
    parts: Mapping[str, Parts]
    failed: Mapping[str, Mapping[str, float]]


@dataclass
class Work:
    """What one look does, part by part: at stages, and at other objects by their names.

    `parts` are those that it is to come to, `judged` those to which it came, and `due` those where something was to be
    done. `stopped`: part -> why nothing is done there until somebody acts. `error`: why it broke off. `is_stale`:
    something had changed between the reading and the writing.
    """

    parts: frozenset[str] = frozenset()
    judged: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)
    error: str = ""
    is_stale: bool = False

    def is_settled(self, part: str) -> bool:
        """Whether a part was as it should be when it was read; before that, what goes wrong there says nothing of what
        is wanted now."""
        return part not in self.parts or (part in self.judged and part not in self.due)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """One stage or other object. Raises ApiError if the server answers nobody now, so that the rest can wait."""
        try:
            yield
        except ForeignOwnerError as foreign:
            self.due.add(name)
            self.stopped[name] = str(foreign)
        except ApiError as error:
            self.due.add(name)
            if error.status == 409 and error.causes:  # an apply: another manager owns these fields
                self.stopped[name] = f"another manager owns what has to change: {error.text}"
            elif error.is_transient:
                raise
            elif error.status in (404, 409):  # it has changed since it was read
                self.error = self.error or str(error)
                self.is_stale = True
            else:
                self.stopped[name] = str(error)
        self.judged.add(name)


class _MayNotWriteError(Exception):
    """The Lease has run out in the middle of a look."""


class Writer:
    """Writes what differs from what is wanted, look by look; `may_write` is asked before each write.

    All it remembers is what the server keeps different from what was asked, who else has set replicas, and which pods
    cannot be resized. `clock`: a monotonic one [s].
    """

    def __init__(self, api: Api, deployed: Deployed, clock: Callable[[], float]) -> None:
        self._api = api
        self._deployed = deployed
        self._clock = clock
        self._kept = Kept()
        self._disputes: dict[tuple[str, int], Dispute] = {}  # by stage and lane
        self._resizing = Resizing(api, deployed, clock)

    def work(self, found: Found, aim: Aim, may_write: Callable[[], bool]) -> Work:
        """Do what is left to do: at the root, at the gateway, then stage by stage."""
        work = Work(frozenset({self._deployed.gateway_name, *aim.parts}))
        owner = owner_of(found.root)
        autoscalers = Autoscalers(self._api, self._deployed)
        try:
            for manifest, there in (
                (root(self._deployed), found.root),
                (gateway_deployment(self._deployed, owner), found.gateway),
            ):
                name = manifest["metadata"]["name"]
                with work.part(name):
                    changed = ["it does not exist"] if there is None else self._kept.drift(manifest, there)
                    apply = [Apply(manifest, f"{name}: {', '.join(changed[:3])}")] if changed else []
                    self._act(work, name, apply, None, may_write)
            for stage, parts in aim.parts.items():
                lanes = found.stages[stage].lanes if stage in found.stages else {}
                with work.part(stage):
                    for lane, part in parts.items():
                        state = lanes.get(lane)
                        by_rollout = self._resizing.by_rollout(stage, part, state, lane)
                        actions = difference(
                            self._deployed, stage, part, state, owner, aim.failed.get(stage), self._kept, by_rollout,
                            lane, aim.wanted[stage],
                        )  # fmt: skip
                        self._lane(work, (stage, lane), part, state, actions, autoscalers, may_write)
        except _MayNotWriteError:
            work.error = "the Lease is not held"
        except ApiError as error:
            work.error = str(error)
        return work

    def foreign(self, aims: Mapping[str, Parts]) -> dict[str, str]:
        """Stage -> who else has lately set its replicas."""
        found: dict[str, list[str]] = {}
        for (stage, lane), dispute in self._disputes.items():
            wanted = aims.get(stage, {}).get(lane)
            if wanted is not None and (text := dispute.said(wanted.replicas)):
                found.setdefault(stage, []).append(_in_lane(lane, text))
        return {stage: "; ".join(texts) for stage, texts in found.items()}

    def _lane(
        self,
        work: Work,
        at: tuple[str, int],
        wanted: StageConfiguration,
        state: StageState | None,
        actions: Sequence[Action],
        autoscalers: Autoscalers,
        may_write: Callable[[], bool],
    ) -> None:
        """Do what is to be done at a lane of a stage; its replicas are left alone while they are left to another."""
        stage, lane = at
        dispute = None if state is None else self._dispute(at, state, wanted, autoscalers)
        if dispute is not None and dispute.stands_aside:
            self._disputes[at] = dispute
            work.stopped[stage] = _in_lane(lane, dispute.said(wanted.replicas))
            actions = [each for each in actions if not isinstance(each, Scale)]
        has_scaled = self._act(work, stage, actions, state, may_write)
        # What was not set back, say because the write was refused, is judged anew.
        if dispute is not None and state is not None and (has_scaled or state.is_ours):
            self._disputes[at] = dispute

    def _dispute(
        self, at: tuple[str, int], state: StageState, wanted: StageConfiguration, autoscalers: Autoscalers
    ) -> Dispute:
        before = self._disputes.get(at, Dispute())
        is_ours = state.is_ours or state.replicas == wanted.replicas
        by, autoscaler = ("", "") if is_ours else actor(state.given, autoscalers)
        has_gone = False
        if before.stands_aside and before.autoscaler:
            has_gone = autoscalers.of(self._deployed.stage_name(*at)) is None and autoscalers.are_known
        return judged(before, state.replicas, is_ours, by, autoscaler, self._clock(), has_gone)

    def _act(
        self,
        work: Work,
        part: str,
        actions: Sequence[Action],
        state: StageState | None,
        may_write: Callable[[], bool],
    ) -> bool:
        """Carry out the actions of one part, in order; whether the replicas were set."""
        answer: Mapping[str, Any] | None = None
        has_scaled = False
        if actions:
            work.due.add(part)
        for action in actions:
            if not may_write():
                raise _MayNotWriteError
            if isinstance(action, Apply):
                answer = self._api.apply(action.manifest)
                self._kept.note(action.manifest, answer)
            elif isinstance(action, ResizePod):
                try:
                    self._api.resize(self._deployed.namespace, action.pod, MODEL_CONTAINER, str(action.cores))
                except ApiError as error:
                    self._resizing.refused(action, error)
                    continue
            else:
                if answer is not None and state is not None and _is_scaled(answer, state):
                    break  # by another, since it was read: the next look judges that
                self._scale(action, answer)
                has_scaled = True
            work.done.append(action.why)
        return has_scaled

    def _scale(self, action: Scale, applied: Mapping[str, Any] | None) -> None:
        namespace = self._deployed.namespace
        if action.is_rolling:
            self._undivide(action.stage, action.lane)
        version = action.resource_version if applied is None else applied["metadata"].get("resourceVersion")
        self._api.scale(namespace, self._deployed.stage_name(action.stage, action.lane), action.replicas, version)

    def _undivide(self, stage: str, lane: int) -> None:
        """Keep a change of replicas from being shared out among old and new ones, if this account may do that."""
        namespace = self._deployed.namespace
        selector = names.as_query(names.selector(self._deployed.instance, MODEL_SERVER, **names.of_lane(stage, lane)))
        try:
            for each in self._api.list("ReplicaSet", namespace, selector)["items"]:
                if each["spec"]["replicas"] and names.DESIRED in each["metadata"].get("annotations", {}):
                    self._api.forget("ReplicaSet", namespace, each["metadata"]["name"], names.DESIRED)
        except ApiError as error:
            if error.status != 403:
                raise


def _in_lane(lane: int, text: str) -> str:
    return f"lane {lane}: {text}" if lane else text


def _is_scaled(answer: Mapping[str, Any], state: StageState) -> bool:
    """Whether a Deployment has other replicas than when it was read."""
    return bool(answer["spec"].get("replicas", state.replicas) != state.replicas)
