"""What a gateway tells at a control step, as the control API sends it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from ipa.live.serving.counts import ArrivalCounts, EndedRequests
from ipa.live.serving.router import Router
from ipa.policies import to_plain

MOST_LATENCIES = 10_000
"""How many ended requests an observation looks back at."""


class Observable(Protocol):
    """What an observation is made of; `epoch` names what is counted together."""

    epoch: str
    router: Router
    arrivals: ArrivalCounts
    ended_requests: EndedRequests
    is_configured: bool


def lanes(router: Router) -> dict[str, list[Any]]:
    """Of every stage, by lane, what is in force there for now; None: the lane is free."""
    return {
        name: [to_plain(lane.in_force) if lane.desired else None for lane in stage.plan.lanes]
        for name, stage in zip(router.names, router.lanes, strict=True)
    }


def observation(gateway: Observable, now_s: float, since_s: float, seconds: int) -> dict[str, Any]:
    """How things stand now, with the load of up to `seconds` whole seconds and the latencies of what has ended after
    `since_s`. Counters only ever grow within an epoch: a reader takes differences."""
    router = gateway.router
    whole, by_stage = gateway.ended_requests.latencies_s(since_s, MOST_LATENCIES)
    return {
        "epoch": gateway.epoch,
        "time_s": now_s,
        "configured": gateway.is_configured,
        "configuration": {name: to_plain(router.configuration[name]) for name in router.names},
        "lanes": lanes(router),
        "load_rps": gateway.arrivals.before(now_s, seconds),
        "stages": {
            name: {**asdict(router.state(position, now_s)), "latencies_s": by_stage[name]}
            for position, name in enumerate(router.names)
        },
        "latencies_s": whole,
    }
