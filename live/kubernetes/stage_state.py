"""The state of a deployed pipeline's stages and gateway, as read from the server, and the result of one look at it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.deployments import (
    NOTHING,
    Obstacle,
    ReplicaSet,
    digest_of_template,
    has_available,
    is_rolled_out,
    is_seen,
    obstacle,
    present,
    variant_of_template,
)
from ipa.live.kubernetes.manifests import from_text
from ipa.live.kubernetes.names import GATEWAY, MODEL_SERVER
from ipa.live.kubernetes.pods import Pod, ours
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import Configuration, PolicyError, StageConfiguration, check_configuration
from ipa.profiles import Pipeline


@dataclass(frozen=True, slots=True)
class StageState:
    """A Deployment as the server has it, and its pods: of a stage, or of the gateway.

    `wanted`, `sound`, `failed` and `requested_replicas` (those that we last asked for) are read from its annotations;
    None: absent or unreadable. `obstacle`: what hinders the pods of its present template.
    """

    deployment: Mapping[str, Any]
    pods: Sequence[Pod] = ()
    wanted: StageConfiguration | None = None
    sound: StageConfiguration | None = None
    failed: Mapping[str, float] = field(default_factory=dict)
    requested_replicas: int | None = None
    obstacle: Obstacle = NOTHING

    def has_reached(self, wanted: StageConfiguration) -> bool:
        """Whether the stage has the wanted replicas, ready, and no others."""
        is_there = (self.variant, self.replicas) == (wanted.variant, wanted.replicas)
        return self.wanted == wanted and is_there and self.is_complete

    @property
    def replicas(self) -> int:
        return int(self.deployment["spec"].get("replicas", 1))

    @property
    def is_ours(self) -> bool:
        """Whether the number of replicas is what we asked for, if we ever did."""
        return self.requested_replicas in (None, self.replicas)

    @property
    def is_seen(self) -> bool:
        """Whether the Deployment controller has acted on the latest change; until then the counts are older."""
        return is_seen(self.deployment)

    @property
    def is_uniform(self) -> bool:
        """Whether all replicas are of the present template."""
        status = self.deployment.get("status") or {}
        return self.is_seen and bool(status.get("updatedReplicas", 0) == status.get("replicas", 0))

    @property
    def is_complete(self) -> bool:
        """Whether all replicas are of the present template, and ready."""
        return is_rolled_out(self.deployment)

    @property
    def variant(self) -> str:
        return variant_of_template(self.deployment)

    @property
    def template(self) -> str:
        """The digest of its present template."""
        return digest_of_template(self.deployment)


def read_stage(
    deployment: Mapping[str, Any],
    pods: Sequence[Pod],
    replica_set: ReplicaSet | None = None,
    now_s: float = 0.0,
    lost: Collection[str] = (),
    nodes_within_s: float = 0.0,
) -> StageState:
    """What a Deployment, the ReplicaSet of its present template and its pods say (see `deployments.obstacle`)."""
    annotations = deployment["metadata"].get("annotations") or {}
    wanted, sound = (_configuration(annotations.get(key)) for key in (names.WANTED, names.SOUND))
    requested = annotations.get(names.REPLICAS, "")
    return StageState(
        deployment,
        pods,
        wanted,
        sound,
        _failed(annotations.get(names.FAILED)),
        int(requested) if requested.isdecimal() else None,
        obstacle(deployment, pods, replica_set, now_s, lost, nodes_within_s),
    )


def _configuration(text: str | None) -> StageConfiguration | None:
    try:
        return None if text is None else from_text(text)
    except ValueError:
        return None


def _failed(text: str | None) -> dict[str, float]:
    try:
        return {str(variant): float(at_s) for variant, at_s in json.loads(text or "{}").items()}
    except (ValueError, TypeError, AttributeError):
        return {}


# ---- the result of a look ----


@dataclass(frozen=True)
class Look:
    """What one look found and did.

    `is_gateway_there`: a gateway serves; `is_gateway_ready`: its rollout is complete. `failed`: stage -> why its wanted
    variant will not become ready; `out_of_room`: stage -> why it cannot have all its replicas; `delays`: stage -> what
    keeps a pod from starting and may pass; `lost`: stage -> which nodes with its pods are not ready; `lacking`: the
    stages without room for a replica within the limit of cores. `gateway_problem`
    and `gateway_delay` say the same of the gateway, where lack of room is a delay. `is_held`: the kill switch is on;
    `is_down`: the pipeline has been taken down; `is_changed`: it has been redeployed with another file or settings.
    `stopped`: stage, or another object's name -> why nothing is done there until somebody else acts; `foreign`: stage
    -> who else has lately set its replicas. `error`: why this look broke off; another follows. `is_contested`: another
    kept changing what it had to change. `has_read`: if it broke off, it had read everything before; `judged`: the
    stages and other objects that it reached.
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
    lost: Mapping[str, str] = field(default_factory=dict)
    lacking: frozenset[str] = frozenset()
    stopped: Mapping[str, str] = field(default_factory=dict)
    foreign: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    is_contested: bool = False
    has_read: bool = True
    judged: frozenset[str] = frozenset()

    @property
    def lacks_gateway(self) -> bool:
        """Whether no gateway was found ready."""
        return bool(self.stages) and not (self.is_gateway_there or self.error)

    @property
    def hopeless(self) -> str:
        """Why it will not become ready by waiting; empty if it may."""
        return said({**self.stopped, **self.failed, "the gateway": self.gateway_problem})

    @property
    def waits_for(self) -> str:
        """What delays it and may pass; empty if nothing is known."""
        return self.error or said({**self.out_of_room, **self.delays, "the gateway": self.gateway_delay})

    def refusal(self, before: Configuration, wanted: Configuration) -> str:
        """Why the change from `before` to `wanted` is refused: a stage that it changes, or the whole, is stopped."""
        return said({name: why for name, why in self.stopped.items() if before.get(name, 0) != wanted.get(name, 1)})

    def is_complete(self, configuration: Configuration) -> bool:
        """Whether every stage has its wanted replicas ready."""
        has_ended = self.is_down or self.is_changed
        is_quiet = self.is_gateway_ready and not (self.error or self.stopped or has_ended or self.done)
        return is_quiet and all(
            (state := self.stages.get(stage)) is not None and state.has_reached(stage_wanted)
            for stage, stage_wanted in configuration.items()
        )


def said(reasons: Mapping[str, str]) -> str:
    """Reasons by stage as one text; empty if there are none."""
    return "; ".join(f"{name}: {why}" for name, why in reasons.items() if why)


# ---- read from the server ----


def read_stages(api: Api, deployed: Deployed, pods: Sequence[Pod] | None = None) -> dict[str, StageState]:
    """The stages as the server has them; without `pods`, as their Deployments alone say. Raises ApiError."""
    deployments = api.list("Deployment", deployed.namespace, _selector(deployed, MODEL_SERVER))["items"]
    by_name = {each["metadata"]["name"]: each for each in deployments}
    is_quiet = pods is None or all(map(is_rolled_out, deployments))
    replica_sets = {} if is_quiet else _replica_sets(api, deployed, MODEL_SERVER, deployments)
    now_s = 0.0 if is_quiet else api.time_s()
    lost = () if is_quiet else _lost(api, pods or ())
    nodes_within_s = deployed.settings.cluster.nodes_within_s

    def read(stage: str, name: str) -> StageState:
        here = [pod for pod in pods or () if pod.stage == stage]
        return read_stage(by_name[name], here, replica_sets.get(name), now_s, lost, nodes_within_s)

    named = {stage: deployed.stage_name(stage) for stage in deployed.stages}
    return {stage: read(stage, name) for stage, name in named.items() if name in by_name}


def read_gateway(api: Api, deployed: Deployed, deployment: Mapping[str, Any] | None) -> StageState | None:
    """The gateway as the server has it, with its pods unless all is well; None: there is none. Raises ApiError.

    `deployment` is its own.
    """
    if deployment is None:
        return None
    if is_rolled_out(deployment) and has_available(deployment):
        return read_stage(deployment, ())
    replica_sets = _replica_sets(api, deployed, GATEWAY, [deployment])
    pods = ours(api.list("Pod", deployed.namespace, _selector(deployed, GATEWAY))["items"])
    return read_stage(
        deployment,
        pods,
        replica_set=replica_sets.get(deployed.gateway_name),
        now_s=api.time_s(),
        lost=_lost(api, pods),
        nodes_within_s=deployed.settings.cluster.nodes_within_s,
    )


def _lost(api: Api, pods: Iterable[Pod]) -> set[str]:
    """The nodes that are not ready, according to the server, if it may be asked, or to their pods."""
    return {pod.node for pod in pods if pod.is_lost} | api.lost_nodes()


def _replica_sets(
    api: Api, deployed: Deployed, component: str, deployments: Sequence[Mapping[str, Any]]
) -> dict[str, ReplicaSet]:
    """Deployment -> the ReplicaSet of its present template; none where this account may not read them."""
    try:
        replica_sets = api.list("ReplicaSet", deployed.namespace, _selector(deployed, component))["items"]
    except ApiError as error:
        if error.status != 403:
            raise
        return {}
    return {
        deployment["metadata"]["name"]: present(deployment, replica_sets, api.time_s()) for deployment in deployments
    }


def _selector(deployed: Deployed, component: str) -> str:
    return names.as_query(names.selector(deployed.instance, component))


def wanted_of(deployed: Deployed, first: Configuration, states: Mapping[str, StageState]) -> Configuration:
    """The wanted configuration on the cluster; `first` for stages without one that the pipeline can have."""
    wanted_there = {stage: state.wanted for stage, state in states.items() if state.wanted is not None}
    pipeline = deployed.plane.pipeline
    return {**first, **{name: each for name, each in wanted_there.items() if _can_be(pipeline, {**first, name: each})}}


def _can_be(pipeline: Pipeline, configuration: Configuration) -> bool:
    try:
        check_configuration(pipeline, configuration)
    except PolicyError:
        return False
    return True


def read_pods(api: Api, deployed: Deployed) -> list[Pod]:
    """The pods of the model servers. Raises ApiError."""
    return ours(api.list("Pod", deployed.namespace, _selector(deployed, MODEL_SERVER))["items"])
