"""The commands that begin docs/kubernetes.md, run on a real cluster as they stand there, from `up` to `down`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

pytest.importorskip("kubernetes")
pytest.importorskip("aiohttp")

from ipa.live.kubernetes.api import connect
from tests.command import ipa
from tests.live.kubernetes.world import IMAGE
from tests.test_docs import DOCS, shell_commands

pytestmark = [pytest.mark.cluster]

ENDLESS = {"--no-load", "prometheus"}
"""What goes on until it is stopped, or needs a Prometheus server beside the cluster."""


@pytest.fixture
def namespace() -> Iterator[str]:
    api, name = connect(), f"ipa-docs-{uuid4().hex[:8]}"
    api.request("POST", "/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    yield name
    api.request("DELETE", f"/api/v1/namespaces/{name}")


def here(words: list[str], namespace: str) -> list[str]:
    """A command with this cluster's image, for seconds instead of minutes, and without a question. How slow the machine
    is drops no request."""
    words = [IMAGE if word.startswith("registry.example/") else word for word in words]
    if words[1] == "run":
        words = [*words, "--duration", "10"]
    yes = ["--yes"] if words[1] in ("up", "down") else []
    pull = ["--set", "image.pull=Never"] if words[1] == "up" else []
    patient = ["--set", "sla_s=30"] if words[1] in ("up", "run") else []
    return [*words, "--namespace", namespace, *yes, *pull, *patient]


def test_what_the_page_on_kubernetes_begins_with_can_be_done(
    namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first = []
    for _, (program, *words) in shell_commands(DOCS / "kubernetes.md"):
        if program == "ipa" and not ENDLESS & set(words):
            first.append(words)
        if words[1:2] == ["down"]:
            break
    assert [words[1] for words in first] == ["up", "run", "run", "status", "down"]
    for words in first:
        ended = ipa(*here(words, namespace))
        assert ended.exit_code == 0, f"{words}: {ended.stderr}"
    assert (tmp_path / "run" / "requests.parquet").is_file()
