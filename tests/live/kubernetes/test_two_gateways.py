"""Two gateways in pods of their own, each with the keeper of its Lease: one serves, the other passes on and waits."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.kubernetes.gateway_pods import GatewayPod, GatewayPods, gateway_pods
from tests.live.serving.serving_plane import call, get, until
from tests.live.serving.two_gateways import HAS_LOST, WAITS, Client, is_in_turn, were_inside


@pytest.fixture
def pods(tmp_path: Path) -> Iterator[GatewayPods]:
    with gateway_pods(tmp_path) as of:
        yield of


def clients(*pods: GatewayPod) -> Client:
    """A client whose requests reach these pods in turn, as through a Service."""
    return Client(*(pod.address.data_url for pod in pods))


def test_whatever_pod_is_called_the_one_that_serves_answers(pods: GatewayPods) -> None:
    first, second = pods.pods
    with clients(first, second) as client:
        client.until_answered(20)
    assert client.lost() == []
    for pod in pods.pods:
        url = pod.address.control_url
        assert get(f"{url}/control/observation")["stages"]["sort"]["completions"] == len(client.asked)
        assert {each["outcome"] for each in get(f"{url}/control/records")["records"]} == {"completed"}
        assert call("GET", f"{pod.address.data_url}/gateway/ready")[0] == 200
    wrong = {"sort": {"variant": "small", "batch": 64, "replicas": 1, "batch_timeout_s": 0.0, "cores": 1}}
    assert call("PUT", f"{second.address.control_url}/control/configuration", wrong)[0] == 400
    assert call("PUT", f"{second.address.control_url}/control/configuration", b"?")[0] == 400
    assert call("GET", f"{second.address.control_url}/control/observation", headers={})[0] == 401
    assert call("POST", f"{second.address.data_url}/v2/models/other/infer", {})[0] == 404


def test_after_a_kill_the_other_one_serves_and_somebody_answers_at_the_dead_one_s_address(pods: GatewayPods) -> None:
    first, second = pods.pods
    killed_s = []
    with clients(first, second) as client:
        for serving, waiting in ((first, second), (second, first)):
            client.until_answered(10)
            from_s = time.monotonic()
            serving.kill()
            killed_s.append((from_s, time.monotonic()))
            client.until_answered(10)
            assert waiting.serves
            serving.restart()
            serving.until_ready()
    assert were_inside(killed_s, client.lost()), (killed_s, client.lost())
    assert set(pods.terms) == {1, 2, 3}
    assert is_in_turn(pods.terms)


def test_a_killed_gateway_that_waits_loses_what_it_passes_on_and_no_more(pods: GatewayPods) -> None:
    first, second = pods.pods
    with clients(first, second) as client:
        client.until_answered(10)
        from_s = time.monotonic()
        second.kill()
        killed_s = from_s, time.monotonic()
        client.until_answered(10)
        second.restart()
        second.until_it_says(WAITS, times=2)
        client.until_answered(10)
    assert were_inside([killed_s], client.lost()), client.lost()
    assert set(pods.terms) == {1}


def test_a_stopped_gateway_is_replaced_and_passes_on_when_it_goes_on(pods: GatewayPods) -> None:
    serving, waiting = pods.pods
    with clients(waiting) as client:
        client.until_answered(5)
        from_s = time.monotonic()
        serving.process.send_signal(signal.SIGSTOP)
        stopped_s = from_s, time.monotonic()
        waiting.until_it_serves()
        client.until_answered(5)
        serving.process.send_signal(signal.SIGCONT)
        serving.until_it_says(HAS_LOST)
        client.until_answered(5)
    assert were_inside([stopped_s], [each for each in client.lost() if each.status != 503]), client.lost()
    with clients(serving) as client:
        client.until_answered(5)
    assert client.lost() == []
    assert set(pods.terms) == {1, 2}
    assert is_in_turn(pods.terms)


def test_a_rollout_of_both_loses_nothing(pods: GatewayPods) -> None:
    """As a Deployment does it: another one is ready before one of the two ends."""
    old = list(pods.pods)
    with clients(*old) as client:
        client.until_answered(10)
    answered = client
    for going in old:
        new = pods.start()
        new.until_ready()
        others = [pod for pod in pods.pods if pod is not going and not pod.is_deleted]
        with clients(*others) as client:
            client.until_answered(10)
            going.terminate()
            assert going.process.wait(60) == 0
            going.is_deleted = True
            client.until_answered(10)
        assert client.lost() == []
    assert answered.lost() == []
    assert [pod.name for pod in pods.serving] == [pods.server.holder]


def test_what_comes_to_a_pod_that_ends_after_its_gateway_has_is_answered(pods: GatewayPods) -> None:
    """The port outlives the gateway: whoever was sent there waits for somebody who accepts."""
    first, second = pods.pods
    first.terminate()
    assert first.process.wait(60) == 0
    with clients(first) as client:
        client.until_answered(3)
    assert client.lost() == []
    assert second.serves


def test_while_the_api_server_is_away_the_one_that_serves_serves_on(pods: GatewayPods) -> None:
    first, second = pods.pods
    with clients(first, second) as client:
        client.until_answered(5)
        pods.server.is_away = True
        client.until_answered(110)  # longer than a Lease lasts
        assert first.serves
        pods.server.is_away = False
        until(lambda: first.keeper.lease.is_held, "it is renewed again")
        client.until_answered(5)
    assert client.lost() == []
    assert set(pods.terms) == {1}
