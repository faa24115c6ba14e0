"""A HorizontalPodAutoscaler that follows the policy: the way of docs/kubernetes.md for platforms that insist on one."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import names
from tests.live.kubernetes.external_metrics import Labels, external_metrics
from tests.live.kubernetes.test_in_cluster import RATE, SCENARIO, World, asked, namespace, until, world

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

__all__ = ["namespace", "world"]

PAGE = Path(__file__).parents[3] / "docs" / "kubernetes.md"


def test_a_real_autoscaler_follows_the_replicas_that_an_adviser_wants(world: World, tmp_path: Path) -> None:
    """As the page has it, for the tiny pipeline; what serves the metric answers from the adviser's own."""
    world.where[0].write_text(SCENARIO % RATE, encoding="utf-8")
    world.apply("--set", "controller.advise=true")
    (adviser,) = until(lambda: world.pods(names.CONTROLLER), "the adviser's pod is ready")
    until(lambda: world.pods(names.GATEWAY) and world.stage()["ready"] == 1, "the pipeline is ready")

    def values(metric: str, labels: Labels) -> float | None:
        said = world.metrics(adviser)
        found = [value for (name, *of), value in said.items() if name == metric and of[:1] == [labels["stage"]]]
        return sum(found) if found else None

    section = PAGE.read_text(encoding="utf-8").partition("## Where the platform insists")[2]
    text = section.partition("```yaml\n")[2].partition("```")[0]
    text = text.replace("object-detection", "sort").replace("ipa-video", "ipa-tiny").replace("video", "tiny")
    autoscaler = yaml.safe_load(text)
    groups = world.api.groups()
    version = "autoscaling/v2" if "autoscaling/v2" in groups else "autoscaling/v2beta2"  # before 1.23
    path = f"/apis/{version}/namespaces/{world.deployed.namespace}/horizontalpodautoscalers"
    with external_metrics(world.api, world.deployed.namespace, tmp_path, values) as metrics:
        world.api.request("POST", path, {**autoscaler, "apiVersion": version})
        until(lambda: "ipa_desired_replicas" in metrics, "the autoscaler asks for the metric")
        with asked(world, rps=15):
            until(lambda: world.stage()["ready"] == 2, "the autoscaler has added the replica that the adviser wants")
        world.api.request("DELETE", f"{path}/{autoscaler['metadata']['name']}")
    assert set(metrics) == {"ipa_desired_replicas"}
    assert (world.status()["controller"], world.stage()["wanted"]["replicas"]) == (None, 1)  # nobody else has set them
