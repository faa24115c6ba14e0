"""Sends a gateway the list of its replicas: `python -m ipa.live.kubernetes.replica_lister`, the container beside it.

It watches the pods of the pipeline's model servers and sends the gateway the whole list after every change, and every
few seconds without one, so that a restarted gateway gets it again. It needs no controller: replicas that crash, move or
are added by hand are found while none runs. While the API server is unavailable, the latest list stays in force; the
gateway itself skips replicas that do not answer. Pods whose variant is not in the pipeline's file, made from an
older or newer one, are not listed: the gateway would refuse the whole list.

Of two gateways, it also keeps the Lease (`gateway_lease`).
"""

from __future__ import annotations

import json
import logging
import queue
import signal
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import click

from ipa import profiles
from ipa.live.errors import LiveError
from ipa.live.kubernetes import gateway_lease
from ipa.live.kubernetes.api import connect
from ipa.live.kubernetes.pods import Pod, listing
from ipa.live.kubernetes.settings import Deployed
from ipa.live.kubernetes.watch import PodWatch
from ipa.live.plane import Plane
from ipa.live.tokens import TokenFile
from ipa.profiles import Pipeline, ProfileError

TOLD_AGAIN_EVERY_S = 2.0
TRIED_AGAIN_AFTER_S = 0.1
"""How soon a list that did not reach the gateway is sent again; each failure doubles it, up to the time above."""
ANSWERS_WITHIN_S = 5.0

log = logging.getLogger("ipa.live.kubernetes.replica_lister")


class ReplicaLister:
    """Keeps the latest list and sends it to the gateway."""

    def __init__(self, gateway: str, pipeline: Pipeline, tokens: TokenFile, alive: Path | None = None) -> None:
        """`alive`: the heartbeat file for a probe, with the time of the latest round on the monotonic clock."""
        self._tokens = tokens
        self._alive = alive
        self._url = f"{gateway.rstrip('/')}/control/replicas"
        self._pipeline = pipeline
        self._unknown: set[str] = set()  # why pods were left out; logged once
        # Unlike a Queue's, its put may interrupt a get of the same thread, as it does when a signal stops this.
        self._changes: queue.SimpleQueue[Mapping[str, Pod]] = queue.SimpleQueue()
        self._listed: dict[str, list[dict[str, Any]]] | None = None
        self._is_stopping = False

    def changed(self, pods: Mapping[str, Pod], is_fresh: bool) -> None:
        self._changes.put(pods)

    def stop(self) -> None:
        """Stop after the message under way."""
        self._is_stopping = True
        self._changes.put({})

    def run(self) -> None:
        """Send the list until stopped, from the first one of the API server on."""
        pause_s, failed_s = TOLD_AGAIN_EVERY_S, TRIED_AGAIN_AFTER_S
        while not self._is_stopping:
            if self._alive is not None:
                with suppress(OSError):
                    self._alive.write_text(str(time.monotonic()))
            with suppress(queue.Empty):
                pods = self._changes.get(timeout=pause_s)
                while not self._changes.empty():
                    pods = self._changes.get()
                known = [pod for pod in pods.values() if self._is_known(pod)]
                self._note(listing(known, [stage.name for stage in self._pipeline.stages]))
            if self._listed is not None and not self._is_stopping:
                if self._tell(self._listed):
                    pause_s, failed_s = TOLD_AGAIN_EVERY_S, TRIED_AGAIN_AFTER_S
                else:
                    pause_s, failed_s = failed_s, min(2.0 * failed_s, TOLD_AGAIN_EVERY_S)

    def _is_known(self, pod: Pod) -> bool:
        try:
            self._pipeline.stage(pod.stage).variant(pod.variant).max_batch(pod.cores)
        except ProfileError as error:
            if str(error) not in self._unknown:
                self._unknown.add(str(error))
                log.warning("a pod is left out", extra={"pod": pod.name, "problem": str(error)})
            return False
        return True

    def _note(self, listed: dict[str, list[dict[str, Any]]]) -> None:
        if listed != self._listed:
            log.info("replicas", extra={"ready": {stage: len(replicas) for stage, replicas in listed.items()}})
        self._listed = listed

    def _tell(self, listed: dict[str, list[dict[str, Any]]]) -> bool:
        """Send the list; returns whether the gateway has accepted it."""
        try:
            headers = {"Content-Type": "application/json", **self._tokens.headers()}
            request = urllib.request.Request(self._url, json.dumps(listed).encode(), headers, method="PUT")
            urllib.request.urlopen(request, timeout=ANSWERS_WITHIN_S).close()
        except urllib.error.HTTPError as error:
            log.error("the gateway refused the list", extra={"answer": error.read().decode(errors="replace")})
        except (LiveError, OSError) as error:
            log.warning("the gateway does not answer", extra={"problem": str(error)})
        else:
            return True
        return False


@click.command()
@click.option("--namespace", required=True)
@click.option("--instance", required=True, help="name of the deployed pipeline")
@click.option("--pipeline", "pipeline_name", required=True, help="a shipped pipeline's name, or a file: the gateway's")
@click.option("--gateway", required=True, metavar="URL", help="its control port")
@click.option(
    "--token-file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="token of the control port"
)
@click.option("--alive-file", type=click.Path(path_type=Path, dir_okay=False), help="for a probe: when it went round")
@click.option("--pod", envvar="POD_NAME", default="", help="of two gateways: the name of this pod")
def main(
    namespace: str,
    instance: str,
    pipeline_name: str,
    gateway: str,
    token_file: Path,
    alive_file: Path | None,
    pod: str,
) -> None:
    """Keep a gateway's list of replicas up to date until SIGTERM."""
    from ipa.live import logs

    logs.json_to_stderr("replica-lister")
    tokens = TokenFile(token_file)
    try:
        pipeline, api = profiles.load(pipeline_name), connect()
    except (ProfileError, LiveError) as error:
        sys.exit(str(error))
    lister = ReplicaLister(gateway, pipeline, tokens, alive_file)
    stop: Callable[[], object] = lister.stop
    if pod:
        deployed = Deployed(Plane(pipeline, pipeline_name), "", namespace, instance)
        stop = gateway_lease.start(api, deployed, pod, gateway, tokens, lister.stop)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop())
    PodWatch(api, namespace, instance, lister.changed).start()
    lister.run()


if __name__ == "__main__":
    main()
