"""The oracle by hand where the stories do not go, and against another author's reading of the rules."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.sim.oracle import simulate
from tests.sim.random_scenarios import scenario


def stage(
    latency_s: float = 1.0, largest: int = 8, start_up_s: float = 2.0, drop_limit_s: float = 99.0
) -> dict[str, Any]:
    """Variants a and b, on 1 or 2 cores, that serve every batch in `latency_s`."""
    table = {cores: dict.fromkeys(range(1, largest + 1), latency_s) for cores in (1, 2)}
    variant = {"latency_s": table, "start_up_s": start_up_s}
    return {"variants": {"a": variant, "b": variant}, "drop_limit_s": drop_limit_s}


def wanted(
    variant: str = "a", replicas: int = 1, batch: int = 1, timeout_s: float = 0.0, cores: int = 1
) -> dict[str, Any]:
    return {
        "variant": variant,
        "cores": cores,
        "batch": batch,
        "replicas": replicas,
        "batch_timeout_s": timeout_s,
    }


def run(
    arrivals: list[float],
    stages: list[dict[str, Any]],
    initial: list[dict[str, Any]],
    decisions: dict[float, list[dict[str, Any]]] | None = None,
    **others: Any,
) -> dict[str, Any]:
    """Ten seconds, a surge of 1, and nothing else, unless `others` say so."""
    world = {
        "arrivals": arrivals,
        "duration_s": 10.0,
        "sla_s": 10.0,
        "stages": stages,
        "initial": initial,
        "decisions": [[time, given] for time, given in (decisions or {}).items()],
        "hop_s": 0.0,
        "stop_s": 0.0,
        "decision_delay_s": 0.0,
        "max_surge": 1,
        "max_unavailable": 0,
    }
    return simulate(world | others)


def seen(result: dict[str, Any], key: str, at: int = 0) -> list[Any]:
    """`key` of every request's visit of stage `at`; None where it has none."""
    return [r["stages"][at].get(key) if at < len(r["stages"]) else None for r in result["requests"]]


def drops(result: dict[str, Any]) -> dict[int, tuple[int, float]]:
    """Request -> (stage, time) of those dropped."""
    return {
        number: (request["dropped_at"], request["dropped_s"])
        for number, request in enumerate(result["requests"])
        if request["outcome"] == "dropped"
    }


def lives(result: dict[str, Any], at: int = 0) -> list[tuple[Any, ...]]:
    """(created, ready, removed, gone) of every replica of a stage."""
    keys = ("created", "ready", "removed", "gone")
    return [tuple(replica[key] for key in keys) for replica in result["replicas"][at]]


def test_limits_and_timeouts_are_single_additions_of_doubles() -> None:
    # 0.2 + 0.6 is 0.8, though 0.8 - 0.2 is more than 0.6; 0.2 + 0.5 is 0.7, though 0.7 - 0.2 < 0.5.
    result = run([0, 0.2], [stage(latency_s=0.8, drop_limit_s=0.6)], [wanted()])
    assert seen(result, "start") == [0, 0.8]
    result = run([0.2], [stage()], [wanted(batch=2, timeout_s=0.5)])
    assert seen(result, "start") == [0.7]


def test_the_kth_batch_started_takes_the_kth_factor() -> None:
    result = run([0, 0, 0], [stage()], [wanted()], factors=[[2.0, 0.5]])
    assert seen(result, "finish") == [2, 2.5, 3.5]


def test_a_world_that_could_never_roll_out_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        run([], [stage()], [wanted()], max_surge=0, max_unavailable=0)


def test_the_round_goes_on_from_the_last_replica_chosen_though_it_is_idle() -> None:
    result = run([0, 5, 9], [stage()], [wanted(replicas=2)], dispatch="eager")
    assert seen(result, "replica") == [0, 1, 0]


def test_the_round_takes_all_variants_alike() -> None:
    # b: 2 is ready at 3, a: 1 goes then, and 0 and 2 are ready from 3 to 5.
    to_b = {1.0: [wanted("b", replicas=2)]}
    result = run([4, 4, 4], [stage()], [wanted(replicas=2)], to_b, dispatch="eager")
    assert seen(result, "replica") == [0, 2, 0]


def test_a_batch_dropped_when_formed_leaves_the_round_where_it_was() -> None:
    # The lone one is due at 3, past its limit of 2; the next batch is still for replica 0.
    initial = wanted(replicas=2, batch=2, timeout_s=3)
    result = run([0, 4, 4], [stage(drop_limit_s=2)], [initial], dispatch="eager", drop="batch")
    assert drops(result) == {0: (0, 3)}
    assert seen(result, "replica") == [None, 0, 0]


def test_random_scenarios_are_the_same_each_time_and_know_their_keys() -> None:
    assert scenario(7) == scenario(7)
    assert scenario(7, hop_s=0.125) == scenario(7) | {"hop_s": 0.125}
    with pytest.raises(TypeError, match="hops_s"):
        scenario(7, hops_s=0.1)


# -------------------------------------------------------------------- another reading of the rules


@pytest.fixture(scope="module")
def reference() -> ModuleType:
    path = os.environ.get("IPA_REFERENCE")
    if not path:
        pytest.skip("IPA_REFERENCE does not name a reference simulator's file")
    spec = importlib.util.spec_from_file_location("reference", Path(path))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def in_the_reference_format(drawn: dict[str, Any]) -> dict[str, Any]:
    """One allocation per variant, none in the configurations, and the surge a number."""

    def bare(configurations: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{k: v for k, v in c.items() if k != "cores"} for c in configurations]

    def flat(variant: dict[str, Any]) -> dict[str, Any]:
        (table,) = variant["latency_s"].values()
        return variant | {"latency_s": table}

    stages = [
        given | {"variants": {name: flat(v) for name, v in given["variants"].items()}} for given in drawn["stages"]
    ]
    decisions = [[time, bare(configurations)] for time, configurations in drawn["decisions"]]
    return drawn | {"stages": stages, "initial": bare(drawn["initial"]), "decisions": decisions}


@pytest.mark.parametrize("block", range(6))
def test_the_oracle_equals_the_reference(reference: ModuleType, block: int) -> None:
    for seed in range(block * 50, block * 50 + 50):
        drawn = scenario(seed, core_sizes=1, dispatch="central", drop="request")
        if drawn["max_surge"] is None:  # the reference wants a number
            drawn["max_surge"] = 1 + seed % 2
        result, expected = simulate(drawn), reference.simulate(in_the_reference_format(drawn))
        for request in result["requests"]:
            for visit in request["stages"]:
                del visit["batch_id"]
        for replica in (r for replicas in result["replicas"] for r in replicas):
            del replica["cores"]
        assert result["requests"] == expected["requests"], f"seed {seed}"
        assert result["replicas"] == expected["replicas"], f"seed {seed}"
