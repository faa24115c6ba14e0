"""The serving plane of a live run: its settings, and the command lines of its processes."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from ipa.live.stage_replicas import Replica
from ipa.profiles import Pipeline

GATEWAY = "ipa.live.serving.gateway"
SERVER = "ipa.live.serving.server"
LOAD = "ipa.live.load_generator"

PRELOADED = (GATEWAY, SERVER, LOAD, "ipa.live.serving.emulated", "uvloop", "scipy.special")
"""What the processes of a run need: imported once, by their common parent."""

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Plane:
    """The settings of a serving plane; the keys are the scenario's.

    `source` is the pipeline's name or file; `pipeline` the same with the run's SLA and drop limits. `port` is the
    gateway's for clients, `control_port` that of its control API and metrics; 0: any that is free.
    """

    pipeline: Pipeline
    source: str
    seed: int = 1
    service_times: str = "lognormal"
    stop_s: float = 0.0
    drop: str = "request"
    max_surge: int | None = None
    max_unavailable: int = 0
    limit_cores: int | None = None
    port: int = 0
    control_port: int = 0


def free_port() -> int:
    """A port of the loopback interface that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind((LOOPBACK, 0))
        port: int = listener.getsockname()[1]
        return port


def gateway_arguments(
    plane: Plane,
    pipeline_file: str,
    port: int,
    control_port: int,
    *,
    linger_s: int,
    host: str = LOOPBACK,
    replica_timeout_s: float | None = None,
    most_inside_bytes: int | None = None,
) -> list[str]:
    """How the gateway is called.

    `linger_s`: how long after SIGTERM it still serves clients that stay connected; for the others, see its `--help`.
    """
    arguments = ["--pipeline", pipeline_file, "--host", host, "--port", str(port)]
    arguments += ["--control-host", host, "--control-port", str(control_port)]
    arguments += ["--sla", repr(plane.pipeline.sla_s), "--drop", plane.drop, "--log-level", "warning"]
    if replica_timeout_s is not None:
        arguments += ["--replica-timeout", repr(replica_timeout_s)]
    arguments += ["--linger", str(linger_s)]
    if most_inside_bytes is not None:
        arguments += ["--most-inside", str(most_inside_bytes)]
    for stage, limit_s in zip(plane.pipeline.stages, plane.pipeline.drop_limits_s, strict=True):
        arguments += ["--drop-limit", f"{stage.name}={limit_s!r}"]
    return arguments


def server_arguments(plane: Plane, replica: Replica, port: int, created_s: float, start_up_s: float) -> list[str]:
    """How the model server of a replica is called; its start-up counts from `created_s` of `time.monotonic()`."""
    return [
        *("--port", str(port), "--model", replica.variant, "--backend", "emulated"),
        *("--pipeline", plane.source, "--stage", replica.stage, "--variant", replica.variant),
        *("--cores", str(replica.cores), "--seed", str(plane.seed)),
        *("--created", repr(created_s), "--start-up", repr(start_up_s), "--stop", repr(plane.stop_s)),
        *("--log-level", "warning"),
    ]
