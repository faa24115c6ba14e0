"""Reads and writes messages without holding up the event loop: large JSON goes to a process of its own.

A thread would not do: the parser holds the interpreter's lock until it is done.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from math import prod
from typing import Any, TypeVar

from ipa.live.serving import protocol
from ipa.live.serving.admission import Limits, built_bytes
from ipa.live.serving.bodies import Collected
from ipa.live.serving.message_worker import LENGTH
from ipa.live.serving.protocol import Body, InferRequest, ProtocolError
from ipa.live.serving.tensors import Tensor

AT_ONCE_BYTES = 2**20
"""JSON that may take more than this is read and written by the other process; this much takes some 2 ms at worst."""
WORK_S = 30.0
"""How long the other process may take over a message, and how long a message may wait for it."""

log = logging.getLogger("live.messages")

T = TypeVar("T")


class Messages:
    """Reads and writes messages within `limits`; its process is started by the first large one."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None

    async def read_request(self, body: Collected, header_length: str | None) -> InferRequest:
        """A request from its body. Raises ProtocolError."""
        return await self._do(body.built_bytes, protocol.read_request, body.data, header_length)

    async def read_response(self, body: Collected, header_length: str | None) -> list[Tensor]:
        """The outputs from a server's answer. Raises ProtocolError."""
        return await self._do(body.built_bytes, protocol.read_response, body.data, header_length)

    async def write_response(self, model: str, request: InferRequest, outputs: Sequence[Tensor]) -> Body:
        """The answer to a request. Raises ProtocolError, with 413 if its JSON would be too large."""
        size = written_bytes(outputs)
        if size > AT_ONCE_BYTES:
            outputs = protocol.wanted_outputs(request, outputs)
            size = written_bytes([each for each in outputs if not protocol.is_binary(request, each.name)])
        if size > self.limits.built_bytes:
            raise ProtocolError(
                f"the answer is too large for JSON: it may take {size} bytes; allowed: {self.limits.built_bytes}. "
                "Ask for binary data (binary_data_output)",
                413,
            )
        return await self._do(size, protocol.write_response, model, request, outputs)

    async def write_request(self, inputs: Sequence[Tensor], parameters: Any, *, binary: bool) -> Body:
        """A request for all outputs. Raises ProtocolError, with 413 if its JSON would be too large."""
        size = 0 if binary else written_bytes(inputs)
        if size > self.limits.built_bytes:
            raise ProtocolError(
                f"the inputs are too large for JSON, the only form that the server takes: they may take {size} bytes; "
                f"allowed: {self.limits.built_bytes} bytes",
                413,
            )
        return await self._do(size, protocol.write_request, inputs, parameters, binary)

    async def close(self) -> None:
        """End the process."""
        if self._process is not None:
            process, self._process = self._process, None
            with suppress(ProcessLookupError):  # it has ended
                process.kill()
            await process.wait()

    async def _do(self, size: int, work: Callable[..., T], *given: Any) -> T:
        if size <= AT_ONCE_BYTES:
            return work(*given)
        try:
            async with asyncio.timeout(WORK_S):
                async with self._turn:
                    done = await self._elsewhere(pickle.dumps((work.__name__, given), 5))
        except TimeoutError:
            raise ProtocolError(f"large JSON waited for more than {WORK_S:g} s; send binary data", 503) from None
        if isinstance(done, ProtocolError):
            raise done
        return done  # type: ignore[no-any-return]

    async def _elsewhere(self, asked: bytes) -> Any:
        """What the other process answers. One that has ended is replaced, one that is interrupted at the next call."""
        if self._process is not None and _has_ended(self._process):
            await self.close()
        try:
            process = self._process = self._process or await _started()
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(LENGTH.pack(len(asked)))
            process.stdin.write(asked)
            del asked
            await process.stdin.drain()
            (length,) = LENGTH.unpack(await process.stdout.readexactly(LENGTH.size))
            return pickle.loads(await process.stdout.readexactly(length))
        except BaseException as error:
            await self.close()
            # uvloop raises RuntimeError for a pipe whose reader has gone.
            if isinstance(error, OSError | asyncio.IncompleteReadError | RuntimeError):
                log.warning("the process for large JSON ended", extra={"problem": repr(error)})
                raise ProtocolError("the process for large JSON ended; send binary data", 503) from None
            raise


def _has_ended(process: asyncio.subprocess.Process) -> bool:
    return process.returncode is not None or process.stdin is None or process.stdin.is_closing()


async def _started() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "ipa.live.serving.message_worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )


def written_bytes(tensors: Sequence[Tensor]) -> int:
    """The most memory that tensors take while they are written as JSON: numbers have up to 25 characters."""
    return sum(built_bytes(len(tensor.data), 0) + 64 * prod(tensor.shape) for tensor in tensors)
