"""A client that knows which answer is its own: each request carries a number that the models echo."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

from tests.live.chaos.history import SILENT, UNREACHABLE, Answer, History

PATIENCE_S = 60.0
"""A request that takes longer hangs; a gateway gives one up after ten SLAs."""
CONNECTS_WITHIN_S = 5.0
WIDE_EVERY, WIDE_ROWS = 10, 3
"""Every so many requests, one has so many rows, which must not be taken for others' rows."""


class Load:
    """An open loop of `rate_rps` requests a second, each asked once; what becomes of them goes to the history.

    `url` says where the gateway is now.
    """

    def __init__(self, history: History, url: Callable[[], str], model: str, rate_rps: float) -> None:
        self._history = history
        self._url = url
        self._model = model
        self._rate_rps = rate_rps
        self._stopping = asyncio.Event()
        self._count = 0

    async def run(self) -> None:
        """Send until stopped, then wait for what has been sent."""
        import aiohttp

        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector, timeout=aiohttp.ClientTimeout(total=PATIENCE_S, sock_connect=CONNECTS_WITHIN_S)
        ) as session:
            tasks: set[asyncio.Task[int]] = set()
            start_s, sent = time.monotonic(), 0
            while not self._stopping.is_set():
                while sent < (time.monotonic() - start_s) * self._rate_rps:
                    task = asyncio.create_task(self.ask(session))
                    tasks.add(task)
                    task.add_done_callback(tasks.discard)
                    sent += 1
                await asyncio.sleep(0.005)
            await asyncio.gather(*tasks)

    def stop(self) -> None:
        """Send no more."""
        self._stopping.set()

    async def ask(self, session: Any) -> int:
        """One request; the status of its answer."""
        import aiohttp

        number = self._count
        self._count += 1
        name, rows = f"r{number}", WIDE_ROWS if number % WIDE_EVERY == 0 else 1
        tensor = {"name": "x", "datatype": "INT64", "shape": [rows, 1], "data": [number] * rows}
        body = json.dumps({"id": name, "inputs": [tensor]}).encode()
        self._history.asked.add(name)
        sent_s, status, problem = time.monotonic(), SILENT, ""
        try:
            async with session.post(f"{self._url()}/v2/models/{self._model}/infer", data=body) as response:
                text = await response.read()
                status = response.status
                problem = not_own(text, name, number, rows) if status == 200 else text.decode(errors="replace")[:200]
        except aiohttp.ServerTimeoutError as error:  # there was not even a connection
            status, problem = UNREACHABLE, repr(error)
        except TimeoutError:
            pass
        except (aiohttp.ClientError, OSError) as error:
            status, problem = UNREACHABLE, repr(error)
        self._history.answers.append(Answer(name, sent_s, time.monotonic(), status, problem))
        return status


def not_own(body: bytes, name: str, number: int, rows: int) -> str:
    """What is not a request's own in an answer of status 200; empty if all is."""
    try:
        said = json.loads(body)
        (output,) = said["outputs"]
        found = (said["id"], output["shape"], output["data"])
    except (ValueError, KeyError, TypeError) as error:
        return f"not an answer: {error!r}: {body[:200]!r}"
    expected = (name, [rows, 1], [number] * rows)
    return "" if found == expected else f"{found} for {expected}"
