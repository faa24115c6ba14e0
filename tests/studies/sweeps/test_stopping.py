"""As many seeds as an aim needs, and what looking several times costs."""

from __future__ import annotations

from itertools import islice
from math import inf

import numpy as np
import pytest

from ipa.studies.errors import ScenarioError
from ipa.studies.sweeps import stopping
from ipa.studies.sweeps.stopping import Aim


def test_looks_are_after_half_as_many_seeds_more_and_end_at_the_most() -> None:
    assert [seeds for seeds, _ in stopping.looks(50)] == [8, 12, 18, 27, 41, 50]
    assert [seeds for seeds, _ in stopping.looks(3)] == [3]


def test_the_errors_of_all_looks_add_up_to_5_percent() -> None:
    errors = [error for _, error in islice(stopping.looks(10**9), 40)]
    assert errors[:3] == [0.025, 0.05 / 6, 0.05 / 12]
    assert 0.0485 < sum(errors) < 0.05


def test_the_interval_is_student_s_and_is_measured_by_the_aim() -> None:
    """1, 2, 3: mean 2, s 1; t(0.975, 2) = 4.3027: half the interval is 2.4841."""
    assert Aim("x", 1.0, False).excess([1.0, 2.0, 3.0], 0.05) == pytest.approx(2.4841, abs=1e-4)
    assert Aim("x", 0.5, True).excess([1.0, 2.0, 3.0], 0.05) == pytest.approx(2.4841, abs=1e-4)
    assert Aim("x", 0.02, True).excess([0.0, 0.0], 0.05) == 0.0
    assert Aim("x", 0.02, True).excess([1.0], 0.05) == inf


def test_an_aim_is_a_share_or_an_amount() -> None:
    assert stopping.parse("cost_mean_cores:2%") == Aim("cost_mean_cores", 0.02, True)
    assert stopping.parse("pas_mean:0.5") == Aim("pas_mean", 0.5, False)
    assert [stopping.parse(text).text for text in ("a:2%", "a:0.5")] == ["a:2%", "a:0.5"]
    for text in ("pas_mean", "pas_mean:", ":2%", "pas_mean:-1", "pas_mean:nan", "pas_mean:0%"):
        with pytest.raises(ScenarioError, match="should be OUTCOME:WIDTH"):
            stopping.parse(text)


def test_what_is_no_outcome_is_answered_with_the_nearest() -> None:
    with pytest.raises(ScenarioError, match=r"no such outcome; did you mean 'pas_mean'\?"):
        stopping.check_outcomes([Aim("pas_men", 1, False)], {"pas_mean": 1.0, "policy": "ipa"})
    with pytest.raises(ScenarioError, match="no such outcome"):
        stopping.check_outcomes([Aim("policy", 1, False)], {"pas_mean": 1.0, "policy": "ipa"})


def test_at_the_stop_the_interval_holds_the_mean_as_often_as_it_says() -> None:
    """4,000 sweeps of normal outcomes with mean 1 and deviation 0.1, until 3 %.

    Stopped at the first look whose plain 95 % interval is narrow enough, more than 5 % of the intervals miss the mean;
    with the error spent over the looks no more than 5 % do.
    """
    draws = np.random.default_rng(1).normal(1.0, 0.1, (4000, 100))
    aim = Aim("x", 0.03, True)

    def missed(spends: bool) -> float:
        count = 0
        for values in draws:
            for seeds, error in stopping.looks(100):
                used = error if spends else 0.05
                some = values[:seeds]
                if (excess := aim.excess(some, used)) <= 1.0:
                    half = excess * aim.width * some.mean()
                    count += abs(some.mean() - 1.0) > half
                    break
        return count / len(draws)

    assert missed(spends=False) > 0.06
    assert missed(spends=True) <= 0.05
