"""KEDA's activation: a stage that has been inactive for long enough goes to no replica, and wakes when it is asked."""

from __future__ import annotations

from collections.abc import Mapping
from math import nan
from typing import Any

import pytest

from ipa import studies
from ipa.policies import Hpa, Memory, PolicyError
from ipa.policies.activation import Activation
from ipa.studies import Scenario
from tests.tiny import SMALL_ONES, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
KEDA = {"metric": "rps", "external": True, "target": 4.0, "batch": 1, "activation": 1.0}
RULE = Activation(threshold=2.0, polling_s=30.0, cooldown_s=300.0, initial_cooldown_s=0.0)


@pytest.mark.parametrize(
    ("current", "load", "idle_s", "replicas", "active_s"),
    [
        (4, 2.5, 1000.0, 4, 5000.0),  # active: as the autoscaler has it
        (0, 2.5, 1000.0, 3, 5000.0),  # wakes, with the fewest
        (4, 2.0, 300.0, 4, 4700.0),  # at the threshold it is inactive; the cooldown ends after 300 s
        (4, 2.0, 300.5, 0, 4699.5),
        (0, 2.0, 1000.0, 0, 4000.0),
        (4, nan, 1000.0, 4, 4000.0),  # nothing is known
        (0, nan, 1000.0, 0, 4000.0),
        (4, 0.0, -400.0, 4, 5000.0),  # active later than now: the clock restarted
    ],
)
def test_the_replicas_at_a_poll(current: int, load: float, idle_s: float, replicas: int, active_s: float) -> None:
    assert RULE.replicas(current, 3, load, 5000.0 - idle_s, 5000.0) == (replicas, active_s)


def test_it_polls_on_a_clock_of_its_own() -> None:
    """From 10 s on every 30 s: at 40, 70, ...; a step at 75 s polls for 70."""
    assert [RULE.polled_s(10.0, now_s) for now_s in (10.0, 39.0, 40.0, 75.0, 5.0)] == [10.0, 10.0, 40.0, 70.0, 5.0]


def decided(loads: Mapping[float, float], **parameters: Any) -> dict[float, tuple[int, int]]:
    """The replicas of both stages, by the time of the step, if decisions take effect at once. `loads`: by time."""
    policy = Hpa(PIPELINE, **{**KEDA, **parameters})
    memory: Memory = {}
    replicas: dict[float, tuple[int, int]] = {}
    a, b = 0, 0
    for time_s, load_rps in loads.items():
        at_hand = configuration(a=("small", 1, a, a), b=("small", 1, b, b)) if replicas else SMALL_ONES
        decision = policy.decide(observation([load_rps] * 20, time_s=time_s, at_hand=at_hand), memory)
        memory = decision.memory
        a, b = (decision.configuration[name].replicas for name in "ab")
        replicas[time_s] = (a, b)
    return replicas


def test_from_the_cooldown_to_no_replica_and_back_to_the_fewest() -> None:
    """8 rps at a target of 4 take 2 replicas. Active last at the poll of 60 s: asleep at the first poll after 360 s.
    At 435 s load is back, but the next poll is at 450 s; the autoscaler, asleep until then, syncs 15 s later."""
    loads = {float(t): 8.0 if t <= 60 or t >= 435 else 0.0 for t in range(0, 481, 15)}
    replicas = decided(loads, scale_down_window_s=0, min_replicas=1)
    assert replicas[60.0] == (2, 2)
    assert replicas[75.0] == (1, 1)  # the autoscaler alone
    assert [replicas[t] for t in (360.0, 375.0, 390.0, 435.0)] == [(1, 1), (1, 1), (0, 0), (0, 0)]
    assert [replicas[t] for t in (450.0, 465.0)] == [(1, 1), (2, 2)]


def test_a_stage_wakes_with_the_fewest_replicas_that_the_autoscaler_may_have() -> None:
    loads = {float(t): 0.0 if t < 60 else 8.0 for t in range(0, 91, 15)}
    replicas = decided(loads, min_replicas={"a": 3, "b": 1}, initial_cooldown_s=0.0)
    assert replicas[15.0] == (3, 1)
    assert replicas[30.0] == (0, 0)  # never active: no cooldown
    assert replicas[60.0] == (3, 1)


def test_what_has_never_been_active_waits_for_the_initial_cooldown() -> None:
    loads = dict.fromkeys(map(float, range(0, 121, 15)), 0.0)
    assert min(t for t, counts in decided(loads, initial_cooldown_s=75).items() if counts == (0, 0)) == 90.0


def test_without_an_activation_one_replica_stays() -> None:
    loads = dict.fromkeys(map(float, range(0, 1200, 15)), 0.0)
    assert set(decided(loads, activation=None, scale_down_window_s=0).values()) == {(1, 1)}


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ({"external": False}, "activation=1.0: needs a metric of all replicas; give external=true, too"),
        ({"activation": -1}, "activation=-1 must be a finite number of at least 0"),
        ({"polling_s": 0}, "polling_s=0 must be a finite number above 0"),
        ({"cooldown_s": -1}, "cooldown_s=-1 must be a finite number of at least 0"),
    ],
)
def test_what_cannot_be_is_refused(parameters: dict[str, Any], problem: str) -> None:
    with pytest.raises(PolicyError) as refusal:
        Hpa(PIPELINE, **{**KEDA, **parameters})
    assert problem in str(refusal.value)


def test_a_run_sleeps_through_a_pause_in_both_engines_and_serves_what_waited(tmp_path: Any) -> None:
    """Ten minutes of 20 rps, ten of nothing, two of 20 rps: nothing is lost where a request may wait for 120 s."""
    trace = tmp_path / "pause.csv"
    counts = [20] * 600 + [0] * 600 + [20] * 120
    trace.write_text("time_s,count\n" + "".join(f"{s},{n}\n" for s, n in enumerate(counts)), encoding="utf-8")
    policy = {"name": "hpa", "metric": "rps", "external": True, "activation": 0.0, "max_replicas": 30}
    runs = [
        studies.simulate(
            Scenario(
                pipeline="video",
                trace=str(trace),
                policy=policy,  # type: ignore[arg-type]
                engine=engine,
                drop_limits_s={"object-detection": 120.0, "image-classification": 120.0},
            )
        )
        for engine in ("simpy", "compiled")
    ]
    one, other = (run.tables["decisions"] for run in runs)
    assert one.equals(other)
    asleep = one[(one.replicas == 0)]
    assert set(asleep.stage) == {"object-detection", "image-classification"}
    assert 900 <= asleep.time_s.min() <= 930
    assert 1200 <= asleep.time_s.max() <= 1230
    assert set(runs[0].tables["requests"].outcome) == {"completed"}
    nobody = one[(one.time_s > asleep.time_s.min()) & (one.time_s < asleep.time_s.max())]
    assert nobody.cost_cores.max() == 0
