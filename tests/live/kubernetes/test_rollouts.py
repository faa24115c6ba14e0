"""Rollouts on the cluster that KUBECONFIG names go as rule 5 says: in their order, and in the time of their steps."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import deploy
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.settings import Deployed
from ipa.sim import rules
from tests.live.kubernetes.rollouts import STAGE, WITHIN_S, asks, changes, in_model, on_cluster, pipeline

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

START_UP_S = 3.0
LATER_S = 12.0
"""By how much each step of a cluster that is busy may be later than its model's, beside the start-up of its pods."""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    api, namespace = connect(), f"ipa-test-{uuid4().hex[:8]}"
    meta = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    api.request("POST", "/api/v1/namespaces", meta)
    try:
        made = pipeline(tmp_path_factory.mktemp("rollouts"), START_UP_S, namespace)
        deploy.up(api, made, {STAGE: asks("a", 1)}, within_s=WITHIN_S)
        yield made
    finally:
        api.request("DELETE", f"/api/v1/namespaces/{namespace}")


@pytest.mark.parametrize(
    "name",
    [
        "variant, 2 -> 4",
        "variant, 1 -> 4",
        "variant, 4 -> 2",
        "variant at 4, surge 2, unavailable 1",
        "variant at 2, then 4",
    ],
)
def test_a_change_goes_as_rule_5_says(deployed: Deployed, tmp_path: Path, name: str) -> None:
    change = changes(START_UP_S)[name]
    course = asyncio.run(on_cluster(deployed, change, tmp_path))
    before, after = change.initial.replicas, change.last.replicas
    surge = rules.default_max_surge(after) if change.max_surge is None else change.max_surge
    assert course.least_ready >= min(before, after) - change.max_unavailable
    assert course.most_existing <= max(before, after + surge)
    assert course.created == {change.last.variant: after}  # none of the old variant
    started_s = course.replicas.ready_s - course.replicas.created_s
    slowest_s = float(np.nanmax(started_s[course.replicas.created_s >= course.decided_s[0]]))
    soonest = in_model(change, course.decided_s, START_UP_S, 0.0)
    latest = in_model(change, course.decided_s, slowest_s + LATER_S, 0.0)
    assert soonest.whole_s <= course.whole_s <= latest.whole_s
