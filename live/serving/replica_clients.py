"""Clients of model servers: they send batches, and ask whether a replica is ready. `Probe` is one for measurements."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import inf
from typing import Any

import aiohttp
import orjson
from aiohttp import hdrs
from aiohttp.http import RawResponseMessage
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy

from ipa.errors import Error
from ipa.live.plane import ASKED_WITHIN_S, asked_after_s, given_up_after_s
from ipa.live.serving import protocol
from ipa.live.serving.admission import MOST_MESSAGE_BYTES, MessageLimits
from ipa.live.serving.bodies import Collected, in_steps, in_time
from ipa.live.serving.generation import OUTPUT, generated_of
from ipa.live.serving.kept_connections import CONNECT_S, KeptConnections, UnreachableError
from ipa.live.serving.protocol import HEADER, InferResponse, ProtocolError, batch_parameters
from ipa.live.serving.request import Batch, Generated, RoutedReplica
from ipa.live.serving.tensors import Tensor, of_texts
from ipa.live.serving.term import Term
from ipa.live.serving.web import JSON_LIMITS

PROBE_S = 2.0
IS_THERE = aiohttp.ClientTimeout(total=ASKED_WITHIN_S)
STANDS_S = 2.0
"""How long an answer that has begun may stall, or drip: the batch is then tried elsewhere."""
MOST_ANSWER_JSON_BYTES = 16 * 2**20
"""How long JSON may be in the answer of a replica that gives no binary data: a batch's, so longer than a client's."""
MOST_SAID = 500
"""How many characters of a replica's error reach clients and records."""


class ReplicaError(Error):
    """A replica did not serve a batch.

    `served` False: the batch never reached it. `again` False: another replica would refuse the batch too, with the
    HTTP status `status` if it is one that the client should see. `is_answer`: it has answered that it did not.
    """

    def __init__(
        self,
        text: str,
        *,
        served: bool = True,
        again: bool = True,
        status: int | None = None,
        is_answer: bool = False,
    ) -> None:
        super().__init__(text)
        self.is_answer = is_answer
        self.served = served
        self.again = again
        self.status = status


class ReplicaClients:
    """One pool of connections to all replicas; a batch may take at most `timeout_s`, and its answer `body_bytes`.

    By its profile a batch may have less time. One that is late may have a slow replica or one that is lost, whose node
    answers nothing: the replica is asked.
    """

    def __init__(self, timeout_s: float, body_bytes: int, one_step: asyncio.Lock, term: Term | None = None) -> None:
        """`term`: that of the gateway, if it is one of two."""
        self._timeout_s, self._term = timeout_s, term
        self._connections = KeptConnections()
        self._limits, self._one_step = MessageLimits(body_bytes, min(body_bytes, MOST_ANSWER_JSON_BYTES)), one_step
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=60.0),
            timeout=aiohttp.ClientTimeout(total=PROBE_S, sock_connect=CONNECT_S),
            headers={"Accept-Encoding": "identity"},
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            raise_for_status=False,
        )
        self._is_binary: dict[str, bool] = {}
        self._metadata: dict[tuple[str, str], Mapping[str, Any]] = {}

    async def close(self) -> None:
        self._connections.forget(set())
        await self._session.close()

    async def infer(
        self,
        batch: Batch,
        inputs: Sequence[Tensor],
        parameters: Mapping[str, Any],
        further_headers: Mapping[str, str] = {},
        p99_s: float = inf,
    ) -> InferResponse:
        """The answer to a batch; `p99_s` is the batch's by its profile. Raises ReplicaError."""
        replica = batch.replica
        if self._term is not None:
            further_headers = {**further_headers, **self._term.headers}
        binary = await self._takes_binary(replica.url)
        try:
            size = 0 if binary else sum(len(tensor.data) for tensor in inputs)
            writing = protocol.writing_request(inputs, parameters, binary, MOST_MESSAGE_BYTES)
            body = await in_steps(self._one_step, size, writing)
        except ProtocolError as error:
            too_large = 413 if error.status == 413 else None
            raise ReplicaError(f"cannot be asked: {error}", again=False, status=too_large) from None
        if len(body.data) > MOST_MESSAGE_BYTES:
            problem = f"cannot be asked with {len(body.data)} bytes; allowed: {MOST_MESSAGE_BYTES}"
            raise ReplicaError(problem, again=False, status=413)
        try:
            async with asyncio.timeout(min(given_up_after_s(p99_s), self._timeout_s)) as limit:
                with self._asked_when_late(replica.url, asked_after_s(p99_s), limit):
                    status, headers, data = await self._connections.post(
                        replica.url, replica.model, body.data, {**body.headers, **further_headers}, self._read
                    )
            if status == 200:
                reading = protocol.reading_response(data.data, headers.get(HEADER))
                return await in_steps(self._one_step, data.json_bytes, reading)
        except UnreachableError as error:
            raise ReplicaError(f"cannot be reached: {error}", served=False) from None
        except TimeoutError:
            raise ReplicaError("did not answer in time") from None
        except (aiohttp.ClientError, HttpProcessingError) as error:
            raise ReplicaError(f"broke off: {type(error).__name__}: {error}") from None
        except ProtocolError as error:
            raise ReplicaError(f"its answer breaks the protocol: {error}", again=False) from None
        # What the first stage takes comes from the client as it is; a later stage's input is another model's output.
        is_clients = status == 413 or (status == 400 and batch.stage == 0)
        text = f"answered {status}: {_error(data.data)}"
        if status == 409 and self._term is not None:
            self._term.refused()
        again = not 400 <= status < 500
        status_for_client = status if is_clients else None
        raise ReplicaError(text, served=status != 503, again=again, status=status_for_client, is_answer=status != 503)

    @contextmanager
    def _asked_when_late(self, url: str, late_s: float, limit: asyncio.Timeout) -> Iterator[None]:
        """Meanwhile ask a replica whether it is there, each time that so long has passed; the limit is over once it
        does not answer."""

        async def ask() -> None:
            while await self._is_there(url):
                await asyncio.sleep(late_s)
            limit.reschedule(loop.time())

        loop = asyncio.get_running_loop()
        asking: list[asyncio.Task[None]] = []
        timer = loop.call_later(late_s, lambda: asking.append(loop.create_task(ask()))) if late_s < inf else None
        try:
            yield
        finally:
            if timer is not None:
                timer.cancel()
            for task in asking:
                task.cancel()

    async def _is_there(self, url: str) -> bool:
        """Whether a server answers anything in good time."""
        try:
            async with self._session.get(f"{url}/v2/health/live", allow_redirects=False, timeout=IS_THERE):
                return True
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def _read(
        self, message: RawResponseMessage, content: aiohttp.StreamReader
    ) -> tuple[int, CIMultiDictProxy[str], Collected]:
        return message.code, message.headers, await _body(message.headers, content, self._limits)

    async def is_ready(self, replica: RoutedReplica) -> bool:
        try:
            return (await self._get(f"{replica.url}/v2/models/{replica.model}/ready"))[0] == 200
        except (aiohttp.ClientError, TimeoutError, ProtocolError):
            return False

    def forget(self, urls: set[str]) -> None:
        """Forget what is known of all servers but these."""
        self._connections.forget(urls)
        for url in self._is_binary.keys() - urls:
            del self._is_binary[url]
        for key in [key for key in self._metadata if key[0] not in urls]:
            del self._metadata[key]

    async def metadata(self, replica: RoutedReplica) -> Mapping[str, Any]:
        """What the replica says about its model; empty if it says nothing."""
        try:
            return await self._mapping(f"{replica.url}/v2/models/{replica.model}")
        except (aiohttp.ClientError, TimeoutError):
            return {}

    async def cached_metadata(self, replica: RoutedReplica) -> Mapping[str, Any]:
        """The same, cached once the replica has answered."""
        key = replica.url, replica.model
        if key not in self._metadata and (metadata := await self.metadata(replica)):
            self._metadata[key] = metadata
        return self._metadata.get(key, {})

    async def output_names(self, replica: RoutedReplica) -> Collection[str]:
        """The outputs that the replica's model declares; empty if it declares none."""
        return [tensor["name"] for tensor in declared(await self.cached_metadata(replica), "outputs")]

    async def _takes_binary(self, url: str) -> bool:
        """Whether the server takes binary data; cached once it has answered."""
        if url not in self._is_binary:
            try:
                metadata = await self._mapping(f"{url}/v2")
            except (aiohttp.ClientError, TimeoutError) as error:
                raise ReplicaError(f"cannot be reached: {type(error).__name__}: {error}", served=False) from None
            if not metadata:
                return False
            extensions = metadata.get("extensions")
            self._is_binary[url] = isinstance(extensions, list) and protocol.BINARY_EXTENSION in extensions
        return self._is_binary[url]

    async def _mapping(self, url: str) -> Mapping[str, Any]:
        """The JSON object at a URL; empty if there is none, or the status is not 200."""
        try:
            status, text = await self._get(url)
            content = orjson.loads(text)
        except (ProtocolError, orjson.JSONDecodeError):
            return {}
        return content if status == 200 and isinstance(content, dict) else {}

    async def _get(self, url: str) -> tuple[int, bytearray]:
        """Status and body. Raises as aiohttp, and ProtocolError for a body that is too large or slow."""
        async with self._session.get(url, allow_redirects=False) as response:
            return response.status, (await _body(response.headers, response.content, JSON_LIMITS)).data


async def _body(headers: Mapping[str, str], content: aiohttp.StreamReader, limits: MessageLimits) -> Collected:
    """The whole answer. Raises ProtocolError if it is, or claims to be, larger than a body may be, TimeoutError if it
    stalls or drips."""
    coding = headers.get(hdrs.CONTENT_ENCODING, "identity")
    if coding != "identity":
        raise ProtocolError(f"{hdrs.CONTENT_ENCODING}: {coding}; allowed: identity")
    collected = Collected(protocol.json_length(headers.get(HEADER)), limits)
    collected.check_length(int(headers.get(hdrs.CONTENT_LENGTH, 0)))
    if content.is_eof():  # it has come with its headers
        collected.add(content.read_nowait())
        return collected
    async with asyncio.timeout(None) as limit:
        async for part in in_time(limit, content, content.iter_any(), STANDS_S):
            collected.add(part)
    return collected


def declared(metadata: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """The tensors that a model's metadata name as its `inputs` or `outputs`; empty if any has no name."""
    tensors = metadata.get(key)
    if not isinstance(tensors, list):
        return []
    is_sound = all(isinstance(tensor, dict) and isinstance(tensor.get("name"), str) for tensor in tensors)
    return tensors if is_sound else []


def _error(data: bytes | bytearray) -> str:
    try:
        content = orjson.loads(data)
    except orjson.JSONDecodeError:
        content = None
    text = content.get("error") if isinstance(content, dict) else None
    return str(text if text is not None else data[:200].decode(errors="replace"))[:MOST_SAID]


class ProbeError(Error):
    """A model server did not serve what it was asked for; the text says what it answered."""


class Probe:
    """A client of one model of one server that speaks the Open Inference Protocol V2; to be made in an event loop."""

    def __init__(self, url: str, model: str, timeout_s: float) -> None:
        self._clients = ReplicaClients(timeout_s, MOST_MESSAGE_BYTES, asyncio.Lock())
        self._replica = RoutedReplica(0, model, 1, url.rstrip("/"), model)
        self._batches = 0

    async def is_ready(self) -> bool:
        return await self._clients.is_ready(self._replica)

    async def metadata(self) -> Mapping[str, Any]:
        """What the server says about the model; empty if it says nothing."""
        return await self._clients.metadata(self._replica)

    async def serve(self, inputs: Sequence[Tensor], size: int, cores: int) -> Sequence[Tensor]:
        """The outputs of a batch of `size` requests. Raises ProbeError."""
        return (await self._answer(inputs, batch_parameters(self._batches, size, cores))).outputs

    async def generate(self, text: str, parameters: Mapping[str, Any]) -> Generated:
        """What a language model says of its answer to a text. Raises ProbeError."""
        answer = await self._answer([of_texts(OUTPUT, [text.encode()])], parameters)
        generated = generated_of(answer.parameters)
        if generated is None or min(generated.input_tokens, generated.output_tokens) < 1:
            raise ProbeError(
                f"{self._replica.url}: {self._replica.model} says nothing of its tokens: the parameters of its "
                "answer should be input_tokens and output_tokens, from 1, and ttft_s"
            )
        return generated

    async def _answer(self, inputs: Sequence[Tensor], parameters: Mapping[str, Any]) -> InferResponse:
        batch = Batch(self._batches, 0, self._replica, (), 0.0)
        self._batches += 1
        try:
            return await self._clients.infer(batch, inputs, parameters)
        except ReplicaError as error:
            raise ProbeError(f"{self._replica.url}: {self._replica.model} {error}") from None

    async def close(self) -> None:
        await self._clients.close()
