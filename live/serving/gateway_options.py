"""How a gateway runs: the values behind its command line."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path

from ipa.live.serving.admission import default_inside_bytes
from ipa.profiles import Pipeline

LOOPBACK = (ip_network("127.0.0.0/8"), ip_network("::1"))


@dataclass(frozen=True)
class GatewayOptions:
    """What a gateway serves, and its limits.

    `bound_s` is the longest that a request may stay (None: 10 x the SLA), `replica_timeout_s` the longest that a
    replica may take over a batch (None: the bound). When the gateway is to end, clients that are still connected may
    take `linger_s` to send their last request. The requests inside may hold `most_inside_bytes`; `records` requests
    that have ended are kept for the control API. One that `waits_for_start` serves nobody before its time 0 is set.

    `seed` is that of the draws which say to which of several variants of a stage a request goes.

    `control_token_file` holds the token of the control port, whose callers may also know it under `control_names`
    (None: a new token, in a file of its own). `data_token_file` holds those of clients (None: they need none), who may
    know the data port under `data_names`, and be web pages of `data_origins`. Replicas
    are accepted in `replica_networks` alone, and at `replica_port` alone (None: at any).
    """

    pipeline: Pipeline
    drop: str = "request"
    removal: str = "drain"
    control_token_file: Path | None = None
    control_names: tuple[str, ...] = ()
    data_token_file: Path | None = None
    data_names: tuple[str, ...] = ()
    data_origins: tuple[str, ...] = ()
    replica_networks: tuple[IPv4Network | IPv6Network, ...] = LOOPBACK
    replica_port: int | None = None
    bound_s: float | None = None
    replica_timeout_s: float | None = None
    linger_s: float = 5.0
    most_inside_bytes: int = field(default_factory=default_inside_bytes)
    records: int = 50_000
    waits_for_start: bool = False
    seed: int = 0
    log_level: str = "info"
