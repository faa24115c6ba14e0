"""A recorded metric through the cluster's own HorizontalPodAutoscaler: the policy that is read from the same manifest
wants the same replicas at every sync."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

pytest.importorskip("kubernetes")

from ipa import traces
from ipa.live.kubernetes.api import Api, connect
from ipa.policies import Hpa, ReplicaCounts
from ipa.policies.settings import read_settings
from tests.live.kubernetes.external_metrics import Labels, external_metrics
from tests.live.kubernetes.world import own_namespace
from tests.tiny import configuration, observation, published, two_by_two

pytestmark = pytest.mark.cluster

NAME, METRIC = "recorded", "http_requests_per_second"
SYNC_S = 15.0
WITHIN_S = 180.0
FIRST = 3
"""The replicas that the autoscaler finds."""
MANIFEST = f"""\
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {{name: {NAME}}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: {NAME}}}
  minReplicas: 1
  maxReplicas: 9
  metrics:
  - type: External
    external:
      metric: {{name: {METRIC}}}
      target: {{type: AverageValue, averageValue: 1500m}}
  behavior:
    scaleUp:
      stabilizationWindowSeconds: 0
      policies:
      - {{type: Pods, value: 2, periodSeconds: 30}}
      - {{type: Percent, value: 50, periodSeconds: 15}}
    scaleDown:
      stabilizationWindowSeconds: 40
      policies:
      - {{type: Percent, value: 50, periodSeconds: 30}}
"""


def recorded() -> list[int]:
    """Means of quarters of a minute of a named load, whole as the metrics' API has them: up, and down to none.

    It falls only where no rule has held the replicas below what was recommended. Where it has, Kubernetes before 1.21
    goes on up to the highest recommendation of the window for scaling down.
    """
    load_rps = traces.find("on-off:7").counts
    assert load_rps is not None
    return [round(float(load_rps[start : start + 15].mean())) for start in range(60, 225, 15)]


@pytest.fixture
def namespace() -> Iterator[str]:
    with own_namespace(WITHIN_S) as name:
        yield name


def test_a_real_autoscaler_and_the_policy_of_its_manifest_want_the_same_replicas(
    namespace: str, tmp_path: Path
) -> None:
    api, series = connect(), recorded()
    synced_s: list[float] = []
    is_over = threading.Event()

    def next_value(metric: str, labels: Labels) -> float | None:
        """Each sync sees the next recorded value."""
        if len(synced_s) >= len(series):
            is_over.set()
            return None
        synced_s.append(time.monotonic())
        return series[len(synced_s) - 1]

    version = "autoscaling/v2" if "autoscaling/v2" in api.groups() else "autoscaling/v2beta2"  # before 1.23
    autoscaler = {**yaml.safe_load(MANIFEST), "apiVersion": version}
    _create(api, namespace, _deployment())
    _until(lambda: _replicas(api, namespace) == (FIRST, FIRST))
    wanted: dict[int, int] = {}
    with external_metrics(api, namespace, tmp_path, next_value):
        _create(api, namespace, autoscaler)
        began_s = time.monotonic()
        while not is_over.wait(0.5):
            assert time.monotonic() < began_s + WITHIN_S + 2 * SYNC_S * len(series)
            wanted[len(synced_s)] = _replicas(api, namespace)[0]  # the last look before the next sync stays
    by_cluster = [wanted[sync] for sync in range(1, len(series) + 1)]
    assert by_cluster == _by_policy(tmp_path, series, synced_s)
    assert set(by_cluster) == {2, 4, 6, 8}  # the rules and the window are what holds it there


def _by_policy(folder: Path, series: list[int], synced_s: list[float]) -> list[int]:
    """The replicas that the policy wants at each sync, if every replica that it wants is there at the next."""
    path = folder / "hpa.yaml"
    path.write_text(MANIFEST, encoding="utf-8")
    settings = read_settings(path)
    assert settings.policy == "hpa"
    policy = Hpa(two_by_two(published(accuracy="sum")), batch=1, **settings.parameters)
    replicas, wanted = FIRST, list[int]()
    memory: Mapping[str, Any] = {}
    for value, at_s in zip(series, synced_s, strict=True):
        seen = observation(
            [float(value)] * 15,
            at_hand=configuration(a=("small", 1, replicas, 1), b=("small", 1, 1, 1)),
            time_s=at_s,
            replicas={"a": ReplicaCounts(ready=replicas)},
        )
        decision = policy.decide(seen, memory)
        memory, replicas = decision.memory, decision.configuration["a"].replicas
        wanted.append(replicas)
    return wanted


def _create(api: Api, namespace: str, manifest: Mapping[str, Any]) -> None:
    path = f"/apis/{manifest['apiVersion']}/namespaces/{namespace}/{manifest['kind'].lower()}s"
    api.request("POST", path, dict(manifest))


def _replicas(api: Api, namespace: str) -> tuple[int, int]:
    """Those that are wanted, and those that are ready."""
    deployment = api.request("GET", f"/apis/apps/v1/namespaces/{namespace}/deployments/{NAME}")
    return deployment["spec"]["replicas"], deployment["status"].get("readyReplicas", 0)


def _deployment() -> dict[str, Any]:
    """One whose pods only wait."""
    labels = {"app": NAME}
    container = {"name": "pause", "image": "local/pause:1", "imagePullPolicy": "Never"}
    pod = {"terminationGracePeriodSeconds": 0, "tolerations": [{"operator": "Exists"}], "containers": [container]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "replicas": FIRST,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _until(is_so: Callable[[], bool]) -> None:
    until_s = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < until_s
        time.sleep(0.2)
