"""Reconciling a deployed pipeline: observe, compute the difference, guard each write, apply.

Level-triggered: every pass starts from the whole state in the API server, however it came about, and applies the
difference to the wanted state, part by part. A part that is stopped stops no other. A refused or stale write is never
repeated unchanged: the next pass reads again. The loop itself is the backend's, which sets the wanted configuration.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.deployments import NOTHING, has_available
from ipa.live.kubernetes.difference import (
    Action,
    Apply,
    ForeignOwnerError,
    Scale,
    ServerChanges,
    difference,
    owner_for,
    version_of,
)
from ipa.live.kubernetes.fixed_models import FixedModels
from ipa.live.kubernetes.foreign_scalers import Autoscalers, Dispute, actor, judged
from ipa.live.kubernetes.gateway_manifests import gateway_deployment
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.manifests import PIPELINE, SETTINGS, owner_of, root, template_of
from ipa.live.kubernetes.names import MODEL_SERVER
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look, StageState, read_gateway, read_stages
from ipa.live.kubernetes.within_budget import Budget, allowed
from ipa.live.settings import LiveSettings
from ipa.policies import Configuration, StageConfiguration

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 10.0
"""The pause after a pass that failed: it doubles each time, times a random factor between a half and one."""
STALE_READS = 3
"""How often one pass reads state that changes before it is written; after that the pass has failed."""
AFTER_LOSS_S = 300.0
"""How long after a node was lost a late rollout does not count against its variant."""


@dataclass(frozen=True)
class ServerState:
    """What a pass has read: the pipeline's ConfigMap, its stages, and the gateway's Deployment, if there is one."""

    root: Mapping[str, Any]
    stages: Mapping[str, StageState]
    gateway: Mapping[str, Any] | None
    at_gateway: StageState | None

    @property
    def pods(self) -> list[Pod]:
        """Those of all stages."""
        return [pod for state in self.stages.values() for pod in state.pods]

    @property
    def is_held(self) -> bool:
        """Whether the kill switch is on."""
        return (self.root["metadata"].get("annotations") or {}).get(names.HOLD) == "true"


@dataclass(frozen=True)
class PassTarget:
    """The target of a pass: the wanted `configuration`. `failed`: stage -> the variants to record as failed, with the
    times, beside those recorded already. `budgets`: stage -> its budget of cores, where there is a limit."""

    configuration: Configuration
    failed: Mapping[str, Mapping[str, float]]
    budgets: Mapping[str, Budget]


@dataclass
class Work:
    """The work of one pass, part by part: a part is a stage, or another object by its name.

    `may_write` is asked before each write. `parts`: all parts of the pass; `judged`: those that it reached; `due`:
    those that needed an action. `lacking`: the stages without room for a replica within their budgets. `stopped`: part
    -> why nothing is done there. `error`: why the pass broke off. `is_stale`: something had changed between reading and
    writing.
    """

    may_write: Callable[[], bool] = lambda: True
    parts: frozenset[str] = frozenset()
    judged: set[str] = field(default_factory=set)
    due: set[str] = field(default_factory=set)
    lacking: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    stopped: dict[str, str] = field(default_factory=dict)
    error: str = ""
    is_stale: bool = False

    def is_settled(self, part: str) -> bool:
        """Whether a part needed no action when it was read; until then, its failures say nothing about the wanted
        state."""
        return part not in self.parts or (part in self.judged and part not in self.due)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Work at one part. Raises ApiError for a transient failure, so that the rest can wait."""
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
    """The Lease has run out in the middle of a pass."""


class Reconciler:
    """Brings one deployed pipeline to a configuration, pass by pass.

    It remembers its pause, whether the pipeline's root has once matched, the fields that the server keeps different,
    foreign scalers, lost nodes, and the digests of models. If the root differs after it has matched, somebody
    else has redeployed the pipeline, and that is not undone. `has_matched`: it counts as matched from the beginning.
    `clock`: a monotonic one [s].
    """

    def __init__(
        self, api: Api, deployed: Deployed, has_matched: bool = False, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._api = api
        self._deployed = deployed
        self._clock = clock
        self.pause_s = 0.0
        """How long to wait after a pass that failed; 0 after one that succeeded."""
        self._has_matched = has_matched
        self._server_changes = ServerChanges()
        self._disputes: dict[str, Dispute] = {}  # by stage
        self.models = FixedModels(api, deployed)
        self._lost_s: dict[str, float] = {}  # stage -> when a node with pods of it was last seen not to be ready

    def reconcile(
        self,
        configuration: Configuration,
        pods: Sequence[Pod],
        failed: Mapping[str, Mapping[str, float]] | None = None,
        may_write: Callable[[], bool] = lambda: True,
        budgets: Callable[[Mapping[str, StageState]], Mapping[str, Budget]] = lambda _: {},
    ) -> Look:
        """One pass. `failed`: stage -> the variants to record as failed, with the times. `budgets`: from the stages as
        they are read, the budget of cores of each; none where there is no limit.

        `may_write` is asked before each write: requests take time, and a Lease may run out meanwhile. If something
        changes between reading and writing, everything is read and compared again at once, as the cluster's own
        controllers write too.
        """
        done: tuple[str, ...] = ()
        for _ in range(STALE_READS):
            observed = self._observe(pods)
            if isinstance(observed, Look):
                look, is_stale = observed, False
            else:
                aim = PassTarget(configuration, failed or {}, budgets(observed.stages))
                work = Work() if observed.is_held or self._api.read_only else self._work(observed, aim, may_write)
                look, is_stale = self._judged(observed, aim, work), work.is_stale
            done += look.done
            if not is_stale:
                break
        longer_s = min(max(2.0 * self.pause_s, FIRST_PAUSE_S), LONGEST_PAUSE_S) * random.uniform(0.5, 1.0)
        self.pause_s = longer_s if look.error else 0.0
        return replace(look, done=done)

    # ---- observe ----

    def _observe(self, pods: Sequence[Pod]) -> ServerState | Look:
        """The whole state on the server, or a look that says why it cannot be read."""
        api, deployed = self._api, self._deployed
        try:
            root_object = api.get("ConfigMap", deployed.namespace, deployed.instance)
            if root_object is None:
                return Look(is_down=True)
            is_as_said = self._is_as_said(root_object.get("data") or {})
            if self._has_matched and not is_as_said:
                return Look(is_changed=True)
            self._has_matched = is_as_said
            stages = read_stages(api, deployed, pods)
            gateway = api.get("Deployment", deployed.namespace, deployed.gateway_name)
            return ServerState(root_object, stages, gateway, read_gateway(api, deployed, gateway))
        except ApiError as error:
            if error.is_transient or error.status in (404, 409):
                return Look(error=str(error), has_read=False)
            return Look(stopped={deployed.instance: str(error)})

    def _is_as_said(self, data: Mapping[str, str]) -> bool:
        """Whether the root describes this pipeline, even as another version writes it."""
        try:
            settings = LiveSettings.from_text(data.get(SETTINGS, "{}")).as_text()
        except LiveError:
            return False
        return (data.get(PIPELINE), settings) == (self._deployed.pipeline_file, self._deployed.settings.as_text())

    # ---- decide, guard, apply ----

    def _work(self, observed: ServerState, aim: PassTarget, may_write: Callable[[], bool]) -> Work:
        """Apply the difference: to the root, to the gateway, then stage by stage."""
        work = Work(may_write, frozenset({self._deployed.gateway_name, *aim.configuration}))
        owner = owner_of(observed.root)
        autoscalers = Autoscalers(self._api, self._deployed)
        try:
            for manifest, existing in (
                (root(self._deployed), observed.root),
                (gateway_deployment(self._deployed, owner_for(observed.gateway, owner)), observed.gateway),
            ):
                name = manifest["metadata"]["name"]
                with work.part(name):
                    changed = (
                        ["it does not exist"] if existing is None else self._server_changes.drift(manifest, existing)
                    )
                    why, version = (
                        f"{name}: {', '.join(changed[:3])}",
                        None if existing is None else version_of(existing),
                    )
                    self._act(work, name, [Apply(manifest, why, version)] if changed else [])
            for stage in aim.configuration:
                with work.part(stage):
                    self._stage(work, stage, aim, observed.stages.get(stage), owner, autoscalers)
            with work.part(self._deployed.models_name):
                if self.models.note(observed.pods, work.may_write):
                    work.done.append(f"{self._deployed.models_name}: fixed the models of the run")
        except _MayNotWriteError:
            work.error = "the Lease is not held"
        except ApiError as error:
            work.error = str(error)
        return work

    def _stage(
        self,
        work: Work,
        stage: str,
        aim: PassTarget,
        state: StageState | None,
        owner: Manifest,
        autoscalers: Autoscalers,
    ) -> None:
        """Apply the difference to a stage; its replicas are not touched while they are left to another scaler."""
        configuration, failed = aim.configuration[stage], aim.failed.get(stage)
        budget = aim.budgets.get(stage)
        within = None
        if budget is not None and state is not None:
            within = allowed(configuration, template_of(self._deployed, stage, configuration), state, budget)
        if within is not None and within.lacks_room:
            work.lacking.add(stage)
        actions = difference(self._deployed, stage, configuration, state, owner, failed, self._server_changes, within)
        dispute = None if state is None else self._dispute(stage, state, configuration, autoscalers)
        if dispute is not None and dispute.stands_aside:
            self._disputes[stage] = dispute
            work.stopped[stage] = dispute.said(configuration.replicas)
            actions = [action for action in actions if not isinstance(action, Scale)]
        has_scaled = self._act(work, stage, actions, state)
        # What was not set back, say because the write was refused, is judged anew.
        if dispute is not None and state is not None and (has_scaled or state.is_ours):
            self._disputes[stage] = dispute

    def _dispute(
        self, stage: str, state: StageState, configuration: StageConfiguration, autoscalers: Autoscalers
    ) -> Dispute:
        before = self._disputes.get(stage, Dispute())
        is_ours = state.is_ours or state.replicas == configuration.replicas
        by, autoscaler = ("", "") if is_ours else actor(state.deployment, autoscalers)
        has_gone = False
        if before.stands_aside and before.autoscaler:
            has_gone = autoscalers.of(self._deployed.stage_name(stage)) is None and autoscalers.are_known
        return judged(before, state.replicas, is_ours, by, autoscaler, self._clock(), has_gone)

    def _act(self, work: Work, part: str, actions: Sequence[Action], state: StageState | None = None) -> bool:
        """Carry out the actions of one part, in order; returns whether the replicas were set.

        Each action after the first builds on the object in the answer to the one before.
        """
        answer: Mapping[str, Any] | None = None
        has_scaled = False
        if actions:
            work.due.add(part)
        for action in actions:
            if not work.may_write():
                raise _MayNotWriteError
            if isinstance(action, Apply):
                answer = self._api.apply(action.manifest, _version(action, answer))
                self._server_changes.note(action.manifest, answer)
            else:
                if answer is not None and state is not None and _is_scaled(answer, state):
                    break  # by another, since it was read: the next pass judges that
                answer = self._scale(action, _version(action, answer))
                has_scaled = True
            work.done.append(action.why)
        return has_scaled

    def _scale(self, action: Scale, version: str | None) -> Mapping[str, Any]:
        if action.is_rolling:
            self._undivide(action.stage)
        name = self._deployed.stage_name(action.stage)
        return self._api.scale(self._deployed.namespace, name, action.replicas, version)

    def _undivide(self, stage: str) -> None:
        """Keep the Deployment controller from distributing a change of replicas among old and new ones, if this account
        may."""
        namespace = self._deployed.namespace
        selector = names.as_query(names.selector(self._deployed.instance, MODEL_SERVER, stage=stage))
        try:
            for replica_set in self._api.list("ReplicaSet", namespace, selector)["items"]:
                if replica_set["spec"]["replicas"] and names.DESIRED in replica_set["metadata"].get("annotations", {}):
                    self._api.forget("ReplicaSet", namespace, replica_set["metadata"]["name"], names.DESIRED)
        except ApiError as error:
            if error.status != 403:
                raise

    # ---- the result of a pass ----

    def _judged(self, observed: ServerState, aim: PassTarget, work: Work) -> Look:
        """What a pass found and did. Parts that needed an action are judged by the next pass."""
        settled = {stage: state for stage, state in observed.stages.items() if work.is_settled(stage)}
        lost = {stage: state.obstacle.lost for stage, state in observed.stages.items() if state.obstacle.lost}
        self._lost_s |= dict.fromkeys(lost, self._clock())
        troubled = {stage: state.obstacle for stage, state in settled.items() if state.obstacle.problem}
        problems = {
            stage: obstacle for stage, obstacle in troubled.items() if not (obstacle.is_late and self._has_lost(stage))
        }
        delays = {stage: state.obstacle.delay for stage, state in settled.items() if state.obstacle.delay}
        state = observed.at_gateway
        at_gateway = state.obstacle if state is not None and work.is_settled(self._deployed.gateway_name) else NOTHING
        is_there = has_available(observed.gateway)
        return Look(
            observed.stages,
            is_gateway_there=is_there,
            is_gateway_ready=is_there and state is not None and state.is_complete,
            done=tuple(work.done),
            failed={stage: obstacle.problem for stage, obstacle in problems.items() if not obstacle.is_out_of_room}
            | self.models.problems(pod for pod in observed.pods if pod.variant == aim.configuration[pod.stage].variant),
            out_of_room={stage: obstacle.problem for stage, obstacle in problems.items() if obstacle.is_out_of_room},
            delays={stage: obstacle.problem for stage, obstacle in troubled.items() if stage not in problems} | delays,
            lost=lost | ({"the gateway": at_gateway.lost} if at_gateway.lost else {}),
            # For the gateway, lack of room is a delay: it has no other variant.
            gateway_problem="" if at_gateway.is_out_of_room else at_gateway.problem,
            gateway_delay=at_gateway.problem if at_gateway.is_out_of_room else at_gateway.delay,
            is_held=observed.is_held,
            lacking=frozenset(work.lacking),
            stopped=work.stopped,
            foreign=self._foreign(aim.configuration),
            error=work.error,
            is_contested=work.is_stale,
            judged=frozenset(work.judged),
        )

    def _has_lost(self, stage: str) -> bool:
        """Whether a node with pods of a stage has lately not been ready."""
        return stage in self._lost_s and self._clock() - self._lost_s[stage] < AFTER_LOSS_S

    def _foreign(self, configuration: Configuration) -> dict[str, str]:
        """Stage -> who else has lately set its replicas."""
        return {
            stage: text
            for stage, dispute in self._disputes.items()
            if stage in configuration and (text := dispute.said(configuration[stage].replicas))
        }


def _version(action: Apply | Scale, answer: Mapping[str, Any] | None) -> str | None:
    return action.resource_version if answer is None else version_of(answer)


def _is_scaled(answer: Mapping[str, Any], state: StageState) -> bool:
    """Whether a Deployment has other replicas than when it was read."""
    return bool(answer["spec"].get("replicas", state.replicas) != state.replicas)


# ---- one pass after another ----


def following(before: Look, look: Look) -> Look:
    """A look; one that broke off keeps what only a person can end (the kill switch, stopped parts) from the look
    before, as far as it did not reach it."""
    if not look.error:
        return look
    stopped = {name: why for name, why in before.stopped.items() if name not in look.judged}
    return replace(
        look,
        is_held=look.is_held if look.has_read else before.is_held,
        stopped={**stopped, **look.stopped},
        foreign={**before.foreign, **look.foreign},
    )
