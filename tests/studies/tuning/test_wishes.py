"""What is wished, in words, and whether outcomes keep to it."""

from __future__ import annotations

from math import inf, nan

import pytest

from ipa.studies import ScenarioError
from ipa.studies.many.tuning.aims import Aim, Limit, Wishes, parse_limit, wishes_of

COST, RATE = "cost_mean_cores", "sla_violation_rate"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("sla_violation_rate<=0.01", Limit(RATE, True, 0.01)),
        (" pas_mean >= 33 ", Limit("pas_mean", False, 33.0)),
        ("cost_mean_cores<=defaults", Limit(COST, True, 1.0, True)),
        ("cost_mean_cores <= 0.9 * defaults", Limit(COST, True, 0.9, True)),
    ],
)
def test_a_limit_is_an_outcome_and_a_number_or_a_share_of_the_defaults(text: str, meant: Limit) -> None:
    assert parse_limit(text) == meant
    assert parse_limit(str(meant)) == meant


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cost_mean_cores=3", "should be OUTCOME<=NUMBER"),
        ("cost_mean_cores<=", "should be OUTCOME<=NUMBER"),
        ("cost_mean_cores<=nan", "should be OUTCOME<=NUMBER"),
        ("cost_mean_cores<=2*3", "should be OUTCOME<=NUMBER"),
        ("cost_mean_cores<=x*defaults", "should be OUTCOME<=NUMBER"),
        ("cost<=3", "no outcome 'cost'.*allowed: sla_violation_rate"),
        ("pas_meen>=3", "did you mean 'pas_mean'"),
    ],
)
def test_another_limit_is_refused_with_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ScenarioError, match=said):
        parse_limit(text)


def test_there_is_one_aim() -> None:
    wishes = wishes_of(COST, None, ["sla_violation_rate<=0.01"])
    assert (str(wishes.aim), wishes.outcomes) == ("minimise cost_mean_cores", [COST, RATE, "pas_mean"])
    for given in ((None, None), (COST, "pas_mean")):
        with pytest.raises(ScenarioError, match="give one of them"):
            wishes_of(*given)


def test_an_outcome_breaks_a_limit_by_what_it_is_beyond_it() -> None:
    assert Limit(RATE, True, 0.01).excess(0.03, nan) == pytest.approx(0.02)
    assert Limit("pas_mean", False, 30.0).excess(33.0, nan) == pytest.approx(-3.0)
    assert Limit(COST, True, 0.5, True).excess(3.0, 4.0) == pytest.approx(1.0)
    assert Limit(RATE, True, 0.01).excess(nan, 0.0) == inf


def test_what_is_broken_counts_as_a_share_of_its_bound() -> None:
    wishes = Wishes(Aim(COST), (Limit(RATE, True, 0.01), Limit(COST, True, 1.0, True)))
    defaults = {COST: 4.0, RATE: 0.5}
    assert wishes.breach({COST: 5.0, RATE: 0.02}, defaults) == pytest.approx(1.0 + 0.25)
    assert wishes.are_kept({COST: 4.0, RATE: 0.01}, defaults)
    assert not wishes.are_kept({COST: 4.1, RATE: 0.01}, defaults)


def test_an_aim_that_has_no_outcome_is_the_worst() -> None:
    assert (Aim(COST).loss(2.0), Aim("pas_mean", True).loss(2.0), Aim("pas_mean", True).loss(nan)) == (2.0, -2.0, inf)
