"""Two gateways on one machine: one serves, the other takes over, and never do both serve."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.live.serving.serving_plane import call, get, until
from tests.live.serving.two_gateways import (
    HAS_LOST,
    SERVES,
    WAITS,
    Client,
    Gateways,
    KeptConnection,
    is_in_turn,
    replica,
    two_gateways,
    were_inside,
)


@pytest.fixture
def up(tmp_path: Path) -> Iterator[tuple[Gateways, list[int]]]:
    """Two gateways, and the terms of the batches that their replica gets."""
    with replica() as (url, terms), two_gateways(tmp_path, url) as gateways:
        yield gateways, terms


def test_after_a_kill_the_other_one_answers_and_only_what_was_inside_is_lost(up: tuple[Gateways, list[int]]) -> None:
    gateways, terms = up
    killed_s = []
    with Client(gateways.url) as client:
        client.until_answered(5)
        for serving in (0, 1):
            from_s = time.monotonic()
            gateways.started[serving].kill()
            gateways.started[serving].wait()
            killed_s.append((from_s, time.monotonic()))
            client.until_answered(5)
            gateways.until_it(gateways.start(), WAITS)
            client.until_answered(5)
    assert were_inside(killed_s, client.lost()), (killed_s, client.lost())
    assert set(terms) == {1, 2, 3}
    assert is_in_turn(terms)


def test_a_stopped_gateway_finds_out_that_another_serves_before_it_serves_anything(tmp_path: Path) -> None:
    """It has requests in its queue when it is stopped, one on a connection that it knows when it goes on."""
    stopped_s = []
    with replica(takes_s=0.13) as (url, terms), two_gateways(tmp_path, url) as up, Client(up.url) as client:
        for serving, waiting in ((0, 1), (1, 0)):
            client.until_answered(5)
            kept = KeptConnection(up.url)
            assert kept.ask()[0] == 200
            until(lambda: get(f"{up.control_url}/control/observation")["stages"]["sort"]["queue_length"], "a queue")
            times = up.events(waiting).count(SERVES)
            stopped_at_s = time.monotonic()
            up.signal(serving, signal.SIGSTOP)
            stopped_s.append((stopped_at_s, time.monotonic()))
            kept.send()
            up.until_it(waiting, SERVES, times + 1)
            client.until_answered(5)
            up.signal(serving, signal.SIGCONT)
            assert kept.answer()[0] == 200  # the other one has served it
            assert kept.is_closed
            up.until_it(serving, HAS_LOST)
            client.until_answered(5)
        client.until_answered(1)
    assert were_inside(stopped_s, client.lost()), (stopped_s, client.lost())
    assert set(terms) == {1, 2, 3}
    assert is_in_turn(terms)


def test_a_gateway_that_waits_may_stop_and_go_on_and_nobody_notices(up: tuple[Gateways, list[int]]) -> None:
    gateways, terms = up
    with Client(gateways.url) as client:
        gateways.signal(1, signal.SIGSTOP)
        client.until_answered(60)  # longer than a right lasts
        gateways.signal(1, signal.SIGCONT)
        client.until_answered(5)
    assert client.lost() == []
    assert set(terms) == {1}


def test_a_gateway_that_is_told_to_end_loses_nothing(up: tuple[Gateways, list[int]]) -> None:
    gateways, terms = up
    with closing(KeptConnection(gateways.url)) as kept, Client(gateways.url) as client:
        assert kept.ask()[0] == 200
        client.until_answered(5)
        gateways.signal(0, signal.SIGTERM)
        assert gateways.started[0].wait(60) == 0
        client.until_answered(5)
        gateways.until_it(gateways.start(), WAITS)
        gateways.signal(1, signal.SIGTERM)
        assert gateways.started[1].wait(60) == 0
        client.until_answered(5)
    assert client.lost() == []
    assert set(terms) == {1, 2, 3}


def test_the_next_gateway_knows_configuration_load_and_clock(up: tuple[Gateways, list[int]]) -> None:
    gateways, _ = up
    url = gateways.control_url
    with Client(gateways.url) as client:
        client.until_answered(25)
        configuration = {"sort": {"variant": "small", "batch": 4, "replicas": 1, "batch_timeout_s": 0.1, "cores": 1}}
        assert call("PUT", f"{url}/control/configuration", configuration)[0] == 200
        client.until_answered(10)
    ended_s = get(f"{url}/control/observation")["time_s"]
    # Time to copy it, as that is done four times a second.
    until(lambda: get(f"{url}/control/observation")["time_s"] > ended_s + 3.0, "the load has been over for a while")
    before = get(f"{url}/control/observation")
    gateways.started[0].kill()
    gateways.until_it(1, SERVES)
    after = get(f"{url}/control/observation")
    assert after["epoch"] != before["epoch"]
    assert after["configuration"] == before["configuration"]
    seconds = len(before["load_rps"]) - 1  # the last one may have been copied before it was over
    assert after["load_rps"][:seconds] == before["load_rps"][:seconds]
    assert sum(before["load_rps"][:seconds]) > 0
    assert after["time_s"] >= before["time_s"]


def test_what_the_control_port_says_about_the_lease_is_for_gateways_alone(up: tuple[Gateways, list[int]]) -> None:
    gateways, _ = up
    url = gateways.control_url
    assert call("GET", f"{url}/control/state", headers={})[0] == 401
    state = get(f"{url}/control/state?seconds=5")
    assert state["started"] is False
    assert call("GET", f"{url}/control/state?seconds=-1")[0] == 400
    assert call("PUT", f"{url}/control/follow", {"term": 9, "for_s": 1, "data_url": "x", "control_url": "y"})[0] == 400
    late = {"term": 1, "for_s": 1, "data_url": "http://127.0.0.1:1", "control_url": "http://127.0.0.1:1"}
    assert call("PUT", f"{url}/control/follow", late)[0] == 409
    assert call("PUT", f"{url}/control/lease", {"term": "1", "until_s": 0, "fence": 0})[0] == 400
