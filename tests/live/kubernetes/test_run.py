"""End to end on real pods: `ipa live up`, three minutes of a bursty load under IPA, `status`, `down`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes.api import connect
from ipa.studies import Scenario, simulate
from tests.command import ipa
from tests.live.kubernetes.world import IMAGE

pytestmark = [pytest.mark.cluster, pytest.mark.alone]

LOAD = ("--policy", "ipa", "--trace", "bursty", "--window", "300:480", "--scale", "2")
"""Some 30 requests a second with bursts, so that replicas are added and variants changed."""


@pytest.fixture
def where() -> Iterator[tuple[str, ...]]:
    api, name = connect(), f"ipa-run-{uuid4().hex[:8]}"
    api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield "--backend", "kubernetes", "--namespace", name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def test_three_minutes_of_bursty_load_on_real_pods(tmp_path: Path, where: tuple[str, ...]) -> None:
    image = ("--image", IMAGE, "--pull", "Never", "--service", "NodePort")
    assert "ipa-video is ready." in ipa("live", "up", "video", *where, *image, "--yes").stdout
    out = tmp_path / "run"
    ran = ipa("live", "run", "video", *where, *LOAD, "--duration", "180", "--out", str(out), "--json")
    assert ran.exit_code == 0, ran.stderr
    said = json.loads(ran.stdout)
    tables = {each.stem: pd.read_parquet(each) for each in out.glob("*.parquet")}
    requests, load, replicas, decisions = (tables[name] for name in ("requests", "load", "replicas", "decisions"))

    # Every request has one outcome, the same to us and to who sent it, and none is lost.
    assert said["requests"] == len(requests) == len(load) > 2000
    assert requests["request"].is_unique
    assert (said["completed"] + said["dropped"], said["failed"], said["unfinished"]) == (len(requests), 0, 0)
    both = requests.merge(load, on="request", suffixes=("", "_sent"))
    assert (both["outcome"].astype(str) == both["outcome_sent"].astype(str)).all()
    assert (said["live"]["records_lost"], said["live"]["broken_laws"], said["live"]["ended"]) == (0, [], "")

    # What was decided has really been rolled out.
    assert decisions["step"].max() == 17  # every 10 s
    changed = decisions.groupby("stage", observed=True)[["variant", "batch", "replicas"]].nunique()
    assert (changed.max() > 1).all(), changed
    assert set(zip(replicas["stage"], replicas["variant"], strict=True)) <= set(
        zip(decisions["stage"], decisions["variant"], strict=True)
    )
    started = replicas[replicas["created_s"] > 0.0]
    assert len(started) >= 3
    start_up_s = (started["ready_s"] - started["created_s"]).dropna()
    assert (start_up_s >= 8.0).all()  # the profile's; a pod adds its own

    # The tables are those of a simulation, in form.
    simulated = simulate(Scenario(pipeline="video", trace="constant:5:20"))
    for name, table in simulated.tables.items():
        assert list(tables[name].columns) == list(table.columns)
        assert list(tables[name].dtypes.map(str)) == list(table.dtypes.map(str))
    assert np.isfinite(said["cost_mean_cores"])

    status = json.loads(ipa("live", "status", "video", *where, "--json").stdout)
    assert status["gateway_ready"]
    assert all(stage["ready"] >= 1 and not stage["problem"] for stage in status["stages"].values())
    assert "objects deleted" in ipa("live", "down", "video", *where, "--yes").stdout
    gone = ipa("live", "status", "video", *where)
    assert (gone.exit_code, "is not deployed in namespace" in gone.stderr) == (2, True)
