"""Malformed mixes and lanes by the thousand at the control port: none is answered 500, and clients are served on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.live.serving.serving_plane import Process, ask, call, entry, get, plane, put, wanted
from tests.live.serving.test_fuzz import ANYTHING, REQUESTS, gives_back, resources

STAGES = {"object-detection": ("yolov5n", "yolov5s", "yolov5m"), "image-classification": ("resnet18", "resnet34")}
ALLOWED = {200, 400, 409}


def nearly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right."""
    return st.integers(0, 49).flatmap(lambda number: ANYTHING if number == 7 else right)


def parts(stage: str, **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Configurations of a variant of a stage, mostly."""
    return nearly(
        st.fixed_dictionaries(
            {
                "variant": nearly(st.sampled_from(STAGES[stage])),
                "batch": nearly(st.sampled_from([1, 2, 4, 8])),
                "replicas": nearly(st.integers(1, 3)),
                "batch_timeout_s": nearly(st.sampled_from([0.0, 0.1])),
                "cores": nearly(st.just(1)),
            },
            optional=more,
        )
    )


SHARES = nearly(st.sampled_from([0.25, 0.5, 0.75, 1.0]))


def mixes(stage: str) -> st.SearchStrategy[Any]:
    beside = nearly(st.lists(parts(stage, share=SHARES), max_size=3))
    return st.one_of(parts(stage), parts(stage, share=SHARES, beside=beside))


def lanes(stage: str) -> st.SearchStrategy[Any]:
    alone = st.builds(lambda free, part: [*[None] * free, part], st.integers(0, 3), parts(stage))
    several = st.lists(st.one_of(st.none(), parts(stage), parts(stage, share=SHARES)), max_size=6)
    return nearly(st.one_of(alone, several))


def replicas(stage: str) -> st.SearchStrategy[Any]:
    one = st.fixed_dictionaries(
        {
            "number": nearly(st.integers(0, 20)),
            "url": nearly(st.sampled_from(["http://127.0.0.1:9", "http://10.0.0.1:8080", "http://[::1]:9"])),
            "variant": nearly(st.sampled_from(STAGES[stage])),
            "cores": nearly(st.just(1)),
            "state": nearly(st.sampled_from(["ready", "draining"])),
        },
        optional={"lane": nearly(st.integers(0, 3))},
    )
    return nearly(st.lists(nearly(one), max_size=4))


def bodies(of: Any) -> st.SearchStrategy[Any]:
    both = st.fixed_dictionaries({stage: of(stage) for stage in STAGES})
    return st.one_of(nearly(both), st.binary(max_size=40))


CALLS = st.one_of(
    st.tuples(st.just("configuration"), bodies(mixes)),
    st.tuples(st.just("lanes"), bodies(lanes)),
    st.tuples(st.just("replicas"), bodies(replicas)),
)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, dict[str, Any]]]:
    """A gateway that drops by deadline, and the list of its replicas: one of each stage."""
    with plane(tmp_path_factory.mktemp("fuzz-control")) as up:
        gateway = up.gateway("--pipeline", "video", "--drop", "deadline", "--log-level", "error")
        listed = {}
        for stage, (variant, *_) in STAGES.items():
            listed[stage] = [entry(0, up.emulated("video", stage, variant, "--factor", "0").url, variant)]
        yield gateway, listed


def test_no_mix_and_no_lane_breaks_a_gateway(served: tuple[Process, dict[str, Any]]) -> None:
    gateway, listed = served
    control, infer = gateway.urls["control_url"] + "/control/", gateway.url + "/v2/models/video/infer"
    configuration = {stage: wanted(variants[0]) for stage, variants in STAGES.items()}
    before, answers = resources(gateway), Counter[tuple[str, int]]()

    @settings(
        max_examples=REQUESTS // 2, deadline=None, database=None, derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )  # fmt: skip
    @given(st.lists(CALLS, min_size=1, max_size=3))
    def fire(calls: list[tuple[str, Any]]) -> None:
        for address, body in calls:
            status, answer = call("PUT", control + address, body)
            answers[address, status] += 1
            assert status in ALLOWED, answer
            assert status == 200 or set(answer) == {"error"}
        said = get(control + "lanes")
        assert said.keys() == STAGES.keys()
        assert all(any(lane is not None for lane in of_stage) for of_stage in said.values())

    fire()
    for address in ("configuration", "replicas"):
        assert answers[address, 200] > 0.02 * REQUESTS, answers
        assert answers[address, 400] > 0.1 * REQUESTS, answers
    assert answers["lanes", 400] > 0.1 * REQUESTS, answers
    assert answers["lanes", 409] > 0.01 * REQUESTS, answers
    put(control + "configuration", configuration)
    put(control + "replicas", listed)
    assert call("POST", infer, ask())[0] == 200
    assert gateway.log.read_text() == ""
    gives_back(gateway, before, files=4)
    assert resources(gateway)["bytes"] <= before["bytes"] + 48 * 2**20


def test_what_stood_is_taken_once_by_a_gateway_that_was_started_anew(tmp_path: Any) -> None:
    """A body of lanes that is right is taken; whatever comes first and is wrong is not what it goes by."""
    stood = {"object-detection": [None, wanted("yolov5s")], "image-classification": [wanted("resnet18")]}
    with plane(tmp_path) as up:
        control = up.gateway("--pipeline", "video").urls["control_url"] + "/control/"

        @settings(max_examples=REQUESTS // 20, deadline=None, database=None, derandomize=True)
        @given(bodies(lanes).filter(lambda body: not isinstance(body, dict) or len(body) != 2))
        def fire(body: Any) -> None:
            assert call("PUT", control + "lanes", body)[0] == 400

        fire()
        assert not get(control + "observation")["configured"]
        put(control + "lanes", stood)
        assert get(control + "lanes")["object-detection"][:2] == stood["object-detection"]
