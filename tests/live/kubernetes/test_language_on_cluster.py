"""A stage of a language model on real pods, through a rollout: each text has the tokens that it has in a simulation."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from tests.command import ipa
from tests.house import ROOT
from tests.live.kubernetes.test_graph_on_cluster import namespace
from tests.live.kubernetes.world import IMAGE

__all__ = ["namespace"]

pytestmark = pytest.mark.cluster

PIPELINE = str(ROOT / "studies" / "examples" / "chat" / "small-chat.yaml")
PLANNED = ("--policy", "static:wide:1:1,large:8:2", "--set", "seed=7", "--set", "sla_s=30")
"""Other variants than those that are deployed first; how slow the machine is drops no request."""
LOAD = ("--trace", "constant:2:30")


def texts(folder: str) -> list[tuple[int, int]]:
    """The tokens of each text, in and out. Two requests that are sent within milliseconds may change places."""
    stages = pd.read_parquet(Path(folder) / "stages.parquet")
    answered = stages[stages["stage"] == "answer"]
    assert (answered["start_s"] < answered["first_token_s"]).all()
    assert (answered["first_token_s"] <= answered["finish_s"]).all()
    return sorted(zip(answered["input_tokens"], answered["output_tokens"], strict=True))


def test_every_text_has_the_tokens_that_it_has_in_the_simulation(
    tmp_path: Path, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    where = ("--namespace", namespace)
    image = ("--image", IMAGE, "--set", "image.pull=Never", "--set", "cluster.service_type=NodePort")
    for words in (
        ("simulate", PIPELINE, *PLANNED, *LOAD, "--out", "simulated"),
        ("live", "up", PIPELINE, *where, *image, "--set", "sla_s=30", "--yes"),
        ("live", "run", PIPELINE, "--backend", "kubernetes", *where, *PLANNED, *LOAD, "--out", "live"),
    ):
        ended = ipa(*words)
        assert ended.exit_code == 0, f"{words}: {ended.stderr}"
    requests = pd.read_parquet("live/requests.parquet")
    assert len(requests) > 30
    assert set(requests["outcome"].astype(str)) == {"completed"}
    assert texts("live") == texts("simulated")
    assert "large" in set(pd.read_parquet("live/replicas.parquet")["variant"].astype(str))
