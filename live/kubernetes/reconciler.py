"""One look at the cluster: read everything, compare it with what is wanted, and do what is left to do."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import Action, Apply, ForeignOwnerError, Kept, ResizePod, Scale, difference
from ipa.live.kubernetes.foreign_scalers import Autoscalers, Dispute, actor, judged
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.lanes import Parts, targets
from ipa.live.kubernetes.look import Look
from ipa.live.kubernetes.manifests import LAYOUT, PIPELINE, owner_of, root
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.parts import MODEL_CONTAINER
from ipa.live.kubernetes.pods import Pod, ours
from ipa.live.kubernetes.resizing import Resizing
from ipa.live.kubernetes.settings import Deployed, Layout
from ipa.live.kubernetes.stage_state import StageState, has_available, read_stage
from ipa.policies import Configuration, StageConfiguration

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""The pause after a failed look: it doubles each time, times a random factor between a half and one."""


@dataclass
class _Work:
    """What is done in one look, part by part: a part that is stopped stops no other."""

    done: list[str] = field(default_factory=list)
    touched: set[str] = field(default_factory=set)
    stopped: dict[str, str] = field(default_factory=dict)
    judged: set[str] = field(default_factory=set)
    error: str = ""

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """One stage or other object. Raises ApiError if the server answers nobody now, so that the rest can wait."""
        try:
            yield
        except ForeignOwnerError as foreign:
            self.stopped[name] = str(foreign)
        except ApiError as error:
            if error.status == 409 and error.causes:  # an apply: another manager owns these fields
                self.stopped[name] = f"another manager owns what has to change: {error.text}"
            elif error.is_transient:
                raise
            elif error.status in (404, 409):  # it has changed since it was read
                self.error = self.error or str(error)
            else:
                self.stopped[name] = str(error)
        self.judged.add(name)


class _MayNotWriteError(Exception):
    """The Lease has run out in the middle of a look."""


class Reconciler:
    """Brings one deployed pipeline to a configuration, look by look.

    All it remembers is its pause, what the server keeps different from what was asked, who else has set replicas, and
    whether the pipeline's root has once been as it should be. If it differs after that, somebody else has redeployed
    the pipeline, and that is not undone. `has_stood`: this holds from the beginning. `clock`: a monotonic one [s].
    """

    def __init__(
        self, api: Api, deployed: Deployed, has_stood: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._deployed = deployed
        self._clock = clock
        self.pause_s = 0.0
        """How long to wait after a failed look; 0 after one that succeeded."""
        self._has_stood = has_stood
        self._kept = Kept()
        self._disputes: dict[tuple[str, int], Dispute] = {}  # by stage and lane
        self._resizing = Resizing(api, deployed, clock)

    def look(
        self,
        wanted: Configuration,
        pods: Sequence[Pod],
        failed: Mapping[str, Mapping[str, float]] | None = None,
        may_write: Callable[[], bool] = lambda: True,
        lanes: Mapping[str, Parts] | None = None,
    ) -> Look:
        """Read, compare, and act on the difference, stage by stage. `failed`: stage -> the variants to remember as
        failed, with when. `lanes`: stage -> what the gateway says is in force (see `lanes.targets`).

        `may_write` is asked before each write: requests take time, and a Lease may run out meanwhile.
        """
        try:
            given = self._api.get("ConfigMap", self._deployed.namespace, self._deployed.instance)
            if given is None:
                return Look(is_down=True)
            is_as_said = self._is_as_said(given["data"])
            if self._has_stood and not is_as_said:
                return Look(is_changed=True)
            self._has_stood = is_as_said
            stages = self.read(pods)
            gateway = self._api.get("Deployment", self._deployed.namespace, self._deployed.gateway_name)
            at_gateway = self.read_gateway(gateway)
        except ApiError as error:
            if error.is_transient or error.status in (404, 409):
                self._pause(True)
                return Look(error=str(error), has_read=False)
            return Look(stopped={self._deployed.instance: str(error)})
        is_held = (given["metadata"].get("annotations") or {}).get(names.HOLD) == "true"
        aims = targets(self._deployed.plane.pipeline, wanted, stages, lanes)
        work = _Work()
        if not is_held and not self._api.read_only:
            self._work(work, wanted, aims, stages, given, gateway, failed or {}, may_write)
        self._pause(bool(work.error))
        # The next look judges what has just been changed.
        current = {stage: each for stage, each in stages.items() if stage not in work.touched}
        troubled = {stage: lane for stage, each in current.items() if (lane := each.troubled) is not None}
        problem, delay = _of_gateway(None if self._deployed.gateway_name in work.touched else at_gateway)
        return Look(
            stages,
            has_available(gateway),
            has_available(gateway) and at_gateway is not None and at_gateway.is_complete,
            tuple(work.done),
            failed={stage: each.problem for stage, each in troubled.items() if not each.is_out_of_room},
            out_of_room={stage: each.problem for stage, each in troubled.items() if each.is_out_of_room},
            delays={stage: each.any_delay for stage, each in current.items() if each.any_delay},
            gateway_problem=problem,
            gateway_delay=delay,
            is_held=is_held,
            stopped=work.stopped,
            foreign=self._foreign(aims),
            error=work.error,
            judged=frozenset(work.judged),
        )

    def _foreign(self, aims: Mapping[str, Parts]) -> dict[str, str]:
        """Stage -> who else has lately set its replicas."""
        found: dict[str, list[str]] = {}
        for (stage, lane), dispute in self._disputes.items():
            wanted = aims.get(stage, {}).get(lane)
            if wanted is not None and (text := dispute.said(wanted.replicas)):
                found.setdefault(stage, []).append(_in_lane(lane, text))
        return {stage: "; ".join(texts) for stage, texts in found.items()}

    def _pause(self, has_failed: bool) -> None:
        longer_s = min(max(2.0 * self.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
        self.pause_s = longer_s if has_failed else 0.0

    def _is_as_said(self, data: Mapping[str, str]) -> bool:
        """Whether the root describes this pipeline, if only in the words of another version."""
        try:
            layout = Layout.from_text(data.get(LAYOUT, "{}"))
        except LiveError:
            return False
        return (data.get(PIPELINE), layout) == (self._deployed.pipeline_file, self._deployed.layout)

    def read(self, pods: Sequence[Pod]) -> dict[str, StageState]:
        """The stages as the server has them. Raises ApiError."""
        selector = names.as_query(names.selector(self._deployed.instance, MODEL_SERVER))
        found = self._api.list("Deployment", self._deployed.namespace, selector)["items"]
        by_name = {each["metadata"]["name"]: each for each in found}

        def read_lane(stage: str, lane: int, further: Mapping[int, StageState]) -> StageState | None:
            given = by_name.get(self._deployed.stage_name(stage, lane))
            here = [pod for pod in pods if (pod.stage, pod.lane) == (stage, lane)]
            return None if given is None else read_stage(given, here, further)

        found_stages = {}
        for stage in self._deployed.stages:
            lanes = {lane: read_lane(stage, lane, {}) for lane in self._deployed.further_lanes(stage)}
            state = read_lane(stage, 0, {lane: each for lane, each in lanes.items() if each is not None})
            if state is not None:
                found_stages[stage] = state
        return found_stages

    def read_gateway(self, given: Mapping[str, Any] | None) -> StageState | None:
        """The gateway as the server has it, with its pods unless all is well; None: there is none. Raises ApiError."""
        if given is None:
            return None
        state = read_stage(given, ())
        if state.is_complete and has_available(given):
            return state
        selector = names.as_query(names.selector(self._deployed.instance, GATEWAY))
        return read_stage(given, ours(self._api.list("Pod", self._deployed.namespace, selector)["items"]))

    # ---- acting ----

    def _work(
        self,
        work: _Work,
        wanted: Configuration,
        aims: Mapping[str, Parts],
        stages: Mapping[str, StageState],
        given: Mapping[str, Any],
        gateway: Mapping[str, Any] | None,
        failed: Mapping[str, Mapping[str, float]],
        may_write: Callable[[], bool],
    ) -> None:
        owner = owner_of(given)
        autoscalers = Autoscalers(self._api, self._deployed)
        try:
            for manifest, there in (
                (root(self._deployed), given),
                (gateway_deployment(self._deployed, owner), gateway),
            ):
                name = manifest["metadata"]["name"]
                changed = ["it does not exist"] if there is None else self._kept.drift(manifest, there)
                if changed:
                    with work.part(name):
                        self._act(work, name, [Apply(manifest, f"{name}: {', '.join(changed[:3])}")], None, may_write)
            for stage, parts in aims.items():
                lanes = stages[stage].lanes if stage in stages else {}
                with work.part(stage):
                    for lane, part in parts.items():
                        state = lanes.get(lane)
                        by_rollout = self._resizing.by_rollout(stage, part, state, lane)
                        actions = difference(
                            self._deployed, stage, part, state, owner, failed.get(stage), self._kept, by_rollout,
                            lane, wanted[stage],
                        )  # fmt: skip
                        self._lane(work, (stage, lane), part, state, actions, autoscalers, may_write)
        except _MayNotWriteError:
            work.error = "the Lease is not held"
        except ApiError as error:
            work.error = str(error)

    def _lane(
        self,
        work: _Work,
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
        work: _Work,
        part: str,
        actions: Sequence[Action],
        state: StageState | None,
        may_write: Callable[[], bool],
    ) -> bool:
        """Carry out the actions of one part, in order; whether the replicas were set."""
        answer: Mapping[str, Any] | None = None
        has_scaled = False
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
            work.touched.add(part)
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


def _of_gateway(state: StageState | None) -> tuple[str, str]:
    """What keeps the gateway from coming, and what does so and may pass, as lack of room may."""
    if state is None:
        return "", ""
    return ("", state.problem) if state.is_out_of_room else (state.problem, state.delay)


def _is_scaled(answer: Mapping[str, Any], state: StageState) -> bool:
    """Whether a Deployment has other replicas than when it was read."""
    return bool(answer["spec"].get("replicas", state.replicas) != state.replicas)


def check_ours(given: Mapping[str, object] | None, deployed: Deployed) -> None:
    """Raise LiveError for an object that exists and is not this pipeline's."""
    meta = (given or {}).get("metadata")
    if not isinstance(meta, dict):
        return
    labels = meta.get("labels") or {}
    ours = {names.INSTANCE: deployed.instance, "app.kubernetes.io/part-of": names.PART_OF}
    if any(labels.get(key) != value for key, value in ours.items()):
        kind = (given or {}).get("kind", "object")
        raise LiveError(
            f"{kind} {meta.get('name')} in namespace {meta.get('namespace')} is not ours (it lacks "
            f"{names.as_query(ours)}); choose another --name"
        )
