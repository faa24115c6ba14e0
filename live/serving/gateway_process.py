"""The process of a gateway, from its open ports to its end."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from ipa.live import logs
from ipa.live.errors import LiveError
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving import access
from ipa.live.serving.control_api import control_application
from ipa.live.serving.host import Gateway
from ipa.live.serving.web import (
    add_protocol_routes,
    announce,
    application,
    close_connections,
    in_event_loop,
    listen,
    stopped,
)
from ipa.live.tokens import TokenFile, create_token_file
from ipa.profiles import Pipeline

COLLECTED_EVERY = 20_000
"""After how many new objects garbage is looked for; a request leaves next to none that needs to be found."""

log = logging.getLogger("live.gateway")


async def run(
    pipeline: Pipeline,
    settings: GatewaySettings,
    control_tokens: TokenFile,
    data_port: socket.socket,
    control_port: socket.socket,
) -> None:
    """Serve at these ports until SIGTERM or SIGINT; a second signal ends the process at once."""
    gateway = Gateway(pipeline, settings)
    tokens = None if settings.data_token_file is None else TokenFile(settings.data_token_file)
    is_ours = access.is_loopback(data_port) or settings.data_names
    names = settings.data_names if is_ours else None
    guard = access.data_guard(tokens, names, settings.data_origins)
    data = application(guard, on_refusal=gateway.refused)
    close_connections(data, when=lambda: gateway.is_closing or not gateway.may_serve)
    add_protocol_routes(
        data,
        server="ipa-gateway",
        unready=gateway.unready,
        model=pipeline.name,
        metadata=gateway.metadata,
        infer=gateway.infer,
    )
    data.router.add_get(ACCEPTS_PATH, gateway.accepts)
    control = control_application(gateway, control_tokens)
    data_runner, url = await listen(data, data_port)
    control_runner, control_url = await listen(control, control_port)
    stopping = stopped()
    announce(url=url, control_url=control_url, control_token_file=str(control_tokens.path))
    log.info(
        "listening",
        extra={"url": url, "control_url": control_url, "pipeline": pipeline.name},
    )
    gc.freeze()
    gc.set_threshold(COLLECTED_EVERY)
    await stopping.wait()
    await gateway.drain(lambda: bool(data_runner.server and data_runner.server.connections), settings.linger_s)
    for runner in (data_runner, control_runner):
        await runner.cleanup()
    await gateway.close()
    log.info("stopped", extra={"requests": gateway.ended_requests.count})


def serve(pipeline: Pipeline, settings: GatewaySettings, data_port: socket.socket, control_port: socket.socket) -> None:
    """`run` in an event loop of its own. Raises LiveError for a token file that cannot be used."""
    logs.json_to_stderr("gateway", settings.log_level)
    if settings.data_token_file is not None:
        TokenFile(settings.data_token_file).read()
    with _control_tokens(settings.control_token_file) as tokens:
        in_event_loop(run(pipeline, settings, tokens, data_port, control_port))


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
