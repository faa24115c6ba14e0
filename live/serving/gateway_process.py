"""The process of a gateway, from its open ports to its end."""

from __future__ import annotations

import gc
import logging
import socket
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ipa.live import logs
from ipa.live.errors import LiveError
from ipa.live.gateway_settings import GatewaySettings
from ipa.live.plane import ACCEPTS_PATH
from ipa.live.serving import access
from ipa.live.serving.control_api import ControlApi, control_application
from ipa.live.serving.forwarding import Forwarder
from ipa.live.serving.host import Gateway
from ipa.live.serving.lease import FOLLOW_PATH, LEASE_PATH, STATE_PATH, Address, ServingLease
from ipa.live.serving.lease_api import add_lease_routes
from ipa.live.serving.lease_file import LeaseFile
from ipa.live.serving.standby import Standby
from ipa.live.serving.web import (
    Listener,
    add_protocol_routes,
    announce,
    application,
    close_connections,
    in_event_loop,
    stopped,
    url_of,
)
from ipa.live.tokens import TokenFile, create_token_file
from ipa.profiles import Pipeline

COLLECTED_EVERY = 20_000
"""After how many new objects garbage is looked for; a request leaves next to none that needs to be found."""
LOOKED_AT_EVERY_S = 0.05

log = logging.getLogger("live.gateway")


class _Pair:
    """What a gateway has that is one of two: its lease, and how it shares the work with the other.

    On one machine both have the same two ports, and the one that serves accepts connections there. On a cluster each
    has its own, and the one that waits passes on what reaches it.
    """

    def __init__(self, settings: GatewaySettings, address: Address, tokens: TokenFile) -> None:
        self.lease = ServingLease()
        self.file = None if settings.lease_file is None else LeaseFile(settings.lease_file, self.lease, address)
        self.tokens = tokens
        is_shared = self.file is not None
        own = {*access.OPEN, LEASE_PATH, FOLLOW_PATH, STATE_PATH, *([] if is_shared else ["/control/replicas"])}
        of_data = {"/v2/health/live", ACCEPTS_PATH}
        self.data = Forwarder(self.lease, lambda server: server.data_url, tokens, of_data)
        self.control = Forwarder(self.lease, lambda server: server.control_url, tokens, own)

    @property
    def is_deserted(self) -> bool:
        """Whether its clients are to connect again, where the other one serves."""
        return self.file is not None and not self.lease.serves

    def passed_on(self) -> int:
        return self.data.inside + self.control.inside

    def tasks(self, gateway: Gateway, ports: tuple[Listener, ...]) -> list[Coroutine[Any, Any, None]]:
        """What runs beside the requests."""
        standby = Standby(ControlApi(gateway), self.lease, self.tokens, copies_replicas=self.file is not None)
        if self.file is not None:
            return [standby.keep(), self.file.keep(), self._accept_while_serving(ports)]
        return [standby.keep(), self._accept_once_able(gateway, ports[0])]

    async def _accept_while_serving(self, ports: tuple[Listener, ...]) -> None:
        while True:
            while not self.lease.serves:
                await self.lease.change(LOOKED_AT_EVERY_S)
            for port in ports:
                await port.accept()
            while self.lease.serves:
                await self.lease.change(LOOKED_AT_EVERY_S)
            for port in ports:
                port.pause()

    async def _accept_once_able(self, gateway: Gateway, port: Listener) -> None:
        while not (self.lease.serves or gateway.is_alike):
            await self.lease.change(LOOKED_AT_EVERY_S)
        await port.accept()

    def leave(self, gateway: Gateway) -> None:
        """Let the other one serve from now on, if nobody else does that for this one."""
        if self.file is not None:
            self.lease.leave(gateway.drained_within_s)
            self.file.release()

    async def close(self) -> None:
        await self.data.close()
        await self.control.close()


async def run(
    pipeline: Pipeline,
    settings: GatewaySettings,
    control_tokens: TokenFile,
    data_port: socket.socket,
    control_port: socket.socket,
) -> None:
    """Serve at these ports until SIGTERM or SIGINT; a second signal ends the process at once."""
    address = Address(url_of(data_port), url_of(control_port))
    is_pair = settings.is_leased or settings.lease_file is not None
    pair = _Pair(settings, address, control_tokens) if is_pair else None
    gateway = Gateway(pipeline, settings, None if pair is None else pair.lease)
    tokens = None if settings.data_token_file is None else TokenFile(settings.data_token_file)
    is_ours = access.is_loopback(data_port) or settings.data_names
    names = settings.data_names if is_ours else None
    guard = access.data_guard(tokens, names, settings.data_origins)
    data = application(guard, *([] if pair is None else [pair.data.middleware]), on_refusal=gateway.refused)
    close_connections(data, when=lambda: gateway.is_closing or (pair is not None and pair.is_deserted))
    add_protocol_routes(
        data,
        server="ipa-gateway",
        unready=gateway.unready,
        model=pipeline.name,
        metadata=gateway.metadata,
        infer=gateway.infer,
    )
    data.router.add_get(ACCEPTS_PATH, gateway.accepts)
    control = control_application(gateway, control_tokens, *([] if pair is None else [pair.control.middleware]))
    if pair is not None:
        add_lease_routes(control, gateway, pair.lease)
    ports = Listener(data, data_port, turns=gateway.turns), Listener(control, control_port)
    for port in ports:
        await port.set_up()
    tasks = [] if pair is None else [gateway.spawn(each) for each in pair.tasks(gateway, ports)]
    for port in ports if pair is None else ports[1:] if settings.is_leased else ():
        await port.accept()
    stopping = stopped()
    announce(url=address.data_url, control_url=address.control_url, control_token_file=str(control_tokens.path))
    log.info(
        "listening",
        extra={"url": address.data_url, "control_url": address.control_url, "pipeline": pipeline.name},
    )
    gc.freeze()
    gc.set_threshold(COLLECTED_EVERY)
    await stopping.wait()
    if pair is not None:
        pair.leave(gateway)
    data_runner = ports[0].runner
    await gateway.drain(
        lambda: bool(data_runner.server and data_runner.server.connections),
        settings.linger_s,
        (lambda: 0) if pair is None else pair.passed_on,
    )
    for task in tasks:
        task.cancel()
    for port in ports:
        await port.runner.cleanup()
    if pair is not None:
        await pair.close()
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
