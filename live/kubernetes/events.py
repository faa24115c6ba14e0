"""Events on the Deployments of stages: what a controller did there and what it found, for `kubectl describe`.

An Event is written when something begins or changes, and the same one not again within `REPEATED_AFTER_S`. A controller
works as well without: what cannot be written, or may not be, is logged once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import uuid4

from ipa.live.kubernetes.api import Api, ApiError, path_of
from ipa.live.kubernetes.names import FIELD_MANAGER
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.stage_state import Look

REPEATED_AFTER_S = 600.0
ANSWERS_WITHIN_S = 3.0
"""An Event is not worth a longer wait."""
LONGEST = 1000
"""The characters of an Event's message; servers take 1,024."""

log = logging.getLogger("ipa.live.kubernetes.events")


class Event(NamedTuple):
    """What is told of a stage; one that `is_warning` asks for somebody's attention."""

    stage: str
    reason: str
    message: str
    is_warning: bool = True


def news(before: Look, look: Look) -> Iterator[Event]:
    """What a look did and found that the one before had not."""
    for what in look.done:
        stage = what.partition(":")[0].partition(",")[0].partition(" does not exist")[0]
        if stage in look.stages:
            yield Event(stage, "Changed", what, is_warning=False)
    for reason, earlier, now in (
        ("VariantFailed", before.failed, look.failed),
        ("NoRoom", before.out_of_room, look.out_of_room),
        ("NodeLost", before.lost, look.lost),
        ("ForeignScaler", before.foreign, look.foreign),
    ):
        for stage, why in now.items():
            if why != earlier.get(stage) and stage in look.stages:
                yield Event(stage, reason, why)


class Events:
    """Writes Events; may be called from any one thread at a time. `clock`: a monotonic one [s]."""

    def __init__(self, api: Api, deployed: Deployed, clock: Callable[[], float] = time.monotonic) -> None:
        self._api = api
        self._deployed = deployed
        self._clock = clock
        self._told_s: dict[Event, float] = {}
        self._problem = ""

    def tell(self, event: Event, look: Look) -> None:
        """Write an Event on the Deployment of its stage, unless it was written lately."""
        now_s = self._clock()
        self._told_s = {each: at_s for each, at_s in self._told_s.items() if now_s - at_s < REPEATED_AFTER_S}
        if event in self._told_s:
            return
        self._told_s[event] = now_s
        try:
            self._write(event, look)
        except ApiError as error:
            if error.text != self._problem:
                self._problem = error.text
                log.warning("an Event is not written", extra={"problem": str(error)})

    def _write(self, event: Event, look: Look) -> None:
        namespace = self._deployed.namespace
        meta = look.stages[event.stage].given["metadata"]
        at = datetime.fromtimestamp(self._api.time_s(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        manifest = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{meta['name']}.{uuid4().hex[:16]}", "namespace": namespace},
            "involvedObject": {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "namespace": namespace,
                "name": meta["name"],
                **({"uid": meta["uid"]} if "uid" in meta else {}),
            },
            "reason": event.reason,
            "message": event.message[:LONGEST],
            "type": "Warning" if event.is_warning else "Normal",
            "source": {"component": FIELD_MANAGER},
            "firstTimestamp": at,
            "lastTimestamp": at,
            "count": 1,
        }
        self._api.request("POST", path_of("Event", namespace), manifest, within_s=ANSWERS_WITHIN_S)
