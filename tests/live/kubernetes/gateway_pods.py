"""Pods of gateways as on a cluster, on this machine: each has an address of its own, a process, and a keeper."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Thread
from typing import cast

from ipa import profiles
from ipa.live.kubernetes.api import Api
from ipa.live.kubernetes.gateway_lease import (
    ControlPorts,
    GatewayLease,
    LeaseKeeper,
    PodPort,
    watch_gateway,
    watch_lease,
)
from ipa.live.kubernetes.settings import Deployed
from ipa.live.plane import Plane, free_port
from ipa.live.serving import Address
from ipa.live.tokens import TokenFile, create_token_file
from tests.live.kubernetes.lease_server import LeaseClient, LeaseServer
from tests.live.serving.serving_plane import TOKEN_FILES, call, entry, until, wanted
from tests.live.serving.two_gateways import WAITS, events_in, replica
from tests.live.world import pipeline_file


@dataclass
class GatewayPod:
    """One pod: its gateway can be killed, stopped, and started again as a kubelet does. `is_deleted`: it is gone from
    the server."""

    of: GatewayPods
    name: str
    ip: str
    process: subprocess.Popen[bytes]
    keeper: LeaseKeeper
    client: LeaseClient
    is_deleted: bool = False

    @property
    def address(self) -> Address:
        return self.of.address_of(self.ip)

    @property
    def serves(self) -> bool:
        return self.keeper.gateway.serves

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def restart(self) -> None:
        """Start the gateway's container again."""
        self.process = self.of.spawn(self.ip)

    def terminate(self) -> None:
        """End the pod, with time to finish."""
        self.keeper.end()
        self.process.send_signal(signal.SIGTERM)

    def until_it_says(self, event: str, times: int = 1) -> None:
        until(lambda: events_in(self.of.log(self.ip)).count(event) >= times, f"{self.name}: {event}, {times} times")

    def until_it_serves(self) -> None:
        until(lambda: self.serves, f"{self.name} serves")

    def until_ready(self) -> None:
        """Wait until it can serve, or pass on, and whoever serves has a successor."""
        until(lambda: self.keeper.gateway.accepts, f"{self.name} is ready")
        until(lambda: any(pod.serves and pod.keeper.lease.named for pod in self.of.pods), "there is a successor")


@dataclass
class GatewayPods:
    """The pods that have been started, the server of their Lease, and the terms of the batches that the replica got."""

    folder: Path
    replica_url: str
    terms: list[int]
    server: LeaseServer = field(default_factory=LeaseServer)
    port: int = field(default_factory=free_port)
    control_port: int = field(default_factory=free_port)
    pods: list[GatewayPod] = field(default_factory=list)

    def __post_init__(self) -> None:
        create_token_file(self.folder / "token")
        self.tokens = TokenFile(self.folder / "token")
        path = pipeline_file(self.folder)
        self.deployed = Deployed(Plane(profiles.load(str(path)), str(path)), "")

    @property
    def serving(self) -> list[GatewayPod]:
        return [pod for pod in self.pods if pod.serves]

    def address_of(self, ip: str) -> Address:
        return Address(f"http://{ip}:{self.port}", f"http://{ip}:{self.control_port}")

    def port_name(self, ip: str) -> str:
        return f"ipa-{ip}-{self.port}"

    def log(self, ip: str) -> Path:
        return self.folder / f"gateway-{ip}.log"

    def spawn(self, ip: str) -> subprocess.Popen[bytes]:
        """The process of a gateway, which knows the replica as soon as it listens."""
        url = self.address_of(ip).control_url
        options = ["--pipeline", str(self.folder / "tiny.yaml"), "--control-token-file", str(self.folder / "token")]
        options += ["--port-from", self.port_name(ip), "--leased", "--linger", "1"]
        options += ["--control-host", ip, "--control-port", str(self.control_port)]
        TOKEN_FILES[url] = str(self.folder / "token")
        with self.log(ip).open("a") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ipa.live.serving.gateway", *options],
                stdout=log,
                stderr=log,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        listed = {"sort": [entry(0, self.replica_url, "small")]}
        until(lambda: _is_accepted(f"{url}/control/replicas", listed), f"the gateway at {ip} has the list")
        return process

    def start(self) -> GatewayPod:
        """Start another pod."""
        name, ip, client = f"gateway-{len(self.pods)}", f"127.0.1.{len(self.pods) + 1}", LeaseClient(self.server)
        port = PodPort(self.tokens, ip, self.port, self.port_name(ip))
        own, process = self.address_of(ip), self.spawn(ip)
        lease = GatewayLease(
            cast(Api, client),
            self.deployed,
            name,
            ip,
            lambda: [pod.name for pod in self.pods if not pod.is_deleted],
            address_of=self.address_of,
        )
        keeper = LeaseKeeper(
            lease,
            own,
            own,
            lambda: {pod.name: pod.address for pod in self.pods if pod.name != name and not pod.is_deleted},
            ControlPorts(self.tokens),
            lambda: port.begin(lease.term, lease.server),
            lambda: port.end(lease.term),
            port.is_quiet,
        )
        self.pods.append(GatewayPod(self, name, ip, process, keeper, client))
        for target in (
            keeper.run,
            partial(watch_lease, cast(Api, client), self.deployed, keeper.wake),
            partial(watch_gateway, own, keeper.wake),
        ):
            Thread(target=target, daemon=True).start()
        return self.pods[-1]


def _is_accepted(url: str, body: object) -> bool:
    try:
        return call("PUT", url, body)[0] == 200
    except OSError:
        return False


@contextmanager
def gateway_pods(folder: Path) -> Iterator[GatewayPods]:
    """The first of two gateway pods serves, and the second waits and knows as much."""
    with replica() as serving:
        of = GatewayPods(folder, serving.url, serving.terms)
        try:
            first = of.start()
            first.until_it_serves()
            assert (
                call("PUT", f"{first.address.control_url}/control/configuration", {"sort": wanted("small")})[0] == 200
            )
            second = of.start()
            second.until_it_says(WAITS)
            second.until_ready()
            yield of
        finally:
            for pod in of.pods:
                pod.process.kill()
                pod.process.wait()
                pod.keeper.end()
