"""A stage that mixes two variants on a real cluster: who serves is seen in the answers of real models."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes import overview
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.lease import Lease
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import Configuration, mix_of
from tests.live.kubernetes.test_cluster import apply, namespace, observe, running, until, until_stands
from tests.live.kubernetes.test_models import OF_LARGE, OF_SMALL, Asking, asking, up
from tests.live.world import sort

__all__ = ["namespace"]

pytestmark = pytest.mark.cluster

ANSWERS = 240
"""Of so many, a quarter is 60, give or take 27 in all but one of 30,000 cases (four standard deviations)."""


@pytest.fixture
def deployed(namespace: str, tmp_path: Path) -> Iterator[Deployed]:
    """The tiny pipeline with the real models of an image, deployed with its small variant."""
    image = os.environ.get("IPA_MODELS_IMAGE")
    if image is None:
        pytest.skip("IPA_MODELS_IMAGE names no image with the models of tests.live.serving.models_world at /models")
    with up(namespace, tmp_path, "image:/models", image=image) as made:
        yield made


def mixed(small: int, large: int, share: float) -> Configuration:
    """Replicas of each variant, and the share of large."""
    parts = (
        replace(sort("small", small)["sort"], share=1.0 - share),
        replace(sort("large", large)["sort"], share=share),
    )
    return {"sort": mix_of(parts)}


async def share_of_large(asked: Asking) -> float:
    """The part of the next answers that the large variant gives."""
    count = len(asked.answers)
    await until(lambda: len(asked.answers) >= count + ANSWERS, f"{ANSWERS} answers")
    now = asked.answers[count : count + ANSWERS]
    assert all(each in (OF_SMALL, OF_LARGE) for each in now)
    return now.count(OF_LARGE) / ANSWERS


def replicas(deployed: Deployed) -> dict[str, tuple[str, int]]:
    """Deployment -> the variant of its template and its replicas."""
    found = connect().list("Deployment", deployed.namespace, "app.kubernetes.io/component=model-server")["items"]
    return {
        each["metadata"]["name"]: (
            each["spec"]["template"]["metadata"]["annotations"]["ipa/variant"],
            each["spec"]["replicas"],
        )
        for each in found
    }


def lanes(deployed: Deployed) -> list[int]:
    """The lanes of the pods that status names."""
    pods = overview.status(connect(), deployed)["stages"]["sort"]["pods"]
    return sorted(pod.get("lane", 0) for pod in pods)


def test_two_variants_share_the_requests_and_one_serves_alone_again_and_none_is_lost(
    deployed: Deployed, tmp_path: Path
) -> None:
    first, second = (deployed.stage_name("sort", lane) for lane in (0, 1))

    async def story() -> None:
        async with running(deployed, tmp_path) as backend, asking(backend.url) as asked:
            await until(lambda: asked.answers, "the first answer")
            assert (await apply(backend, mixed(2, 1, 0.25))).accepted
            await until_stands(backend, mixed(2, 1, 0.25))
            await until(lambda: OF_LARGE in asked.answers, "an answer of the large one")
            assert abs(await share_of_large(asked) - 0.25) < 27 / ANSWERS
            assert (await apply(backend, mixed(1, 2, 0.75))).accepted
            await until_stands(backend, mixed(1, 2, 0.75))
            assert abs(await share_of_large(asked) - 0.75) < 27 / ANSWERS
            seen = (await observe(backend)).stages["sort"]
            assert {variant: each.ready for variant, each in seen.replicas.items()} == {"small": 1, "large": 2}
            await until(lambda: lanes(deployed) == [0, 1, 1], "status names the lanes of all pods")
            assert (await apply(backend, sort("large"))).accepted
            await until_stands(backend, sort("large"))
            assert replicas(deployed) == {first: ("small", 0), second: ("large", 1)}
            assert await share_of_large(asked) == 1.0
            assert (await apply(backend, sort("small"))).accepted
            await until_stands(backend, sort("small"))
            assert replicas(deployed) == {first: ("small", 0), second: ("small", 1)}
            assert await share_of_large(asked) == 0.0
            records = backend.stages["sort"].records()
            assert records.lanes is not None
            by_replica = list(zip(records.variant, records.lanes.lane.tolist(), strict=True))
            print(f"{len(asked.answers)} answers; variant and lane of the replicas: {by_replica}")

    asyncio.run(story())


def test_a_controller_ends_what_a_killed_one_began_although_the_gateway_was_started_anew(
    deployed: Deployed, tmp_path: Path
) -> None:
    """The second variant is in its lane but not yet ready when the first controller and the gateway go. While nobody
    controls, the new gateway serves by what replicas there are; the next controller tells it what stood and goes on."""
    api, wanted = connect(), mixed(1, 1, 0.5)
    gateways = f"app.kubernetes.io/component=gateway,app.kubernetes.io/instance={deployed.instance}"

    def gateway_pods() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = api.list("Pod", deployed.namespace, gateways)["items"]
        return found

    async def story() -> None:
        async with running(deployed, tmp_path, lease=Lease(connect(), deployed)) as backend:
            await until_stands(backend, sort())
            assert (await apply(backend, wanted)).accepted
            await until(lambda: len(replicas(deployed)) == 2, "the second variant has its Deployment")
        (old,) = gateway_pods()
        api.delete("Pod", deployed.namespace, old["metadata"]["name"])
        await until(
            lambda: (
                [each["metadata"]["uid"] for each in gateway_pods()] not in ([], [old["metadata"]["uid"]])
                and len(gateway_pods()) == 1
            ),
            "another gateway is there alone",
        )
        async with running(deployed, tmp_path, adopts=True) as backend:
            assert backend.wanted == wanted
            await until_stands(backend, wanted)
            async with asking(backend.url) as asked:
                await until(lambda: OF_LARGE in asked.answers, "an answer of the large one")
                assert abs(await share_of_large(asked) - 0.5) < 31 / ANSWERS

    asyncio.run(story())
