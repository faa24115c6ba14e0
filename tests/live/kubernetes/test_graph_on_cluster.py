"""A graph of stages on real pods: items go on as in a simulation with the same seed, and every request is answered."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pandas as pd
import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa import profiles
from ipa.live.kubernetes.api import connect
from tests.command import ipa
from tests.live.kubernetes.world import IMAGE

pytestmark = pytest.mark.cluster

PLANNED = ("--policy", "static:1,1,1", "--set", "seed=7", "--set", "sla_s=30")
"""How slow the machine is changes no variant, and drops no request."""
LOAD = ("--trace", "constant:3:20")


@pytest.fixture
def namespace() -> Iterator[str]:
    api, name = connect(), f"ipa-graph-{uuid4().hex[:8]}"
    api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def items(folder: Path) -> dict[tuple[int, str], int]:
    """Request and stage -> how many items it had there. Requests by their order of arrival, by which their numbers of
    items are drawn: two that are sent within milliseconds may arrive in another order."""
    table = pd.read_parquet(folder / "items.parquet")
    arrived_s = table.groupby("request", observed=True)["enqueue_s"].min()
    place = table["request"].map(arrived_s.rank(method="first"))
    counted: dict[Any, Any] = table.groupby([place, "stage"], observed=True).size().to_dict()
    return {(int(request), str(stage)): int(count) for (request, stage), count in counted.items()}


def test_every_request_has_the_items_that_it_has_in_the_simulation(
    tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # Where numbers persist they depend on the moments of arrival, which are a little later on a cluster.
    Path("graph.yaml").write_text(profiles.text("traffic").replace("persist_s: 4.9", "persist_s: 0"))
    where = ("--namespace", namespace)
    image = ("--image", IMAGE, "--set", "image.pull=Never", "--set", "cluster.service_type=NodePort")
    for words in (
        ("simulate", "graph.yaml", *PLANNED, *LOAD, "--out", "simulated"),
        ("live", "up", "graph.yaml", *where, *image, *PLANNED, "--yes"),
        ("live", "run", "graph.yaml", "--backend", "kubernetes", *where, *PLANNED, *LOAD, "--out", "live"),
    ):
        ended = ipa(*words)
        assert ended.exit_code == 0, f"{words}: {ended.stderr}"
    requests = pd.read_parquet("live/requests.parquet")
    assert len(requests) > 30
    assert set(requests["outcome"].astype(str)) == {"completed"}
    assert items(Path("live")) == items(Path("simulated"))
