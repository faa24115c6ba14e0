"""What a gateway tells at a control step, as the control API sends it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, Protocol

from ipa.live.serving.counts import ArrivalCounts
from ipa.live.serving.router import Router
from ipa.policies import to_plain


class Observable(Protocol):
    """What an observation is made of; `epoch` names what is counted together."""

    epoch: str
    router: Router
    arrivals: ArrivalCounts
    is_configured: bool


def lanes(router: Router) -> dict[str, list[Any]]:
    """Of every stage, by lane, what is in force there for now; None: the lane is free."""
    return {
        name: [to_plain(lane.in_force) if lane.desired else None for lane in stage.plan.lanes]
        for name, stage in zip(router.names, router.lanes, strict=True)
    }


def observation(gateway: Observable, now_s: float, since_s: float, seconds: int) -> dict[str, Any]:
    """How things stand now, with the load of up to `seconds` whole seconds and the latencies of what has ended after
    `since_s`. A stage's are of the batches that have finished there, as in simulation, whatever becomes of the requests
    then. Counters only ever grow within an epoch: a reader takes differences."""
    router = gateway.router
    return {
        "epoch": gateway.epoch,
        "time_s": now_s,
        "configured": gateway.is_configured,
        "configuration": {name: to_plain(router.configuration[name]) for name in router.names},
        "lanes": lanes(router),
        "load_rps": gateway.arrivals.before(now_s, seconds),
        "stages": {
            name: {**asdict(router.state(position, now_s)), "latencies_s": latencies.after(since_s)}
            for position, (name, latencies) in enumerate(zip(router.names, router.stage_latencies, strict=True))
        },
        "latencies_s": router.latencies.after(since_s),
    }
