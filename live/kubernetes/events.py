"""Changes from one look at the cluster to the next: in the log, and as Events on the stages' Deployments.

An Event, for `kubectl describe`, is written when something is done, begins or changes, and the same one not again
within `REPEATED_AFTER_S`: what comes and goes from look to look is one thing. A controller does not depend on Events: a
failure to write one is logged once.
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

REPEATED_AFTER_S = 60.0
ANSWERS_WITHIN_S = 3.0
"""An Event is not worth a longer wait."""
LONGEST = 1000
"""The characters of an Event's message; servers take 1,024."""

log = logging.getLogger("ipa.live.kubernetes.events")


class Event(NamedTuple):
    """A message about a stage; `is_warning`: it needs attention."""

    stage: str
    reason: str
    message: str
    is_warning: bool = True


class Kind(NamedTuple):
    """A field of a look (stage -> why), and how its changes are reported: the reason of Events (empty: none) and the
    log line."""

    field: str
    reason: str
    level: int
    text: str


KINDS = (
    Kind("failed", "VariantFailed", logging.WARNING, "a stage is not as wanted"),
    Kind("out_of_room", "NoRoom", logging.WARNING, "a stage is not as wanted"),
    Kind("lost", "NodeLost", logging.ERROR, "a node is lost"),
    Kind("foreign", "ForeignScaler", logging.WARNING, "another sets replicas"),
    Kind("delays", "", logging.WARNING, "a stage waits"),
)


def _found(before: Look, look: Look) -> Iterator[tuple[Kind, str, str]]:
    """Kind, stage and why: what a look found that the one before had not."""
    for kind in KINDS:
        earlier = getattr(before, kind.field)
        for stage, why in getattr(look, kind.field).items():
            if why != earlier.get(stage):
                yield kind, stage, why


def news(before: Look, look: Look) -> Iterator[Event]:
    """The actions of a look at stages, and its findings there that the look before did not have."""
    for action in look.done:
        stage = action.partition(":")[0].partition(",")[0].partition(" does not exist")[0]
        if stage in look.stages:
            yield Event(stage, "Changed", action, is_warning=False)
    for kind, stage, why in _found(before, look):
        if kind.reason and stage in look.stages:
            yield Event(stage, kind.reason, why)


def log_news(before: Look, look: Look) -> None:
    """Log the actions, and each beginning, change and end of what hinders the controller."""
    for action in look.done:
        log.info("changed", extra={"what": action})
    for name in (*look.stopped, *(before.stopped.keys() - look.stopped)):
        why = look.stopped.get(name, "")
        if why and name in look.foreign:
            continue  # that message says who sets the replicas, and until when
        if why and why != before.stopped.get(name):
            log.error("stopped: nothing is changed here until somebody acts", extra={"stage": name, "problem": why})
        elif not why:
            log.warning("goes on", extra={"stage": name})
    if look.error and look.error != before.error:
        contested = "another keeps changing what is to be changed"
        text = contested if look.is_contested else "the cluster could not be read or changed"
        log.error(text, extra={"problem": look.error})
    elif before.error and not look.error:
        log.warning("the cluster answers again")
    if look.is_held != before.is_held:
        log.log(logging.ERROR if look.is_held else logging.WARNING, "held" if look.is_held else "no longer held")
    for kind, stage, why in _found(before, look):
        log.log(kind.level, kind.text, extra={"stage": stage, "problem": why})


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
        self._told_s = {
            told_event: at_s for told_event, at_s in self._told_s.items() if now_s - at_s < REPEATED_AFTER_S
        }
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
        meta = look.stages[event.stage].deployment["metadata"]
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
