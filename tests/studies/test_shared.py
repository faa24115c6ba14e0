"""What runs share never changes what one of them finds: it is kept by question, in bounds, and as files are now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from ipa.policies import OptimisingPolicy
from ipa.studies import Run, Scenario, Shared, simulate
from ipa.studies.scenario.shared import BoundedCache
from tests.command import PIPELINE

SHORT: dict[str, Any] = {"pipeline": "video", "trace": "bursty", "window": "0:60"}


def scenario(**changes: Any) -> Scenario:
    return Scenario(**{**SHORT, **changes})


def same(one: Run, other: Run) -> None:
    for name, table in one.tables.items():
        pd.testing.assert_frame_equal(table, other.tables[name], check_exact=True)
    assert repr(one.entries) == repr(other.entries)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"policy": {"name": "ipa", "alpha": 0.3}},
        {"policy": {"name": "ipa", "predictor": "quantile-gbm", "quantile": 0.9}},
        {"policy": {"name": "ipa", "predictor": "quantile-gbm", "quantile": 0.5, "horizon_s": 30}},
        {"policy": "switch-only"},
        {"policy": "scale-only:low"},
        {"policy": "inferline"},
        {"seed": 2},
        {"scale": 2.0},
        {"scale": 2.0, "scaling": "thin"},
        {"arrivals": "even"},
        {"sla_s": 1.5},
        {"drop_limits_s": {"object-detection": 0.5}},
        {"start_up_s": 1.0},
        {"profile_factors": {"object-detection": {"yolov5n": 3.0}}},
        {"service_times": "mean"},
        {"dispatch_overhead_s": 0.02},
        {"history_s": 30},
        {"trace": "steady-high"},
    ],
    ids=str,
)
def test_a_run_is_the_same_alone_and_after_any_other(shared: Shared, changes: dict[str, Any]) -> None:
    """`shared` has been through all the cases before this one, in one order and the next."""
    alone = simulate(scenario(**changes), shared=Shared())
    for _ in range(2):
        same(alone, simulate(scenario(**changes), shared=shared))


@pytest.fixture(scope="module")
def shared() -> Shared:
    found = Shared()
    for seed in (1, 2):
        for policy in ("ipa", {"name": "ipa", "predictor": "quantile-gbm", "quantile": 0.9}):
            simulate(scenario(seed=seed, policy=policy), shared=found)
    return found


def test_a_policy_answers_for_all_runs_that_ask_for_it() -> None:
    shared = Shared()
    first = simulate(scenario(seed=1), shared=shared)
    second = simulate(scenario(seed=2, trace="bursty"), shared=shared)
    assert shared.policy(scenario()) is shared.policy(scenario(seed=2))
    assert first.decisions_reused is not None
    assert second.decisions_reused is not None
    assert second.decisions_reused > first.decisions_reused
    again = simulate(scenario(seed=1), shared=shared)
    assert again.decisions_reused == 1.0


@pytest.mark.parametrize("policy", ["foresight", "oracle"])
def test_a_policy_is_told_the_facts_of_its_own_run(policy: str) -> None:
    """Whatever another run has been told, and unless it is given something else to believe."""
    shared = Shared()
    plain = shared.policy(scenario(policy=policy))
    slow = scenario(policy=policy, decision_delay_s=2, interval_s=5, dispatch="eager")
    assert (plain.decision_delay_s, plain.interval_s) == (0.0, 10.0)  # type: ignore[attr-defined]
    told = shared.policy(slow)
    assert (told.decision_delay_s, told.interval_s) == (2.0, 5.0)  # type: ignore[attr-defined]
    assert getattr(told, "dispatch", "eager") == "eager"
    believing = shared.policy(slow.with_values({"policy.decision_delay_s": 0.5}))
    assert (believing.decision_delay_s, believing.interval_s) == (0.5, 5.0)  # type: ignore[attr-defined]
    assert shared.policy(scenario(policy=policy)) is plain


def test_policies_that_take_no_facts_serve_runs_in_any_world() -> None:
    shared = Shared()
    assert shared.policy(scenario()) is shared.policy(scenario(decision_delay_s=2, interval_s=5, dispatch="eager"))


def test_policies_of_one_predictor_share_its_forecasts() -> None:
    shared = Shared()
    one, other = (shared.policy(scenario(policy={"name": "ipa", "alpha": alpha})) for alpha in (0.5, 2.0))
    third = shared.policy(scenario(policy={"name": "ipa", "predictor": "max"}))
    assert isinstance(one, OptimisingPolicy)
    assert isinstance(other, OptimisingPolicy)
    assert isinstance(third, OptimisingPolicy)
    assert one.outlook._known is other.outlook._known
    assert one.outlook._known is not third.outlook._known


def test_a_policy_or_predictor_of_ones_own_is_made_anew_for_each_run(tmp_path: Path) -> None:
    (tmp_path / "my.py").write_text(
        "from ipa.policies import Decision\n\n\nclass Stays:\n    def __init__(self, pipeline):\n        pass\n\n"
        "    def decide(self, observation, memory):\n        return Decision(observation.configuration, memory)\n"
    )
    shared = Shared()
    given = scenario(policy=f"{tmp_path / 'my.py'}:Stays")
    assert shared.policy(given) is not shared.policy(given)


def test_a_pipeline_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(PIPELINE)
    shared = Shared()
    given = scenario(pipeline=str(file))
    before = shared.pipeline(given)
    assert shared.pipeline(given) is before
    file.write_text(PIPELINE.replace("name: mine", "name: other", 1))
    os.utime(file, ns=(1, 1))
    assert shared.pipeline(given) is not before


def test_a_load_file_that_changes_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "load.csv"
    file.write_text("count\n" + "3\n" * 60)
    shared = Shared()
    given = scenario(trace=str(file), window=None)
    assert shared.trace(given).requests == 180
    assert shared.trace(given) is shared.trace(given)
    file.write_text("count\n" + "30\n" * 60)
    assert shared.trace(given).requests == 1800
    assert len(shared.arrivals(given, shared.trace(given))) == 1800


def test_seeds_share_a_load_from_a_file_but_not_one_that_is_drawn(tmp_path: Path) -> None:
    file = tmp_path / "load.csv"
    file.write_text("count\n" + "3\n" * 60)
    shared = Shared()
    one, other = (scenario(trace=str(file), window=None, seed=seed) for seed in (1, 2))
    assert shared.trace(one) is shared.trace(other)
    thin, thin_too = (one.with_values({"scale": 0.5, "scaling": "thin", "seed": seed}) for seed in (1, 2))
    assert shared.trace(thin) is not shared.trace(thin_too)
    assert shared.trace(scenario(seed=1)) is not shared.trace(scenario(seed=2))


def test_a_load_too_large_to_keep_is_made_again() -> None:
    made: list[int] = []
    kept: BoundedCache[str, int] = BoundedCache(2, lambda size: size <= 10)
    for size in (11, 11, 10, 10):
        assert kept.get(str(size), lambda size=size: made.append(size) or size) == size  # type: ignore[misc,func-returns-value]
    assert made == [11, 11, 10]


def test_nobody_can_change_arrivals_that_others_have_too() -> None:
    shared = Shared()
    given = scenario()
    arrivals_s = shared.arrivals(given, shared.trace(given))
    with pytest.raises(ValueError, match="read-only"):
        arrivals_s[0] = 1.0


def test_what_has_not_been_asked_for_longest_goes_first() -> None:
    made: list[str] = []
    kept: BoundedCache[str, str] = BoundedCache(2)

    def get(key: str) -> str:
        return kept.get(key, lambda: made.append(key) or key)  # type: ignore[func-returns-value]

    assert [get(key) for key in "abacab"] == list("abacab")
    assert made == ["a", "b", "c", "b"]  # c took the place of b, as a had been asked for since
