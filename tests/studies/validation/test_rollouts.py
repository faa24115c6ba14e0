"""How long start-ups, rollouts and stops took."""

from __future__ import annotations

from math import isnan, nan

import pandas as pd
import pytest

from ipa.policies import StageConfiguration
from ipa.studies.validation.decisions import rollouts
from ipa.studies.validation.figures import LIMITS, metrics, plain
from ipa.studies.validation.validation import Validation
from tests.studies.validation.worlds import OVERHEADS

pytestmark = pytest.mark.usefixtures("elsewhere")


def stage_replicas(*rows: tuple[str, float, float, float]) -> pd.DataFrame:
    """Replicas of one stage: variant, created, ready, removed [s], a core each; NaN: never."""
    return pd.DataFrame(rows, columns=["variant", "created_s", "ready_s", "removed_s"]).assign(cores=1)


def wants(*changes: tuple[float, str, int]) -> list[tuple[float, StageConfiguration]]:
    """Decisions: when, variant, replicas."""
    return [(time_s, StageConfiguration(variant, 1, replicas, 0.0, 1)) for time_s, variant, replicas in changes]


def test_a_rollout_lasts_until_the_last_is_ready_and_the_last_old_one_is_removed() -> None:
    made = stage_replicas(("a", 0, 0, 19), ("a", 0, 0, 28.5), ("b", 10, 19, nan), ("b", 19, 28, nan))
    assert rollouts(wants((0, "a", 2), (10, "b", 2), (20, "b", 2)), made).tolist() == [18.5]


def test_a_rollout_that_is_overtaken_has_no_duration() -> None:
    made = stage_replicas(("a", 0, 0, nan), ("b", 10, nan, 15), ("a", 15, 24, nan))
    found = rollouts(wants((0, "a", 1), (10, "b", 1), (15, "a", 2)), made)
    assert isnan(found[0])
    assert found[1] == 9.0


def test_replicas_that_are_removed_make_a_rollout() -> None:
    made = stage_replicas(("a", 0, 0, nan), ("a", 0, 0, 10.25))
    assert rollouts(wants((0, "a", 2), (10, "a", 1)), made).tolist() == [0.25]


def test_start_ups_rollouts_and_stops_are_laid_side_by_side(known: Validation) -> None:
    for took in known.rollouts:
        assert plain(took.live) == pytest.approx(plain(took.simulated))
    by_kind = {took.kind: took.live for took in known.rollouts if took.stage == "image-classification"}
    assert by_kind["start_up"].mean_s == pytest.approx(8.0 + OVERHEADS["start_up_extra_s"])
    assert by_kind["stop"].count > 0
    assert by_kind["rollout"].mean_s >= by_kind["start_up"].mean_s + OVERHEADS["decision_delay_s"] - 1e-9


def test_the_limits_are_the_backend_s() -> None:
    allowed = {
        backend: {metric.key: metric.tolerance for metric in metrics(("s",), limits)}
        for backend, limits in LIMITS.items()
    }
    assert (allowed["loopback"]["latency_mean_s"], allowed["kubernetes"]["latency_mean_s"]) == (0.05, 0.10)
    assert (allowed["loopback"]["latency_p99_s"], allowed["kubernetes"]["latency_p99_s"]) == (0.10, 0.15)
    assert (allowed["loopback"]["cost_mean_cores"], allowed["kubernetes"]["cost_mean_cores"]) == (0.02, 0.03)
    assert allowed["kubernetes"]["s.latency_mean_s"] is None
