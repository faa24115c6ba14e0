"""An API server that has one Lease of two gateways, and the pods of these, as each of the pods sees it."""

from __future__ import annotations

import copy
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from ipa.live.kubernetes.api import ApiError

Object = dict[str, Any]


class LeaseServer:
    """The server. `is_away`: it answers nobody."""

    def __init__(self, name: str = "ipa-tiny-gateway") -> None:
        self.is_away = False
        self.version = 1
        self.lease: Object | None = {"metadata": {"name": name, "resourceVersion": "1"}}
        self._lock = threading.Lock()
        self._watches: list[queue.SimpleQueue[Object]] = []

    @property
    def holder(self) -> str:
        return str(((self.lease or {}).get("spec") or {}).get("holderIdentity") or "")

    def put(self, lease: Object) -> None:
        """Replace the Lease, if nobody has changed it since it was read."""
        with self._lock:
            if self.lease is None or lease["metadata"]["resourceVersion"] != self.lease["metadata"]["resourceVersion"]:
                raise ApiError("PUT", 409, "the object has been modified")
            self.version += 1
            self.lease = copy.deepcopy(lease)
            self.lease["metadata"]["resourceVersion"] = str(self.version)
            for each in self._watches:
                each.put(copy.deepcopy(self.lease))

    def watch(self) -> queue.SimpleQueue[Object]:
        self._watches.append(queue.SimpleQueue())
        return self._watches[-1]


class LeaseClient:
    """What a keeper asks of the server; with `is_cut` its pod does not reach it."""

    read_only = False

    def __init__(self, server: LeaseServer) -> None:
        self._server = server
        self.is_cut = False

    def _check(self, what: str) -> None:
        if self.is_cut or self._server.is_away:
            raise ApiError(what, 0, "no answer")

    def time_s(self) -> float:
        return time.time()

    def get(self, kind: str, namespace: str, name: str, within_s: float = 0.0) -> Object | None:
        self._check("GET")
        return copy.deepcopy(self._server.lease)

    def request(self, method: str, path: str, body: Object, within_s: float = 0.0) -> Object:
        self._check(method)
        self._server.put(body)
        return body

    def watch(self, kind: str, namespace: str, selector: str, version: str, name: str = "") -> Iterator[Object]:
        events = self._server.watch()
        while True:
            yield {"type": "MODIFIED", "object": events.get()}
