"""Of two gateways the one that holds the Lease serves: keepers in virtual time, and a gateway as a process."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from ipa.live.kubernetes.api import Api, ApiError
from ipa.live.kubernetes.deployments import is_rolled_out
from ipa.live.kubernetes.gateway_lease import DURATION_S, GatewayLease, LeaseKeeper
from ipa.live.kubernetes.gateway_manifests import gateway_access, gateway_deployment
from ipa.live.kubernetes.lease import RETRY_S
from ipa.live.kubernetes.manifests import disruption_budgets
from ipa.live.plane import TAKEN_WITHIN_S
from ipa.live.serving.term import REMEMBERED_S, TERM_HEADER, SeenTerms, Term
from tests.live.kubernetes.test_watch import Clock, Leases
from tests.live.kubernetes.world import settings_of, tiny
from tests.live.serving.serving_plane import START_S, ask, call, entry, plane, put, until
from tests.live.serving.video_plane import CLASSIFICATION, DETECTION, STAGES, infer, listed, observed


class Pod:
    """A pod with the keeper of the Lease, and what it told its gateway; `is_gone`: no gateway listens."""

    def __init__(self, server: Leases, clock: Clock, deployed: Any, name: str) -> None:
        self.name, self._server = name, server
        self.is_gone = self.is_silent = self.is_closing = self.is_cut = False
        self.configuration: Mapping[str, Any] = {"of": name}
        self.lost = 0
        self.term = Term(self._lose)
        self.lease = GatewayLease(cast(Api, self), deployed, name, clock)
        self.keeper = LeaseKeeper(self.lease, self.put)

    def _lose(self) -> None:
        self.lost += 1

    def put(self, body: Mapping[str, Any]) -> dict[str, Any] | None:
        if self.is_gone:
            raise ConnectionRefusedError
        if self.is_silent:
            return None
        if body["holds"]:
            self.configuration = body["configuration"] or self.configuration
            self.term.hold(body["term"])
        elif body["replaced"]:
            self.term.follow(is_given_back=body["given_back"])
        return {"closing": self.is_closing, "configuration": self.configuration}

    # ---- the API server, as this pod reaches it ----

    def get(self, *which: Any) -> Any:
        if self.is_cut:
            raise ApiError("GET lease", 0, "no route")
        return self._server.get(*which)

    def request(self, *what: Any, **how: Any) -> Any:
        if self.is_cut:
            raise ApiError("PUT lease", 0, "no route")
        return self._server.request(*what, **how)

    def time_s(self) -> float:
        return self._server.time_s()


class World:
    """Pods of gateways, whose keepers look every 2 s in random order; `seen` is the memory of a model server."""

    def __init__(self, folder: Path) -> None:
        self.server, self.clock = Leases(), Clock()
        self._deployed, self._draws = tiny(folder), random.Random(1)
        self.seen = SeenTerms(self.clock)
        self.pods = [self.start(name) for name in ("one", "two")]
        self.looks()

    def start(self, name: str) -> Pod:
        return Pod(self.server, self.clock, self._deployed, name)

    def looks(self, for_s: float = 0.0) -> None:
        until_s = self.clock.now_s + for_s
        while True:
            for pod in self._draws.sample(self.pods, len(self.pods)):
                pod.keeper.look()
            if self.clock.now_s >= until_s:
                return
            self.clock.now_s += RETRY_S

    @property
    def serving(self) -> list[str]:
        return [pod.name for pod in self.pods if pod.term.serves and not pod.is_gone]

    def roles(self) -> tuple[Pod, Pod]:
        """The one that serves, and the one that waits."""
        (name,) = self.serving
        return cast(tuple[Pod, Pod], tuple(sorted(self.pods, key=lambda pod: pod.name != name)))

    def admits(self, pod: Pod) -> bool:
        """Whether a model server takes a batch of this gateway, which learns of a refusal."""
        is_admitted = self.seen.admits(pod.term.headers[TERM_HEADER])
        if not is_admitted:
            pod.term.refused()
        return is_admitted


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_one_serves_and_the_other_waits(world: World) -> None:
    serving, _ = world.roles()
    world.looks(60.0)
    assert world.serving == [serving.name]
    assert serving.lost == 0


@pytest.mark.parametrize("how", ["is_gone", "is_closing"])
def test_a_gateway_that_ends_is_replaced_at_once_in_the_same_term(world: World, how: str) -> None:
    """What it has inside is still served: its batches are not refused."""
    serving, waiting = world.roles()
    assert world.admits(serving)
    serving.configuration = {"of": "the controller"}
    serving.keeper.look()
    setattr(serving, how, True)
    serving.keeper.look()
    waiting.keeper.look()
    assert waiting.term.serves
    assert waiting.configuration == {"of": "the controller"}
    assert world.admits(waiting)
    assert world.admits(serving)
    if how == "is_gone":  # and is started again
        serving.is_gone, serving.term = False, Term()
    serving.keeper.look()
    assert (serving.term.serves, serving.term.is_replaced, serving.lost) == (how == "is_closing", True, 0)


def test_a_pod_that_is_about_to_end_gives_the_lease_back_and_serves_until_it_has_ended(world: World) -> None:
    serving, waiting = world.roles()
    serving.keeper.end()
    assert serving.keeper.look()
    assert (serving.term.serves, serving.term.is_replaced) == (True, False)  # nobody has taken over yet
    waiting.keeper.look()
    serving.keeper.look()
    assert (serving.term.serves, serving.term.is_replaced, waiting.term.serves) == (True, True, True)
    serving.is_gone = True
    serving.keeper.run()  # it ends


@pytest.mark.parametrize("how", ["is_silent", "is_cut"])
def test_one_that_does_not_renew_is_replaced_after_the_lease_s_time_and_its_batches_are_refused(
    world: World, how: str
) -> None:
    serving, waiting = world.roles()
    setattr(serving, how, True)
    world.looks(DURATION_S - 3 * RETRY_S)
    assert world.serving == [serving.name]
    world.looks(4 * RETRY_S)
    assert waiting.term.serves
    assert world.admits(serving)  # nobody has told the model server of the next term
    assert world.admits(waiting)
    assert not world.admits(serving)
    assert (serving.term.serves, serving.lost) == (False, 1)
    serving.keeper.look()
    assert not serving.term.serves  # although it may still believe that it holds the Lease
    setattr(serving, how, False)
    world.looks(RETRY_S)
    assert world.serving == [waiting.name]
    waiting.is_gone = True
    world.looks(RETRY_S)
    assert world.serving == [serving.name]
    assert world.admits(serving)


def test_while_the_api_server_is_away_the_holder_serves_and_nobody_takes_over_when_it_is_back(world: World) -> None:
    serving, _ = world.roles()
    for away_s in (10.0, 14.0, 300.0):
        world.server.is_away = True
        world.looks(away_s)
        assert world.serving == [serving.name]
        world.server.is_away = False
        world.looks(DURATION_S * 2)
        assert world.serving == [serving.name]
    assert (serving.lease.term, serving.lost) == (0, 0)


def test_with_faults_at_random_one_serves_in_the_end_and_no_older_term_after_a_later_one(world: World) -> None:
    draws, admitted = random.Random(7), [0]
    world.seen = SeenTerms(lambda: 0.0)  # which never forgets
    for _ in range(300):
        for pod in world.pods:
            pod.is_gone, pod.is_silent, pod.is_cut = (draws.random() < 0.15 for _ in range(3))
            pod.term = Term(pod._lose) if pod.is_gone else pod.term
        world.server.is_away = draws.random() < 0.1
        world.looks(draws.uniform(0.0, 40.0))
        asking = [pod for pod in world.pods if pod.term.serves and not pod.is_gone]
        admitted += [int(pod.term.headers[TERM_HEADER]) for pod in asking if world.admits(pod)]
    assert admitted == sorted(admitted)
    assert admitted[-1] > 10
    world.server.is_away = False
    for pod in world.pods:
        pod.is_gone = pod.is_silent = pod.is_cut = False
    world.looks(2 * DURATION_S)
    assert len(world.serving) == 1


def test_a_model_server_forgets_terms_in_time() -> None:
    """One who deletes the Lease begins at 0 again."""
    clock = Clock()
    seen = SeenTerms(clock)
    terms = {"": True, "3": True, "2": False, "4": True, "x": True}
    assert {term: seen.admits(term) for term in terms} == terms
    assert not seen.admits("3")
    clock.now_s += REMEMBERED_S - 1.0
    assert not seen.admits("0")
    clock.now_s += 1.0
    assert seen.admits("0")


# ---- a gateway's process ----


def test_a_gateway_serves_while_it_holds_the_lease_and_ends_once_another_has_taken_over(tmp_path: Path) -> None:
    with plane(tmp_path) as of:
        gateway = of.gateway("--pipeline", "video", "--leased")
        of.listed = {
            stage: [entry(0, of.emulated("video", stage, variant, "--factor", "0").url, variant)]
            for stage, variant in STAGES
        }
        url = f"{gateway.urls['control_url']}/control/lease"

        def told(term: int, *, holds: bool, given_back: bool = False, **more: Any) -> dict[str, Any]:
            body = {"term": term, "holds": holds, "replaced": not holds, "given_back": given_back, "configuration": {}}
            return cast(dict[str, Any], put(url, {**body, **more}))

        def is_ready() -> bool:
            return call("GET", f"{gateway.url}/gateway/ready")[0] == 200

        listed(gateway, of.listed)
        told(3, holds=False)
        assert (is_ready(), infer(gateway)) == (False, (503, {"error": "another gateway serves"}))
        before = told(3, holds=False)["configuration"]
        assert (
            told(3, holds=True, configuration=before | {DETECTION: before[DETECTION] | {"batch": 4}})["closing"]
            is False
        )
        assert told(3, holds=True)["configuration"][DETECTION]["batch"] == 4
        assert (is_ready(), infer(gateway)[0]) == (True, 200)
        assert sum(observed(gateway, "?seconds=60")["load_rps"]) <= 1
        assert call("PUT", url, {"term": 1})[0] == 400

        replica = of.listed[CLASSIFICATION][0]["url"]
        body, in_term = ask(shape=(1, 1)), {"X-Ipa-Term": "4", "Content-Type": "application/json"}
        assert call("POST", f"{replica}/v2/models/resnet18/infer", body, in_term)[0] == 200
        status, answer = infer(gateway)
        assert (status, "another gateway has taken over" in answer["error"]) == (504, True)
        assert told(3, holds=True)["closing"] is False  # cut off alone, its keeper still believes in it
        assert (is_ready(), infer(gateway)[0]) == (False, 503)
        told(5, holds=True)
        assert (is_ready(), infer(gateway)[0]) == (True, 200)

        gateway.popen.terminate()
        until(lambda: told(5, holds=False, replaced=False, given_back=True)["closing"], "it is about to end")
        assert (is_ready(), infer(gateway)[0]) == (True, 200)
        told(5, holds=False, given_back=True)
        assert gateway.popen.wait(START_S) == 0


# ---- what is deployed ----


def test_two_are_deployed_so_that_neither_a_drain_nor_a_rollout_waits_for_the_one_that_is_never_ready(
    tmp_path: Path,
) -> None:
    one, two = (tiny(tmp_path, settings=settings_of(gateway__count=count)) for count in (1, 2))
    deployments = [gateway_deployment(deployed)["spec"] for deployed in (one, two)]
    assert [spec["strategy"]["rollingUpdate"] for spec in deployments] == [
        {"maxSurge": 1, "maxUnavailable": 0},
        {"maxSurge": 2, "maxUnavailable": 2},
    ]
    pods = [spec["template"]["spec"] for spec in deployments]
    assert pods[1]["terminationGracePeriodSeconds"] == pods[0]["terminationGracePeriodSeconds"] + TAKEN_WITHIN_S
    assert ["--leased" in pod["containers"][0]["args"] for pod in pods] == [False, True]
    assert ["lifecycle" in pod["containers"][1] for pod in pods] == [True, False]
    assert pods[1]["containers"][1]["env"][-1]["name"] == "POD_NAME"
    assert len(disruption_budgets(one)) == len(disruption_budgets(two)) + 1
    rules = [next(each["rules"] for each in gateway_access(of) if each["kind"] == "Role") for of in (one, two)]
    assert rules[1][len(rules[0]) :] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "resourceNames": ["ipa-tiny-gateway"],
            "verbs": ["get", "watch", "update"],
        }
    ]


@pytest.mark.parametrize(("available", "is_complete"), [(0, False), (1, True)])
def test_of_two_one_is_ready(tmp_path: Path, available: int, is_complete: bool) -> None:
    deployment = gateway_deployment(tiny(tmp_path, settings=settings_of(gateway__count=2)))
    status = {"observedGeneration": 1, "replicas": 2, "updatedReplicas": 2, "availableReplicas": available}
    assert is_rolled_out({**deployment, "status": status}) is is_complete
