"""What a number is, wherever a person writes one, with a unit or without: the same as in a YAML file."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import click
import pytest

from ipa import policies, profiles, traces
from ipa.numbers import in_own_unit, number_of, quantity_of
from ipa.profiles import conditions, csv_table
from ipa.studies import prometheus
from ipa.studies.commands.options import Number, Whole
from ipa.studies.many import requirements
from ipa.studies.many.sweeps.sample import parse_axis
from ipa.studies.many.tuning.aims import parse_limit
from ipa.studies.scenario import parse_value, parse_windows
from tests.tiny import two_by_two


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        *(("5", 5), ("-5", -5), ("+5", 5), ("0.5", 0.5), (".5", 0.5), ("5.", 5.0), ("5e-3", 0.005), (" 5 ", 5)),
        *(("9" * 300, 10**300 - 1), ("9" * 5000, float("inf"))),
        *(
            (text, None)
            for text in ("", "-", ".", "1_000", "1 000", "1,5", "0x5", "nan", "inf", "٥", "\uff15", "५.५", "²")
        ),
    ],
)
def test_a_number_is_written_in_the_digits_0_to_9(text: str, meant: float | None) -> None:
    found = number_of(text)
    assert (found, type(found)) == (meant, type(meant))


OF_ALL: dict[str, Callable[[str], object]] = {
    "option": lambda five: Number().convert(five, None, None),
    "whole option": lambda five: Whole().convert(five, None, None),
    "--require": lambda five: requirements.parse(f"cost<={five}"),
    "--slo": lambda five: parse_limit(f"latency_mean_s<={five}"),
    "--slo, a share": lambda five: parse_limit(f"cost_mean_cores<={five}*defaults"),
    "--window": lambda five: parse_windows(f"1:{five}"),
    "--start": lambda five: prometheus.moment_s(five, 0.0),
    "--step": lambda five: prometheus.duration_s(f"{five}m"),
    "trace": lambda five: traces.find(f"constant:{five}"),
    "length of a trace": lambda five: traces.find(f"constant:1:{five}"),
    "replicas": lambda five: policies.create(f"switch-only:{five},3", two_by_two()),
    "condition": lambda five: conditions.parsed(f"score < {five}"),
    "table": lambda five: csv_table.number(five, Decimal(10)),
}


@pytest.mark.parametrize("where", OF_ALL)
def test_other_ways_to_write_a_number_are_refused_everywhere(where: str) -> None:
    OF_ALL[where]("5")
    for text in ("٥", "0_5"):
        with pytest.raises((ValueError, click.BadParameter)):
            OF_ALL[where](text)


@pytest.mark.parametrize("text", ["٥", "0_5"])
def test_where_texts_are_allowed_too_they_are_texts(text: str) -> None:
    """A range of such is none, but the value is one."""
    assert parse_value(text) == text
    assert profiles.parse_yaml(f"key: {text}", "").data["key"] == text
    assert parse_axis(f"policy.alpha=1:{text}").ends is None
    with pytest.raises(policies.PolicyError, match="should be FROM:TO"):
        policies.parse_range(f"1:{text}")


@pytest.mark.parametrize(
    ("text", "name", "number"),
    [
        ("500 ms", "sla_s", 0.5),
        ("500ms", "sla_s", 0.5),
        ("3 ms", "hop_s", 0.003),
        ("12 us", "hop_s", 0.000012),
        ("2 s", "hop_s", 2),
        ("1.5 min", "history_s", 90),
        ("1 h", "policy.horizon_s", 3600),
        ("20 s", "seconds", 20),
        ("30 min", "rise_every_h", 0.5),
        ("1 %", "late_at_most", 0.01),
        ("110 %", "factor", 1.1),
        ("45 %", "accuracy_at_least", 45),
        ("45 points", "goal.accuracy_at_least", 45),
        ("20 cores", "cores_at_most", 20),
        ("1 core", "limit_cores", 1),
        ("5m", "sla_s", 300),
        ("2 d", "history_s", 172_800),
        ("150%", "scale_up_percent", 150),
        ("-5 %", "x", -0.05),
        ("2.5", "sla_s", 2.5),
        ("7", "late_at_most", 7),
    ],
)
def test_a_unit_is_that_of_the_name(text: str, name: str, number: float) -> None:
    found = quantity_of(text, name)
    assert (found, type(found)) == (number, type(number))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        *[("5 %", "sla_s"), ("5 s", "late_at_most"), ("5 ms", "accuracy_at_least"), ("5 M", "sla_s"), ("s", "sla_s")],
        *[("5 points", "late_at_most"), ("5 %", "limit_cores"), ("5 cores", "sla_s")],
        *[("5 s s", "sla_s"), ("five s", "sla_s"), ("1e999 s", "sla_s"), ("% 5", "share"), ("5  kg", "share")],
    ],
)
def test_any_other_text_is_no_number(text: str, name: str) -> None:
    assert quantity_of(text, name) is None
    assert in_own_unit(text, name) == text


def test_in_values_only_texts_with_a_unit_are_numbers() -> None:
    goal = {"min": "cost", "accuracy_at_least": {"detect": "60 %", "sort": 70}, "late_at_most": "1 %"}
    assert in_own_unit(goal, "goal") == {
        "min": "cost", "accuracy_at_least": {"detect": 60, "sort": 70}, "late_at_most": 0.01,
    }  # fmt: skip
    kept: list[Any] = ["5", "ipa", "7 days", None, True, 3, "50 ms"]
    assert in_own_unit(kept, "name") == kept
    assert in_own_unit(kept, "wait_s") == [*kept[:-1], 0.05]
    assert in_own_unit({"detect": "3 s", "sort": "250 ms"}, "drop_limits_s") == {"detect": 3, "sort": 0.25}
