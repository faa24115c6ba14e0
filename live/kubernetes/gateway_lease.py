"""The Lease of two gateways on a cluster, kept by the container beside each gateway: as client-go's leader election.

A gateway that holds it renews it every 2 s, serves, and is the only one that is ready. The other takes it once it is
given back, as it is when the gateway has ended or its pod is about to, or has not been renewed for `DURATION_S`.

A holder that cannot renew it serves on: while the API server is away nobody else can take it, and if its node alone is
cut off, the model servers refuse its batches once they have seen the next term (`serving.term`).
"""

from __future__ import annotations

import json
import logging
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from threading import Event, Thread
from typing import Any

from ipa.live.errors import LiveError
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.lease import RETRY_S, Lease, boot_s, spec_of
from ipa.live.kubernetes.names import GATEWAY, REPORT
from ipa.live.kubernetes.settings import Deployed
from ipa.live.serving import LEASE_PATH
from ipa.live.tokens import TokenFile

DURATION_S = 15.0
ENDING_LOOKED_AT_EVERY_S = 0.2
"""How often it looks while the pod ends: the gateway waits for another to take over."""
ANSWERS_WITHIN_S = 1.0
WATCHED_AGAIN_AFTER_S = 1.0

log = logging.getLogger("ipa.live.kubernetes.gateway_lease")


class GatewayLease(Lease):
    """The Lease, for the gateway of one pod. `report` is the configuration in force, for the next holder."""

    component = GATEWAY
    duration_s = DURATION_S

    def __init__(self, api: Api, deployed: Deployed, pod: str, clock: Callable[[], float] = boot_s) -> None:
        super().__init__(api, deployed, pod, clock)
        self._name = deployed.gateway_name
        self.term = 0

    @property
    def is_ours(self) -> bool:
        """Whether we hold it by what was read or written last: it may have expired."""
        return self.holder == self.identity

    def look(self) -> None:
        """Read it, and do not take it."""
        try:
            self.holder = spec_of(self._read()).get("holderIdentity") or ""
            self.problem = ""
        except ApiError as error:
            self.problem = str(error)

    def _read(self) -> dict[str, Any] | None:
        lease = super()._read()
        self.term = int(spec_of(lease).get("leaseTransitions") or 0)
        if spec_of(lease).get("holderIdentity") != self.identity:
            self.report = ((lease or {}).get("metadata", {}).get("annotations") or {}).get(REPORT, "")
        return lease

    def _transitions(self, before: Mapping[str, Any]) -> int:
        return self.term + (before.get("holderIdentity") not in (None, "", self.identity))

    def _write(self, lease: dict[str, Any]) -> None:
        super()._write(lease)
        self.term = int(lease["spec"]["leaseTransitions"])


class ControlPort:
    """The gateway's control port in the same pod."""

    def __init__(self, url: str, tokens: TokenFile) -> None:
        self._url, self._tokens = url + LEASE_PATH, tokens

    def put(self, body: Mapping[str, object]) -> dict[str, Any] | None:
        """The answer; None if there is none. Raises ConnectionRefusedError where no gateway listens."""
        try:
            headers = {"Content-Type": "application/json", **self._tokens.headers()}
            request = urllib.request.Request(self._url, json.dumps(body).encode(), headers, method="PUT")
            with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S) as response:
                answer: dict[str, Any] = json.load(response)
            return answer
        except urllib.error.URLError as error:
            if isinstance(error.reason, ConnectionRefusedError):
                raise error.reason from None
        except (LiveError, OSError, ValueError):
            pass
        return None


class LeaseKeeper:
    """Keeps the Lease for the gateway that `put` tells and asks (see `ControlPort.put`)."""

    def __init__(self, lease: GatewayLease, put: Callable[[Mapping[str, object]], dict[str, Any] | None]) -> None:
        self._lease = lease
        self._put = put
        self._is_given_back = self._is_ending = False
        self._problem = ""
        self._woken = Event()

    def run(self) -> None:
        """Keep it until the pod ends and its gateway has ended."""
        while self.look() or not self._is_ending:
            self._woken.wait(ENDING_LOOKED_AT_EVERY_S if self._is_ending else RETRY_S)
            self._woken.clear()

    def wake(self) -> None:
        """Something may have changed: look at once. Called from any thread."""
        self._woken.set()

    def end(self) -> None:
        """The pod is about to end: another gateway is to take over. Called from any thread."""
        self._is_ending = True
        self.wake()

    def look(self) -> bool:
        """Renew the Lease for our gateway, give it back, or take it if it is free; returns whether there is one."""
        lease = self._lease
        try:
            answer = self._tell()
        except ConnectionRefusedError:
            self._give_back()
            return False
        if self._is_ending or (answer is not None and answer["closing"]):
            self._give_back()
        elif answer is not None:  # one that does not answer is not renewed
            was_ours = lease.is_ours
            if was_ours:
                lease.report = json.dumps(answer["configuration"])
            lease.acquire()
            self._is_given_back = self._is_given_back and not lease.is_ours
            if lease.is_ours and not was_ours:
                log.warning("this gateway serves", extra={"term": lease.term})
        if lease.problem not in ("", self._problem):
            log.warning("the Lease is not renewed", extra={"problem": lease.problem})
        self._problem = lease.problem
        try:
            self._tell()
        except ConnectionRefusedError:
            self._give_back()
            return False
        return True

    def _give_back(self) -> None:
        was_ours = self._lease.is_ours
        if was_ours:
            self._lease.release()
        self._lease.look()
        self._is_given_back = self._is_given_back or (was_ours and not self._lease.is_ours)

    def _tell(self) -> dict[str, Any] | None:
        lease = self._lease
        return self._put(
            {
                "term": lease.term,
                "holds": lease.is_ours,
                "replaced": lease.holder not in ("", lease.identity),
                "given_back": self._is_given_back,
                "configuration": json.loads(lease.report or "{}"),
            }
        )


def start(
    api: Api, deployed: Deployed, pod: str, control_url: str, tokens: TokenFile, on_end: Callable[[], object]
) -> Callable[[], object]:
    """Keep the Lease in threads of this process; returns what to call when the pod is about to end. `on_end` is called
    once its gateway has ended, too."""
    keeper = LeaseKeeper(GatewayLease(api, deployed, pod), ControlPort(control_url, tokens).put)

    def keep() -> None:
        keeper.run()
        on_end()

    def watch() -> None:
        while True:
            try:
                if (lease := api.get("Lease", deployed.namespace, deployed.gateway_name)) is not None:
                    version = lease["metadata"]["resourceVersion"]
                    for event in api.watch("Lease", deployed.namespace, "", version, deployed.gateway_name):
                        if not spec_of(event["object"]).get("holderIdentity"):
                            keeper.wake()
            except ApiError as error:
                log.info("the watch of the Lease is interrupted", extra={"problem": str(error)})
            time.sleep(WATCHED_AGAIN_AFTER_S)

    for target in (keep, watch):
        Thread(target=target, daemon=True).start()
    return keeper.end
