"""A Lease that one process holds, and that another takes over once it is no longer renewed: the controller's, by which
one writes, and what it has in common with that of two gateways.

A holder counts as dead by this machine's clock alone: as seen from here, its record has not changed for the whole
duration, in which the API server has answered. So differing clocks do no harm, nor does a server that was away.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from math import inf
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError, path_of
from ipa.live.kubernetes.manifests import owner_of
from ipa.live.kubernetes.names import CONTROLLER
from ipa.live.kubernetes.settings import Deployed

DURATION_S = 10.0
RETRY_S = 2.0
"""Between renewals, and between attempts to take over: a dead holder is replaced within 12 s."""
ANSWERS_WITHIN_S = 3.0
"""A later answer would leave no time for another attempt."""


log = logging.getLogger("ipa.live.kubernetes.lease")


def boot_s() -> float:
    """Seconds of a clock that nobody sets; where possible it also runs while the machine sleeps."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Lease:
    """The Lease of a deployed pipeline's controller. `acquire` also renews it: call it every `retry_s`.

    `report` is written with each renewal, for `ipa live status` to show.
    """

    component = CONTROLLER
    duration_s = DURATION_S

    def __init__(
        self,
        api: Api,
        deployed: Deployed,
        identity: str = "",
        clock: Callable[[], float] = boot_s,
    ) -> None:
        self._api = api
        self._deployed = deployed
        self._name = deployed.instance
        self._clock = clock
        self.identity = identity or f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self.holder = ""
        self.problem = ""
        """Why the latest attempt to read or write it failed; empty if it did not."""
        self.report = ""
        self.retry_s = RETRY_S
        self._seen: tuple[str, str] = ("", "")  # holder and renewal, as last seen to change
        self._seen_at_s = 0.0
        self._renewed_at_s: float | None = None

    @property
    def is_held(self) -> bool:
        """Whether it is certainly ours: a holder stops writing before another may start."""
        return self._clock() < self.held_until_s

    @property
    def held_until_s(self) -> float:
        """Until when it is certainly ours, by the clock."""
        return -inf if self._renewed_at_s is None else self._renewed_at_s + self.duration_s - RETRY_S

    @property
    def is_lost(self) -> bool:
        """Whether another holds what was ours."""
        return self._renewed_at_s is not None and self.holder not in ("", self.identity)

    def acquire(self) -> bool:
        """Take or renew the Lease if it is free, ours or expired; returns whether it is ours. Never raises ApiError."""
        try:
            is_ours = self._acquire()
            self.problem = ""
            return is_ours
        except ApiError as error:  # it cannot be read or written: what we hold lasts until it expires
            self.problem = str(error)
            self._seen = ("", "")
            return self.is_held

    def release(self) -> None:
        """Give it up, so that the next controller can take it at once."""
        self._renewed_at_s = None
        try:
            lease = self._read()
            if lease is not None and spec_of(lease).get("holderIdentity") == self.identity:
                self._write({**lease, "spec": {**lease["spec"], "holderIdentity": ""}})
        except ApiError:
            return  # it expires by itself

    def _acquire(self) -> bool:
        asked_at_s = self._clock()
        lease = self._read()
        read_at_s = self._clock()  # its holder counts from before its write, so that no slow answer lets two hold it
        spec = spec_of(lease)
        self.holder = spec.get("holderIdentity") or ""
        renewal = (self.holder, spec.get("renewTime") or "")
        if renewal != self._seen:
            self._seen, self._seen_at_s = renewal, read_at_s
        if self.holder not in ("", self.identity) and read_at_s - self._seen_at_s < self.duration_s:
            return False
        try:
            self._write(self._ours(lease))
        except ApiError as error:
            if error.status == 409:  # another was faster
                return False
            raise
        self.holder, self._renewed_at_s = self.identity, asked_at_s
        return True

    def _ours(self, current: dict[str, Any] | None) -> dict[str, Any]:
        before = spec_of(current)
        now = datetime.fromtimestamp(self._api.time_s(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        is_new = before.get("holderIdentity") != self.identity
        spec = {
            "holderIdentity": self.identity,
            "leaseDurationSeconds": int(self.duration_s),
            "acquireTime": now if is_new else before.get("acquireTime", now),
            "renewTime": now,
            "leaseTransitions": self._transitions(before),
        }
        lease = current or {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": self._deployed.meta(self._name, self.component, self._owner()),
        }
        annotations = (lease["metadata"].get("annotations") or {}) | {names.REPORT: self.report}
        return {**lease, "metadata": {**lease["metadata"], "annotations": annotations}, "spec": spec}

    def _transitions(self, before: Mapping[str, Any]) -> int:
        """How often the Lease has changed hands once we hold it."""
        is_new = before.get("holderIdentity") != self.identity
        return int(before.get("leaseTransitions") or 0) + (is_new and bool(before))

    def _owner(self) -> dict[str, Any] | None:
        root = self._api.get("ConfigMap", self._deployed.namespace, self._deployed.instance)
        return None if root is None else owner_of(root)

    def _read(self) -> dict[str, Any] | None:
        return self._api.get("Lease", self._deployed.namespace, self._name, ANSWERS_WITHIN_S)

    def _write(self, lease: dict[str, Any]) -> None:
        """Create it, or replace what was read if nobody has changed it since."""
        namespace = self._deployed.namespace
        if "resourceVersion" in lease["metadata"]:
            method, path = "PUT", path_of("Lease", namespace, self._name)
        else:
            method, path = "POST", path_of("Lease", namespace)
        self._api.request(method, path, lease, within_s=ANSWERS_WITHIN_S)

    # ---- during a run ----

    @property
    def trouble(self) -> str:
        """Why it is not held, if it is not."""
        if self.problem:
            return f"not renewed: {self.problem}"
        return "not renewed in time" if self.holder in ("", self.identity) else f"held by {self.holder}"

    async def take(self, threads: Executor, report: Callable[[], str]) -> None:
        """Wait until no other controller writes."""
        reported = ""
        while not await self._acquire_in(threads, report):
            if (why := self.problem or f"held by {self.holder}") != reported:
                log.warning("waiting for the Lease", extra={"problem": why})
                reported = why
            await asyncio.sleep(self.retry_s)
        if reported:
            log.warning("the Lease is ours")

    async def keep(self, threads: Executor, report: Callable[[], str], on_lost: Callable[[str], object]) -> None:
        """Renew it until another controller has taken it; `on_lost` is then called with a message."""
        reported = ""
        while True:
            await asyncio.sleep(self.retry_s)
            if not await self._acquire_in(threads, report) and self.is_lost:
                on_lost(f"another controller has taken over: {self.holder}")
                return
            if self.problem != reported:
                reported = self.problem
                text = "the Lease is not renewed" if reported else "the Lease is renewed again"
                log.warning(text, extra=_problem(reported))

    async def _acquire_in(self, threads: Executor, report: Callable[[], str]) -> bool:
        self.report = report()
        return await asyncio.get_running_loop().run_in_executor(threads, self.acquire)


def spec_of(lease: Mapping[str, Any] | None) -> dict[str, Any]:
    """The specification of a Lease; empty for one that nobody has held yet."""
    return {} if lease is None else lease.get("spec") or {}


def _problem(text: str) -> dict[str, str]:
    return {"problem": text} if text else {}
