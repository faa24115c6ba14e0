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
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving import access
from ipa.live.serving.control_api import control_application
from ipa.live.serving.host import Gateway, GatewayOptions
from ipa.live.serving.spans import configured_provider
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

COLLECTED_EVERY = 20_000
"""After how many new objects garbage is looked for; a request leaves next to none that needs to be found."""

log = logging.getLogger("live.gateway")


async def run(
    options: GatewayOptions, control_tokens: TokenFile, data_port: socket.socket, control_port: socket.socket
) -> None:
    """Serve at these ports until SIGTERM or SIGINT; a second signal ends the process at once."""
    gateway = Gateway(options, configured_provider())
    tokens = None if options.data_token_file is None else TokenFile(options.data_token_file)
    is_ours = access.is_loopback(data_port) or options.data_names
    names = options.data_names if is_ours else None
    data = application(access.data_guard(tokens, names, options.data_origins), on_refusal=gateway.refused)
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
    data_runner, url = await listen(data, data_port, turns=gateway.turns)
    control = control_application(gateway, control_tokens)
    control_runner, control_url = await listen(control, control_port)
    stopping = stopped()
    announce(url=url, control_url=control_url, control_token_file=str(control_tokens.path))
    log.info("listening", extra={"url": url, "control_url": control_url, "pipeline": options.pipeline.name})
    gc.freeze()
    gc.set_threshold(COLLECTED_EVERY)
    await stopping.wait()
    await gateway.drain(lambda: bool(data_runner.server and data_runner.server.connections), options.linger_s)
    await data_runner.cleanup()
    await control_runner.cleanup()
    await gateway.close()
    log.info("stopped", extra={"requests": gateway.ended_requests.count})


def serve(options: GatewayOptions, data_port: socket.socket, control_port: socket.socket) -> None:
    """`run` in an event loop of its own. Raises LiveError for a token file that cannot be used."""
    logs.json_to_stderr("gateway", options.log_level)
    if options.data_token_file is not None:
        TokenFile(options.data_token_file).read()
    with _control_tokens(options.control_token_file) as tokens:
        in_event_loop(run(options, tokens, data_port, control_port))


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
