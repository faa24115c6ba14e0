"""What the gateway passes and adds: two emulated stages of zero service time, it on one core, all else on another."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import numpy as np

from tests.live import load_client
from tests.live.serving.serving_plane import Process, entry, plane, put, wanted
from tests.programs.benchmarks.tables import Column, Table, Value

PIPELINE, STAGES = "video", (("object-detection", "yolov5n"), ("image-classification", "resnet18"))
REPLICAS = 2
CLIENTS = {1: 16, 8: 64}
DURATION_S = 8.0
STEADY_RPS = 200.0
VALUES = 64


def gateway() -> Table:
    """Throughput and added latency by batch size."""
    return Table(
        name="gateway",
        title=f"Gateway: two stages of zero service time, {REPLICAS} replicas each, {VALUES} float32 a request",
        columns=(
            Column("batch", "batch", "d"),
            Column("form", "form"),
            Column("passed_rps", "passes /s", ",.0f"),
            Column("cpu_ms", "gateway's CPU ms each", ".3f"),
            Column("not_200", "not 200", "d"),
            Column("steady_rps", "at /s", "g"),
            Column("p50_ms", "p50 ms", ".2f"),
            Column("p99_ms", "p99 ms", ".2f"),
        ),
        rows=tuple(_row(batch, form) for batch in (1, 8) for form in ("binary", "json")),
        notes=(
            "Passes: clients that send again when answered, batch timeout 5 ms.",
            "Latency: open loop, from sending to the whole answer, batch timeout 0.",
            "The gateway has one core, the replicas and the client share another.",
        ),
    )


def _row(batch: int, form: str) -> dict[str, Value]:
    import uvloop

    sent, moments_s = message(form), np.arange(0.0, DURATION_S, 1.0 / STEADY_RPS)
    with running() as gateway:
        configure(gateway, batch, 0.0 if batch == 1 else 0.005)
        before_s = _cpu_s(gateway)
        passing = uvloop.run(load_client.closed_loop(gateway.url, sent, CLIENTS[batch], DURATION_S))
        spent_s = None if before_s is None else (_cpu_s(gateway) or 0.0) - before_s
        configure(gateway, batch, 0.0)
        steady = uvloop.run(load_client.open_loop(gateway.url, sent, moments_s.tolist()))
    statuses = passing.statuses + steady.statuses
    return {
        "batch": batch,
        "form": form,
        "passed_rps": passing.statuses[200] / passing.duration_s,
        "cpu_ms": None if spent_s is None else 1e3 * spent_s / passing.statuses.total(),
        "not_200": statuses.total() - statuses[200],
        "steady_rps": STEADY_RPS,
        "p50_ms": 1e3 * median(steady.latencies_s),
        "p99_ms": 1e3 * float(np.quantile(steady.latencies_s, 0.99)),
    }


def _cpu_s(process: Process) -> float | None:
    """The processor seconds that a process has used; None where the system does not tell."""
    try:
        fields = Path(f"/proc/{process.popen.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def message(form: str) -> bytes:
    """One inference request on the wire, `json` or `binary`."""
    path = f"/v2/models/{PIPELINE}/infer"
    values = np.arange(VALUES, dtype=np.float32)
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, VALUES]}
    if form == "json":
        return load_client.encoded(path, json.dumps({"inputs": [{**tensor, "data": values.tolist()}]}).encode())
    asked = {
        "inputs": [{**tensor, "parameters": {"binary_data_size": values.nbytes}}],
        "parameters": {"binary_data_output": True},
    }
    head = json.dumps(asked).encode()
    return load_client.encoded(path, head + values.tobytes(), [("Inference-Header-Content-Length", str(len(head)))])


def configure(gateway: Process, batch: int, timeout_s: float) -> None:
    """Set batch size and timeout of both stages."""
    configuration = {stage: wanted(variant, batch, timeout_s, REPLICAS) for stage, variant in STAGES}
    put(gateway.urls["control_url"] + "/control/configuration", configuration)


@contextmanager
def running(*options: str, factor: float = 0.0) -> Iterator[Process]:
    """A plane with the gateway on the first core, and this process and the replicas on the last; these take `factor`
    times the profile's time."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    with tempfile.TemporaryDirectory() as folder, plane(Path(folder), {"gateway": cores[0], "server": cores[-1]}) as up:
        gateway = up.gateway("--pipeline", PIPELINE, *options)
        listed = {
            stage: [
                entry(n, up.emulated(PIPELINE, stage, variant, "--factor", str(factor)).url, variant)
                for n in range(REPLICAS)
            ]
            for stage, variant in STAGES
        }
        put(gateway.urls["control_url"] + "/control/replicas", listed)
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {cores[-1]})
        try:
            yield gateway
        finally:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(0, set(cores))


if __name__ == "__main__":
    from rich.console import Console

    gateway().print(Console())
