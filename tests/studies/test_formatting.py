"""Figures as people read them."""

from ipa.studies.formatting import MINUS, number, plus


def test_a_minus_is_a_true_one_and_nothing_below_zero_is_shown_as_minus_zero() -> None:
    assert MINUS == "\N{MINUS SIGN}"
    assert [number(value, 1) for value in (-1234.56, -0.04, 0.0)] == [f"{MINUS}1,234.6", "0.0", "0.0"]


def test_a_difference_has_a_sign_unless_it_rounds_to_zero() -> None:
    assert [plus(value, 1) for value in (1234.56, 0.04, 0.0, -0.04, -2.0)] == ["+1,234.6", "0.0", "0.0", "0.0", "−2.0"]
