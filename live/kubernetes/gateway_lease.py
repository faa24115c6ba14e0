"""The Lease of two gateways on a cluster, and its keeper in the container beside each gateway.

The keeper holds the Lease for its gateway and grants it the right to serve, for some seconds at a time. It gives the
Lease back at once when its gateway has ended or is about to, so that the other one serves within a moment. If nobody
gives it back, as where a node is lost, it is free once it has not been renewed for `DURATION_S`.

A cluster's API server may be away for longer than that, and a pipeline has to serve on. So the holder names a successor
on the Lease: the one pod that may take over what was not given back. As long as that one promises, again and again, not
to do so, the holder's right goes on without the Lease. Anybody else waits until Kubernetes has deleted both pods.
"""

from __future__ import annotations

import json
import logging
import queue
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from math import inf
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from ipa.live.errors import LiveError
from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.gateway_manifests import CONTROL_PORT, DATA_PORT, PORT_NAME
from ipa.live.kubernetes.lease import DURATION_S, RETRY_S, Lease, spec_of
from ipa.live.kubernetes.names import GATEWAY
from ipa.live.kubernetes.pods import Pod
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.plane import EVERYWHERE, hand_out, open_port
from ipa.live.serving import FOLLOW_PATH, LEASE_PATH, Address, StandIn, boot_s
from ipa.live.tokens import TokenFile

LOOKED_AT_EVERY_S = 0.5
ENDING_LOOKED_AT_EVERY_S = 0.05
"""The same while the pod ends: the gateway is about to say so."""
SILENT_LOOKS = 2
"""How often in a row a gateway may not answer before what comes to it is passed on: it may only be busy."""
QUIET_LOOKS = 10
"""In how many looks in a row nobody may have come to an ended gateway before its pod ends."""
ANSWERS_WITHIN_S = 1.0
WATCHED_AGAIN_AFTER_S = OPENED_AGAIN_AFTER_S = 1.0

log = logging.getLogger("ipa.live.kubernetes.gateway_lease")


def address_of(ip: str) -> Address:
    """Where a gateway's pod is reached."""
    return Address(names.url(ip, DATA_PORT), names.url(ip, CONTROL_PORT))


class GatewayLease(Lease):
    """The Lease, for the gateway of one pod; `pods` are the names of the gateway pods that exist.

    `successor` is written with each renewal. `named` is the successor that the Lease certainly names, `server` where
    its holder is reached if that is another; `term` and `fence` are the Lease's (see `ServingLease.grant`).
    """

    component = GATEWAY

    def __init__(
        self,
        api: Api,
        deployed: Deployed,
        pod: str,
        ip: str,
        pods: Callable[[], Collection[str]],
        clock: Callable[[], float] = boot_s,
        address_of: Callable[[str], Address] = address_of,
    ) -> None:
        super().__init__(api, deployed, pod, clock)
        self._address_of = address_of
        self._name = deployed.gateway_name
        self._ip = ip
        self._pods = pods
        self.term = self.fence = 0
        self.server: Address | None = None
        self.successor = self.named = ""

    @property
    def is_ours(self) -> bool:
        """Whether we hold it by what was read last, certainly or not."""
        return self.holder == self.identity

    def look(self) -> None:
        """Read it, and do not take it."""
        try:
            self.holder = spec_of(self._read()).get("holderIdentity") or ""
            self.problem = ""
        except ApiError as error:
            self.problem = str(error)

    def release(self) -> None:
        super().release()
        self.look()

    def _free_after_s(self, lease: Mapping[str, Any] | None) -> float:
        named = _notes(lease).get(names.SUCCESSOR, "")
        if named in ("", self.identity):
            return super()._free_after_s(lease)
        if not self.holder:
            return RETRY_S  # the successor comes first
        return inf if {named, self.holder} & {*self._pods()} else DURATION_S

    def _read(self) -> dict[str, Any] | None:
        lease = super()._read()
        spec, notes = spec_of(lease), _notes(lease)
        self.term, self.fence = int(spec.get("leaseTransitions") or 0) + 1, int(notes.get(names.FENCE, 0))
        ip, is_anothers = notes.get(names.ADDRESS), spec.get("holderIdentity") not in (None, "", self.identity)
        self.server = self._address_of(ip) if ip and is_anothers else None
        return lease

    def _ours(self, current: dict[str, Any] | None) -> dict[str, Any]:
        lease = super()._ours(current)
        term = int(lease["spec"]["leaseTransitions"]) + 1
        is_taken = spec_of(current).get("holderIdentity") not in (None, "", self.identity)
        fence = term if is_taken else int(_notes(current).get(names.FENCE, 0))
        lease["metadata"]["annotations"] |= {
            names.ADDRESS: self._ip,
            names.SUCCESSOR: self.successor,
            names.FENCE: str(fence),
        }
        return lease

    def _write(self, lease: dict[str, Any]) -> None:
        successor, is_ours = _notes(lease)[names.SUCCESSOR], lease["spec"]["holderIdentity"] == self.identity
        if successor != self.named or not is_ours:
            self.named = ""  # the server may write it without our learning of that
        super()._write(lease)
        if is_ours:
            self.term, self.fence = int(lease["spec"]["leaseTransitions"]) + 1, int(_notes(lease)[names.FENCE])
            self.named, self.server = successor, None


def _notes(lease: Mapping[str, Any] | None) -> Mapping[str, str]:
    return {} if lease is None else lease["metadata"].get("annotations") or {}


# ---- the gateways' control ports ----


class GoneError(Exception):
    """Nobody listens there: the gateway has ended, or has not begun."""


class ControlPorts:
    """Calls of the gateways' control ports."""

    def __init__(self, tokens: TokenFile) -> None:
        self._tokens = tokens

    def put(self, url: str, path: str, body: Mapping[str, object]) -> dict[str, Any] | None:
        """The answer; None if it refuses, or does not answer. Raises GoneError."""
        try:
            headers = {"Content-Type": "application/json", **self._tokens.headers()}
            request = urllib.request.Request(url + path, json.dumps(body).encode(), headers, method="PUT")
            with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as response:
                answer: dict[str, Any] = json.load(response)
            return answer
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                raise GoneError from None
        except (LiveError, OSError, ValueError):
            pass
        return None


@dataclass(frozen=True)
class OwnGateway:
    """What the keeper knows of its own gateway, by its latest answer; `is_gone`: nobody listens there. It `accepts`
    clients from when it can serve them, or pass them on."""

    is_gone: bool = True
    answers: bool = False
    accepts: bool = False
    serves: bool = False
    is_closing: bool = False


# ---- the keeper ----


@dataclass
class LeaseKeeper:
    """Keeps the Lease for the gateway at `own`, which others reach at `here`; `peers` are the other gateways' pods.

    `on_gone` is called, again and again, from when the gateway has ended or become silent, and `on_back` while there is
    one that accepts clients. `is_quiet` says whether everybody has been answered who came to an ended one.
    """

    lease: GatewayLease
    own: Address
    here: Address
    peers: Callable[[], Mapping[str, Address]]
    ports: ControlPorts
    on_gone: Callable[[], object] = lambda: None
    on_back: Callable[[], object] = lambda: None
    is_quiet: Callable[[], bool] = lambda: True
    clock: Callable[[], float] = boot_s
    is_ending: bool = False
    """Whether the pod is about to end."""
    gateway: OwnGateway = OwnGateway()
    _promised_until_s: float = -inf
    _due_s: float = -inf
    _has_accepted: bool = False
    _silent_looks: int = 0
    _quiet_looks: int = 0
    _problem: str = ""
    _woken: queue.SimpleQueue[None] = field(default_factory=queue.SimpleQueue)

    def run(self) -> None:
        """Keep the Lease until the pod ends, its gateway has ended and nobody comes there any more: the other gateway
        may have passed on to it what it has not seen."""
        while self._quiet_looks < QUIET_LOOKS:
            try:
                self.look()
            except Exception:  # a mistake of ours must not end it silently
                log.exception("a defect of this program")
            with suppress(queue.Empty):
                self._woken.get(timeout=ENDING_LOOKED_AT_EVERY_S if self.is_ending else LOOKED_AT_EVERY_S)
                self._due_s = -inf
        self.lease.release()

    def wake(self) -> None:
        """Something may have changed: look at once. Called from any thread."""
        self._woken.put(None)

    def end(self) -> None:
        """The pod is about to end. Called from any thread."""
        self.is_ending = True
        self.wake()

    def look(self) -> None:
        """One look: renew the Lease for our gateway, or give it back, or take it if it is free."""
        self._tell_gateway()
        self._ask_peers()
        if self.clock() >= self._due_s:
            self._due_s = self.clock() + RETRY_S
            was_held = self.lease.is_held
            problem = self._keep()
            if problem and problem != self._problem:
                log.warning("the lease", extra={"problem": problem})
            self._problem = problem
            if self.lease.is_held and not was_held:
                self._tell_gateway()
                self._ask_peers()
        self._replace_gateway()
        is_over = self.is_ending and self.gateway.is_gone and self.is_quiet()
        self._quiet_looks = self._quiet_looks + 1 if is_over else 0

    def _replace_gateway(self) -> None:
        """Have what comes to a gateway that has ended answered meanwhile."""
        self._has_accepted = self._has_accepted or self.gateway.accepts
        self._silent_looks = 0 if self.gateway.accepts else self._silent_looks + 1
        if self._has_accepted:
            if self.gateway.accepts:
                self.on_back()
            elif self.gateway.is_gone or (self._silent_looks > SILENT_LOOKS and not self.is_ending):
                self.on_gone()

    def _keep(self) -> str:
        """Take, renew or give back the Lease; returns why it is not renewed."""
        lease, gateway, problem = self.lease, self.gateway, ""
        if gateway.is_gone and lease.is_ours:
            lease.release()
            problem = "given back: the gateway has ended"
        elif gateway.is_gone:
            lease.look()
        elif not gateway.answers:
            problem = "not renewed: the gateway does not answer"
            self._due_s = -inf  # it may only be busy, and requests wait for one that serves
        elif gateway.is_closing and not (lease.is_ours and self._is_alone):
            if lease.is_ours and self._leaves():
                lease.release()
            else:
                lease.look()
        else:
            lease.acquire()
            problem = f"not renewed: {lease.problem}" if lease.problem else ""
        if lease.server is not None and gateway.answers:
            self._follow(self.own, lease.server, 0.0)
        return problem

    @property
    def _is_alone(self) -> bool:
        """Whether nobody would serve if our gateway gave up its right now."""
        return self.clock() >= self._promised_until_s or not self.lease.is_held

    def _leaves(self) -> bool:
        """Have our gateway give up its right; returns whether it has done so."""
        self._tell_gateway(leaves=True)
        return self.gateway.answers and not self.gateway.serves

    def _ask_peers(self) -> None:
        """Have the other gateways follow ours while it serves, and name one of them as the successor."""
        lease = self.lease
        if not (lease.is_ours and self.gateway.serves):
            return
        able = []
        for name, peer in sorted(self.peers().items()):
            asked_s = self.clock()
            answer = self._follow(peer, self.here, DURATION_S)
            if answer is not None and answer["alike"] and not answer["closing"]:
                able.append(name)
                if name == lease.named:
                    self._promised_until_s = asked_s + DURATION_S - RETRY_S
        if lease.successor not in able:
            lease.successor = able[0] if able else ""
            self._due_s = -inf

    def _follow(self, gateway: Address, server: Address, for_s: float) -> dict[str, Any] | None:
        body = {"term": self.lease.term, "data_url": server.data_url, "control_url": server.control_url}
        try:
            return self.ports.put(gateway.control_url, FOLLOW_PATH, {**body, "for_s": for_s})
        except GoneError:
            return None

    def _tell_gateway(self, *, leaves: bool = False) -> None:
        """Grant our gateway the right to serve as far as it is certain, and learn how it is."""
        lease, before = self.lease, self.gateway
        until_s = 0.0
        if lease.is_ours:
            until_s = max(lease.held_until_s, self._promised_until_s if lease.named else 0.0, 0.0)
        body = {"term": lease.term, "fence": lease.fence, "until_s": until_s, "leave": leaves}
        try:
            answer = self.ports.put(self.own.control_url, LEASE_PATH, body)
            self.gateway = OwnGateway(is_gone=False) if answer is None else _gateway(answer)
        except GoneError:
            self.gateway = OwnGateway()
        if (before.is_gone, before.is_closing) != (self.gateway.is_gone, self.gateway.is_closing):
            self._due_s = -inf


def _gateway(answer: Mapping[str, Any]) -> OwnGateway:
    return OwnGateway(
        is_gone=False,
        answers=True,
        accepts=answer["accepts"],
        serves=answer["serves"],
        is_closing=answer["closing"],
    )


# ---- in the container beside the gateway ----


class PodPort:
    """The data port of a pod's gateway: opened here, handed out to the gateway's process and, should that end, to the
    next one. Meanwhile a stand-in answers there."""

    def __init__(
        self, tokens: TokenFile, host: str = EVERYWHERE, number: int = DATA_PORT, name: str = PORT_NAME
    ) -> None:
        self._tokens = tokens
        self._at, self._name = (host, number), name
        self._stand_in: StandIn | None = None
        Thread(target=self._hand_out, daemon=True).start()

    def _hand_out(self) -> None:
        while True:
            try:
                port = open_port(*self._at)
            except OSError as error:  # of an earlier container of this kind: its gateway has it, and is not replaced
                log.warning("the gateway's port cannot be opened", extra={"problem": str(error)})
                time.sleep(OPENED_AGAIN_AFTER_S)
                continue
            self._stand_in = StandIn(port, self._tokens)
            hand_out(port, self._name)

    def begin(self, term: int, server: Address | None) -> None:
        """See `StandIn.begin`."""
        if self._stand_in is not None:
            self._stand_in.begin(term, server)

    def end(self, term: int) -> None:
        """See `StandIn.end`."""
        if self._stand_in is not None:
            self._stand_in.end(term)

    def is_quiet(self) -> bool:
        """Whether the stand-in has no connections."""
        return self._stand_in is None or self._stand_in.is_quiet


@dataclass(frozen=True)
class Here:
    """The pod of a gateway: its name, its address, and the URL of the gateway's control port within the pod."""

    pod: str
    ip: str
    control_url: str


def start(
    api: Api, deployed: Deployed, here: Here, port: PodPort, tokens: TokenFile, on_end: Callable[[], object]
) -> Callable[[], object]:
    """Keep the Lease in threads of this process; returns what to call when the pod is about to end.

    `on_end` is called when nothing is left to do.
    """
    own, pods = Address("", here.control_url), dict[str, Pod]()

    def changed(pods_by_uid: Mapping[str, Pod], _: bool) -> None:
        nonlocal pods
        pods = {pod.name: pod for pod in pods_by_uid.values()}

    def peers() -> dict[str, Address]:
        others = (pod for name, pod in pods.items() if name != here.pod and not pod.is_over)
        return {pod.name: address_of(pod.address) for pod in others if pod.address}

    lease = GatewayLease(api, deployed, here.pod, here.ip, lambda: pods)
    keeper = LeaseKeeper(
        lease,
        own,
        address_of(here.ip),
        peers,
        ControlPorts(tokens),
        lambda: port.begin(lease.term, lease.server),
        lambda: port.end(lease.term),
        port.is_quiet,
    )

    def keep() -> None:
        keeper.run()
        on_end()

    PodWatch(api, deployed.namespace, deployed.instance, changed, component=GATEWAY).start()
    for target in (keep, partial(watch_lease, api, deployed, keeper.wake), partial(watch_gateway, own, keeper.wake)):
        Thread(target=target, daemon=True).start()
    return keeper.end


# ---- what wakes it ----


def watch_lease(api: Api, deployed: Deployed, on_change: Callable[[], object]) -> None:
    """Call `on_change` whenever the Lease has another holder, or none; for ever."""
    namespace, name, holder = deployed.namespace, deployed.gateway_name, ""
    while True:
        try:
            if (current := api.get("Lease", namespace, name)) is not None:
                events = api.watch("Lease", namespace, "", current["metadata"]["resourceVersion"], name)
                for lease in chain((current,), (event["object"] for event in events)):
                    if (now := str(spec_of(lease).get("holderIdentity") or "")) != holder:
                        holder = now
                        on_change()
        except ApiError as error:
            log.info("the watch of the Lease is interrupted", extra={"problem": str(error)})
        time.sleep(WATCHED_AGAIN_AFTER_S)


def watch_gateway(own: Address, on_end: Callable[[], object]) -> None:
    """Call `on_end` whenever the gateway's process may have ended: a connection to it, on which nothing is said, has
    been closed. For ever."""
    url = urlsplit(own.control_url)
    while True:
        with suppress(OSError), socket.create_connection((url.hostname or "", url.port or 0), ANSWERS_WITHIN_S) as line:
            line.settimeout(None)
            line.recv(1)
            on_end()
        time.sleep(ENDING_LOOKED_AT_EVERY_S)
