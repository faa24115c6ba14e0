"""The gateway of a pipeline: `python -m ipa.live.serving.gateway --pipeline video`.

One asyncio process holds the router and all its queues (`host`). Clients use the data port, which serves the pipeline
as one model of the protocol; the control plane uses the control port.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from ipa.live.errors import LiveError
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving import access, logs
from ipa.live.serving.admission import default_inside_bytes
from ipa.live.serving.control_api import control_application
from ipa.live.serving.gateway_options import LOOPBACK, GatewayOptions
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
from ipa.live.tokens import TokenFile, create_token_file

log = logging.getLogger("live.gateway")


async def run(options: GatewayOptions, control_tokens: TokenFile) -> None:
    """Serve until SIGTERM or SIGINT; a second signal ends the process at once."""
    gateway = Gateway(options)
    data_file = options.data_token_file
    data = application(*(() if data_file is None else [access.data_guard(TokenFile(data_file))]))
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
    control = control_application(gateway, control_tokens)
    control_runner, control_url = await listen(control, options.control_host, options.control_port)
    stopping = asyncio.Event()
    on_signals(stopping.set, lambda: os._exit(1))
    announce(url=url, control_url=control_url, control_token_file=str(control_tokens.path))
    log.info("listening", extra={"url": url, "control_url": control_url, "pipeline": options.pipeline.name})
    gc.freeze()
    await stopping.wait()
    await gateway.drain(lambda: bool(data_runner.server and data_runner.server.connections), options.linger_s)
    await data_runner.cleanup()
    await control_runner.cleanup()
    await gateway.close()
    log.info("stopped", extra={"requests": gateway.ended_requests.count})


def serve(options: GatewayOptions) -> None:
    """`run` in an event loop of its own. Raises LiveError for a token file that cannot be used."""
    logs.to_stderr("gateway", options.log_level)
    if options.data_token_file is not None:
        TokenFile(options.data_token_file).read()
    with _control_tokens(options.control_token_file) as tokens:
        in_event_loop(run(options, tokens))


@contextmanager
def _control_tokens(path: Path | None) -> Iterator[TokenFile]:
    """The token of the control port: the given file's, which is made if it is missing, or one for this process."""
    if path is None:
        with TemporaryDirectory(prefix="ipa-control-") as folder, _control_tokens(Path(folder, "token")) as tokens:
            yield tokens
        return
    try:
        if not path.exists():
            create_token_file(path)
    except OSError as error:
        raise LiveError(f"{path}: no token can be written there: {error.strerror}") from None
    tokens = TokenFile(path)
    tokens.read()
    yield tokens


def _networks(_: click.Context, __: click.Parameter, given: Sequence[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(map(ip_network, given)) or LOOPBACK
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


@click.command()
@click.option("--pipeline", required=True, help="a shipped pipeline's name, or a file")
@click.option(
    "--sla",
    "sla_s",
    type=click.FloatRange(min=0, min_open=True),
    help="end-to-end latency target in seconds [the pipeline's]",
)
@click.option("--drop-limit", "drop_limits_s", multiple=True, callback=_limits, metavar="STAGE=SECONDS")
@click.option("--drop", type=click.Choice(["request", "batch", "deadline"]), default="request", show_default=True)
@click.option("--host", default="127.0.0.1", show_default=True, help="address for clients")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="port for clients [any free one]")
@click.option("--control-host", default="127.0.0.1", show_default=True)
@click.option("--control-port", type=click.IntRange(0, 65535), default=0, help="port of the control API [any free one]")
@click.option(
    "--control-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="token of the control port; a missing file is made, with a new one [a new file, which is announced]",
)
@click.option(
    "--control-name", "control_names", multiple=True, metavar="HOST", help="by which callers know the control port"
)
@click.option(
    "--data-token-file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="tokens of clients, one a line [clients need none]",
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
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="of who gets which variant of a mix"
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
    except LiveError as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise click.UsageError(f"cannot listen: {error.strerror or error}") from None


if __name__ == "__main__":
    main()
