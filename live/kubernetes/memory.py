"""What a controller's policy has learnt and its number of steps, in a ConfigMap that outlives the controller's pod.

The latest entry of the journal is written after each step, in a thread of its own. A controller reads it when it takes
over the Lease, and resumes from it unless its own journal is as recent. Its size is bounded, as a ConfigMap's is; the
whole journal can be kept on a volume.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.manifest_parts import Manifest
from ipa.live.kubernetes.names import CONTROLLER
from ipa.live.kubernetes.settings import Deployed
from ipa.policies import Entry, Journal, PolicyError, from_line, to_line

MOST_BYTES = 512 * 2**10
WRITTEN_WITHIN_S = 5.0
"""How long a write may take; the end of a run waits for the one under way and the last one."""
ENTRY, OF = "entry", "of"
"""The keys of the ConfigMap: the entry as a line of the journal, and a digest of the scenario, pipeline file and
version."""

log = logging.getLogger("ipa.live.kubernetes.memory")


def memory_map(deployed: Deployed, owner: Manifest | None = None) -> Manifest:
    """The ConfigMap without data: this manifest lacks that field, so that applying it loses nothing."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": deployed.meta(deployed.memory_name, CONTROLLER, owner)}


class ControllerMemory:
    """The ConfigMap of a deployed pipeline; `scenario` is what its controller runs. An entry of another scenario,
    pipeline file or version of this program is ignored: a policy might not understand it. `may_write` is asked before
    each write, from any thread: without the Lease, nothing is written."""

    def __init__(
        self, api: Api, deployed: Deployed, scenario: object, may_write: Callable[[], bool] = lambda: True
    ) -> None:
        self._api = api
        self._may_write = may_write
        self._deployed = deployed
        content = json.dumps([deployed.content, scenario, version("ipa-pipelines")], sort_keys=True, default=str)
        self._of = sha256(content.encode()).hexdigest()[:16]
        self._latest: str | None = None
        self._changed = threading.Condition()
        self._is_closing = False
        self._problem = ""
        self._thread = threading.Thread(target=self._run, name="memory", daemon=True)

    def resume(self, journal: Journal) -> None:
        """Add the entry in the ConfigMap to a journal, unless its own latest entry is at least as recent."""
        entry = self._read()
        if entry is None or (journal.entries and journal.entries[-1].observation.step >= entry.observation.step):
            return
        log.info("goes on from the cluster's memory", extra={"step": entry.observation.step})
        journal.decided(entry)
        if entry.outcome is not None:
            journal.answered(entry.outcome)

    def _read(self) -> Entry | None:
        try:
            config_map = self._api.get("ConfigMap", self._deployed.namespace, self._deployed.memory_name)
            data: dict[str, Any] = (config_map or {}).get("data") or {}
            return from_line(data[ENTRY], self._deployed.memory_name) if data.get(OF) == self._of else None
        except (ApiError, PolicyError, KeyError) as error:
            log.warning("the cluster's memory is not read", extra={"problem": str(error)})
            return None

    def keep(self, entry: Entry) -> None:
        """Queue an entry to be written, in place of one that still waits."""
        with self._changed:
            self._latest = to_line(entry)
            self._changed.notify()
            if not self._thread.ident:
                self._thread.start()

    def close(self) -> None:
        """Wait for the last write: called before the Lease is released, since another may write from then on."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        if self._thread.ident:
            self._thread.join(2.0 * WRITTEN_WITHIN_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._latest is not None or self._is_closing)
                if self._latest is None:
                    return
                line, self._latest = self._latest, None
            problem = self._write(line)
            if problem and problem != self._problem:
                log.warning("what the policy has learnt is not kept on the cluster", extra={"problem": problem})
            self._problem = problem

    def _write(self, line: str) -> str:
        """Write a line, unless another writes meanwhile; returns why that failed, empty if it did not."""
        if len(line.encode()) > MOST_BYTES:
            return f"an entry has more than {MOST_BYTES // 2**10} KiB: see controller.state_claim"
        namespace, name = self._deployed.namespace, self._deployed.memory_name
        try:
            config_map = self._api.get("ConfigMap", namespace, name, WRITTEN_WITHIN_S)
            if config_map is None:
                return f"ConfigMap {name} does not exist; run ipa live up"
            if self._may_write():
                version = {"resourceVersion": config_map["metadata"]["resourceVersion"]}
                patch = {"metadata": version, "data": {ENTRY: line, OF: self._of}}
                self._api.patch("ConfigMap", namespace, name, patch, WRITTEN_WITHIN_S)
        except ApiError as error:
            return str(error)
        return ""
