"""Mixes live as in simulation (rule 11): the gateway's lanes and the replicas of live mode, in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from aiohttp.test_utils import TestClient, TestServer

from ipa import profiles
from ipa.live.serving.control_api import control_application
from ipa.live.serving.emulated import Emulated
from ipa.live.serving.host import Gateway, GatewayOptions
from ipa.live.serving.request import Request, RoutedReplica
from ipa.live.serving.router import Router
from ipa.live.serving.stage_lanes import Deadlines
from ipa.live.serving.stage_queue import DispatchOptions
from ipa.live.tokens import TokenFile, create_token_file
from ipa.policies import StageConfiguration, lightest_configuration, mix_of, to_plain
from ipa.sim import IndexedUniforms, ServiceTime, stream
from tests.live.serving import mixed_world
from tests.live.serving.test_gateway_queue import Host, arrive
from tests.sim import engine_runs, oracle
from tests.sim.blocks import blocks
from tests.sim.random_scenarios import mixing, resizing, scenario

BLOCK = 50


def drawn_of(seed: int, drop: str) -> dict[str, Any]:
    drawn = mixing(scenario(seed, dispatch="central", drop=drop, resize=resizing(seed)), seed)
    return engine_runs.with_engine_draws(drawn, seed)


@pytest.mark.parametrize("block", blocks(4))
@pytest.mark.parametrize("drop", ["request", "batch", "deadline"])
def test_the_gateway_equals_the_oracle(drop: str, block: int) -> None:
    several = 0
    for seed in range(block * BLOCK, (block + 1) * BLOCK):
        drawn = drawn_of(seed, drop)
        world = mixed_world.MixedWorld(drawn)
        expected, found = oracle.simulate(drawn), world.run()
        for key in ("end_s", "replicas", "requests"):
            assert found[key] == expected[key], f"seed {seed}: {key}"
        several += any(replica.lane for stage in world.replicas for replica in stage.all)
    assert several > BLOCK / 2


# ---- by hand ----


def one(variant: str, replicas: int = 1, batch: int = 1, timeout_s: float = 0.0) -> StageConfiguration:
    return StageConfiguration(variant, batch, replicas, timeout_s, 1)


def mix(**parts: tuple[float, StageConfiguration]) -> StageConfiguration:
    """Variant -> share and the rest."""
    return mix_of([
        StageConfiguration(variant, each.batch, each.replicas, each.batch_timeout_s, each.cores, share)
        for variant, (share, each) in parts.items()
    ])  # fmt: skip


def router(wanted: StageConfiguration, draws: list[float]) -> tuple[Router, Host]:
    """One stage of up to three variants; its requests have these draws, and expire after 100 s."""
    host = Host()
    return Router(["a"], [100.0], {"a": wanted}, host, mixing=[(3, draws)]), host


def ready(made: Router, *lanes: tuple[str, int, list[int]], now_s: float) -> None:
    """Of each lane: the variant, and the numbers of its ready replicas."""
    listed: dict[tuple[int, str], Callable[[], RoutedReplica]] = {
        (number, ""): partial(RoutedReplica, number, variant, 8, lane=lane)
        for variant, lane, numbers in lanes
        for number in numbers
    }
    made.list_replicas(0, listed)
    made.attempt(0, now_s)


def test_shares_take_effect_when_the_new_variant_is_ready_and_each_lane_has_its_own_batches() -> None:
    """Small serves a alone. Of the mix decided at 1 s, large is ready at 3 s: a to c go to small, d, e and g to large,
    f to small. Large waits until it has two requests, or for 5 s."""
    made, host = router(one("small"), [0.9, 0.1, 0.9, 0.9, 0.6, 0.4, 0.7])
    ready(made, ("small", 0, [0]), now_s=0.0)
    arrive(made, "a")
    made.configure({"a": mix(small=(0.5, one("small")), large=(0.5, one("large", 1, 2, 5.0)))}, 1.0)
    assert made.lanes[0].plan.table == ((0, float("inf")),)
    arrive(made, "bc", now_s=2.0)
    assert (made.state(0, 2.0).queue_length, made.stages[0].length) == (2, 2)
    ready(made, ("small", 0, [0]), ("large", 1, [1]), now_s=3.0)
    arrive(made, "d", now_s=4.0)
    assert host.wakes[0] == 9.0
    arrive(made, "e", now_s=4.5)
    arrive(made, "f", now_s=4.75)
    assert host.started() == [(0, 0, ["a"]), (0, 1, ["d", "e"])]
    assert [batch.number for batch in host.serving] == [0, 1]
    assert [(batch.lane, batch.number_in_lane) for batch in host.serving] == [(0, 0), (1, 0)]
    state = made.state(0, 5.0)
    assert (state.arrivals, state.queue_length, state.in_service) == (6, 3, 3)
    arrive(made, "g", now_s=6.0)
    made.finished(host.serving[1], 7.0)
    assert host.wakes[0] == 11.0
    made.timer(0, 11.0)
    assert host.started()[2:] == [(0, 1, ["g"])]


def test_who_waits_in_a_lane_that_closes_is_served_there_and_then_it_is_free() -> None:
    made, host = router(mix(small=(0.5, one("small")), large=(0.5, one("large"))), [0.9, 0.9, 0.1, 0.9])
    ready(made, ("small", 0, [0]), ("large", 1, [1]), now_s=0.0)
    arrive(made, "ab")
    made.configure({"a": one("small")}, 1.0)
    assert sorted(made.lanes[0].in_force) == [0, 1]
    arrive(made, "cd", now_s=1.5)
    assert host.started() == [(0, 1, ["a"]), (0, 0, ["c"])]
    made.finished(host.serving[0], 2.0)
    assert sorted(made.lanes[0].in_force) == [0, 1]
    made.finished(host.serving[2], 3.0)
    assert made.lanes[0].in_force == {0: one("small")}
    assert host.started()[2:] == [(0, 1, ["b"])]


def test_a_closing_lane_whose_last_request_expires_is_free() -> None:
    made, _ = router(mix(small=(0.5, one("small")), large=(0.5, one("large"))), [0.9])
    ready(made, ("small", 0, [0]), now_s=0.0)
    arrive(made, "a")
    made.configure({"a": one("small")}, 1.0)
    made.expire(99.0)
    assert sorted(made.lanes[0].in_force) == [0, 1]
    made.expire(101.0)
    assert sorted(made.lanes[0].in_force) == [0]


def test_a_failed_batch_returns_to_its_own_lane_and_a_suspended_replica_is_not_ready() -> None:
    made, host = router(one("small"), [0.9] * 9)
    ready(made, ("small", 0, [0]), now_s=0.0)
    made.configure({"a": mix(small=(0.5, one("small")), large=(0.5, one("large")))}, 1.0)
    ready(made, ("small", 0, [0]), ("large", 1, [1]), now_s=2.0)
    (a,) = arrive(made, "a", now_s=3.0)
    made.failed(host.serving[0], 4.0, "died")
    assert list(made.lanes[0].queues[1].waiting) == [a]
    assert (made.unserved, made.lanes[0].queues[1].can_serve) == ([], False)
    made.resume(0, made.lanes[0].queues[1].replicas[0], 5.0)
    assert host.started() == [(0, 1, ["a"])] * 2
    made.give_up(a, 6.0)
    made.finished(host.serving[1], 7.0)
    assert a.outcome == "unfinished"


def test_shares_wait_for_a_replica_of_the_new_variant_that_is_suspended() -> None:
    made, host = router(mix(small=(0.5, one("small")), large=(0.5, one("large"))), [0.9] * 9)
    ready(made, ("small", 0, [0]), ("large", 1, [1]), now_s=0.0)
    arrive(made, "a")
    made.failed(host.serving[0], 1.0, "died")
    made.configure({"a": mix(small=(0.2, one("small")), large=(0.8, one("large", 2)))}, 2.0)
    assert made.lanes[0].plan.table == ((0, 0.2), (1, float("inf")))  # a lane that was warm stays so


def test_who_came_before_it_was_known_in_which_lanes_there_are_replicas_goes_to_these_in_order() -> None:
    """Of a gateway that was started anew, a to d wait in the first lane, which has no replica; what stood is in the
    second and third. By their draws, b goes to the third."""
    made, host = router(one("small"), [0.1, 0.9, 0.2, 0.3, 0.1])
    arrive(made, "abcd")
    parts = mix(large=(0.5, one("large", 1, 2)), small=(0.5, one("small"))).parts
    made.put_in_force([{1: parts[0], 2: parts[1]}], 1.0)
    assert [[each.name for each in queue.waiting] for queue in made.lanes[0].queues] == [[], ["a", "c", "d"], ["b"]]
    assert sorted(made.lanes[0].in_force) == [1, 2]
    ready(made, ("large", 1, [0]), ("small", 2, [1]), now_s=2.0)
    assert host.started() == [(0, 0, ["a", "c"]), (0, 1, ["b"])]
    arrive(made, "e", now_s=3.0)
    made.finished(host.serving[0], 4.0)
    assert host.started()[2:] == [(0, 0, ["d", "e"])]
    made.expire(103.0)
    assert (made.state(0, 103.0).queue_length, made.state(0, 103.0).drops) == (0, 0)


def test_who_waits_where_there_are_replicas_is_served_there_whatever_is_said_to_have_stood() -> None:
    made, host = router(one("small"), [0.1, 0.9])
    ready(made, ("small", 0, [0]), ("large", 1, [1]), now_s=0.0)
    arrive(made, "ab")
    made.put_in_force([{1: one("large")}], 1.0)
    assert sorted(made.lanes[0].in_force) == [0, 1]
    made.finished(host.serving[0], 2.0)
    made.finished(host.serving[1], 3.0)
    assert sorted(made.lanes[0].in_force) == [1]


def test_draws_by_number_are_those_of_the_simulator_s_stream_in_any_order() -> None:
    draws = IndexedUniforms(stream(7, "mix", 1))
    in_order = stream(7, "mix", 1).random(10_000).tolist()
    for number in (9_999, 0, 4_096, 4_095, 17, 9_998):
        assert draws[number] == in_order[number]


def test_a_lane_s_batches_take_the_draws_of_its_own_stream() -> None:
    service = ServiceTime((0.0, 1.0), (0.0, 0.5))
    first, second = (Emulated(service, seed=3, stage=1).service_s(0, 1, lane=lane) for lane in (0, 1))
    again = Emulated(service, seed=3, stage=1)
    assert (again.service_s(0, 1, lane=1), again.service_s(0, 1)) == (second, first)
    assert first != second


# ---- the control API ----


def told(folder: Path, *calls: tuple[str, str, object], **options: Any) -> list[tuple[int, Any]]:
    """Status and answer of calls of the control API of a gateway for video."""
    create_token_file(folder / "token")
    tokens = TokenFile(folder / "token")

    async def story() -> list[tuple[int, Any]]:
        gateway = Gateway(GatewayOptions(profiles.load("video"), **options))
        found = []
        try:
            async with TestClient(TestServer(control_application(gateway, tokens))) as client:
                for method, path, body in calls:
                    async with client.request(method, path, headers=tokens.headers(), json=body) as answer:
                        found.append((answer.status, await answer.json()))
        finally:
            await gateway.close()
        return found

    return asyncio.run(story())


STAGE, OTHER = "object-detection", "image-classification"
LIGHTEST = {name: to_plain(each) for name, each in lightest_configuration(profiles.load("video")).items()}
PARTS = [
    {"variant": "yolov5n", "batch": 2, "replicas": 1, "batch_timeout_s": 0.1, "cores": 1, "share": 0.25},
    {"variant": "yolov5s", "batch": 4, "replicas": 2, "batch_timeout_s": 0.2, "cores": 1, "share": 0.75},
]
MIX = {**LIGHTEST, STAGE: {**PARTS[0], "beside": [PARTS[1]]}}


def listed(*lanes: int) -> dict[str, Any]:
    def entry(number: int, lane: int) -> dict[str, Any]:
        url, variant = f"http://127.0.0.1:{8100 + number}", PARTS[lane % 2]["variant"]
        return {"number": number, "url": url, "variant": variant, "cores": 1, "state": "ready", "lane": lane}

    return {STAGE: [entry(number, lane) for number, lane in enumerate(lanes)], OTHER: []}


CONFIGURE, REPLICAS = ("PUT", "/control/configuration"), ("PUT", "/control/replicas")
LANES = ("GET", "/control/lanes", None)


def test_the_control_api_takes_a_mix_and_says_what_is_in_force_in_the_lanes(tmp_path: Path) -> None:
    """Two replicas of yolov5s are wanted: with one, the mix is not yet in force."""
    answers = told(
        tmp_path,
        (*CONFIGURE, MIX),
        LANES,
        (*REPLICAS, listed(0, 1, 1)),
        LANES,
        ("GET", "/control/observation", None),
        (*CONFIGURE, {**LIGHTEST, STAGE: {key: each for key, each in PARTS[1].items() if key != "share"}}),
        LANES,
    )
    assert [status for status, _ in answers] == [200] * len(answers)
    before, after, last = (answers[place][1][STAGE][:2] for place in (1, 3, 6))
    assert before == after == [PARTS[0], PARTS[1]]  # yolov5n has one replica before and after
    assert answers[1][1][STAGE][2:] == [None] * 3
    assert answers[4][1]["configuration"][STAGE] == MIX[STAGE]
    assert last == [None, {key: each for key, each in PARTS[1].items() if key != "share"}]


def test_a_mix_that_is_set_before_the_run_begins_is_in_force_at_once(tmp_path: Path) -> None:
    """Whatever was set before: the first variant is in the first lane."""
    reverse = {**MIX, STAGE: {**PARTS[1], "beside": [PARTS[0]]}}
    answers = told(tmp_path, (*CONFIGURE, MIX), LANES, (*CONFIGURE, reverse), LANES, waits_for_start=True)
    assert [answers[place][1][STAGE][:2] for place in (1, 3)] == [PARTS, PARTS[::-1]]


@pytest.mark.parametrize(
    ("call", "why"),
    [
        ((*CONFIGURE, {**MIX, STAGE: {**PARTS[0], "beside": 1}}), f"{STAGE}.beside: 1; allowed: a list"),
        ((*CONFIGURE, {**MIX, STAGE: {**PARTS[0], "beside": [PARTS[0]]}}), "allowed: each variant once"),
        ((*CONFIGURE, {**MIX, STAGE: {**MIX[STAGE], "share": 0.5}}), "add up to 1.25; allowed: 1"),
        ((*CONFIGURE, {**MIX, STAGE: {**PARTS[0], "beside": [LIGHTEST[STAGE]]}}), f"{STAGE} lacks share"),
        ((*REPLICAS, listed(0, 5)), f"{STAGE}[1].lane=5; allowed: below 5, the number of variants of '{STAGE}'"),
        ((*REPLICAS, listed(-1)), f"{STAGE}[0].lane"),
    ],
)
def test_wrong_mixes_and_lanes_are_refused(tmp_path: Path, call: tuple[str, str, Any], why: str) -> None:
    ((status, answer),) = told(tmp_path, call)
    assert status == 400
    assert why in answer["error"]


# ---- a gateway that was started anew ----

STAND = ("PUT", "/control/lanes")
SMALLEST = LIGHTEST[OTHER]


def standing(*lanes: Any) -> dict[str, Any]:
    return {STAGE: [*lanes], OTHER: [SMALLEST]}


def in_lanes(answer: Any) -> dict[int, tuple[str, int]]:
    """Lane -> variant and replicas in force."""
    return {lane: (each["variant"], each["replicas"]) for lane, each in enumerate(answer[STAGE]) if each is not None}


def test_a_gateway_is_told_what_stood_and_then_what_is_wanted(tmp_path: Path) -> None:
    """yolov5s alone stood, in the second lane; yolov5n, which is to come, starts in the first."""
    alone = {key: each for key, each in PARTS[1].items() if key != "share"}
    answers = told(
        tmp_path,
        ("GET", "/control/observation", None),
        (*STAND, standing(None, alone)),
        (*CONFIGURE, MIX),
        (*REPLICAS, {STAGE: listed(0, 1, 1)[STAGE][1:], OTHER: []}),
        ("GET", "/control/observation", None),
        (*REPLICAS, listed(0, 1, 1)),
        LANES,
    )
    assert [status for status, _ in answers] == [200] * len(answers)
    first, later = answers[0][1], answers[4][1]
    assert (first["configured"], first["lanes"][STAGE][0]["variant"]) == (False, "yolov5n")
    assert (later["configured"], later["configuration"]) == (True, MIX)
    assert in_lanes(later["lanes"]) == in_lanes(answers[6][1]) == {0: ("yolov5n", 1), 1: ("yolov5s", 2)}


def test_who_has_a_configuration_is_not_told_what_stood(tmp_path: Path) -> None:
    stood = standing(PARTS[0], PARTS[1])
    answers = told(tmp_path, (*CONFIGURE, LIGHTEST), (*STAND, stood), LANES)
    assert [status for status, _ in answers] == [200, 409, 200]
    assert in_lanes(answers[2][1]) == {0: ("yolov5n", 1)}
    (tmp_path / "token").unlink()
    assert [status for status, _ in told(tmp_path, (*STAND, stood), (*STAND, stood))] == [200, 409]


def test_what_is_meant_for_another_gateway_is_refused(tmp_path: Path) -> None:
    """While one gateway replaces another, either may be asked."""
    (status, answer), (other, _), (_, seen) = told(
        tmp_path,
        ("PUT", "/control/configuration?epoch=another", MIX),
        ("PUT", "/control/lanes?epoch=another", standing(PARTS[0], PARTS[1])),
        ("GET", "/control/observation", None),
    )
    assert (status, other) == (409, 409)
    assert answer["error"] == f"epoch=another; allowed: {seen['epoch']}, that of this gateway"
    assert not seen["configured"]


def test_before_anything_is_said_lanes_that_have_replicas_get_requests(tmp_path: Path) -> None:
    """Of a gateway that was started anew while no controller runs: two replicas are in the third lane, and one in the
    second. When all are in the first again, so is what is in force."""
    answers = told(
        tmp_path, (*REPLICAS, listed(2, 2, 1)), LANES, (*REPLICAS, listed(0)), LANES, (*CONFIGURE, LIGHTEST), LANES
    )
    assert [status for status, _ in answers] == [200] * len(answers)
    lanes = answers[1][1][STAGE]
    assert [(each["variant"], each["replicas"], round(each["share"], 3)) for each in lanes[1:3]] == [
        ("yolov5s", 1, 0.333),
        ("yolov5n", 2, 0.667),
    ]
    assert in_lanes(answers[1][1]).keys() == {1, 2}
    assert in_lanes(answers[3][1]) == {0: ("yolov5n", 1)}
    assert in_lanes(answers[5][1]) == {0: ("yolov5n", 1)}


def test_a_first_configuration_keeps_the_lanes_in_which_its_variants_are(tmp_path: Path) -> None:
    alone = {**LIGHTEST, STAGE: {key: each for key, each in PARTS[1].items() if key != "share"}}
    answers = told(tmp_path, (*REPLICAS, listed(1, 1)), (*CONFIGURE, alone), LANES)
    assert in_lanes(answers[2][1]) == {1: ("yolov5s", 2)}


@pytest.mark.parametrize(
    ("lanes", "why"),
    [
        ([], f"{STAGE}: []; allowed: a list of configurations"),
        ([None, None], "allowed: a list of configurations, with null for a free lane"),
        (1, f"{STAGE}: 1; allowed: a list"),
        ([*[None] * 5, SMALLEST], f"{STAGE}; allowed: below 5, the number of variants"),
        ([PARTS[0], {**PARTS[1], "share": 0.5}], "add up to 0.75; allowed: 1"),
        ([PARTS[0]], f"{STAGE}[0]"),
        ([PARTS[0], 7], f"{STAGE}[1]"),
        ([PARTS[0], {**PARTS[1], "variant": "yolov5n"}], "allowed: each variant once"),
    ],
)
def test_wrong_lanes_of_what_stood_are_refused_and_change_nothing(tmp_path: Path, lanes: Any, why: str) -> None:
    body = {STAGE: lanes, OTHER: [SMALLEST]}
    (status, answer), (_, seen) = told(tmp_path, (*STAND, body), ("GET", "/control/observation", None))
    assert status == 400
    assert why in answer["error"]
    assert not seen["configured"]


# ---- by deadline ----


def test_by_deadline_a_lane_goes_by_its_own_figures_and_later_stages_by_their_shortest_stay() -> None:
    """The SLA is 10 s. At a, small takes 1 s and large 3 s; at b, 2 s and 5 s. A request that waits in small's lane of
    b makes that 4 s, still less than large's 5 s."""
    seconds = {("a", "small"): 1.0, ("a", "large"): 3.0, ("b", "small"): 2.0, ("b", "large"): 5.0}
    host, both = Host(), mix(small=(0.5, one("small")), large=(0.5, one("large")))
    made = Router(
        ["a", "b"], [100.0, 100.0], {"a": both, "b": both}, host, DispatchOptions("deadline"),
        deadlines=Deadlines(10.0, lambda stage, variant, _: [0.0, seconds["ab"[stage], variant]]),
        mixing=[(2, [0.1, 0.9, 0.9]), (2, [0.1, 0.1, 0.1])],
    )  # fmt: skip
    assert made._limit_now_s(0, 0, 100.0) == 10.0 - 1.0 - 2.0  # nobody waits
    waiting = Request("w", 0.0)
    waiting.number = 0
    made.enqueue(1, [waiting], 0.0)
    assert made._limit_now_s(0, 0, 100.0) == 10.0 - 1.0 - 4.0
    assert made._limit_now_s(0, 1, 100.0) == 10.0 - 3.0 - 4.0
    assert made._limit_now_s(1, 1, 100.0) == 10.0 - 5.0
    made.configure({"a": both, "b": one("large")}, 1.0)  # small's lane gets no more requests
    assert made._limit_now_s(0, 0, 100.0) == 10.0 - 1.0 - 5.0
