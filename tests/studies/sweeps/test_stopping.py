"""As many seeds as an aim needs, and what looking several times costs."""

from __future__ import annotations

from itertools import islice
from math import inf

import numpy as np
import pytest

from ipa.studies.many.sweeps import stopping
from ipa.studies.many.sweeps.stopping import WidthAim
from ipa.studies.scenario.errors import ScenarioError
from tests.programs.verification.coverage import OUTCOMES, UNTIL, Outcome, stopped


def runs(*values: float) -> list[dict[str, float]]:
    return [{"x": value} for value in values]


def test_looks_are_after_half_as_many_seeds_more_and_end_at_the_most() -> None:
    assert [seeds for seeds, _ in stopping.looks(50)] == [8, 12, 18, 27, 41, 50]
    assert [seeds for seeds, _ in stopping.looks(3)] == [3]


def test_the_errors_of_all_looks_add_up_to_5_percent() -> None:
    errors = [error for _, error in islice(stopping.looks(10**9), 40)]
    assert errors[:3] == [0.025, 0.05 / 6, 0.05 / 12]
    assert 0.0485 < sum(errors) < 0.05


def test_the_interval_is_student_s_and_is_measured_by_the_aim() -> None:
    """1, 2, 3: mean 4, s 1; t(0.975, 2) = 4.3027: half the interval is 2.4841."""
    assert WidthAim("x", 1.0, False).excess(runs(3.0, 4.0, 5.0), 0.05) == pytest.approx(2.4841, abs=1e-4)
    assert WidthAim("x", 0.25, True).excess(runs(3.0, 4.0, 5.0), 0.05) == pytest.approx(2.4841, abs=1e-4)
    assert WidthAim("x", 0.02, True).excess(runs(0.0, 0.0), 0.05) == 0.0
    assert WidthAim("x", 0.02, True).excess(runs(1.0), 0.05) == inf


@pytest.mark.parametrize(("events", "reached"), [(0, False), (4, False), (8, True)])
def test_a_share_is_known_only_once_five_events_were_seen(events: int, reached: bool) -> None:
    """However narrow the interval: with rare violations, the next seed may have the burst that no earlier one had."""
    seeds = [{"sla_violation_rate": (k < events) / 1000, "requests": 1000, "duration_s": 1e6} for k in range(100)]
    assert (WidthAim("sla_violation_rate", 0.01, False).excess(seeds, 0.025) <= 1.0) == reached
    assert WidthAim("sla_violation_rate", 0.01, True).excess(seeds, 0.025) > 1.0


def test_an_aim_is_a_share_or_an_amount() -> None:
    assert stopping.parse("cost_mean_cores:2%") == WidthAim("cost_mean_cores", 0.02, True)
    assert stopping.parse("pas_mean:0.5") == WidthAim("pas_mean", 0.5, False)
    assert [stopping.parse(text).text for text in ("a:2%", "a:0.5")] == ["a:2%", "a:0.5"]
    for text in ("pas_mean", "pas_mean:", ":2%", "pas_mean:-1", "pas_mean:nan", "pas_mean:0%"):
        with pytest.raises(ScenarioError, match="should be OUTCOME:WIDTH"):
            stopping.parse(text)


def test_what_is_no_outcome_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match=r"no such outcome; did you mean 'pas_mean'\?"):
        stopping.check_outcomes([WidthAim("pas_men", 1, False)], {"pas_mean": 1.0, "policy": "ipa"})
    with pytest.raises(ScenarioError, match="no such outcome"):
        stopping.check_outcomes([WidthAim("policy", 1, False)], {"pas_mean": 1.0, "policy": "ipa"})


@pytest.mark.parametrize(
    ("outcome", "aim"),
    UNTIL,
    ids=lambda each: getattr(each, "name", None) or each.text,
)
def test_at_the_stop_the_interval_holds_the_mean_as_often_as_it_says(outcome: Outcome, aim: WidthAim) -> None:
    """Of 2,000 sweeps. For normal outcomes, stopping at the first plain 95 % interval that is narrow enough misses the
    mean in more than 5 % of cases."""
    assert stopped(outcome, aim, 2000, np.random.default_rng(1)) >= (0.95 if outcome is OUTCOMES[-1] else 0.93)
    if outcome is OUTCOMES[-1]:
        assert stopped(outcome, aim, 2000, np.random.default_rng(1), spends=False) < 0.94
