"""Guards: bounds on any policy's replicas, and a limit of cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipa.policies import Bounds, Configuration, CoreLimit, Decision, Memory, Observation, PolicyError, Static
from ipa.studies import find, simulate
from tests.tiny import chosen, configuration, observation, published, two_by_two

PIPELINE = two_by_two(published())
NOTHING: Memory = {}


@dataclass(frozen=True)
class Says:
    """A policy that always says the same."""

    configuration: Configuration
    reads: tuple[str, ...] = ("latency",)

    def decide(self, observation: Observation, memory: Memory) -> Decision:
        return Decision(self.configuration, {"step": observation.step}, forecast_rps=7.0, notes=("said",))


def test_bounds_hold_at_every_stage_and_say_so() -> None:
    """At least 2 and at most 4 replicas: 1 becomes 2, 9 becomes 4; variants, batches and the rest stay."""
    says = Says(configuration(a=("small", 2, 1, 1), b=("large", 1, 9, 2)))
    decision = Bounds(says, PIPELINE, 2, 4).decide(observation(), NOTHING)
    assert chosen(decision.configuration) == {"a": ("small", 2, 2), "b": ("large", 1, 4)}
    assert decision.notes == ("said", "bounds: a 1 -> 2 replicas", "bounds: b 9 -> 4 replicas")
    assert (decision.memory, decision.forecast_rps) == ({"step": 3}, 7.0)


def test_within_bounds_nothing_is_changed() -> None:
    says = Says(configuration(a=("small", 2, 2, 1), b=("large", 1, 3, 2)))
    assert Bounds(says, PIPELINE, 2, 3).decide(observation(), NOTHING) == says.decide(observation(), NOTHING)


@pytest.mark.parametrize(
    ("least", "most", "text"),
    [
        (0, None, "min_replicas=0 must be a whole number of at least 1"),
        (-1, 3, "min_replicas=-1"),
        (float("nan"), 3, "min_replicas=nan"),
        (1.5, 3, "min_replicas=1.5"),
        (True, 3, "min_replicas=True"),
        (2, 1, "max_replicas=1 must be a whole number of at least 2"),
        (1, float("inf"), "max_replicas=inf"),
    ],
)
def test_bounds_that_cannot_be_are_refused(least: Any, most: Any, text: str) -> None:
    with pytest.raises(PolicyError, match=text):
        Bounds(Static(PIPELINE), PIPELINE, least, most)


def test_a_core_limit_takes_from_the_stage_that_can_spare_most() -> None:
    """Large at a: 5 rps and 2 cores a replica; small at b: 10 rps and 1 core. Wanted: 3 x 2 + 4 = 10 cores, limit 7.

    One less leaves a 2 x 5 = 10 rps, b 3 x 10 = 30: b goes to 3 (9 cores). Then a 10, b 20: b goes to 2 (8 cores).
    Then both 10: the earlier stage goes to 2 (6 cores), and the pipeline still sustains 10 rps.
    """
    says = Says(configuration(a=("large", 1, 3, 2), b=("small", 1, 4, 1)))
    decision = CoreLimit(says, PIPELINE).decide(observation(limit_cores=7), NOTHING)
    assert chosen(decision.configuration) == {"a": ("large", 1, 2), "b": ("small", 1, 2)}
    assert decision.binding == "cores"
    assert decision.notes == ("said", "core limit: a 3 -> 2 replicas", "core limit: b 4 -> 2 replicas")


def test_one_replica_a_stage_stays_even_above_the_limit() -> None:
    says = Says(configuration(a=("large", 1, 1, 2), b=("large", 1, 2, 2)))
    decision = CoreLimit(says, PIPELINE).decide(observation(limit_cores=3), NOTHING)
    assert chosen(decision.configuration) == {"a": ("large", 1, 1), "b": ("large", 1, 1)}
    assert "core limit: one replica a stage already takes 4 of 3 cores" in decision.notes


@pytest.mark.parametrize("limit_cores", [None, 10])
def test_without_need_the_limit_changes_nothing(limit_cores: int | None) -> None:
    says = Says(configuration(a=("large", 1, 3, 2), b=("small", 1, 4, 1)))
    seen = observation(limit_cores=limit_cores)
    assert CoreLimit(says, PIPELINE).decide(seen, NOTHING) == says.decide(seen, NOTHING)


def test_a_limit_below_one_core_is_refused() -> None:
    with pytest.raises(PolicyError, match="core limit 0; allowed: at least 1"):
        CoreLimit(Static(PIPELINE, replicas={"a": 1, "b": 1}), PIPELINE).decide(observation(limit_cores=0), NOTHING)


stage = st.tuples(st.sampled_from(["small", "large"]), st.sampled_from([1, 2]), st.integers(1, 12))


@settings(deadline=None)
@given(stage, stage, st.integers(1, 40))
def test_never_above_the_limit_unless_one_replica_a_stage_is(
    a: tuple[str, int, int], b: tuple[str, int, int], limit_cores: int
) -> None:
    cores = {"small": 1, "large": 2}
    wanted = {name: (*each, cores[each[0]]) for name, each in (("a", a), ("b", b))}
    says = Says(configuration(**wanted))
    given_ = CoreLimit(says, PIPELINE).decide(observation(limit_cores=limit_cores), NOTHING).configuration
    total = sum(each.replicas * each.cores for each in given_.values())
    assert total <= limit_cores or all(each.replicas == 1 for each in given_.values())
    for name, each in given_.items():
        assert (each.variant, each.batch) == wanted[name][:2]
        assert 1 <= each.replicas <= wanted[name][2]


def test_guards_know_what_the_policy_reads_and_wrap_one_another() -> None:
    """10 replicas at a are bounded to 3: 3 x 2 + 2 x 1 = 8 cores. For 5, a goes to 2 (6 cores), then b to 1 (5)."""
    says = Says(configuration(a=("large", 1, 10, 2), b=("small", 1, 2, 1)))
    guarded = CoreLimit(Bounds(says, PIPELINE, 1, 3), PIPELINE)
    assert guarded.reads == ("latency",)
    assert chosen(guarded.decide(observation(limit_cores=5), NOTHING).configuration) == {
        "a": ("large", 1, 2),
        "b": ("small", 1, 1),
    }


def test_a_run_keeps_its_bounds_and_its_limit_at_every_step() -> None:
    """100 rps would take 8 yolov5n (12.7 rps each); 3 a stage and 5 cores in all are allowed."""
    values = {"trace": "constant:100:40", "guards.max_replicas": 3, "guards.min_replicas": 2, "limit_cores": 5}
    decisions = simulate(find("video", values)).tables["decisions"]
    assert decisions["replicas"].between(1, 3).all()
    assert (decisions.groupby("step", observed=True).apply(lambda d: (d["replicas"] * d["cores"]).sum()) <= 5).all()
