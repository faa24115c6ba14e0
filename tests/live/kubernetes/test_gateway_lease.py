"""Keepers of the gateways' Lease in virtual time, under faults at random: two never serve, and one does at the end."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.gateway_lease import GatewayLease, GoneError, LeaseKeeper
from ipa.live.kubernetes.lease import DURATION_S
from ipa.live.serving import FOLLOW_PATH, Address, ServingLease
from tests.live.kubernetes.lease_server import LeaseClient, LeaseServer
from tests.live.kubernetes.world import tiny

STEP_S = 0.5


@dataclass
class World:
    """The pods, and what does not work: `cut` are pairs of pods that do not reach each other. An answer of the API
    server takes `slow_s` at most."""

    deployed: Any
    draws: random.Random = field(default_factory=lambda: random.Random(0))
    now_s: float = 1000.0
    slow_s: float = 0.0
    server: LeaseServer = field(default_factory=LeaseServer)
    pods: list[Pod] = field(default_factory=list)
    cut: set[frozenset[str]] = field(default_factory=set)

    def clock(self) -> float:
        return self.now_s

    @property
    def there(self) -> list[Pod]:
        return [pod for pod in self.pods if not pod.is_deleted]

    @property
    def serving(self) -> list[str]:
        """Those that would serve a request now; a stopped one would when it goes on."""
        return [pod.name for pod in self.pods if pod.gateway is not None and pod.gateway.serves]

    def start(self) -> Pod:
        self.pods.append(Pod(self, f"pod-{len(self.pods)}"))
        return self.pods[-1]

    def step(self, times: int = 1) -> None:
        """Let time pass, and each keeper look; never do two serve."""
        for _ in range(times):
            for pod in self.draws.sample(self.there, len(self.there)):
                pod.look()
                assert len(self.serving) <= 1, self.serving
            self.now_s += STEP_S
            assert len(self.serving) <= 1, self.serving


class Client(LeaseClient):
    """Its calls may take a while. `loses_answer`: its next write is carried out, and from then on it hears nothing."""

    def __init__(self, world: World) -> None:
        super().__init__(world.server)
        self._world = world
        self.loses_answer = False

    def _check(self, what: str) -> None:
        self._world.now_s += self._world.draws.uniform(0.0, self._world.slow_s)
        super()._check(what)

    def time_s(self) -> float:
        return self._world.now_s

    def request(self, method: str, path: str, body: dict[str, Any], within_s: float = 0.0) -> dict[str, Any]:
        answer = super().request(method, path, body, within_s)
        self.is_cut = self.is_cut or self.loses_answer
        if self.loses_answer or (self._world.slow_s and self._world.draws.random() < 0.3):
            raise ApiError(method, 0, "it was written, and the answer was lost")
        return answer


class Pod:
    """A pod with its keeper, and a gateway: that may be gone (None), or stopped, and then finds what came meanwhile."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.gateway: ServingLease | None = ServingLease(world.clock)
        self.is_stopped = self.is_closing = self.is_deleted = self.is_asleep = False
        self.came: list[tuple[str, Mapping[str, Any]]] = []
        self.stops_after_answers = -1
        self.client = Client(world)
        self.lease = GatewayLease(
            cast(Api, self.client),
            world.deployed,
            name,
            name,
            lambda: [pod.name for pod in world.there],
            world.clock,
            lambda ip: Address(ip, ip),
        )
        self.keeper = LeaseKeeper(
            self.lease,
            Address(name, name),
            Address(name, name),
            lambda: {pod.name: Address(pod.name, pod.name) for pod in world.there if pod is not self},
            self,  # type: ignore[arg-type]
            clock=world.clock,
        )

    def look(self) -> None:
        """A look of the keeper, unless that is stopped."""
        if not self.is_asleep:
            self.keeper.look()
            if self.keeper.is_ending and self.keeper.gateway.is_gone:
                self.lease.release()
                self.is_deleted = True
        elif self.is_deleted:
            self.gateway = None

    # ---- the control ports, as the keeper calls them ----

    def put(self, url: str, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        other = next(pod for pod in self.world.pods if pod.name == url)
        if frozenset((self.name, other.name)) in self.world.cut:
            return None
        if other.gateway is None:
            raise GoneError
        if other.is_stopped:
            other.came.append((path, body))
            return None
        answer = other.answer(path, body)
        other.stops_after_answers -= 1
        other.is_stopped = other.stops_after_answers == 0
        return answer

    def answer(self, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        """As `lease_api` does."""
        assert self.gateway is not None
        if path == FOLLOW_PATH:
            is_followed = self.gateway.follow(
                body["term"], Address(body["data_url"], body["control_url"]), body["for_s"]
            )
            return {"alike": True, "closing": self.is_closing} if is_followed else None
        if body["leave"]:
            self.gateway.leave(1.0)
        else:
            self.gateway.grant(body["term"], body["until_s"], body["fence"])
        assert len(self.world.serving) <= 1, self.world.serving
        return {"serves": self.gateway.serves, "accepts": True, "closing": self.is_closing}

    # ---- faults ----

    def kill(self) -> None:
        self.gateway, self.is_stopped, self.came = None, False, []
        self.is_closing = False

    def restart(self) -> None:
        if self.gateway is None and not self.keeper.is_ending:
            self.gateway = ServingLease(self.world.clock)

    def stop(self) -> None:
        self.is_stopped = self.gateway is not None

    def go_on(self) -> None:
        came, self.came, self.is_stopped = self.came, [], False
        for path, body in came:
            self.answer(path, body)
            assert len(self.world.serving) <= 1, self.world.serving

    def terminate(self) -> None:
        """The pod is to end; its gateway does so some looks later."""
        self.keeper.is_ending = self.is_closing = True


@pytest.fixture
def world(tmp_path: Any) -> World:
    made = World(tiny(tmp_path))
    first = made.start()
    made.step(4)
    made.start()
    made.step(8)
    assert made.serving == [first.name]
    assert first.lease.named == made.pods[1].name
    return made


def test_after_a_kill_the_successor_serves_with_its_next_look(world: World) -> None:
    first, second = world.pods
    first.kill()
    first.keeper.wake()
    first.look()
    second.keeper._due_s = 0.0  # the watch of the Lease has woken it
    second.look()
    assert world.serving == [second.name]
    assert (second.lease.term, second.lease.fence) == (2, 0)


def test_a_successor_that_is_busy_when_the_lease_is_given_back_takes_it_with_its_next_look(world: World) -> None:
    """A request waits 5 s for a gateway that serves: two attempts two seconds apart might be too late for it."""
    first, second = world.pods
    second.stop()
    first.kill()
    world.step()
    second.keeper._due_s = 0.0  # the watch of the Lease has woken it
    world.step()
    second.is_stopped = False
    world.step()
    assert world.serving == [second.name]


def test_a_node_that_is_lost_is_replaced_once_its_lease_has_run_out(world: World) -> None:
    first, second = world.pods
    first.kill()
    first.is_asleep = True
    world.step(int((DURATION_S - 1.0) / STEP_S))
    assert world.serving == []
    world.step(8)
    assert world.serving == [second.name]
    assert (second.lease.term, second.lease.fence) == (2, 2)


def test_without_the_api_server_the_holder_serves_on_while_its_successor_promises(world: World) -> None:
    first, second = world.pods
    world.server.is_away = True
    world.step(200)
    assert world.serving == [first.name]
    second.kill()
    world.step(30)
    assert world.serving == []  # nobody is there to promise
    world.server.is_away = False
    world.step(10)
    assert world.serving == [first.name]


def test_who_alone_does_not_reach_the_api_server_serves_on_too(world: World) -> None:
    first, second = world.pods
    first.client.is_cut = True
    world.step(200)
    assert world.serving == [first.name]
    world.cut.add(frozenset((first.name, second.name)))  # now its successor may think that it is gone
    world.step(60)
    assert world.serving == [second.name]


def test_a_third_one_takes_nothing_while_the_pods_of_holder_and_successor_are_there(world: World) -> None:
    first, second = world.pods
    third = world.start()
    world.step(8)
    first.client.is_cut = second.client.is_cut = True
    world.cut |= {frozenset((pod.name, third.name)) for pod in (first, second)}
    world.step(200)
    assert world.serving == [first.name]
    for pod in (first, second):
        pod.kill()
        pod.is_asleep = True
    world.step(60)
    assert world.serving == []
    first.is_deleted = second.is_deleted = True
    world.step(10)
    assert world.serving == [third.name]


def test_a_promise_of_one_that_is_no_longer_named_does_not_count(world: World) -> None:
    """The Lease names another since a write of which the holder has not heard."""
    first, second = world.pods
    third = world.start()
    world.step(8)
    world.cut.add(frozenset((first.name, second.name)))
    first.client.loses_answer = True
    world.step(8)
    assert world.server.lease is not None
    assert world.server.lease["metadata"]["annotations"]["ipa/successor"] == third.name
    world.cut = {frozenset((first.name, third.name))}  # now the first of them promises again
    world.step(80)
    assert world.serving == [third.name]


def test_a_promise_of_one_that_is_not_named_does_not_count(world: World) -> None:
    first, second = world.pods
    third = world.start()
    world.step(8)
    assert first.lease.named == second.name
    first.client.is_cut = True
    world.cut = {frozenset((first.name, second.name))}
    world.step(80)
    assert world.serving == [second.name]  # though the third one has promised
    assert third.gateway is not None
    assert third.gateway.promised_s > 0.0


def test_a_gateway_that_comes_back_serves_by_no_promise_if_the_lease_may_have_been_released(world: World) -> None:
    first, second = world.pods
    first.kill()
    first.client.loses_answer = True
    first.keeper.wake()
    first.look()
    assert world.server.holder == ""
    first.restart()
    world.step(8)
    assert world.serving == [second.name]


def test_the_lease_of_a_gateway_that_does_not_say_that_it_leaves_is_not_released(world: World) -> None:
    first, second = world.pods
    first.terminate()
    first.stops_after_answers = 1
    world.step(10)
    first.go_on()
    assert world.serving == []  # it has found that it was to leave
    first.kill()
    world.step(10)
    assert world.serving == [second.name]


def test_who_has_no_successor_does_not_serve_on_without_the_api_server(world: World) -> None:
    first, second = world.pods
    second.terminate()
    second.kill()
    world.step(10)
    assert first.lease.named == ""
    world.server.is_away = True
    world.step(30)
    assert world.serving == []


def test_a_pod_that_ends_hands_over_and_one_without_a_successor_serves_to_its_end(world: World) -> None:
    first, second = world.pods
    first.terminate()
    world.step(6)
    assert world.serving == [second.name]
    assert second.lease.fence == 0
    first.kill()
    world.step(4)
    assert first.is_deleted
    second.terminate()
    world.step(10)
    assert world.serving == [second.name]


FAULTS = (
    "kill", "restart", "stop", "go_on", "go_on", "sleep", "wake", "api away", "api back", "cut api", "mend api",
    "cut pair", "mend pairs", "new pod", "terminate", "node lost", "slow", "fast",
)  # fmt: skip


@pytest.mark.parametrize("seed", range(60))
def test_whatever_fails_two_never_serve_and_one_does_when_it_is_mended(world: World, seed: int) -> None:
    draws = world.draws = random.Random(seed)
    for _ in range(120):
        if draws.random() < 0.5:
            harm(world, draws.choice(FAULTS), draws.choice(world.there))
        world.step(draws.randint(1, 8))
    world.slow_s, world.server.is_away = 0.0, False
    world.cut.clear()
    for pod in world.there:
        pod.client.is_cut = pod.is_asleep = False
        pod.go_on()
        if pod.keeper.is_ending:
            pod.kill()
        pod.restart()
    world.step(60)
    assert len(world.serving) == 1


def harm(world: World, what: str, pod: Pod) -> None:
    """Break, or mend, something."""
    match what:
        case "kill" | "restart" | "stop" | "go_on":
            getattr(pod, what)()
        case "sleep" | "wake":
            pod.is_asleep = what == "sleep"
        case "api away" | "api back":
            world.server.is_away = what == "api away"
        case "cut api" | "mend api":
            pod.client.is_cut = what == "cut api"
        case "cut pair":
            world.cut.add(frozenset((pod.name, world.draws.choice(world.there).name)) - {""})
            world.cut = {pair for pair in world.cut if len(pair) == 2}
        case "mend pairs":
            world.cut.clear()
        case "slow" | "fast":
            world.slow_s = 1.5 if what == "slow" else 0.0
    able = [each for each in world.there if not each.keeper.is_ending]
    match what:
        case "new pod" if len(world.there) < 4 and not world.server.is_away:
            world.start()
        case "terminate" if len(able) > 1 and pod in able:
            pod.terminate()
        case "node lost" if len(able) > 1 and pod in able:
            pod.kill()
            pod.is_asleep = pod.is_deleted = True
