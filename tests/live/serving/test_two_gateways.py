"""Two gateways on one machine: one serves, the other takes over, and never do both serve."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from math import ceil

import pytest

from ipa.live.serving.lease_file import HOLDS_S
from tests.live.serving.serving_plane import call, get, until
from tests.live.serving.two_gateways import (
    EVERY_S,
    HAS_LOST,
    SERVES,
    Client,
    Gateways,
    KeptConnection,
    Replica,
    is_in_turn,
    replica,
    two_gateways,
    were_inside,
)


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Gateways, Replica]]:
    with replica() as serving, two_gateways(tmp_path_factory.mktemp("gateways"), serving.url) as gateways:
        yield gateways, serving


@pytest.fixture
def up(plane: tuple[Gateways, Replica]) -> tuple[Gateways, Replica]:
    """Gateways of which one serves and one waits, and their replica, which has noted nothing yet."""
    gateways, serving = plane
    assert gateways.serving != gateways.waiting
    serving.terms.clear()
    return gateways, serving


def are_of_three_gateways_in_turn(terms: Sequence[int]) -> bool:
    """Whether three gateways have sent batches, one after another."""
    return is_in_turn(terms) and set(terms) == {terms[0], terms[0] + 1, terms[0] + 2}


def queue_length(gateways: Gateways) -> int:
    length: int = get(f"{gateways.control_url}/control/observation")["stages"]["sort"]["queue_length"]
    return length


def test_after_a_kill_the_other_one_answers_and_only_what_was_inside_is_lost(up: tuple[Gateways, Replica]) -> None:
    gateways, serving = up
    killed_s = []
    with Client(gateways.url) as client:
        client.until_answered(5)
        for _ in range(2):
            killed, successor = gateways.started[gateways.serving], gateways.waiting
            from_s = time.monotonic()
            killed.kill()
            killed.wait()
            killed_s.append((from_s, time.monotonic()))
            client.until_answered(5)
            assert gateways.serving == successor
        client.until_answered(5)
    assert were_inside(killed_s, client.lost()), (killed_s, client.lost())
    assert are_of_three_gateways_in_turn(serving.terms)


def test_a_stopped_gateway_finds_out_that_another_serves_before_it_serves_anything(
    up: tuple[Gateways, Replica],
) -> None:
    """It has requests in its queue when it is stopped, one on a connection that it knows when it goes on."""
    gateways, serving = up
    stopped_s = []
    with Client(gateways.url) as client:
        for _ in range(2):
            stopped, successor = gateways.serving, gateways.waiting
            client.until_answered(5)
            with closing(KeptConnection(gateways.url)) as kept:
                assert kept.ask()[0] == 200
                serving.takes_s = 1.0
                until(lambda: queue_length(gateways) > 1, "a queue")
                times = gateways.events(successor).count(SERVES)
                stopped_at_s = time.monotonic()
                gateways.signal(stopped, signal.SIGSTOP)
                stopped_s.append((stopped_at_s, time.monotonic()))
                serving.takes_s = 0.02
                kept.send()
                gateways.until_it(successor, SERVES, times + 1)
                client.until_answered(5)
                gateways.signal(stopped, signal.SIGCONT)
                assert kept.answer()[0] == 200  # the other one has served it
                assert kept.is_closed
            gateways.until_it(stopped, HAS_LOST)
            client.until_answered(5)
            assert gateways.waiting == stopped
    assert were_inside(stopped_s, client.lost()), (stopped_s, client.lost())
    assert are_of_three_gateways_in_turn(serving.terms)


def test_a_gateway_that_waits_may_stop_and_go_on_and_nobody_notices(up: tuple[Gateways, Replica]) -> None:
    gateways, serving = up
    waiting = gateways.waiting
    with Client(gateways.url) as client:
        gateways.signal(waiting, signal.SIGSTOP)
        client.until_answered(ceil(1.2 * HOLDS_S / EVERY_S))  # longer than a right lasts
        gateways.signal(waiting, signal.SIGCONT)
        client.until_answered(5)
    assert client.lost() == []
    assert len(set(serving.terms)) == 1


def test_what_the_control_port_says_about_the_lease_is_for_gateways_alone(up: tuple[Gateways, Replica]) -> None:
    url = up[0].control_url
    assert call("GET", f"{url}/control/state", headers={})[0] == 401
    state = get(f"{url}/control/state?seconds=5")
    assert state["started"] is False
    assert call("GET", f"{url}/control/state?seconds=-1")[0] == 400
    assert call("PUT", f"{url}/control/follow", {"term": 99, "for_s": 1, "data_url": "x", "control_url": "y"})[0] == 400
    late = {"term": 1, "for_s": 1, "data_url": "http://127.0.0.1:1", "control_url": "http://127.0.0.1:1"}
    assert call("PUT", f"{url}/control/follow", late)[0] == 409
    assert call("PUT", f"{url}/control/lease", {"term": "1", "until_s": 0, "fence": 0})[0] == 400


def test_a_gateway_that_is_told_to_end_loses_nothing(up: tuple[Gateways, Replica]) -> None:
    gateways, serving = up
    with closing(KeptConnection(gateways.url)) as kept, Client(gateways.url) as client:
        assert kept.ask()[0] == 200
        for _ in range(2):
            ending, successor = gateways.serving, gateways.waiting
            client.until_answered(5)
            gateways.signal(ending, signal.SIGTERM)
            assert gateways.started[ending].wait(60) == 0
            client.until_answered(5)
            assert gateways.serving == successor
    assert client.lost() == []
    assert are_of_three_gateways_in_turn(serving.terms)


def test_the_next_gateway_knows_configuration_load_and_clock(up: tuple[Gateways, Replica]) -> None:
    gateways, _ = up
    url, successor = gateways.control_url, gateways.waiting
    with Client(gateways.url) as client:
        client.until_answered(15)
        configuration = {"sort": {"variant": "small", "batch": 4, "replicas": 1, "batch_timeout_s": 0.1, "cores": 1}}
        assert call("PUT", f"{url}/control/configuration", configuration)[0] == 200
        client.until_answered(5)
    ended_s = get(f"{url}/control/observation")["time_s"]
    # Time to copy it, as that is done four times a second.
    until(lambda: get(f"{url}/control/observation")["time_s"] > ended_s + 3.0, "the load has been over for a while")
    before = get(f"{url}/control/observation")
    gateways.started[gateways.serving].kill()
    gateways.until_it(successor, SERVES)
    after = get(f"{url}/control/observation")
    assert after["epoch"] != before["epoch"]
    assert after["configuration"] == before["configuration"]
    seconds = len(before["load_rps"]) - 1  # the last one may have been copied before it was over
    assert after["load_rps"][:seconds] == before["load_rps"][:seconds]
    assert sum(before["load_rps"][:seconds]) > 0
    assert after["time_s"] >= before["time_s"]
