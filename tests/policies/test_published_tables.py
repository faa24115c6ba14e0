"""The autoscalers against the numbers in the tests of Kubernetes and Knative.

Sources: kubernetes/kubernetes, pkg/controller/podautoscaler/replica_calculator_test.go and horizontal_test.go;
knative/serving, pkg/autoscaler/scaling/autoscaler_test.go. A row is a case of theirs: its inputs and what it expects.
Left out are cases of what no stage has: pods that failed or were deleted, and scaling to zero.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from ipa.policies import Hpa, Kpa, Memory, Observation, ReplicaCounts
from ipa.policies.hpa import Tolerances, of_external, recommendation
from tests.tiny import configuration, observation, published, two_by_two

PIPELINE = two_by_two(published(accuracy="sum"))
TOLERANCES = Tolerances(0.1, 0.1)


@pytest.mark.parametrize(
    ("replicas", "ready", "starting", "missing", "usage", "target", "expected"),
    [
        pytest.param(3, 3, 0, 0, 0.50, 0.30, 5, id="ScaleUp"),
        pytest.param(3, 2, 1, 0, 0.60, 0.30, 4, id="ScaleUpUnreadyLessScale"),
        pytest.param(3, 1, 2, 0, 0.40, 0.30, 3, id="ScaleUpUnreadyNoScale"),
        pytest.param(2, 2, 0, 0, 0.60, 0.30, 4, id="ScaleUpIgnoresFailedPods"),
        pytest.param(3, 3, 0, 0, 20.0, 15.0, 4, id="ScaleUpCM"),
        pytest.param(5, 5, 0, 0, 0.28, 0.50, 3, id="ScaleDown"),
        pytest.param(5, 5, 0, 0, 12.0, 20.0, 3, id="ScaleDownCM"),
        pytest.param(5, 3, 2, 0, 0.30, 0.50, 2, id="ScaleDownIncludeUnreadyPods"),
        pytest.param(5, 1, 4, 0, 0.10, 0.50, 1, id="ScaleDownExcludeUnscheduledPods"),
        pytest.param(4, 4, 0, 2, 0.2475, 1.00, 3, id="MissingMetrics"),
    ],
)
def test_kubernetes_recommendations(
    replicas: int, ready: int, starting: int, missing: int, usage: float, target: float, expected: int
) -> None:
    found = recommendation(replicas, ready, starting, missing, usage=usage, target=target, tolerances=TOLERANCES)
    assert found == expected


@pytest.mark.parametrize(
    ("replicas", "metric", "target", "expected"),
    [
        pytest.param(3, 20_000, 5_000, 4, id="ScaleUpCMPerPodObject"),
        pytest.param(3, 8_600, 2_150, 4, id="ScaleUpPerPodCMExternal"),
        pytest.param(5, 6_000, 2_000, 3, id="ScaleDownPerPodCMObject"),
        pytest.param(5, 8_600, 2_867, 3, id="ScaleDownPerPodCMExternal"),
    ],
)
def test_kubernetes_recommendations_of_external_metrics(
    replicas: int, metric: float, target: float, expected: int
) -> None:
    assert of_external(replicas, replicas, load=metric, target=target, tolerances=TOLERANCES) == expected


@pytest.mark.parametrize(("most", "expected"), [(100, 24), (20, 20)], ids=["UpscaleCap", "CapGreaterThanMaxReplicas"])
def test_kubernetes_rule_of_700_percent_in_a_minute(most: int, expected: int) -> None:
    rules = [{"percent": 700, "period_s": 60}]
    policy = Hpa(PIPELINE, batch=1, metric="concurrency", target=1, scale_up_rules=rules, max_replicas=most)
    assert policy.decide(seen(3, 500.0, 0.0), {}).configuration["a"].replicas == expected


Step = tuple[float, int, float, float, int]
"""The time, the ready replicas, the concurrency of the stable and of the panic window, and the replicas expected."""

PANIC = {"since_s": -5.0, "most": 5}


@pytest.mark.parametrize(
    ("target", "more", "panic", "steps"),
    [
        pytest.param(10, {}, None, [(0, 1, 50, 10, 5), (0, 1, 100, 10, 10)], id="StableModeIncrease"),
        pytest.param(10, {}, None, [(0, 8, 100, 100, 10), (0, 8, 50, 50, 5)], id="StableModeDecrease"),
        pytest.param(
            1,
            {},
            None,
            [(0, 10, 11, 25, 25), (30, 40, 30, 41, 41), (62, 55, 50, 56, 50)],
            id="UnpanicAfterSlowIncrease",
        ),
        pytest.param(1, {}, None, [(0, 10, 11, 25, 25), (30, 40, 30, 80, 80)], id="ExtendPanicWindow"),
        pytest.param(
            1,
            {},
            None,
            [(0, 1, 6, 6, 6), (0, 6, 36, 36, 36), (1, 36, 216, 216, 216), (1, 216, 1296, 1296, 1296)],
            id="PanicModeExponentialTrackAndStabilize",
        ),
        pytest.param(181, {}, None, [(0, 1, 21, 26, 1)], id="StableModeUnlimitedTBC"),
        pytest.param(10, {}, None, [(0, 1, 50, 49, 5)], id="0TBC"),
        pytest.param(1, {}, PANIC, [(0, 5, 50, 30, 50)], id="PanicStableLargerThanPanic"),
        pytest.param(1, {}, PANIC, [(0, 5, 20, 30, 30)], id="PanicStableLessThanPanic"),
        pytest.param(10, {}, None, [(0, 5, 50, 50, 5)], id="StableModeNoChangeAlreadyScaled"),
        pytest.param(1, {"max_scale_up_rate": 1.1}, None, [(0, 2, 3, 3.1, 3)], id="IncreaseWithSmallScaleUpRate"),
        pytest.param(10, {"max_scale_down_rate": 1.1}, None, [(0, 100, 1, 1, 90)], id="DecreaseWithSmallScaleDownRate"),
        pytest.param(10, {}, None, [(0, 1, 50, 100, 10)], id="PanicModeDoublePodCount"),
        pytest.param(
            10,
            {},
            None,
            [(0, 1, 100, 100, 10), (0, 10, 100, 1000, 100), (30, 10, 1, 1, 100), (61, 10, 1, 1, 1)],
            id="PanicThenUnPanicScaleDown",
        ),
        pytest.param(10, {}, None, [(0, 1, 1000, 1001, 10), (0, 10, 1000, 1001, 100)], id="RateLimitScaleUp"),
        pytest.param(10, {}, None, [(0, 100, 1, 1, 10), (0, 10, 1, 1, 1)], id="RateLimitScaleDown"),
        pytest.param(10, {}, None, [(0, 0, 1000, 888, 10)], id="UseOnePodAsMinimumIfEndpointsNotFound"),
        pytest.param(
            10,
            {"scale_down_delay_s": 300, "panic_threshold": 100},
            None,
            [
                (2, 1, 40, 40, 4),
                (300, 4, 0, 0, 4),
                (302, 4, 0, 0, 1),
                (540, 1, 40, 40, 4),
                (600, 4, 30, 30, 4),
                (660, 4, 0, 0, 4),
                (840, 4, 0, 0, 3),
                (900, 3, 0, 0, 1),
            ],
            id="ScaleDownDelay",
        ),
    ],
)
def test_knative_scales(target: float, more: dict[str, float], panic: Memory | None, steps: list[Step]) -> None:
    """Their clients of metrics give both means; here an earlier sample outside the panic window brings them about."""
    rates = {"max_scale_up_rate": 10, "max_scale_down_rate": 10, **more}
    policy = Kpa(PIPELINE, batch=1, target_concurrency=target, utilisation=1.0, **rates)  # type: ignore[arg-type]
    memory: Memory = {"a": {"samples": [], "panic": panic}, "b": {"samples": [], "panic": None}}
    for now_s, ready, stable, urgent, expected in steps:
        before = [now_s - 30.0, 2 * stable - urgent]
        memory = {**memory, "a": {**memory["a"], "samples": [before]}}
        decision = policy.decide(seen(ready, urgent, now_s), memory)
        assert decision.configuration["a"].replicas == expected, now_s
        memory = decision.memory


def seen(ready: int, concurrency: float, time_s: float) -> Observation:
    """Stage a with so many ready replicas, and the mean of its requests since the last step; b is idle."""
    sight = observation(
        [4.0] * 20,
        at_hand=configuration(a=("small", 1, max(1, ready), 1), b=("small", 1, 1, 1)),
        time_s=time_s,
        replicas={"a": ReplicaCounts(ready=ready)},
    )
    return replace(sight, stages={**sight.stages, "a": replace(sight.stages["a"], concurrency=concurrency)})
