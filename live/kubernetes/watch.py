"""The pods of a pipeline, kept up to date: list, then watch, and list again whenever the watch cannot go on.

After a lost connection the watch resumes from its latest resource version. Other errors, such as an expired version
(410), lead to a new list, whose differences are reported as if they had been watched. Until then, the known pods stay
in force.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ipa.live.kubernetes import names
from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.names import MODEL_SERVER
from ipa.live.kubernetes.pods import Pod, ours

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.2, 5.0
"""Between attempts to list or watch: it doubles each time, times a random factor between a half and one."""
LASTS_S = 1.0
"""A watch that ends sooner and without an event counts as failed: something in between, such as a proxy, ends it."""
CAUGHT_UP_AFTER_S = 1.0
"""For this long, what a resumed watch reports may have happened while it was interrupted."""

log = logging.getLogger("ipa.live.kubernetes.watch")


class PodWatch:
    """Calls `on_change(pods by uid, is_fresh)` after every change, in its own thread.

    `is_fresh`: the change happened just now, to within the latency of the watch. After a list, or once an interrupted
    watch resumes, it is False, as changes may be older. It is called after every list, too.
    """

    def __init__(
        self,
        api: Api,
        namespace: str,
        instance: str,
        on_change: Callable[[Mapping[str, Pod], bool], object],
        random_factor: Callable[[], float] = lambda: random.uniform(0.5, 1.0),
        clock: Callable[[], float] = time.monotonic,
        component: str = MODEL_SERVER,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._selector = names.as_query(names.selector(instance, component))
        self._on_change = on_change
        self._random_factor = random_factor
        self._clock = clock
        self._stopping = threading.Event()
        self._pods: dict[str, Pod] = {}
        self._version = ""
        """The resource version from which the next watch continues; empty: list everything first."""
        self._pause_s = FIRST_PAUSE_S
        self.lists = 0
        self.error = ""
        """Why the latest attempt failed; empty while the watch is running."""

    def start(self) -> None:
        """Start the thread, which ends with the program."""
        threading.Thread(target=self.run, name="watch", daemon=True).start()

    def stop(self) -> None:
        """End after the next event, or at the end of the present watch."""
        self._stopping.set()

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                self._watch()
            except ApiError as error:
                # The resource version survives a lost connection; the server itself says when it has expired.
                self._interrupted(str(error), goes_on=error.status == 0)
            except Exception as error:  # a mistake of ours must not end it silently
                if not self._stopping.is_set():
                    log.exception("a defect of this program")
                    self._interrupted(repr(error), goes_on=False)

    def _interrupted(self, why: str, *, goes_on: bool) -> None:
        """Log why, and wait; the watch then resumes from the latest version, or everything is listed again."""
        if not goes_on:
            self._version = ""
        self.error = why
        log.warning("the watch of the pods is interrupted", extra={"problem": why})
        self._stopping.wait(self._pause_s * self._random_factor())
        self._pause_s = min(2.0 * self._pause_s, LONGEST_PAUSE_S)

    def _list(self) -> None:
        answer = self._api.list("Pod", self._namespace, self._selector)
        now_s = self._api.time_s()
        self._pods = {pod.uid: pod.remembering(self._pods.get(pod.uid), now_s) for pod in ours(answer["items"])}
        self.lists += 1
        self._tell(False)
        self._version = answer["metadata"]["resourceVersion"]

    def _watch(self) -> None:
        events = self._api.watch("Pod", self._namespace, self._selector, self._version)
        began_s = self._clock()
        caught_up_s = began_s + (CAUGHT_UP_AFTER_S if self.error else 0.0)
        self.error, is_empty = "", True
        for event in events:
            if self._stopping.is_set():
                return
            is_empty = False
            self._version, self._pause_s = event["object"]["metadata"]["resourceVersion"], FIRST_PAUSE_S
            is_fresh = self._clock() >= caught_up_s
            if event["type"] != "BOOKMARK":
                self._note(event, is_fresh)
            self._tell(is_fresh)
        if is_empty and self._clock() - began_s < LASTS_S and not self._stopping.is_set():
            raise ApiError("watch pods", 0, "it was ended at once")
        self._pause_s = FIRST_PAUSE_S

    def _note(self, event: Mapping[str, Any], is_fresh: bool) -> None:
        is_deleted = event["type"] == "DELETED"
        for pod in ours([event["object"]]):
            self._pods[pod.uid] = pod.remembering(self._pods.get(pod.uid), self._api.time_s())
            # The last event of a pod may be the first to say when its containers ended.
            if is_deleted and pod.ended_s is not None:
                self._tell(is_fresh)
        if is_deleted:
            self._pods.pop(event["object"]["metadata"]["uid"], None)

    def _tell(self, is_fresh: bool) -> None:
        self._on_change(dict(self._pods), is_fresh)
