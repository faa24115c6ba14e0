"""The calls of the control port by which two gateways of a pipeline get the lease, and know of each other.

`PUT /control/lease` comes from the keeper of the lease beside the gateway, `PUT /control/follow` from the keeper of the
gateway that serves, and `GET /control/state` from the gateway that waits.
"""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from ipa.live.serving import access
from ipa.live.serving.counts import MOST_SECONDS
from ipa.live.serving.host import Gateway
from ipa.live.serving.lease import FOLLOW_PATH, LEASE_PATH, STATE_PATH, Address, ServingLease
from ipa.live.serving.protocol import ProtocolError
from ipa.live.serving.web import json_response, read_json
from ipa.policies import to_plain


def add_lease_routes(app: web.Application, gateway: Gateway, lease: ServingLease) -> None:
    """Add these calls to a gateway's control port."""

    async def granted(http: web.Request) -> web.Response:
        """The right to serve, until a moment of the machine's clock; or, with `leave`, its end."""
        if not access.is_itself(http.remote):
            raise ProtocolError("the lease is accepted from loopback only", 403)
        message = await read_json(http)
        term, until_s = _number(message, "term"), _number(message, "until_s")
        if message.get("leave"):
            lease.leave(gateway.drained_within_s)
        else:
            lease.grant(int(term), until_s, int(_number(message, "fence")))
        return json_response(
            {
                "term": lease.term,
                "serves": lease.serves,
                "accepts": lease.serves or gateway.is_alike,
                "closing": gateway.is_closing,
            }
        )

    async def followed(http: web.Request) -> web.Response:
        """Another gateway serves: it is to be followed, and not replaced for some seconds."""
        message = await read_json(http)
        urls = [message.get(key) for key in ("data_url", "control_url")]
        if not all(isinstance(url, str) and url.startswith("http://") for url in urls):
            raise ProtocolError(f"data_url, control_url: {urls}; allowed: http://ADDRESS:PORT")
        term, for_s = int(_number(message, "term")), _number(message, "for_s")
        if not lease.follow(term, Address(*urls), for_s):
            raise ProtocolError(f"term {term} is not followed: this gateway is at term {lease.term}", 409)
        return json_response({"alike": gateway.is_alike, "closing": gateway.is_closing})

    async def state(http: web.Request) -> web.Response:
        """What the gateway that waits copies, with the load of the last `?seconds=`."""
        if not lease.serves:
            raise ProtocolError("this gateway does not serve", 409)
        now_s, seconds = gateway.clock.now_s(), http.query.get("seconds", "0")
        if not seconds.isdecimal():
            raise ProtocolError(f"seconds={seconds}; allowed: a whole number")
        configuration = {name: to_plain(chosen) for name, chosen in gateway.router.configuration.items()}
        return json_response(
            {
                "epoch": gateway.epoch,
                "started": gateway.is_started,
                "clock_s": time.monotonic(),
                "time_s": now_s,
                "origin_s": gateway.clock.origin_s,
                "configuration": configuration,
                "arrivals": gateway.arrivals.since(now_s, min(int(seconds), MOST_SECONDS)),
                "replicas": gateway.listed,
            }
        )

    app.router.add_put(LEASE_PATH, granted)
    app.router.add_put(FOLLOW_PATH, followed)
    app.router.add_get(STATE_PATH, state)


def _number(message: Any, key: str) -> float:
    value = message.get(key) if isinstance(message, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        raise ProtocolError(f"{key}={value!r}; allowed: a number")
    return float(value)
