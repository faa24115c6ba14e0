"""The client side of model servers: sends them batches, and asks whether they are ready."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import aiohttp
import orjson

from ipa.errors import Error
from ipa.live.serving import protocol
from ipa.live.serving.protocol import HEADER, ProtocolError
from ipa.live.serving.request import Batch, RoutedReplica
from ipa.live.serving.tensors import Tensor
from ipa.live.serving.web import MOST_BODY_BYTES

CONNECT_S = 2.0
"""A connection that hangs for longer, as to a node that is lost, counts as one that is refused."""
PROBE_S = 2.0


class ReplicaError(Error):
    """A replica did not serve a batch.

    `served` False: the batch never reached it. `again` False: another replica would refuse the batch too.
    """

    def __init__(self, text: str, *, served: bool = True, again: bool = True) -> None:
        super().__init__(text)
        self.served = served
        self.again = again


class ReplicaClients:
    """One pool of connections to all replicas; a batch may take `timeout_s` at most."""

    def __init__(self, timeout_s: float) -> None:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0),
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=CONNECT_S),
            headers={"Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            raise_for_status=False,
        )
        self._is_binary: dict[str, bool] = {}

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def infer(self, batch: Batch, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> list[Tensor]:
        """The outputs of a batch. Raises ReplicaError."""
        replica = batch.replica
        binary = await self._takes_binary(replica.url)
        try:
            body = protocol.write_request(inputs, parameters, binary=binary)
            async with self._session.post(
                f"{replica.url}/v2/models/{replica.model}/infer", data=body.data, headers=body.headers
            ) as response:
                data = await _body(response)
            if response.status == 200:
                return protocol.read_response(data, response.headers.get(HEADER))
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise ReplicaError(f"cannot be reached: {error}", served=False) from None
        except TimeoutError:
            raise ReplicaError("did not answer in time") from None
        except aiohttp.ClientError as error:
            raise ReplicaError(f"broke off: {type(error).__name__}: {error}") from None
        except ProtocolError as error:
            raise ReplicaError(f"its answer or our request breaks the protocol: {error}", again=False) from None
        text = f"answered {response.status}: {_error(data)}"
        raise ReplicaError(text, served=response.status != 503, again=response.status >= 500)

    async def is_ready(self, replica: RoutedReplica) -> bool:
        """Whether the replica's model answers that it is ready."""
        try:
            async with self._session.get(
                f"{replica.url}/v2/models/{replica.model}/ready", timeout=aiohttp.ClientTimeout(total=PROBE_S)
            ) as response:
                await response.read()
                return response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    def forget(self, urls: set[str]) -> None:
        """Forget what is known of all servers but these."""
        for url in self._is_binary.keys() - urls:
            del self._is_binary[url]

    async def metadata(self, replica: RoutedReplica) -> Mapping[str, Any]:
        """What the replica says about its model; empty if it says nothing."""
        try:
            return await self._mapping(f"{replica.url}/v2/models/{replica.model}")
        except (aiohttp.ClientError, TimeoutError):
            return {}

    async def _takes_binary(self, url: str) -> bool:
        """Whether the server takes binary data; it is asked once."""
        if url not in self._is_binary:
            try:
                extensions = (await self._mapping(f"{url}/v2")).get("extensions")
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ReplicaError(f"cannot be reached: {type(error).__name__}: {error}", served=False) from None
            self._is_binary[url] = isinstance(extensions, list) and protocol.BINARY_EXTENSION in extensions
        return self._is_binary[url]

    async def _mapping(self, url: str) -> Mapping[str, Any]:
        async with self._session.get(url, timeout=aiohttp.ClientTimeout(total=PROBE_S)) as response:
            data = await response.read()
        if response.status != 200:
            return {}
        try:
            found = orjson.loads(data)
        except orjson.JSONDecodeError:
            return {}
        return found if isinstance(found, dict) else {}


async def _body(response: aiohttp.ClientResponse) -> bytes:
    """The whole answer. Raises ReplicaError if it is longer than a body may be."""
    data = bytearray()
    async for part in response.content.iter_any():
        data += part
        if len(data) > MOST_BODY_BYTES:
            raise ReplicaError(f"answered more than {MOST_BODY_BYTES} bytes", again=False)
    return bytes(data)


def _error(data: bytes) -> str:
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = None
    text = found.get("error") if isinstance(found, dict) else None
    return str(text if text is not None else data[:200].decode(errors="replace"))


async def until_ready(clients: ReplicaClients, replica: RoutedReplica, every_s: float) -> bool:
    """Wait until a suspended replica is ready; False if it is taken off the list first."""
    while replica.is_listed:
        if await clients.is_ready(replica):
            return True
        await asyncio.sleep(every_s)
    return False
