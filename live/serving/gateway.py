"""The gateway of a pipeline: `python -m ipa.live.serving.gateway --pipeline video`.

One asyncio process holds the router and all its queues (`gateway_process`, `host`). Clients use the data port, which
serves the pipeline as one model of the protocol; the control plane uses the control port.

Both ports are open before the slow imports. Connections meanwhile wait, and are answered as soon as the gateway can: a
cluster's readiness probe need not be repeated, and its list of replicas is not refused.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from socket import socket
from typing import Any

import click

from ipa.errors import InputError
from ipa.live.gateway_limits import limit_options
from ipa.live.plane import handed_out, open_port


def _networks(_: click.Context, __: click.Parameter, given: Sequence[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(map(ip_network, given))
    except ValueError as error:
        raise click.BadParameter(f"{error}; allowed: 10.0.0.0/8, fd00::/8 and the like") from None


def _limits(_: click.Context, __: click.Parameter, given: Sequence[str]) -> dict[str, float]:
    limits = {}
    for text in given:
        stage, equals, seconds = text.partition("=")
        try:
            limits[stage] = float(seconds)
        except ValueError:
            equals = ""
        if not equals or not limits[stage] > 0:
            raise click.BadParameter(f"{text!r} should be STAGE=SECONDS")
    return limits


def _port(host: str, port: int, descriptor: int | None, given_by: str | None = None) -> socket:
    if given_by is not None:
        return handed_out(given_by)
    return open_port(host, port) if descriptor is None else socket(fileno=descriptor)


PORT, COUNT, SECONDS = click.IntRange(0, 65535), click.IntRange(min=1), click.FloatRange(min=0, min_open=True)
FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--pipeline", required=True, help="a shipped pipeline's name, or a file")
@click.option("--sla", "sla_s", type=SECONDS, help="end-to-end latency target in seconds [the pipeline's]")
@click.option("--drop-limit", "drop_limits_s", multiple=True, callback=_limits, metavar="STAGE=SECONDS")
@click.option("--drop", type=click.Choice(["request", "batch", "deadline"]), default="request", show_default=True)
@click.option(
    "--removal",
    type=click.Choice(["drain", "lose"]),
    default="drain",
    show_default=True,
    help="whether a batch that breaks off at a replica no longer listed is retried, or its requests fail at once",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="address for clients")
@click.option("--port", type=PORT, default=0, help="port for clients [any free one]")
@click.option("--control-host", default="127.0.0.1", show_default=True)
@click.option("--control-port", type=PORT, default=0, help="port of the control API [any free one]")
@click.option(
    "--control-token-file",
    type=FILE,
    help="token of the control port; a missing file is made, with a new one [a new file, which is announced]",
)
@click.option(
    "--control-name", "control_names", multiple=True, metavar="HOST", help="by which callers know the control port"
)
@click.option("--data-token-file", type=FILE, help="tokens of clients, one a line [clients need none]")
@click.option(
    "--data-name",
    "data_names",
    multiple=True,
    metavar="HOST",
    help="by which clients know the data port [on loopback none but localhost, elsewhere any]",
)
@click.option(
    "--data-origin", "data_origins", multiple=True, metavar="ORIGIN", help="web pages that may send requests [none]"
)
@click.option(
    "--replica-network",
    "replica_networks",
    multiple=True,
    callback=_networks,
    metavar="CIDR",
    help="where replicas may be; may be repeated [127.0.0.0/8 and ::1]",
)
@click.option("--replica-port", type=click.IntRange(1, 65535), help="port that replicas must have [any]")
@click.option("--bound", "bound_s", type=SECONDS, help="most seconds a request may stay [10 x SLA]")
@click.option("--replica-timeout", "replica_timeout_s", type=SECONDS, help="most seconds for any batch [the bound]")
@click.option(
    "--linger",
    "linger_s",
    type=click.FloatRange(min=0),
    default=5.0,
    show_default=True,
    help="seconds that connected clients get at the end for a last request",
)
@click.option(
    "--most-inside",
    "most_inside_bytes",
    type=COUNT,
    help="most bytes that requests inside hold; more are refused [a quarter of the memory, at most 2 GiB]",
)
@click.option("--records", type=COUNT, default=50_000, show_default=True, help="how many ended requests are kept")
@limit_options
@click.option(
    "--wait-for-start", "waits_for_start", is_flag=True, help="refuse requests until the control API has set time 0"
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="of what goes where in a graph",
)
@click.option(
    "--lease-file",
    type=FILE,
    help="of two gateways on this machine with the same ports, the one that holds the lease in this file serves",
)
@click.option(
    "--leased", "is_leased", is_flag=True, help="serve only while the control API grants the lease, as on a cluster"
)
@click.option("--port-fd", type=COUNT, help="the port for clients, open already: the number of its descriptor")
@click.option("--port-from", metavar="NAME", help="the port for clients, open already: who hands it out in this pod")
@click.option("--control-port-fd", type=COUNT, help="the same for the port of the control API")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def main(
    pipeline: str,
    sla_s: float | None,
    drop_limits_s: dict[str, float],
    host: str,
    port: int,
    control_host: str,
    control_port: int,
    port_fd: int | None,
    port_from: str | None,
    control_port_fd: int | None,
    **options: Any,
) -> None:
    """Run the gateway of one pipeline: the router and its queues."""
    try:
        with (
            _port(control_host, control_port, control_port_fd) as control,
            _port(host, port, port_fd, port_from) as data,
        ):
            gc.disable()  # imported objects stay: looking for garbage among them takes a tenth of the time
            try:
                from ipa import profiles
                from ipa.live.serving.gateway_process import serve
                from ipa.live.serving.host import GatewayOptions

                loaded = profiles.load(pipeline).with_limits(sla_s, drop_limits_s)
            finally:
                gc.enable()
            given = {key: value for key, value in options.items() if value not in (None, ())}
            serve(GatewayOptions(loaded, **given), data, control)
    except InputError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
