"""The HTTP that gateway and model server have in common: the protocol's routes, limits, errors, a clean end."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import orjson
from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from ipa.live.plane import BACKLOG
from ipa.live.serving import protocol
from ipa.live.serving.admission import MessageLimits, open_files, return_large_blocks
from ipa.live.serving.bodies import read_body
from ipa.live.serving.connections import Connection, Connections, Reader, peer_of
from ipa.live.serving.protocol import BINARY_EXTENSION, Body, ProtocolError
from ipa.live.stopping import heeded, leave_closed_terminal

JSON_LIMITS = MessageLimits(body_bytes=2**20)
"""The limits of a body that is read at once, as those of the control API are."""
READ_AHEAD_BYTES = 8 * 2**10
"""A connection with so much of a body that nobody has taken yet is read no further."""
KEEP_ALIVE_S = 75.0
"""How long a connection may be silent."""
SHUTDOWN_S = 5.0
"""How long answers on their way may take once everything else has ended."""


log = logging.getLogger(__name__)

# aiohttp would log, with tracebacks, what clients do wrong in HTTP; errors of handlers are logged below.
_http_log = logging.getLogger("live.http")
_http_log.setLevel(logging.CRITICAL)


def json_response(value: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def error_response(text: str, status: int, retry_after_s: int | None = None) -> web.Response:
    headers = {} if retry_after_s is None else {hdrs.RETRY_AFTER: str(retry_after_s)}
    return web.Response(
        body=protocol.write_error(text), status=status, headers=headers, content_type="application/json"
    )


async def read_json(request: web.Request) -> Any:
    """A request's body as JSON. Raises ProtocolError if it is not JSON, or too large."""
    try:
        return orjson.loads((await read_body(request, JSON_LIMITS)).data)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(f"the body is not JSON: {error}") from None


REQUEST_ID, MOST_ID = "X-Request-Id", 256
"""The header with which a request is named, and how long such an id may be."""
ID = web.RequestKey("id", str)
"""The key of an HTTP request under which its id is kept."""
TRACEPARENT = "traceparent"
GZIPPED_FROM_BYTES = 1024
_ID = re.compile(rf"[\x21-\x7e]{{1,{MOST_ID}}}")
_TRACEPARENT = re.compile("(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")


def known_id(request: web.Request, own: str | None) -> str:
    """The id of a request in the records: the one in its message, else that of its headers.

    Without an id in its headers, the answer's headers have that of the message, if it is valid there.
    """
    if own is None:
        return request[ID]
    if REQUEST_ID not in request.headers and _ID.fullmatch(own):
        request[ID] = own
    return own


def about(request: web.Request) -> dict[str, str]:
    return {"peer": peer_of(request), "path": request.path[:200], "request_id": request[ID]}


def traceparent_of(request: web.Request) -> str:
    """The trace that a request is part of (W3C Trace Context); empty if it is of none, as zeros and version ff are."""
    header = request.headers.get(TRACEPARENT, "")
    return header if header and _TRACEPARENT.fullmatch(header) else ""


def _takes_gzip(request: web.Request) -> bool:
    codings = request.headers.get(hdrs.ACCEPT_ENCODING, "").replace(" ", "").lower().split(",")
    return any(coding == "gzip" or (coding.startswith("gzip;q=") and coding[7:].strip("0.")) for coding in codings)


async def send(request: web.Request, body: Body) -> web.StreamResponse:
    """Send an answer, as gzip where its client takes that."""
    response = web.Response(body=body.data, headers={**body.headers, REQUEST_ID: request[ID]})
    if len(body.data) >= GZIPPED_FROM_BYTES and _takes_gzip(request):
        response.headers[hdrs.VARY] = hdrs.ACCEPT_ENCODING
        response.enable_compression(web.ContentCoding.gzip)
    with suppress(ConnectionError):
        await response.prepare(request)
        await response.write_eof()
    return response


async def in_form(request: web.Request, handler: Handler) -> web.StreamResponse:
    """The answer, every error in the protocol's form."""
    try:
        return await handler(request)
    except ProtocolError as error:
        return error_response(str(error), error.status, error.retry_after_s)
    except web.HTTPException as error:
        return error_response(f"{request.method} {request.path}: {error.reason}", error.status)
    except ConnectionError:
        raise
    except Exception:
        log.exception("a handler failed", extra={"path": request.path})
        return error_response("internal error; see the log", 500)


REASONS = {
    400: "invalid", 401: "token", 403: "forbidden", 404: "unknown", 405: "method", 408: "slow", 413: "too large",
    415: "coding", 429: "token", 503: "unavailable",
}  # fmt: skip
"""The reasons for not admitting a request, by the status of the answer."""
OnRefusal = Callable[[str, str, web.Request], object]
ADMITTED = web.RequestKey("admitted", bool)
"""The request key by which a handler notes that a request was admitted: whatever its answer, it is no refusal."""


def application(*guards: Middleware, on_refusal: OnRefusal = lambda *_: None) -> web.Application:
    """An empty application with this form of errors, behind guards that may refuse a request.

    `on_refusal` is called with the reason and the text of each answer that refuses one, and the request.
    """

    @web.middleware
    async def noted(request: web.Request, handler: Handler) -> web.StreamResponse:
        header = request.headers.get(REQUEST_ID, "")
        request[ID] = header if _ID.fullmatch(header) else os.urandom(8).hex()
        response = await in_form(request, handler)
        if not response.prepared:
            response.headers[REQUEST_ID] = request[ID]
        if response.status in REASONS and ADMITTED not in request and isinstance(response, web.Response):
            on_refusal(REASONS[response.status], (response.text or "")[:200], request)
        return response

    return web.Application(middlewares=[noted, *guards])


def close_connections(app: web.Application, when: Callable[[], bool]) -> None:
    """While `when()`, close each connection after its answer, so that the next request goes to another server."""

    async def last(_: web.Request, response: web.StreamResponse) -> None:
        if when():
            response.force_close()
            response.headers[hdrs.CONNECTION] = "close"  # the headers are complete when this is called

    app.on_response_prepare.append(last)


def add_protocol_routes(
    app: web.Application,
    *,
    server: str,
    unready: Callable[[], str],
    model: str,
    metadata: Callable[[], Awaitable[Mapping[str, Any]]],
    infer: Handler,
    is_live: Callable[[], bool] = lambda: True,
) -> None:
    """The protocol's routes for a server of one model; `unready` says why it is not ready, and nothing if it is."""
    from importlib.metadata import version

    described = {"name": server, "version": version("ipa-pipelines"), "extensions": [BINARY_EXTENSION]}

    def always(value: object) -> Handler:
        async def say(_: web.Request) -> web.Response:
            return json_response(value)

        return say

    async def live(_: web.Request) -> web.Response:
        return json_response({"live": is_live()}, 200 if is_live() else 503)

    async def ready(request: web.Request) -> web.Response:
        return readiness(request, {}, unready())

    async def model_ready(request: web.Request) -> web.Response:
        return readiness(request, {"name": model}, unready())

    async def of_model(_: web.Request) -> web.Response:
        return json_response({"name": model, "versions": ["1"], **await metadata()})

    async def index(_: web.Request) -> web.Response:
        problem = unready()
        state = "UNAVAILABLE" if problem else "READY"
        return json_response([{"name": model, "version": "1", "state": state, "reason": problem}])

    add_health_routes(app, live, ready)
    app.router.add_get("/v2", always(described))
    app.router.add_post("/v2/repository/index", index)
    app.router.add_get("/v2/models", always({"models": [model]}))
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        app.router.add_post(f"{path}/infer", _for_model(model, infer))
        app.router.add_get(f"{path}/ready", _for_model(model, model_ready))
        app.router.add_get(path, _for_model(model, of_model))


def _for_model(model: str, handler: Handler) -> Handler:
    """Answers what is asked of this model; 404 for any other, and for another version than its only one."""

    async def checked(request: web.Request) -> web.StreamResponse:
        named, version = request.match_info["model"], request.match_info.get("version", "1")
        if named != model:
            raise ProtocolError(f"no model is called {named!r}; this server has {model!r}", 404)
        if version != "1":
            raise ProtocolError(f"model {model!r} has no version {version!r}; this server has version '1'", 404)
        return await handler(request)

    return checked


def readiness(request: web.Request, described: Mapping[str, Any], problem: str) -> web.Response:
    """Whether something is ready, and why not."""
    request[ADMITTED] = True
    if problem:
        return json_response({**described, "ready": False, "error": problem}, 503)
    return json_response({**described, "ready": True})


def add_health_routes(app: web.Application, live: Handler, ready: Handler) -> None:
    app.router.add_get("/v2/health/live", live)
    app.router.add_get("/v2/health/ready", ready)


async def listen(
    app: web.Application, port: socket.socket, most_connections: int | None = None
) -> tuple[web.AppRunner, str]:
    """Serve `app` at an open port to at most `most_connections`; returns the runner, to be cleaned up, and the
    URL."""
    runner = web.AppRunner(app, handle_signals=False, shutdown_timeout=SHUTDOWN_S)
    connections, url = Connections(most_connections), url_of(port)

    async def close(_: web.Application) -> None:
        server.close()
        port.close()

    def connection() -> Reader:
        assert runner.server is not None
        made = Connection(
            connections,
            runner.server,
            access_log=None,
            auto_decompress=False,  # `bodies` inflates, within limits
            logger=_http_log,
            keepalive_timeout=KEEP_ALIVE_S,
            read_bufsize=READ_AHEAD_BYTES // 2,
        )
        return Reader(made)

    app.on_shutdown.append(close)
    await runner.setup()
    server = await asyncio.get_running_loop().create_server(connection, sock=port.dup(), backlog=BACKLOG)
    return runner, url


def url_of(port: socket.socket) -> str:
    """The URL of an open port."""
    host, number = port.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{number}"


def announce(**urls: str) -> None:
    """The one line on stdout: where this process listens."""
    sys.stdout.write(orjson.dumps(urls).decode() + "\n")
    sys.stdout.flush()


def stopped() -> asyncio.Event:
    """Set by the first signal of `heeded`; a second one, other than SIGHUP, ends the process at once."""
    event = asyncio.Event()

    def handle(number: signal.Signals) -> None:
        if number == signal.SIGHUP:
            leave_closed_terminal()
        elif event.is_set():
            os._exit(1)
        event.set()

    for which in heeded():
        asyncio.get_running_loop().add_signal_handler(which, handle, which)
    return event


def in_event_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, on uvloop if that is installed."""
    return_large_blocks()
    open_files()
    try:
        import uvloop
    except ImportError:
        asyncio.run(work)
    else:
        uvloop.run(work)
