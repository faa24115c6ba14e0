"""The settings of a gateway's process, for its own command and for those who start one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import click

from ipa.live.process_settings import (
    COUNT,
    DURATION_S,
    LOG_LEVEL,
    PORT,
    SECONDS,
    SEED,
    ProcessSettings,
    setting,
)

FILE = click.Path(path_type=Path, dir_okay=False)


class _StageLimit(click.ParamType[tuple[str, float]]):
    name = "STAGE=SECONDS"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> tuple[str, float]:
        stage, _, seconds = value.partition("=")
        try:
            limit_s = float(seconds)
        except ValueError:
            limit_s = 0.0
        if not limit_s > 0.0:
            self.fail(f"{value!r} should be {self.name}", param, context)
        return stage, limit_s


class _Network(click.ParamType[str]):
    name = "CIDR"

    def convert(self, value: str, param: click.Parameter | None, context: click.Context | None) -> str:
        from ipaddress import ip_network

        try:
            return str(ip_network(value))
        except ValueError as error:
            self.fail(f"{error}; allowed: 10.0.0.0/8, fd00::/8 and the like", param, context)


@dataclass(frozen=True)
class GatewaySettings(ProcessSettings):
    """What a gateway serves, where, and its limits: the options of `python -m ipa.live.serving.gateway`.

    Unless `is_leased`, it serves alone. `drop_limits_s` are pairs of a stage and its limit.
    """

    pipeline: str = setting("A shipped pipeline's name, or a file.", default="", is_required=True)
    limits: str = setting("Limits on requests, as JSON: keys of the section gateway of a deployment.", default="")
    sla_s: float | None = setting("End-to-end latency target in seconds [the pipeline's].", SECONDS)
    drop_limits_s: tuple[tuple[str, float], ...] = setting(
        "How long a request may be old at a stage before it is dropped there [the pipeline's].",
        _StageLimit(),
        default=(),
        flag="--drop-limit",
    )
    drop: str = setting("", click.Choice(["request", "batch", "deadline"]), default="request")
    removal: str = setting(
        "Whether a batch that breaks off at a replica no longer listed is retried, or its requests fail at once.",
        click.Choice(["drain", "lose"]),
        default="drain",
    )
    host: str = setting("Address for clients.", default="127.0.0.1")
    port: int = setting("Port for clients; 0: any free one.", PORT, default=0)
    control_host: str = setting(default="127.0.0.1")
    control_port: int = setting("Port of the control API; 0: any free one.", PORT, default=0)
    control_token_file: Path | None = setting(
        "Token of the control port; a missing file is made, with a new one [a new file, which is announced].", FILE
    )
    control_names: tuple[str, ...] = setting(
        "Further host name by which callers know the control port.", default=(), metavar="HOST"
    )
    data_token_file: Path | None = setting("Tokens of clients, one a line [clients need none].", FILE)
    data_names: tuple[str, ...] = setting(
        "Further host name by which clients know the data port [on loopback none but localhost, elsewhere any].",
        default=(),
        metavar="HOST",
    )
    data_origins: tuple[str, ...] = setting("Web page that may send requests [none].", default=(), metavar="ORIGIN")
    replica_networks: tuple[str, ...] = setting("Where replicas may be [127.0.0.0/8 and ::1].", _Network(), default=())
    replica_port: int | None = setting("Port that replicas must have [any].", click.IntRange(1, 65535))
    bound_s: float | None = setting("Most seconds a request may stay [10 x SLA].", SECONDS)
    replica_timeout_s: float | None = setting(
        "Most seconds for any batch, beside the limit by its profile [the bound].", SECONDS
    )
    linger_s: float = setting(
        "Seconds that connected clients get at the end for a last request.", DURATION_S, default=5.0
    )
    most_inside_bytes: int | None = setting(
        "Most bytes that requests inside hold; more are refused [a quarter of the memory, at most 2 GiB].", COUNT
    )
    records: int = setting("How many ended requests are kept for the control API.", COUNT, default=50_000)
    waits_for_start: bool = setting(
        "Refuse requests until the control API has set time 0.", default=False, flag="--wait-for-start"
    )
    seed: int = setting("Of the numbers and ways of items in a graph.", SEED, default=0)
    is_leased: bool = setting(
        "Of two gateways: serve only while it is told that it holds their Lease.",
        default=False,
        flag="--leased",
    )
    log_level: str = setting("", LOG_LEVEL, default="info")
