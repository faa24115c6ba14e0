"""A V2 server's metadata, answers and errors: bounded in size, and fit for a terminal."""

from __future__ import annotations

import json
import os
import reprlib
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ipa.errors import Error
from ipa.live.errors import LiveError, RunError
from ipa.live.tokens import TokenFile

if TYPE_CHECKING:
    import aiohttp

DEFAULT_BODY: dict[str, Any] = {"inputs": [{"name": "input", "shape": [1, 1], "datatype": "FP32", "data": [0.0]}]}

MOST_KEPT_BYTES = 2**20
"""The bytes kept of an answer; the rest is read and discarded, however long it is."""
MOST_ZEROS = 2**24
"""How many elements a request of zeros may have: as JSON it is 50 MB."""
LONGEST_REASON = 300
IDENTITY = {"Accept-Encoding": "identity"}
"""Asks for uncompressed answers: a compressed one may be a bomb, and is never inflated."""


async def metadata_of(url: str, model: str, token_file: str = "") -> dict[str, Any]:
    """A V2 server's metadata of a model. Raises LiveError for an invalid URL or an unknown model, RunError if the
    server cannot be reached or fails."""
    import aiohttp

    address = f"{url.rstrip('/')}/v2/models/{model}"
    headers = {**IDENTITY, **authorization(token_file)}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10.0), auto_decompress=False) as session,
            session.get(address, headers=headers, allow_redirects=False) as response,
        ):
            answer = await received(response, MOST_KEPT_BYTES)
    except aiohttp.InvalidURL:
        raise LiveError(f"{url}: should be a URL, such as http://127.0.0.1:8080") from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise RunError(f"{address}: no V2 server answers: {why_unreached(error)}") from None
    if response.status != 200:
        raise refusal(address, response.status, answer)
    try:
        metadata = json.loads(answer)
    except (ValueError, RecursionError):
        metadata = None
    if not isinstance(metadata, dict):
        raise LiveError(f"{address}: the answer is not a JSON object: {said(answer)}")
    return metadata


async def zeros_for(url: str, model: str, token_file: str = "") -> dict[str, Any]:
    """A request of zeros by a V2 server's metadata of its model; `DEFAULT_BODY` if they name no inputs.

    Raises as `metadata_of`, and LiveError for a token that cannot be read.
    """
    inputs = (await metadata_of(url, model, token_file)).get("inputs") or ()
    try:
        zeros = [_zeros(tensor) for tensor in inputs]
    except LiveError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError):
        shown = reprlib.repr(inputs)
        raise LiveError(f"{url}: inputs of {model}: {shown}: each should have name, datatype and shape") from None
    return {"inputs": zeros} if zeros else DEFAULT_BODY


def _zeros(tensor: dict[str, Any]) -> dict[str, Any]:
    shape = [max(int(size), 1) for size in tensor["shape"]]
    if prod(shape) > MOST_ZEROS:
        raise LiveError(f"input {tensor['name']}: shape {shape} has more than {MOST_ZEROS} elements: say what to send")
    zero: Any = "" if tensor["datatype"] == "BYTES" else False if tensor["datatype"] == "BOOL" else 0
    return {
        "name": tensor["name"],
        "shape": shape,
        "datatype": tensor["datatype"],
        "data": [zero] * prod(shape),
    }


def authorization(token_file: str) -> dict[str, str]:
    return TokenFile(Path(token_file)).headers() if token_file else {}


async def received(response: aiohttp.ClientResponse, most_bytes: int) -> bytes:
    """The first `most_bytes` of an answer, once all of it has arrived."""
    beginning = bytearray()
    async for piece in response.content.iter_any():
        beginning += piece[: most_bytes - len(beginning)]
    return bytes(beginning)


def said(answer: bytes) -> str:
    """The text of an answer, or its error, as one line of printable characters."""
    try:
        content = json.loads(answer)
        text = str(content["error"]) if isinstance(content, dict) and "error" in content else str(content)
    except (ValueError, RecursionError):
        text = answer[: 4 * LONGEST_REASON].decode(errors="replace")
    printable = "".join(character if character.isprintable() else " " for character in text[:LONGEST_REASON])
    return " ".join(printable.split())


def refusal(subject: str, status: int, answer: bytes) -> Error:
    """The error for a server's answer: LiveError if the request was wrong, RunError if the server failed."""
    kind = RunError if status >= 500 else LiveError
    return kind(f"{subject}: HTTP status {status}: {said(answer)}")


def why_unreached(error: Exception) -> str:
    """Why a server cannot be reached, in the system's words where it says why."""
    cause = getattr(error, "os_error", error)
    if isinstance(cause, OSError) and cause.errno is not None and cause.errno > 0:
        return os.strerror(cause.errno)
    return str(getattr(cause, "strerror", None) or cause) or type(cause).__name__


async def unhealthy(session: aiohttp.ClientSession, url: str, within_s: float) -> str:
    """Why a server's health at this URL is not answered with 200; empty if it is."""
    import aiohttp

    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=within_s), allow_redirects=False) as response:
            await response.read()
            return "" if response.status == 200 else f"HTTP status {response.status}"
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        return why_unreached(error)
