"""The control API of a gateway: configuration and replicas in, observations, records and metrics out.

It is level-triggered: a caller always sends the whole state, and sending it again changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from ipa.live.serving import access
from ipa.live.serving.host import Gateway
from ipa.live.serving.protocol import ProtocolError
from ipa.live.serving.request import RoutedReplica
from ipa.live.serving.term import LEASE_PATH, Term
from ipa.live.serving.web import about, add_health_routes, application, json_response, read_json
from ipa.live.tokens import TokenFile
from ipa.numbers import number_of
from ipa.policies import PolicyError, StageConfiguration, check_configuration, checks, to_plain
from ipa.profiles import ProfileError
from ipa.sim import Routes

STATES = ("ready", "draining")
MOST_NUMBER = 1e15
"""The largest number that a query may have where it counts something."""

_STAGE_KEYS = ("variant", "batch", "replicas", "batch_timeout_s", "cores")


def control_application(gateway: Gateway, tokens: TokenFile) -> web.Application:
    """The application behind a gateway's control port, whose calls need a token."""
    control = ControlApi(gateway)

    def refused(reason: str, text: str, http: web.Request) -> None:
        if reason == "token":
            gateway.control_refusals.add(reason, text, **about(http))

    app = application(access.control_guard(tokens, gateway.settings.control_names), on_refusal=refused)

    async def live(_: web.Request) -> web.Response:
        return json_response({"live": True})

    async def ready(_: web.Request) -> web.Response:
        return json_response({"ready": not gateway.is_closing}, 503 if gateway.is_closing else 200)

    add_health_routes(app, live, ready)
    app.router.add_put("/control/start", control.start)
    app.router.add_put("/control/configuration", control.configure)
    app.router.add_put("/control/replicas", control.replicas)
    if gateway.term is not None:
        app.router.add_put(LEASE_PATH, partial(control.lease, gateway.term))
    app.router.add_get("/control/observation", control.observe)
    app.router.add_get("/control/records", control.records)
    app.router.add_get("/metrics", gateway.metrics.answer)
    return app


class ControlApi:
    """The calls of a gateway's control port."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    async def start(self, http: web.Request) -> web.Response:
        """Set the moment that is time 0. Setting the present one again changes nothing, whatever is inside."""
        body = await read_json(http)
        origin_s = _checked(checks.mapping, "the body", body, ["origin"])["origin"]
        origin_s = _checked(checks.number, "origin", origin_s)
        gateway = self.gateway
        if not gateway.is_started or origin_s != gateway.clock.origin_s:
            if gateway.router.inside:
                raise ProtocolError(f"{gateway.router.inside} requests are inside; the clock cannot be reset", 409)
            gateway.restart_clock(origin_s)
        return json_response({"epoch": gateway.epoch, "time_s": gateway.clock.now_s()})

    async def configure(self, http: web.Request) -> web.Response:
        """Put another configuration in force at once."""
        return json_response({"time_s": self.put_in_force(await read_json(http))})

    def put_in_force(self, plain: object) -> float:
        """Put a configuration in force that was given as plain data; returns the time. Raises ProtocolError."""
        gateway = self.gateway
        stages = _checked(checks.mapping, "the configuration", plain, gateway.names)
        configuration = {
            name: StageConfiguration(**_checked(checks.mapping, name, stage, _STAGE_KEYS))
            for name, stage in stages.items()
        }
        _checked(check_configuration, gateway.pipeline, configuration)
        now_s = gateway.clock.now_s()
        gateway.router.configure(configuration, now_s)
        return now_s

    async def replicas(self, http: web.Request) -> web.Response:
        """Take over the list of all replicas. It says where requests go, so only this machine, or pod, may send it."""
        if not access.is_itself(http.remote):
            raise ProtocolError("the list of replicas is accepted from loopback only", 403)
        await self.list_replicas(await read_json(http))
        return json_response(
            {
                name: [_state(replica) for replica in stage.replicas]
                for name, stage in zip(self.gateway.names, self.gateway.router.stages, strict=True)
            }
        )

    async def lease(self, term: Term, http: web.Request) -> web.Response:
        """Learn who holds the Lease of two gateways, from the container that keeps it in this pod. `configuration` is
        that of the holder before, which one that begins to serve takes over."""
        if not access.is_itself(http.remote):
            raise ProtocolError("the Lease is accepted from loopback only", 403)
        keys = ["term", "holds", "replaced", "given_back", "configuration"]
        said = _checked(checks.mapping, "the body", await read_json(http), keys)
        gateway = self.gateway
        if said["holds"]:
            if said["configuration"] and not term.serves:
                self.put_in_force(said["configuration"])
            gateway.take_over(int(_checked(checks.number, "term", said["term"])))
        elif said["replaced"]:
            term.follow(is_given_back=bool(said["given_back"]))
        configuration = {name: to_plain(chosen) for name, chosen in gateway.router.configuration.items()}
        return json_response({"closing": gateway.is_ending, "configuration": configuration})

    async def list_replicas(self, plain: object) -> None:
        """Take over a list of all replicas that was given as plain data. Raises ProtocolError."""
        gateway = self.gateway
        stages = _checked(checks.mapping, "the replicas", plain, gateway.names)
        listed = [self._listed(name, stages[name]) for name in gateway.names]
        await gateway.learn_outputs(listed)
        for position, of_stage in enumerate(listed):
            gateway.router.stages[position].list_replicas(of_stage)
            gateway.router.attempt(position, gateway.clock.now_s())
        everyone = [replica for stage in gateway.router.stages for replica in stage.replicas]
        gateway.clients.forget({replica.url for replica in everyone})

    def _listed(self, stage: str, entries: object) -> Sequence[RoutedReplica]:
        """The ready replicas of a stage's list."""
        if not isinstance(entries, list):
            raise ProtocolError(f"{stage}: {entries!r}; allowed: a list of replicas")
        ready, numbers = [], set()
        for position, entry in enumerate(entries):
            where = f"{stage}[{position}]"
            replica, is_ready = self._replica(stage, where, entry)
            if replica.number in numbers:
                raise ProtocolError(f"{where}: two replicas have the number {replica.number}")
            numbers.add(replica.number)
            if is_ready:
                ready.append(replica)
        return ready

    def _replica(self, stage: str, where: str, entry: object) -> tuple[RoutedReplica, bool]:
        if not isinstance(entry, dict):
            raise ProtocolError(f"{where}: {entry!r}; allowed: an object")
        required = ("number", "url", "variant", "cores", "state")
        _checked(checks.known, "key", entry, (*required, "model"), suffix=f" of {where}")
        fields = _checked(checks.mapping, where, {k: v for k, v in entry.items() if k != "model"}, required)
        number = _checked(checks.integer, f"{where}.number", fields["number"], at_least=0)
        state = _checked(checks.choice, f"{where}.state", fields["state"], STATES)
        url, model = fields["url"], entry.get("model", fields["variant"])
        self._check_url(f"{where}.url", url)
        if not isinstance(model, str) or not model or "/" in model:
            raise ProtocolError(f"{where}.model={model!r}; allowed: a name")
        try:
            variant = self.gateway.pipeline.stage(stage).variant(fields["variant"])
            most = variant.max_batch(fields["cores"])
            most = variant.language_model.sequences if variant.language_model else most
        except (ProfileError, TypeError) as error:
            raise ProtocolError(f"{where}: {error}") from None
        replica = RoutedReplica(number, variant.name, most, url.rstrip("/"), model, fields["cores"])
        return replica, state == "ready"

    def _check_url(self, where: str, url: object) -> None:
        """Refuse URLs of replicas that the gateway's backend cannot have made: requests go nowhere else."""
        try:
            parts = urlsplit(url if isinstance(url, str) else "")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ProtocolError(f"{where}={url!r}; allowed: http://ADDRESS:PORT") from None
        if parts.scheme not in ("http", "https") or "@" in parts.netloc or (parts.path + parts.query).strip("/"):
            raise ProtocolError(f"{where}={url!r}; allowed: http://ADDRESS:PORT")
        networks, allowed_port = self.gateway.replica_networks, self.gateway.settings.replica_port
        if not access.is_among(host, networks):
            allowed = ", ".join(map(str, networks))
            raise ProtocolError(f"{where}={url!r}; allowed: an address in {allowed}")
        if allowed_port not in (None, port):
            raise ProtocolError(f"{where}={url!r}; allowed: port {allowed_port}")

    async def observe(self, http: web.Request) -> web.Response:
        gateway = self.gateway
        seconds = _query(http, "seconds", 120.0, least=0.0, most=MOST_NUMBER)
        since_s = _query(http, "since", -math.inf)
        return json_response(observation(gateway, gateway.clock.now_s(), since_s, int(seconds)))

    async def records(self, http: web.Request) -> web.Response:
        after = int(_query(http, "after", 0.0, least=0.0, most=MOST_NUMBER))
        limit = int(_query(http, "limit", MOST_NUMBER, least=1.0, most=MOST_NUMBER))
        gateway = self.gateway
        ended = gateway.ended_requests
        number, records = ended.after(after, limit)
        return json_response(
            {
                "epoch": gateway.epoch,
                "started": gateway.is_started,
                "next": number,
                "lost": ended.lost,
                "refused": dict(gateway.refusals.counts),
                "records": records,
            }
        )


def _checked(check: Callable[..., Any], *arguments: Any, **bounds: Any) -> Any:
    try:
        return check(*arguments, **bounds)
    except PolicyError as error:
        raise ProtocolError(str(error)) from None


def _state(replica: RoutedReplica) -> dict[str, Any]:
    return {
        "number": replica.number,
        "busy": bool(replica.serving),
        "batches": replica.batches,
        "failures": replica.failures,
        "suspended": replica.is_suspended,
    }


def _query(http: web.Request, key: str, default: float, *, least: float = -math.inf, most: float = math.inf) -> float:
    text = http.query.get(key)
    value = default if text is None else number_of(text)
    if value is None or not least <= value <= most or (text is not None and not math.isfinite(value)):
        bounds = (f" from {least:g}" if least > -math.inf else "") + (f" to {most:g}" if most < math.inf else "")
        raise ProtocolError(f"{key}={text}; allowed: a number{bounds}")
    return value


def observation(gateway: Gateway, now_s: float, since_s: float, seconds: int) -> dict[str, Any]:
    """The present state, with the load of up to `seconds` whole seconds and the latencies of requests that ended after
    `since_s`. A stage's latencies are of the batches that have finished there, as in simulation, whatever becomes of
    their requests. Counters only ever grow within an epoch: a reader takes differences."""
    router = gateway.router
    return {
        "epoch": gateway.epoch,
        "time_s": now_s,
        "configuration": {name: to_plain(stage) for name, stage in router.configuration.items()},
        "load_rps": gateway.arrivals.before(now_s, seconds),
        "stages": {
            name: {**asdict(router.state(position, now_s)), "latencies_s": latencies.after(since_s)}
            for position, (name, latencies) in enumerate(zip(router.names, router.stage_latencies, strict=True))
        },
        "latencies_s": router.latencies.after(since_s),
        **({} if router.flow.routes is None else {"edges": _edges(router.flow.routes, router.flow.carried)}),
    }


def _edges(routes: Routes, carried: Sequence[int]) -> list[dict[str, Any]]:
    """How many items each edge of a graph has carried; over its parent's completions, that is the observed factor."""
    pairs = zip(routes.edges, carried, strict=True)
    return [{"parent": edge.parent, "child": edge.child, "items": items} for edge, items in pairs]
