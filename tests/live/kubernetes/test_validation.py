"""End to end on real pods: `ipa live up`, `ipa validate` under a bursty load with IPA, `status`, `down`.

How near the simulation comes to real pods is a measurement and depends on the machine: docs/validation.md has it. Here
every request has one outcome, what was decided was rolled out, and the same observations give the same decisions.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes.api import connect
from ipa.studies import Scenario, simulate
from tests.command import ipa, refusal
from tests.live.kubernetes.world import IMAGE

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

SCENARIO = ("--trace", "bursty", "--policy", "ipa", "--scale", "2")
"""Some 30 requests a second with bursts, so that replicas are added and variants changed."""
KUBERNETES = ("--backend", "kubernetes")
SECONDS = ("--window", "300:420", "--calibration-window", "220:270")


@pytest.fixture
def where() -> Iterator[tuple[str, ...]]:
    api, name = connect(), f"ipa-validate-{uuid4().hex[:8]}"
    api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield "--namespace", name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def test_a_bursty_load_on_real_pods_is_validated(tmp_path: Path, where: tuple[str, ...]) -> None:
    assert "ipa live up" in refusal("validate", "video", *KUBERNETES, *where, *SCENARIO, *SECONDS)  # before it stands
    image = ("--image", IMAGE, "--set", "image.pull=Never", "--set", "cluster.service_type=NodePort")
    assert "ipa-video is ready." in ipa("live", "up", "video", *where, *image, "--yes").stdout
    out = tmp_path / "validation"
    ran = ipa(
        "validate", "video", *KUBERNETES, *where, *SCENARIO, *SECONDS, "--repeats", "1", "--out", str(out), "--json"
    )
    assert ran.exit_code == 0, ran.stderr
    check_comparison(json.loads(ran.stdout))
    check_run({each.stem: pd.read_parquet(each) for each in (out / "live-1").glob("*.parquet")})

    status = json.loads(ipa("live", "status", "video", *where, "--json").stdout)
    assert status["gateway_ready"]
    assert all(stage["ready"] >= 1 and not stage["problem"] for stage in status["stages"].values())
    assert "objects deleted" in ipa("live", "down", "video", *where, "--yes").stdout
    gone = ipa("live", "status", "video", *where)
    assert (gone.exit_code, "is not deployed in namespace" in gone.stderr) == (2, True)


def check_comparison(found: dict[str, Any]) -> None:
    assert (found["backend"], found["judged"]["of_windows"]) == ("kubernetes", 12)  # of 10 s
    judged = {row["metric"]: row for row in found["judged"]["rows"]}
    assert {"latency_mean_s", "latency_p99_s", "cost_mean_cores"} <= judged.keys()

    # The k-th batch took the k-th draw, though the same gateway served both runs, and neither has another's requests.
    for run in (found["calibration"], *found["repeats"]):
        assert not any("came from elsewhere" in flag for flag in run["conditions"]["flags"])
    same = found["decisions"]["on_same_observations"]
    assert same["equal"] == same["total"] >= 11


def check_run(tables: Mapping[str, pd.DataFrame]) -> None:
    requests, load, replicas, decisions = (tables[name] for name in ("requests", "load", "replicas", "decisions"))

    # Every request has one outcome, the same to us and to who sent it, and none is lost.
    assert len(requests) == len(load) > 2000
    assert requests["request"].is_unique
    assert set(requests["outcome"].astype(str)) <= {"completed", "dropped"}
    both = requests.merge(load, on="request", suffixes=("", "_sent"))
    assert (both["outcome"].astype(str) == both["outcome_sent"].astype(str)).all()

    # What was decided has really been rolled out.
    assert decisions["step"].max() == 11  # every 10 s
    changed = decisions.groupby("stage", observed=True)[["variant", "batch", "replicas"]].nunique()
    assert (changed.max() > 1).all(), changed
    assert set(zip(replicas["stage"], replicas["variant"], strict=True)) <= set(
        zip(decisions["stage"], decisions["variant"], strict=True)
    )
    started = replicas[replicas["created_s"] > 0.0]
    assert len(started) >= 3
    start_up_s = (started["ready_s"] - started["created_s"]).dropna()
    assert start_up_s.median() >= 8.0  # the profile's; a pod adds its own, and may be seen a moment after its creation
    assert np.isfinite(start_up_s).all()

    # The tables are those of a simulation, in form.
    for name, table in simulate(Scenario(pipeline="video", trace="constant:5:20")).tables.items():
        assert list(tables[name].columns) == list(table.columns)
        assert list(tables[name].dtypes.map(str)) == list(table.dtypes.map(str))
