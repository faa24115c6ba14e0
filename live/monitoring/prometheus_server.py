"""A Prometheus server of a live run's own; this module, run as a process, becomes Debian's `prometheus`."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ipa.live.errors import LiveError, RunError
from ipa.live.launcher import log_end
from ipa.live.plane import LOOPBACK, free_port, release_port

if TYPE_CHECKING:
    import aiohttp

MODULE = "ipa.live.monitoring.prometheus_server"
SCRAPE_INTERVAL_S = 1
STARTS_WITHIN_S = 30.0

RunProcess = Callable[[str, str, list[str], Callable[[int], object]], Path]
"""Starts a process of a run, as `LiveBackend.run_process` does: name, module, arguments and a callback for its exit
status -> its log."""

CONFIGURATION = """\
global:
  scrape_interval: {interval_s}s
  scrape_timeout: {interval_s}s
scrape_configs:
  - job_name: ipa
    static_configs:
      - targets: [{targets}]
"""


def find_prometheus() -> str:
    """The path of the program. Raises LiveError if it is not installed."""
    path = shutil.which("prometheus")
    if path is None:
        raise LiveError(
            "controller.source: prometheus needs a Prometheus server: give the URL of one that scrapes the gateway as "
            "controller.prometheus, or install the program (apt-get install prometheus)"
        )
    return path


def command(folder: Path, targets: Sequence[str], port: int) -> list[str]:
    """The command of a server on loopback that scrapes the targets (URLs) every second, with its data in `folder`."""
    hosts = ", ".join(f"'{urlsplit(target).netloc}'" for target in targets)
    configuration = folder / "prometheus.yml"
    configuration.write_text(CONFIGURATION.format(interval_s=SCRAPE_INTERVAL_S, targets=hosts), encoding="utf-8")
    return [
        find_prometheus(),
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--web.listen-address={LOOPBACK}:{port}",
        "--log.level=warn",
    ]


class PrometheusServer:
    """A server on loopback among the processes of a run. Its `url` is known before it is started."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"http://{LOOPBACK}:{self._port}"

    async def start(self, run_process: RunProcess, targets: Sequence[str]) -> None:
        """Start it as a process of the run, and wait until it has scraped all targets.

        Raises LiveError where the program is not installed, RunError where it does not start.
        """
        import aiohttp

        ended: list[int] = []
        log = run_process("prometheus", MODULE, command(self._folder, targets, self._port), ended.append)
        until_s = time.monotonic() + STARTS_WITHIN_S
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            while not await _has_scraped(session, self.url, len(targets)):
                if ended or time.monotonic() > until_s:
                    raise RunError(f"the Prometheus server did not start:\n{log_end(log)}")
                await asyncio.sleep(0.05)
        release_port(self._port)


async def _has_scraped(session: aiohttp.ClientSession, url: str, targets: int) -> bool:
    import aiohttp

    try:
        async with session.get(
            f"{url}/api/v1/query", params={"query": "count(up == 1)"}, allow_redirects=False
        ) as response:
            said = await response.json(content_type=None)
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        return False
    result = said["data"]["result"] if said.get("status") == "success" else []
    return bool(result) and int(result[0]["value"][1]) >= targets


def main(arguments: Sequence[str]) -> None:
    """Become the program that the arguments name."""
    os.execv(arguments[0], list(arguments))
