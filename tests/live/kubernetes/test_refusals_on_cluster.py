"""A variant that follows one whose pods a real API server refuses is not blamed for it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import deploy, manifests
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.kubernetes_backend import KubernetesBackend
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look
from ipa.policies import Configuration
from tests.live.kubernetes.fake import three_variants
from tests.live.kubernetes.test_cluster import WITHIN_S, apply, running, traffic, until, until_stands
from tests.live.kubernetes.world import own_namespace, until_counted
from tests.live.world import sort

pytestmark = pytest.mark.cluster

MIDDLE: Configuration = {"sort": replace(sort()["sort"], variant="middle")}
TOO_MUCH = {"cpu": "2", "memory": "2Gi"}
"""What a large replica asks for here."""
QUOTA: dict[str, Any] = {"kind": "ResourceQuota", "spec": {"hard": {"requests.cpu": "1"}}}
RANGE: dict[str, Any] = {"kind": "LimitRange", "spec": {"limits": [{"type": "Container", "max": {"memory": "1Gi"}}]}}


@pytest.fixture
def deployed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """Three variants, of which large asks for too much, in a namespace of their own; the small one stands."""
    whole = manifests._model_server

    def model_server(deployed: Deployed, stage: str, wanted: Any) -> Any:
        made = whole(deployed, stage, wanted)
        too_much = {"resources": {"requests": TOO_MUCH, "limits": TOO_MUCH}}
        return made | too_much if wanted.variant == "large" else made

    monkeypatch.setattr(manifests, "_model_server", model_server)
    with own_namespace(WITHIN_S) as namespace:
        made = three_variants(tmp_path, namespace)
        deploy.up(connect(), made, sort(), within_s=WITHIN_S)
        yield made
        deploy.down(connect(), made, within_s=WITHIN_S)


@pytest.mark.parametrize("bound", [QUOTA, RANGE], ids=["over the quota", "refused for good"])
@pytest.mark.parametrize("is_known", [False, True], ids=["new", "stood before"])
def test_a_variant_that_fits_follows_one_that_is_refused_and_is_not_rolled_back(
    deployed: Deployed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: dict[str, Any], is_known: bool
) -> None:
    path = f"/api/v1/namespaces/{deployed.namespace}/{bound['kind'].lower()}s"
    connect().request("POST", path, {"apiVersion": "v1", "metadata": {"name": "few"}, **bound})
    if bound is QUOTA:
        until_counted(connect(), f"{path}/few", WITHIN_S)
    looks: list[tuple[Configuration, Look]] = []
    passes = KubernetesBackend._pass

    async def noted(itself: KubernetesBackend, wanted: Configuration) -> Look:
        look = await passes(itself, wanted)
        looks.append((wanted, look))
        return look

    monkeypatch.setattr(KubernetesBackend, "_pass", noted)

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            for wanted in (MIDDLE, sort()) if is_known else ():
                assert (await apply(backend, wanted)).accepted
                await until_stands(backend, wanted)
            assert (await apply(backend, sort("large"))).accepted
            if bound is QUOTA:
                await until(lambda: backend.look.out_of_room, "the quota is full")
            else:
                await until(lambda: backend.stages["sort"].failed_variants == ("large",), "it is given up")
            assert (await apply(backend, MIDDLE)).accepted
            await until_stands(backend, MIDDLE)
            assert "middle" not in backend.stages["sort"].failed_variants
            assert backend.rollbacks["sort", "middle"] == 0
            blamed = [look for wanted, look in looks if wanted == MIDDLE and (look.failed or look.out_of_room)]
            assert blamed == []

    asyncio.run(story())


def test_a_replica_set_that_a_quota_refuses_is_said_and_comes_once_it_may(deployed: Deployed, tmp_path: Path) -> None:
    """As many may exist as there are: the gateway's and the stage's."""
    quotas = f"/api/v1/namespaces/{deployed.namespace}/resourcequotas"
    few = {"kind": "ResourceQuota", "spec": {"hard": {"count/replicasets.apps": "2"}}}
    connect().request("POST", quotas, {"apiVersion": "v1", "metadata": {"name": "few"}, **few})
    until_counted(connect(), f"{quotas}/few", WITHIN_S)

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, traffic(backend):
            assert (await apply(backend, MIDDLE)).accepted
            words = "Failed to create new replica set"
            await until(lambda: backend.look.delays.get("sort", "").startswith(words), "it is said")
            assert "exceeded quota: few" in backend.look.delays["sort"]
            connect().request("DELETE", f"{quotas}/few")
            await until_stands(backend, MIDDLE)
            assert backend.rollbacks["sort", "middle"] == 0

    asyncio.run(story())
