"""What a real system takes beyond its profile: `dispatch_overhead_s`, `start_up_extra_s` and `service_factor`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipa import profiles
from ipa.policies import lightest_configuration
from ipa.sim import stage_models
from ipa.studies import Run, Scenario, simulate


def run(**keys: Any) -> Run:
    """30 s of five requests a second, evenly spaced."""
    given = {"trace": "constant:5:30", "arrivals": "even", "engine": "simpy", **keys}
    return simulate(Scenario(pipeline="video").with_values(given))


def test_an_overhead_makes_every_batch_longer_at_every_stage() -> None:
    lightest = {"policy": "static:1,1", "service_times": "mean", "trace": "constant:1:5"}
    plain, slower = run(**lightest), run(**lightest, dispatch_overhead_s=0.25)
    stages = [run.tables["stages"] for run in (plain, slower)]
    service_s = [(each["finish_s"] - each["start_s"]).to_numpy() for each in stages]
    np.testing.assert_allclose(service_s[1] - service_s[0], 0.25, rtol=0, atol=1e-12)
    # One request a second, and each stage takes less than a second: nobody waits, and two stages add 0.5 s.
    latency_s = [run.summary["latency_mean_s"] for run in (plain, slower)]
    assert latency_s[1] - latency_s[0] == pytest.approx(0.5)


def test_an_overhead_is_of_a_batch_not_of_a_request_and_is_no_more_random_than_the_profile() -> None:
    video = profiles.load("video")
    plain, slower = (stage_models(video, sampled=True, dispatch_overhead_s=overhead_s) for overhead_s in (0.0, 0.125))
    for before, after in zip(plain, slower, strict=True):
        for key, service in before.service.items():
            assert after.service[key].sigma == service.sigma
            added_s = np.subtract(after.service[key].latency_s, service.latency_s)
            np.testing.assert_allclose(added_s, [0.0, *[0.125] * service.max_batch], rtol=0, atol=1e-12)


def test_an_overhead_occupies_the_replica() -> None:
    """At 5 rps the lightest detector, 0.08 s a request, keeps up; with 0.15 s more it cannot, and a queue grows."""
    lightest = {"policy": "static:1,1", "service_times": "mean"}
    (first_s, _) = (
        model.service[lightest_configuration(profiles.load("video"))[model.name].variant, 1].latency_s[1]
        for model in stage_models(profiles.load("video"), sampled=False)
    )
    assert first_s < 0.2 < first_s + 0.15
    assert run(**lightest).summary["latency_p99_s"] < 1.0
    stages = run(**lightest, dispatch_overhead_s=0.15).tables["stages"]
    waits_s = (stages["start_s"] - stages["enqueue_s"]).to_numpy()[::2]
    assert np.all(np.diff(waits_s) > 0.0)


def test_a_start_up_takes_longer_by_the_extra() -> None:
    replicas = run(trace="bursty", window="300:480", start_up_extra_s=1.5).tables["replicas"]
    created = replicas[(replicas["created_s"] > 0.0) & replicas["ready_s"].notna()]
    assert len(created) > 2
    np.testing.assert_allclose(created["ready_s"] - created["created_s"], 8.0 + 1.5, rtol=0, atol=1e-9)


def test_a_factor_makes_every_batch_longer_by_the_same_share() -> None:
    video = profiles.load("video")
    plain, slower = (stage_models(video, sampled=True, service_factor=factor) for factor in (1.0, 1.1))
    for before, after in zip(plain, slower, strict=True):
        for key, service in before.service.items():
            assert after.service[key].sigma == service.sigma
            assert after.service[key].latency_s[1:] == tuple(1.1 * mean_s for mean_s in service.latency_s[1:])
    lightest = {"policy": "static:1,1", "service_times": "mean", "trace": "constant:1:5"}
    latency_s = [run(**lightest, service_factor=factor).summary["latency_mean_s"] for factor in (1.0, 1.1)]
    assert latency_s[1] == pytest.approx(1.1 * latency_s[0])


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_a_bent_profile_is_what_runs_and_what_policies_plan_with(engine: str) -> None:
    """All batches in half the time, and so half the replicas' work: as if the pipeline had been profiled so."""
    if engine == "compiled":
        pytest.importorskip("numba")
    half = {stage.name: {each.name: 0.5 for each in stage.variants} for stage in profiles.load("video").stages}
    world = {"service_times": "mean", "trace": "constant:20:60", "engine": engine}
    plain, quick = (run(**world, profile_factors=factors) for factors in ({}, half))
    assert quick.summary["cost_mean_cores"] <= plain.summary["cost_mean_cores"]
    assert quick.summary["pas_mean"] > plain.summary["pas_mean"]
    lightest = {**world, "policy": "static:1,1", "trace": "constant:1:5"}
    plain, quick = (run(**lightest, profile_factors=factors) for factors in ({}, half))
    assert quick.summary["latency_mean_s"] == pytest.approx(plain.summary["latency_mean_s"] / 2)


def test_policies_plan_without_any_of_them() -> None:
    world = {"trace": "fluctuating", "window": "0:120"}
    plain = run(**world)
    slower = run(**world, dispatch_overhead_s=0.02, start_up_extra_s=1.0, service_factor=1.05)
    assert [entry.decision for entry in plain.entries] == [entry.decision for entry in slower.entries]
    assert plain.summary["latency_mean_s"] < slower.summary["latency_mean_s"]
