"""One look at the cluster: read everything, compare it with what is wanted, and do what is left to do."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.difference import Action, Apply, ForeignOwnerError, Kept, Scale, difference
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.manifests import LAYOUT, PIPELINE, owner_of, root
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.pods import Pod, ours
from ipa.live.kubernetes.settings import Deployed, Layout
from ipa.live.kubernetes.stage_state import StageState, has_available, read_stage
from ipa.policies import Configuration

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""The pause after a failed look: it doubles each time, times a random factor between a half and one."""


@dataclass(frozen=True)
class Look:
    """What one look found and did.

    `is_gateway_there`: a gateway serves; `is_gateway_ready`: all of it is as it should be. `failed`: stage -> why its
    wanted variant will not become ready; `out_of_room`: stage -> why it cannot have all its replicas; `delays`: stage
    -> what keeps a pod from starting and may pass. `gateway_problem` and `gateway_delay` say the same of the gateway,
    where lack of room is a delay. `is_held`: the kill switch is on; `is_down`: the pipeline has been taken down;
    `is_changed`: it has been redeployed with another file or layout. `stopped`: why nothing is done until a person
    acts; `error`: why this look broke off; another follows.
    """

    stages: Mapping[str, StageState] = field(default_factory=dict)
    is_gateway_there: bool = False
    is_gateway_ready: bool = False
    done: tuple[str, ...] = ()
    failed: Mapping[str, str] = field(default_factory=dict)
    out_of_room: Mapping[str, str] = field(default_factory=dict)
    delays: Mapping[str, str] = field(default_factory=dict)
    gateway_problem: str = ""
    gateway_delay: str = ""
    is_held: bool = False
    is_down: bool = False
    is_changed: bool = False
    stopped: str = ""
    error: str = ""

    @property
    def lacks_gateway(self) -> bool:
        """Whether no gateway was found ready."""
        return bool(self.stages) and not (self.is_gateway_there or self.error or self.stopped)

    @property
    def hopeless(self) -> str:
        """Why it will not become ready by waiting; empty if it may."""
        return self.stopped or _sentences(self.failed, self.gateway_problem)

    @property
    def waits_for(self) -> str:
        """What keeps it from being ready and may pass; empty if nothing is known."""
        return self.error or _sentences({**self.out_of_room, **self.delays}, self.gateway_delay)

    def is_complete(self, configuration: Configuration) -> bool:
        """Whether every stage is as it should be, with no replica of another kind left."""
        has_ended = self.is_down or self.is_changed
        is_quiet = self.is_gateway_ready and not (self.error or self.stopped or has_ended or self.done)
        return is_quiet and all(
            (state := self.stages.get(stage)) is not None
            and state.is_complete
            and state.wanted == wanted
            and state.replicas == wanted.replicas
            for stage, wanted in configuration.items()
        )


def _sentences(of_stages: Mapping[str, str], of_gateway: str) -> str:
    said = [f"{stage}: {why}" for stage, why in of_stages.items()]
    return "; ".join([*said, f"the gateway: {of_gateway}"] if of_gateway else said)


class Reconciler:
    """Brings one deployed pipeline to a configuration, look by look.

    All it remembers is its pause, what the server keeps different from what was asked, and whether the pipeline's root
    has once been as it should be. If it differs after that, somebody else has redeployed the pipeline, and that is not
    undone. `has_stood`: this holds from the beginning.
    """

    def __init__(self, api: Api, deployed: Deployed, has_stood: bool = False) -> None:
        self._api = api
        self._deployed = deployed
        self.pause_s = 0.0
        """How long to wait after a failed look; 0 after one that succeeded."""
        self._has_stood = has_stood
        self._kept = Kept()

    def look(
        self,
        wanted: Configuration,
        pods: Sequence[Pod],
        failed: Mapping[str, Mapping[str, float]] | None = None,
        may_write: Callable[[], bool] = lambda: True,
    ) -> Look:
        """Read, compare, and act on the difference. `failed`: stage -> the variants to remember as failed, with when.

        `may_write` is asked before each write: requests take time, and a Lease may run out meanwhile.
        """
        done: list[str] = []
        stages: dict[str, StageState] = {}
        try:
            given = self._api.get("ConfigMap", self._deployed.namespace, self._deployed.instance)
            if given is None:
                return Look(is_down=True)
            is_as_said = self._is_as_said(given["data"])
            if self._has_stood and not is_as_said:
                return Look(is_changed=True)
            self._has_stood = is_as_said
            stages |= self.read(pods)
            gateway = self._api.get("Deployment", self._deployed.namespace, self._deployed.gateway_name)
            is_held = (given["metadata"].get("annotations") or {}).get(names.HOLD) == "true"
            if not is_held and not self._api.read_only:
                for action in self._actions(wanted, stages, given, gateway, failed or {}):
                    if not may_write():
                        return Look(stages, done=tuple(done), error="the Lease is not held")
                    self._act(action)
                    done.append(action.why)
            at_gateway = self.read_gateway(gateway)
        except ForeignOwnerError as foreign:
            return self._stopped(stages, str(foreign))
        except ApiError as error:
            if error.status == 409 and error.causes:  # an apply: another manager owns these fields
                return self._stopped(stages, f"another manager owns what has to change: {error.text}")
            self.pause_s = min(max(2.0 * self.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
            if not error.is_transient and error.status not in (404, 409):
                return self._stopped(stages, str(error))
            return Look(stages, done=tuple(done), error=str(error))
        self.pause_s = 0.0
        # The next look judges what has just been changed.
        current, judged = ({}, None) if done else (stages, at_gateway)
        return Look(
            stages,
            has_available(gateway),
            has_available(gateway) and at_gateway is not None and at_gateway.is_complete,
            tuple(done),
            failed={stage: each.problem for stage, each in current.items() if each.problem and not each.is_out_of_room},
            out_of_room={stage: each.problem for stage, each in current.items() if each.is_out_of_room},
            delays={stage: each.delay for stage, each in current.items() if each.delay},
            gateway_problem="" if judged is None or judged.is_out_of_room else judged.problem,
            gateway_delay="" if judged is None else judged.problem if judged.is_out_of_room else judged.delay,
            is_held=is_held,
        )

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
        return {
            stage: read_stage(
                by_name[name],
                [pod for pod in pods if pod.stage == stage],
            )
            for stage in self._deployed.stages
            if (name := self._deployed.stage_name(stage)) in by_name
        }

    def read_gateway(self, given: Mapping[str, Any] | None) -> StageState | None:
        """The gateway as the server has it, with its pods unless all is well; None: there is none. Raises ApiError."""
        if given is None:
            return None
        state = read_stage(given, ())
        if state.is_complete and has_available(given):
            return state
        selector = names.as_query(names.selector(self._deployed.instance, GATEWAY))
        return read_stage(given, ours(self._api.list("Pod", self._deployed.namespace, selector)["items"]))

    def _actions(
        self,
        wanted: Configuration,
        stages: Mapping[str, StageState],
        given: Mapping[str, Any],
        gateway: Mapping[str, Any] | None,
        failed: Mapping[str, Mapping[str, float]],
    ) -> list[Action]:
        owner = owner_of(given)
        pairs = [(root(self._deployed), given), (gateway_deployment(self._deployed, owner), gateway)]
        actions: list[Action] = [
            Apply(manifest, f"{manifest['metadata']['name']}: {', '.join(changed[:3])}")
            for manifest, there in pairs
            if (changed := ["it does not exist"] if there is None else self._kept.drift(manifest, there))
        ]
        for stage, configuration in wanted.items():
            actions += difference(
                self._deployed, stage, configuration, stages.get(stage), owner, failed.get(stage), self._kept
            )
        return actions

    def _act(self, action: Action) -> None:
        if isinstance(action, Apply):
            self._kept.note(action.manifest, self._api.apply(action.manifest))
        else:
            self._scale(action)

    def _scale(self, action: Scale) -> None:
        namespace = self._deployed.namespace
        if action.is_rolling:
            selector = names.as_query(names.selector(self._deployed.instance, MODEL_SERVER, stage=action.stage))
            for each in self._api.list("ReplicaSet", namespace, selector)["items"]:
                if each["spec"]["replicas"] and names.DESIRED in each["metadata"].get("annotations", {}):
                    self._api.forget("ReplicaSet", namespace, each["metadata"]["name"], names.DESIRED)
        name = self._deployed.stage_name(action.stage)
        self._api.scale(namespace, name, action.replicas, action.resource_version or None)

    @staticmethod
    def _stopped(stages: Mapping[str, StageState], why: str) -> Look:
        return Look(stages, stopped=why)


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
