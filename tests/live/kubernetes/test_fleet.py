"""Several deployed pipelines under one budget of cores: on clusters of memory, and on one that is there."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ipa.live.errors import LiveError
from ipa.live.fleet import FleetMember, run_fleet_without_load
from ipa.live.kubernetes import kubernetes_backend as backend_module
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import ApiError
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend, Options
from ipa.live.kubernetes.quota import cores_left
from ipa.live.loop import Setup
from ipa.live.sharing import LiveArbiter, SharingController
from ipa.policies import Decision, Journal, Memory, Observation, StageConfiguration
from ipa.policies.sharing import Arbiter, Member, Step, weights_of
from tests.command import refusal, start
from tests.live.kubernetes.fake import Cluster
from tests.live.kubernetes.world import tiny
from tests.live.world import HISTORY, PATIENCE_S, pipeline_file, sort, until_now


class Wants:
    """So many small replicas, or large ones of two cores, as asked at each step; of what it may have, as many as that
    holds."""

    def __init__(self, asks_for: Callable[[], tuple[str, int]]) -> None:
        self.asks_for = asks_for

    def decide(self, seen: Observation, memory: Memory) -> Decision:
        variant, replicas = self.asks_for()
        cores = 2 if variant == "large" else 1
        if seen.limit_cores is not None and seen.limit_cores < cores * replicas:
            variant, cores, replicas = "small", 1, min(replicas, seen.limit_cores)
        return Decision({"sort": StageConfiguration(variant, 1, replicas, 0.0, cores)}, memory)


REPLICAS = {"prod": 1, "other": 4}
"""What stands at first."""
BUDGET = 5


def cores_of(clusters: Mapping[str, Cluster]) -> int:
    pods = [pod for cluster in clusters.values() for pod in cluster.pods]
    return sum(int(pod["metadata"]["labels"][names.CORES]) for pod in pods)


@pytest.mark.parametrize("stop_s", [0.0, 1.0])
def test_cores_of_all_deployed_pipelines_never_exceed_the_budget_and_are_handed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_s: float
) -> None:
    """Once both have stepped, prod wants four of the five cores until it has them; before and after, the other has
    four; a signal then ends both.

    Pods deployed with another `stop_s` than the controllers have are replaced at first.
    """
    monkeypatch.setattr(backend_module, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(backend_module, "BETWEEN_LOOKS_S", 0.01)
    clusters: dict[str, Cluster] = {}
    at_one_time = RLock()
    seen: list[int] = []

    class Counting(Cluster):
        """Its pods change only while those of the other do not, so that the sum is that of one instant."""

        def steps(self) -> Iterator[None]:
            turns = super().steps()
            while True:
                with at_one_time:
                    if next(turns, self) is self:
                        return
                    seen.append(cores_of(clusters))
                yield

    weights = weights_of([3, 1])
    members = [Member(name, weight, 1, BUDGET) for name, weight in zip(REPLICAS, weights, strict=True)]
    arbiter = LiveArbiter(Arbiter("priority", BUDGET, members), within_s=PATIENCE_S)

    def got(name: str) -> list[int]:
        return [step.got for step in list(arbiter.steps) if step.pipeline == name]

    def asked_by_prod() -> tuple[str, int]:
        return ("large", 2) if 4 in got("other") and 4 not in got("prod") else ("small", 1)

    def end_once_handed_back(step: Step) -> None:
        if step.got == 4 and step.pipeline == "other" and got("prod")[-1:] == [1] and 4 in got("prod"):
            os.kill(os.getpid(), signal.SIGTERM)

    arbiter.on_step = end_once_handed_back
    policies = {"prod": Wants(asked_by_prod), "other": Wants(lambda: ("small", 4))}
    fleet, backends = {}, list[KubernetesBackend]()
    for name, policy in policies.items():
        made = tiny(tmp_path)
        deployed = replace(made, name=name, plane=replace(made.plane, limit_cores=BUDGET, most_cores=BUDGET))
        cluster = clusters[name] = Counting(replace(deployed, plane=replace(deployed.plane, stop_s=stop_s)))
        cluster.stand(sort(replicas=REPLICAS[name])["sort"])
        (tmp_path / name).mkdir()

        def make(deployed: Any = deployed, cluster: Any = cluster, **given: Any) -> KubernetesBackend:
            options = Options(adopts=True, shares=True)
            source, on_rollback = given["source"], given["on_rollback"]
            backends.append(
                KubernetesBackend(deployed, cluster, given["folder"], HISTORY, options, source, on_rollback)
            )
            return backends[-1]

        setup = Setup(deployed.plane.pipeline, make, interval_s=0.1)
        controller = SharingController(
            deployed.plane.pipeline, policy, PATIENCE_S, Journal(), name=name, interval_s=0.1, arbiter=arbiter
        )
        fleet[name] = FleetMember(setup, controller, sort())
    run_fleet_without_load(fleet, duration_s=PATIENCE_S)
    prod, other = ([step for step in arbiter.steps if step.pipeline == name] for name in fleet)
    assert max(seen) == BUDGET
    assert max(step.got for step in prod) == 4
    assert {step.got for step in other} >= {1, 4}
    assert any("are not free yet" in step.why for step in prod)
    assert any(step.why == "its part by priority is 1" for step in other)
    assert (prod[-1].got, other[-1].got) == (1, 4)
    assert [backend.session.closed for backend in backends] == [True, True]


# ---- the namespace's quota as the budget ----


class Quotas:
    """An API that has quotas and pods."""

    def __init__(self, *quotas: Mapping[str, Mapping[str, str]], pods: tuple[tuple[str, int], ...] = ()) -> None:
        self.quotas, self.pods = quotas, pods

    def list(self, kind: str, namespace: str) -> Any:
        if kind == "ResourceQuota":
            return {"items": [{"status": status} for status in self.quotas]}
        labels = [{names.INSTANCE: name, names.CORES: str(cores)} for name, cores in self.pods]
        return {"items": [*({"metadata": {"labels": each}} for each in labels), {"metadata": {}}]}


def test_the_budget_is_what_the_quota_leaves_for_the_fleet_s_own_replicas() -> None:
    """Of 20 cores, 12.5 are used: 5 of them by its own replicas, 4 by another pipeline's, 3.5 by the rest."""
    quota = {"hard": {"requests.cpu": "20", "pods": "50"}, "used": {"requests.cpu": "12500m"}}
    api: Any = Quotas(quota, pods=(("prod", 2), ("prod", 2), ("other", 1), ("theirs", 4)))
    assert cores_left(api, "ml", ["prod", "other"]) == 12
    limits = {"hard": {"limits.cpu": "14"}, "used": {"limits.cpu": "12"}}
    assert cores_left(Quotas(quota, limits, pods=api.pods), "ml", ["prod", "other"]) == 7  # type: ignore[arg-type]


def test_without_a_quota_a_fleet_needs_a_budget() -> None:
    api: Any = Quotas({"hard": {"pods": "50"}})
    with pytest.raises(LiveError, match="limit_cores: missing, and no ResourceQuota of namespace ml limits cores"):
        cores_left(api, "ml", ["prod"])

    def forbidden(*_: str) -> Any:
        raise ApiError("list ResourceQuotas", 403, "forbidden")

    api.list = forbidden
    with pytest.raises(LiveError, match="limit_cores: missing, and the namespace's quota cannot be read"):
        cores_left(api, "ml", ["prod"])


# ---- commands ----

FILE = """\
schema_version: 1
kind: fleet
limit_cores: 4
pipelines:
  - {name: prod, pipeline: tiny.yaml, policy: 'static:2'}
  - {name: other, pipeline: tiny.yaml, policy: 'static:3'}
"""


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "fleet.yaml: on a cluster, a fleet is controlled under its own traffic: --no-load"),
        (("--no-load", "--out", "run"), "--out: with --no-load on a cluster no load is sent"),
        (("--no-load", "--name", "mine"), "--name mine: the pipelines of a fleet are deployed under their names in it"),
    ],
)
def test_what_a_fleet_on_a_cluster_cannot_have_is_said(options: tuple[str, ...], text: str) -> None:
    pipeline_file(Path())
    Path("fleet.yaml").write_text(FILE)
    assert text in refusal("live", "run", "fleet.yaml", "--backend", "kubernetes", *options)


# ---- on the cluster that KUBECONFIG names ----

SWELLS = """
from ipa.policies import Decision, StageConfiguration

class Swells:
    \"\"\"One replica, three from its second step on.\"\"\"

    def __init__(self, pipeline):
        pass

    def decide(self, seen, memory):
        replicas = min(3 if seen.step >= 2 else 1, seen.limit_cores)
        return Decision({"sort": StageConfiguration("a", 1, replicas, 0.0, 1)}, memory)
"""
ON_CLUSTER = """\
schema_version: 1
kind: fleet
limit_cores: 4
sharing: priority
pipelines:
  - {name: prod, pipeline: PIPELINE, interval_s: 5, priority: 3, policy: 'swells.py:Swells'}
  - {name: other, pipeline: PIPELINE, interval_s: 5, policy: 'static:3'}
"""


@pytest.mark.cluster
def test_on_a_cluster_pods_of_all_pipelines_never_have_more_cores_than_the_budget(tmp_path: Path) -> None:
    """Both were deployed with other settings, so that all pods are replaced; prod then takes two of the three cores of
    the other, whose pods take a second to stop."""
    from ipa.live.kubernetes import deploy
    from ipa.live.kubernetes.api import connect
    from tests.live.kubernetes.rollouts import STAGE, WITHIN_S, asks, pipeline
    from tests.live.kubernetes.test_limit_on_cluster import START_UP_S, ExistingCores
    from tests.live.kubernetes.world import own_namespace

    api = connect()
    with own_namespace(WITHIN_S) as namespace, ExitStack() as stack:
        pipelines = []
        for name, replicas in (("prod", 1), ("other", 3)):
            made = pipeline(tmp_path, START_UP_S, namespace, [STAGE])
            deployed = replace(made, name=name, plane=replace(made.plane, stop_s=1.0))
            stack.callback(deploy.down, api, deployed, within_s=WITHIN_S)
            deploy.up(api, deployed, {STAGE: asks("a", replicas)}, within_s=WITHIN_S)
            pipelines.append(deployed)
        existing = ExistingCores(*pipelines)
        stack.callback(existing.stop)
        (tmp_path / "swells.py").write_text(SWELLS)
        (tmp_path / "fleet.yaml").write_text(ON_CLUSTER.replace("PIPELINE", made.plane.source))
        options = ("--backend", "kubernetes", "--no-load", "--namespace", namespace, "--set", "controller.state=state")
        process = start("live", "run", "fleet.yaml", *options, cwd=tmp_path)
        until_now(lambda: [existing.of(each) for each in pipelines] == [3, 1], "prod's cores", WITHIN_S)
        process.send_signal(signal.SIGINT)
        output = process.communicate()
        assert process.returncode == 0, output
        assert max(cores for cores, _ in existing.seen) == 4
    lines = [json.loads(line) for line in (tmp_path / "state" / "steps.jsonl").read_text().splitlines()]
    assert {line["why"] for line in lines} >= {"", "its part by priority is 1"}
