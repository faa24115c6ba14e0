"""`ipa validate --backend kubernetes` on a real cluster: the simulator is as near to real pods as is asked of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes.api import connect
from tests.command import ipa, refusal
from tests.live.kubernetes.world import IMAGE

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

SCENARIO = ("--trace", "bursty", "--policy", "ipa load_margin=1", "--scale", "0.5")
"""Some 13 requests a second, rising, and plans for twice as many: few pods, none near saturation."""
SECONDS = ("--window", "420:490", "--calibration-window", "340:410")
JUDGED = ("latency_mean_s", "latency_p99_s", "cost_mean_cores")
ATTEMPTS = 2
"""It is a measurement, on a machine that may have other work: one that is off is made once more."""


@pytest.fixture
def where() -> Iterator[tuple[str, ...]]:
    api, name = connect(), f"ipa-validate-{uuid4().hex[:8]}"
    api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield "--backend", "kubernetes", "--namespace", name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def test_the_simulator_agrees_with_real_pods(tmp_path: Path, where: tuple[str, ...]) -> None:
    assert "ipa live up" in refusal("validate", "video", *where, *SCENARIO, *SECONDS)  # before it stands
    image = ("--image", IMAGE, "--pull", "Never", "--service", "NodePort")
    assert "ipa-video is ready." in ipa("live", "up", "video", *where, *image, "--yes").stdout
    for attempt in range(1, ATTEMPTS + 1):
        found = validated(tmp_path / f"validation-{attempt}", where)
        off = [row for row in found["judged"]["rows"] if row["metric"] in JUDGED and not row["passed"]]
        if not off:
            break
    assert off == [], found["flags"]
    assert found["backend"] == "kubernetes"
    assert found["judged"]["windows"] >= 5

    # The k-th batch took the k-th draw, though the same gateway served all runs, and no run has another's requests.
    for run in (found["calibration"], *found["repeats"]):
        assert run["overheads"]["dispatch_overhead_s"]["median_s"] < 0.05
        assert not any("came from elsewhere" in flag for flag in run["conditions"]["flags"])
    same = found["decisions"]["on_same_observations"]
    assert same["equal"] == same["total"] >= 14

    # Pods came and went as the rollout rule says, with the start-up and the stop that were measured.
    took = [each for each in found["rollouts"] if each["live"]["count"]]
    assert {"start_up", "rollout"} <= {each["kind"] for each in took}
    for each in took:
        if each["kind"] == "start_up":
            assert each["live"]["mean_s"] == pytest.approx(each["simulated"]["mean_s"], abs=2.0)
    assert "objects deleted" in ipa("live", "down", "video", *where, "--yes").stdout


def validated(out: Path, where: tuple[str, ...]) -> dict[str, Any]:
    """What a validation with two repeats found."""
    ran = ipa("validate", "video", *where, *SCENARIO, *SECONDS, "--repeats", "2", "--out", str(out), "--json")
    assert ran.exit_code == 0, ran.stderr
    said: dict[str, Any] = json.loads(ran.stdout)
    return said
