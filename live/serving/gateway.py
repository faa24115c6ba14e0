"""The gateway of a pipeline: `python -m ipa.live.serving.gateway --pipeline video`.

One asyncio process holds the router and all its queues (`host`). Clients use the data port, which serves the pipeline
as one model of the protocol; the control plane uses the control port.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Sequence
from typing import Any

import click

from ipa.live.serving import logs
from ipa.live.serving.admission import default_inside_bytes
from ipa.live.serving.control_api import control_application
from ipa.live.serving.gateway_options import GatewayOptions
from ipa.live.serving.host import Gateway
from ipa.live.serving.web import (
    add_protocol_routes,
    announce,
    application,
    close_connections,
    in_event_loop,
    listen,
    on_signals,
)

ACCEPTS_PATH = "/gateway/ready"
"""On the data port: whether this gateway takes requests, for whoever decides whether to send them here."""

log = logging.getLogger("live.gateway")


async def run(options: GatewayOptions) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once."""
    gateway = Gateway(options)
    data = application()
    close_connections(data, when=lambda: gateway.is_closing)
    add_protocol_routes(
        data,
        server="ipa-gateway",
        unready=gateway.unready,
        model=options.pipeline.name,
        metadata=gateway.metadata,
        infer=gateway.infer,
    )
    data.router.add_get(ACCEPTS_PATH, gateway.accepts)
    data_runner, url = await listen(data, options.host, options.port)
    control_runner, control_url = await listen(control_application(gateway), options.control_host, options.control_port)
    stopping = asyncio.Event()
    on_signals(stopping.set, lambda: os._exit(1))
    announce(url=url, control_url=control_url)
    log.info("listening", extra={"url": url, "control_url": control_url, "pipeline": options.pipeline.name})
    gc.freeze()
    await stopping.wait()
    await gateway.drain(lambda: bool(data_runner.server and data_runner.server.connections), options.linger_s)
    await data_runner.cleanup()
    await control_runner.cleanup()
    await gateway.close()
    log.info("stopped", extra={"requests": gateway.ended_requests.count})


def serve(options: GatewayOptions) -> None:
    """`run` in an event loop of its own."""
    logs.to_stderr("gateway", options.log_level)
    in_event_loop(run(options))


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


@click.command()
@click.option("--pipeline", required=True, help="a shipped pipeline's name, or a file")
@click.option(
    "--sla",
    "sla_s",
    type=click.FloatRange(min=0, min_open=True),
    help="end-to-end latency target in seconds [the pipeline's]",
)
@click.option("--drop-limit", "drop_limits_s", multiple=True, callback=_limits, metavar="STAGE=SECONDS")
@click.option("--drop", type=click.Choice(["request", "batch"]), default="request", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="address for clients")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="port for clients [any free one]")
@click.option("--control-host", default="127.0.0.1", show_default=True)
@click.option("--control-port", type=click.IntRange(0, 65535), default=0, help="port of the control API [any free one]")
@click.option(
    "--bound", "bound_s", type=click.FloatRange(min=0, min_open=True), help="most seconds a request may stay [10 x SLA]"
)
@click.option(
    "--replica-timeout",
    "replica_timeout_s",
    type=click.FloatRange(min=0, min_open=True),
    help="most seconds for a batch [the bound]",
)
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
    type=click.IntRange(min=1),
    default=default_inside_bytes,
    help="most bytes that requests inside hold; more are refused [a quarter of the memory, at most 2 GiB]",
)
@click.option(
    "--records", type=click.IntRange(min=1), default=50_000, show_default=True, help="how many ended requests are kept"
)
@click.option(
    "--wait-for-start", "waits_for_start", is_flag=True, help="refuse requests until the control API has set time 0"
)
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def main(pipeline: str, sla_s: float | None, drop_limits_s: dict[str, float], **options: Any) -> None:
    """Run the gateway of one pipeline: the router and its queues."""
    from ipa import profiles
    from ipa.profiles import ProfileError

    try:
        loaded = profiles.load(pipeline).with_limits(sla_s, drop_limits_s)
    except ProfileError as error:
        raise click.UsageError(str(error)) from None
    try:
        serve(GatewayOptions(loaded, **options))
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
