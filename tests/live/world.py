"""A small pipeline on real processes, for tests of live mode."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from ipa import profiles
from ipa.live.loopback import LoopbackBackend
from ipa.live.plane import Plane
from ipa.policies import StageConfiguration

PATIENCE_S = 90.0
"""How long a test waits for something to happen on a machine that is busy."""

PIPELINE = """\
schema_version: 1
kind: pipeline
name: tiny
description: One stage of two variants that start in a moment.
provenance:
  guess: {kind: assumed, why: for a test}
stages:
  - name: sort
    task: sorts
    accuracy_metric: share
    threshold_rps: 1
    sla: {pinned_s: 30, why: for a test}
    variants:
      - name: small
        accuracy: {value: 0.5, from: guess}
        start_up: {seconds: 0.1, from: guess}
        base_cores: {pinned: 1, why: for a test}
        figures:
          - {cores: 1, batch: 1, mean_s: 0.02, p99_s: 0.02, throughput_rps: 50, from: guess}
          - {cores: 1, batch: 4, mean_s: 0.04, p99_s: 0.04, throughput_rps: 100, from: guess}
      - name: large
        accuracy: {value: 0.75, from: guess}
        start_up: {seconds: 0.3, from: guess}
        base_cores: {pinned: 2, why: for a test}
        figures:
          - {cores: 2, batch: 1, mean_s: 0.03, p99_s: 0.03, throughput_rps: 33, from: guess}
          - {cores: 2, batch: 4, mean_s: 0.06, p99_s: 0.06, throughput_rps: 66, from: guess}
published:
  {alpha: 1, beta: 1, gamma: 1e-6, accuracy: product, accuracy_scale: raw, accuracy_floor: 0, batch_cap: 4, \
load_margin: 0, throughput_share: 1, scale_only: {}, switch_only_replicas: {sort: 2}}
"""
"""By its SLA no request is dropped as late while a busy machine stands still for seconds."""

HISTORY = (1.0, 2.0, 3.0)


def sort(variant: str = "small", replicas: int = 1, batch: int = 1) -> Mapping[str, StageConfiguration]:
    """A configuration of the tiny pipeline."""
    return {"sort": StageConfiguration(variant, batch, replicas, 0.0, {"small": 1, "large": 2}[variant])}


def pipeline_file(folder: Path) -> Path:
    path = folder / "tiny.yaml"
    path.write_text(PIPELINE, encoding="utf-8")
    return path


@asynccontextmanager
async def running(folder: Path, **settings: Any) -> AsyncIterator[LoopbackBackend]:
    """The tiny pipeline with one small replica, its clock started."""
    path = pipeline_file(folder)
    backend = LoopbackBackend(Plane(profiles.load(str(path)), str(path), **settings), folder, HISTORY)
    try:
        await backend.open(sort())
        await backend.start(time.monotonic())
        yield backend
    finally:
        await backend.close()


async def until(holds: Callable[[], object], what: str) -> None:
    """Wait until something holds; fail where it does not in good time."""
    until_s = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until_s, f"waited {PATIENCE_S:g} s in vain: {what}"
        await asyncio.sleep(0.01)


def until_now(holds: Callable[[], object], what: str, within_s: float = PATIENCE_S) -> None:
    """The same without an event loop."""
    until_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < until_s, f"waited {within_s:g} s in vain: {what}"
        time.sleep(0.02)


@contextmanager
def hanging_server() -> Iterator[str]:
    """The URL of a server that takes no more connections and refuses none."""
    with socket.socket() as server, ExitStack() as waiting:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        for _ in range(4):  # more than its queue holds
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(server.getsockname())
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def descendants(pid: int, generations: int = sys.maxsize) -> dict[int, str]:
    """The processes that a process and its children have started, so many generations of them: pid -> name."""
    parents: dict[int, tuple[int, str]] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                stat = Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            name, _, rest = stat.partition("(")[2].rpartition(")")
            if rest.split()[0] != "Z":
                parents[int(entry)] = int(rest.split()[1]), name
    found: dict[int, str] = {}
    wanted = {pid}
    while wanted and generations:
        generations -= 1
        wanted = {child for child, (parent, _) in parents.items() if parent in wanted}
        found |= {child: parents[child][1] for child in wanted}
    return found


def is_alive(pid: int) -> bool:
    """Whether a process is there and no zombie."""
    try:
        return Path("/proc", str(pid), "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def usage(pid: int) -> tuple[int, int]:
    """Open descriptors and resident bytes of a process; zeros where the system does not tell, or it is gone."""
    folder = Path("/proc", str(pid))
    try:
        resident = int((folder / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return len(list((folder / "fd").iterdir())), resident
    except OSError:
        return 0, 0


def metric_values(text: str) -> dict[tuple[str, ...], float]:
    """Metrics in Prometheus's text format: name and labels, but for the pipeline's -> value."""
    from prometheus_client.parser import text_string_to_metric_families

    return {
        (sample.name, *(value for key, value in sorted(sample.labels.items()) if key != "pipeline")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def steps(state: Path) -> list[int]:
    """The numbers of the steps in a journal, in order of writing."""
    if not state.exists():
        return []
    lines = state.read_text(encoding="utf-8").splitlines()
    return [json.loads(each)["observation"]["step"] for each in lines if each.endswith("}")]


def of_environment(setting: str) -> list[int]:
    """The processes that were started with this setting, "NAME=value", in their environment."""
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            settings = Path("/proc", entry, "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        if setting.encode() in settings and is_alive(int(entry)):
            found.append(int(entry))
    return found
