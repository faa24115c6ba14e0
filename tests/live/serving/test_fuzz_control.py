"""Malformed configurations and lists of replicas by the thousand at the control port: none is answered 500, and clients
are served on."""

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
ALLOWED = {200, 400}


def nearly(right: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Mostly what is right."""
    return st.integers(0, 49).flatmap(lambda number: ANYTHING if number == 7 else right)


def configurations(stage: str) -> st.SearchStrategy[Any]:
    """Configurations of a stage, mostly."""
    return nearly(
        st.fixed_dictionaries(
            {
                "variant": nearly(st.sampled_from(STAGES[stage])),
                "batch": nearly(st.sampled_from([1, 2, 4, 8])),
                "replicas": nearly(st.integers(1, 3)),
                "batch_timeout_s": nearly(st.sampled_from([0.0, 0.1])),
                "cores": nearly(st.just(1)),
            }
        )
    )


def replicas(stage: str) -> st.SearchStrategy[Any]:
    one = st.fixed_dictionaries(
        {
            "number": nearly(st.integers(0, 20)),
            "url": nearly(st.sampled_from(["http://127.0.0.1:9", "http://10.0.0.1:8080", "http://[::1]:9"])),
            "variant": nearly(st.sampled_from(STAGES[stage])),
            "cores": nearly(st.just(1)),
            "state": nearly(st.sampled_from(["ready", "draining"])),
        },
        optional={"model": nearly(st.just("a-model"))},
    )
    return nearly(st.lists(nearly(one), max_size=4))


def bodies(of: Any) -> st.SearchStrategy[Any]:
    both = st.fixed_dictionaries({stage: of(stage) for stage in STAGES})
    return st.one_of(nearly(both), st.binary(max_size=40))


CALLS = st.one_of(
    st.tuples(st.just("configuration"), bodies(configurations)),
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


@pytest.mark.long
def test_no_configuration_and_no_list_breaks_a_gateway(served: tuple[Process, dict[str, Any]]) -> None:
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
        assert get(control + "observation")["configuration"].keys() == STAGES.keys()

    fire()
    for address in ("configuration", "replicas"):
        assert answers[address, 200] > 0.02 * REQUESTS, answers
        assert answers[address, 400] > 0.1 * REQUESTS, answers
    put(control + "configuration", configuration)
    put(control + "replicas", listed)
    assert call("POST", infer, ask())[0] == 200
    assert gateway.log.read_text() == ""
    gives_back(gateway, before, files=4)
    assert resources(gateway)["bytes"] <= before["bytes"] + 48 * 2**20
