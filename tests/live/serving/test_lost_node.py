"""A replica whose node is lost: connections to it hang. The batch goes to another, and it is sent nothing more."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ipa.live.serving import replica_clients
from ipa.live.serving.admission import Limits
from ipa.live.serving.messages import Messages
from ipa.live.serving.replica_clients import ReplicaClients, ReplicaError


@pytest.fixture
def hanging() -> Iterator[str]:
    """The URL of a server that takes no more connections and refuses none."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        waiting = []
        for _ in range(4):  # more than its queue holds
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex(server.getsockname())
            waiting.append(client)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        for client in waiting:
            client.close()


def test_a_batch_whose_connection_hangs_has_not_reached_its_replica(
    hanging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_clients, "CONNECT_S", 0.2)

    async def story() -> None:
        clients = ReplicaClients(60.0, Messages(Limits()))
        clients._is_binary[hanging] = False  # it has served before
        batch: Any = SimpleNamespace(replica=SimpleNamespace(url=hanging, model="small"))
        try:
            with pytest.raises(ReplicaError, match="cannot be reached") as lost:
                await clients.infer(batch, [], {})
            assert (lost.value.served, lost.value.again) == (False, True)
        finally:
            await clients.close()

    asyncio.run(story())
