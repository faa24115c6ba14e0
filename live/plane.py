"""The serving plane of a live run: its settings and those of its processes, and its ports.

Ports can be open long before a server answers: connections meanwhile wait in the kernel's backlog. So this imports
little.
"""

from __future__ import annotations

import os
import socket
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ipa.live.gateway_settings import GatewaySettings
from ipa.live.server_settings import ServerSettings

if TYPE_CHECKING:
    from ipa.profiles import Pipeline


GATEWAY = "ipa.live.serving.gateway"
SERVER = "ipa.live.serving.server"
LOAD = "ipa.live.load_generator"

PRELOADED = (
    GATEWAY,
    "ipa.live.serving.gateway_process",
    SERVER,
    LOAD,
    "ipa.live.serving.emulated",
    "uvloop",
    "scipy.special",
)
"""What the processes of a run need: imported once, by their common parent."""

LOOPBACK = "127.0.0.1"
EVERYWHERE = "::"
"""All addresses of a machine, IPv6 and IPv4."""

ACCEPTS_PATH = "/gateway/ready"
"""The path of the data port at which a gateway says that it takes requests. Not `/v2/health/ready`, which needs a
replica at every stage: a cluster that probed that would cut off the gateway, which then could not tell clients why they
are not served."""


TAKEN_WITHIN_S = 8
"""How long a gateway that is asked to end waits for the other of two to take over."""

ASKED_WITHIN_S = 1.5
"""How long a replica whose batch is late may take to answer anything at all; one that does not is lost."""


def asked_after_s(p99_s: float) -> float:
    """After how long the replica of a batch is asked whether it is there, by the batch's profile: so a lost one is
    known after 2 x p99 + 2 s, and one that is only slow is waited for."""
    return 2.0 * p99_s + 2.0 - ASKED_WITHIN_S


def given_up_after_s(p99_s: float) -> float:
    """How long a replica that is there may take over a batch, by the batch's profile."""
    return 5.0 * p99_s + 5.0


def longest_batch_s(pipeline: Pipeline) -> float:
    """How long a replica that is there may take over any batch."""
    return max(
        given_up_after_s(variant.p99_s(variant.max_batch(cores), cores))
        for stage in pipeline.stages
        for variant in stage.variants
        for cores in variant.cores
    )


@dataclass(frozen=True)
class Plane:
    """The settings of a serving plane, under the scenario's keys.

    `source` is the pipeline's name or file; `pipeline` the same with the run's SLA and drop limits. `port` is the
    gateway's for clients, `control_port` that of its control API and metrics; 0: any free one; its `limits` are as
    `GatewayLimits.as_text` writes them. Policies plan with `limit_cores`; `most_cores` may exist at any time (None: no
    limit). `models` is the folder with the real models,
    [PIPELINE/]STAGE/VARIANT/; empty: they are emulated.
    """

    pipeline: Pipeline
    source: str
    seed: int = 1
    service_times: str = "lognormal"
    stop_s: float = 0.0
    drop: str = "request"
    max_surge: int | None = None
    max_unavailable: int = 0
    removal: str = "drain"
    limit_cores: int | None = None
    most_cores: int | None = None
    when_full: str = "replace"
    port: int = 0
    control_port: int = 0
    limits: str = ""
    models: str = ""


_HELD: dict[int, int] = {}
"""Port -> the file descriptor of the socket that holds it."""


def free_port() -> int:
    """A port of the loopback interface that nobody else is given until `release_port`, or the end of this process.

    A server of ours can listen there meanwhile, as any that sets SO_REUSEADDR (on Linux; elsewhere it is not held).
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind((LOOPBACK, 0))
    port: int = holder.getsockname()[1]
    _HELD[port] = holder.detach()
    if sys.platform != "linux":
        release_port(port)
    return port


def release_port(port: int) -> None:
    """Release a port for others; does nothing for one that is not held."""
    if (holder := _HELD.pop(port, None)) is not None:
        os.close(holder)


def listening_host(host: str) -> str:
    """The address to listen on: that of IPv4 alone in place of EVERYWHERE on a machine without IPv6."""
    return "0.0.0.0" if host == EVERYWHERE and not socket.has_dualstack_ipv6() else host


def gateway_settings(plane: Plane, pipeline_file: str, control_token_file: str) -> GatewaySettings:
    """The settings of a run's gateway that are the same on loopback and on a cluster."""
    pipeline = plane.pipeline
    return GatewaySettings(
        pipeline=pipeline_file,
        limits=plane.limits,
        sla_s=pipeline.sla_s,
        drop_limits_s=tuple(zip((stage.name for stage in pipeline.stages), pipeline.drop_limits_s, strict=True)),
        drop=plane.drop,
        removal=plane.removal,
        seed=0 if pipeline.graph is None else plane.seed,  # the draws of items are those of the simulation
        control_token_file=Path(control_token_file),
        log_level="warning",
    )


class Serves(NamedTuple):
    """What a replica serves."""

    stage: str
    variant: str
    cores: int


def server_settings(plane: Plane, pipeline_file: str, serves: Serves) -> ServerSettings:
    """The settings of an emulated replica that are the same on loopback and on a cluster."""
    return ServerSettings(
        model=serves.variant,
        pipeline=pipeline_file,
        stage=serves.stage,
        variant=serves.variant,
        cores=serves.cores,
        seed=plane.seed,
        stop_s=plane.stop_s,
        log_level="warning",
    )


BACKLOG = 1024
"""How many connections may wait to be accepted."""


def open_port(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any free one. Raises OSError, with the address in its text."""
    host = listening_host(host)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        if host == EVERYWHERE:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)  # one socket for both families
        listening.bind((host, port))
        listening.listen(BACKLOG)
    except OSError as error:
        listening.close()
        raise OSError(error.errno, f"{host} port {port}: {error.strerror}") from None
    return listening
