"""Waiting for a deployed pipeline: for what the cluster says, and for the gateway's own answer."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from ipa.live.errors import RunError
from ipa.live.gateway_client import ControlWay, GatewayClient
from ipa.live.kubernetes.readiness import until_gateway
from ipa.live.kubernetes.stage_state import Look


class SilentAtFirst(ControlWay):
    """A gateway that the network does not lead to for the first calls."""

    def __init__(self, calls: float) -> None:
        self.left = calls

    async def answer(self, *_: Any, **__: Any) -> Any:
        """Nothing, once it answers."""
        self.left -= 1
        if self.left >= 0:
            raise RunError("the gateway does not answer")
        return {}


def wait(way: SilentAtFirst, look: Look, within_s: float) -> None:
    async def main() -> None:
        failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await until_gateway(GatewayClient(way), lambda: look, failed, within_s)

    asyncio.run(main())


def test_a_gateway_is_waited_for_until_it_answers_this_controller() -> None:
    """The cluster calls it ready before every node's proxy leads to it: a controller that starts then only waits."""
    way = SilentAtFirst(2)
    wait(way, Look(is_gateway_there=True), within_s=60.0)
    assert way.left == -1


def test_a_gateway_that_never_answers_is_named() -> None:
    with pytest.raises(RunError, match="gateway did not become ready: it runs, and does not answer this controller"):
        wait(SilentAtFirst(float("inf")), Look(is_gateway_there=True), within_s=0.0)
