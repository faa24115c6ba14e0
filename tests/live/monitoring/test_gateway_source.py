"""Readings straight from the gateway: exact counts since the reading before."""

from __future__ import annotations

import asyncio
from math import isnan
from typing import Any

import pytest

from ipa.live.gateway_client import GatewayClient
from ipa.live.monitoring.sources import GatewaySource, Reading, SourceError, window
from ipa.policies import NO_LATENCY


class Says:
    """A gateway's control API that says what it is given, call by call."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[float, int]] = []

    async def observation(self, since_s: float, seconds: int) -> dict[str, Any]:
        self.asked.append((since_s, seconds))
        return self.answers.pop(0)


def said(time_s: float, arrivals: int, epoch: str = "one", load: tuple[int, ...] = ()) -> dict[str, Any]:
    stage = {
        "arrivals": arrivals,
        "completions": arrivals,
        "drops": 0,
        "failures": 0,
        "busy_s": 0.5 * arrivals,
        "request_s": 2.0 * arrivals,
    }
    gauges = {"queue_length": 2, "in_service": 1, "latencies_s": [0.1, 0.3]}
    return {
        "epoch": epoch,
        "time_s": time_s,
        "load_rps": list(load),
        "stages": {"a": stage | gauges},
        "latencies_s": [],
    }


def readings(*answers: dict[str, Any], history_s: int = 3) -> tuple[Says, list[Reading]]:
    gateway = Says(*answers)

    async def story() -> list[Reading]:
        source = GatewaySource(gateway, history_s)  # type: ignore[arg-type]
        return [await source.read(0.0) for _ in answers]

    return gateway, asyncio.run(story())


def test_counts_are_those_since_the_last_reading() -> None:
    gateway, (first, second) = readings(said(10.0, 40), said(20.0, 65))
    assert (first.stages["a"].arrivals, second.stages["a"].arrivals) == (40, 25)
    assert second.stages["a"].busy_s == 12.5
    assert second.stages["a"].latency.p50_s == 0.2
    assert second.latency is NO_LATENCY
    assert [since_s for since_s, _ in gateway.asked] == [0.0, 10.0]


def test_a_gateway_that_has_restarted_counts_from_zero() -> None:
    _, (_, second) = readings(said(10.0, 40), said(2.0, 3, epoch="two"))
    assert second.stages["a"].arrivals == 3


def test_concurrency_is_the_mean_since_the_reading_before() -> None:
    """Every arrival adds two request-seconds. At the first reading, and in no time: those that are there, 2 + 1."""
    _, seen = readings(said(10.0, 40), said(20.0, 65), said(20.0, 65), said(25.0, 10, epoch="two"))
    assert [reading.concurrency("a") for reading in seen] == [3.0, 2.0 * 25 / 10, 3.0, 2.0 * 10 / 5]
    assert seen[0].concurrency("b") == 0.0


def test_the_load_is_that_of_the_whole_seconds_of_the_run() -> None:
    _, (early, late, short) = readings(
        said(0.4, 0), said(2.001, 9, load=(4, 5)), said(9.5, 99, load=(7, 8)), history_s=3
    )
    assert early.load_rps == ()
    assert late.load_rps == (4.0, 5.0)
    assert isnan(short.load_rps[0])  # a second that the gateway does not tell of
    assert short.load_rps[1:] == (7.0, 8.0)


def test_the_window_reaches_back_into_the_history() -> None:
    assert window((5.0, 6.0), (1.0, 2.0, 3.0), 4) == (2.0, 3.0, 5.0, 6.0)
    padded = window((), (1.0,), 3)
    assert isnan(padded[0])
    assert padded[2] == 1.0


def test_an_older_gateway_is_said_to_be_one() -> None:
    """It does not add up the seconds of requests yet."""
    older = {**said(10.0, 40), "configuration": {}}
    del older["stages"]["a"]["request_s"]

    class Older:
        async def answer(self, *_: object, **__: object) -> Any:
            return older

    source = GatewaySource(GatewayClient(Older()), 3)
    with pytest.raises(SourceError, match=r"another version than this controller.* lacks request_s; .* ipa live up"):
        asyncio.run(source.read(0.0))
