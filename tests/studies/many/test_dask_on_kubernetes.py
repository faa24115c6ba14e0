"""The objects of docs/sweeps.md that start a Dask cluster on Kubernetes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.command import ipa
from tests.live.kubernetes.test_schemas import VERSIONS, problems, violations
from tests.studies.many.waiting import until

PAGE = Path(__file__).parents[3] / "docs/sweeps.md"


def objects() -> list[dict[str, Any]]:
    (text,) = re.findall(r"^```yaml dask.yaml\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return list(yaml.safe_load_all(text))


def pods() -> dict[str, dict[str, Any]]:
    """Deployment -> the specification of its pods."""
    return {
        each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in objects() if each["kind"] == "Deployment"
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_one_of_the_published_schema(version: str) -> None:
    assert len(objects()) == 4
    assert [problem for each in objects() for problem in problems(each, version)] == []


def test_every_pod_is_admitted_where_pod_security_is_restricted() -> None:
    assert [violations(pod) for pod in pods().values()] == [[], []]


def test_the_service_leads_to_the_scheduler_and_the_workers_to_the_service() -> None:
    service, policy, scheduler, worker = objects()
    assert policy["spec"]["podSelector"]["matchLabels"].items() <= service["spec"]["selector"].items()
    assert service["spec"]["selector"] == scheduler["spec"]["template"]["metadata"]["labels"]
    for each in (scheduler, worker):
        assert each["spec"]["selector"]["matchLabels"] == each["spec"]["template"]["metadata"]["labels"]
    (port,) = service["spec"]["ports"]
    (container,) = pods()["sweeps-scheduler"]["containers"]
    (opened,) = container["ports"]
    assert (port["targetPort"], str(opened["containerPort"])) == (opened["name"], container["command"][5])
    assert f"tcp://{service['metadata']['name']}:{port['port']}" in pods()["sweeps-worker"]["containers"][0]["command"]


@pytest.mark.long
@pytest.mark.alone
@pytest.mark.skipif(find_spec("distributed") is None, reason="distributed is not installed")
def test_what_the_containers_run_makes_a_cluster_that_runs_a_sweep(tmp_path: Path) -> None:
    """On this machine, on another port."""
    sweep = ("sweep", "video", "--vary", "policy.alpha=1,2", "--trace", "constant:9:30")
    assert ipa(*sweep, "--out", tmp_path / "here", "--jobs", 1).exit_code == 0
    with started("sweeps-scheduler", tmp_path, **{"8786": "0"}) as log:
        (address,) = until(
            lambda: re.findall(r"tcp://[\d.]+:\d+", log.read_text()[:2000])[:1], "the scheduler's address"
        )
        with started("sweeps-worker", tmp_path, **{"tcp://sweeps:8786": address}):
            there = ipa(*sweep, "--out", tmp_path / "there", "--on", f"dask://{address.removeprefix('tcp://')}")
    assert there.exit_code == 0, there.stderr
    assert (tmp_path / "there/runs.parquet").read_bytes() == (tmp_path / "here/runs.parquet").read_bytes()


@contextmanager
def started(name: str, folder: Path, **instead: str) -> Iterator[Path]:
    """The command of a Deployment's container as a process, with other words for some; its log."""
    (container,) = pods()[name]["containers"]
    _, *words = container["command"]
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        command = [sys.executable, *(instead.get(word, word) for word in words), "--host", "127.0.0.1"]
        process = subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)
    try:
        yield log
    finally:
        process.kill()
        process.wait()
