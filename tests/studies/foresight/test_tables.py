"""What the tables of the evaluation say, on numbers that can be checked by hand."""

from __future__ import annotations

import os

import pytest

from ipa import traces
from tests.studies.foresight.cases import DEVELOPMENT, LENGTH_S, TEST, windows
from tests.studies.foresight.runs import Row
from tests.studies.foresight.tables import cells, summary

needs_real_trace = pytest.mark.skipif(
    not os.environ.get(traces.TRACE_VARIABLE), reason="IPA_TRACE does not name the real trace"
)


def row(system: str, objective: float, violations: float = 0.0, cores: float = 2.0, pas: float = 50.0) -> Row:
    return Row("defaults", "video", "bursty", system, 1, objective, pas, cores, violations, 10, 1.0)


def test_the_closed_share_is_that_of_the_gap_to_the_best_that_keeps_the_sla() -> None:
    """`rate` has the higher objective, but violates 0.2 points more than the oracle: `ipa` is the best other."""
    rows = [row("oracle", 9.0), row("ipa", 5.0), row("rate", 8.0, 0.2), row("hpa", 4.0), row("foresight", 8.0, 0.05)]
    (cell,) = cells(rows, "foresight")
    assert (cell.best_name, cell.gap, cell.closed) == ("ipa", 4.0, 0.75)
    assert cell.is_won


def test_where_none_keeps_the_sla_the_one_that_violates_least_is_the_best_other() -> None:
    rows = [row("oracle", 9.0), row("ipa", 5.0, 3.0), row("rate", 4.0, 2.0), row("foresight", 9.5)]
    (cell,) = cells(rows, "foresight")
    assert (cell.best_name, cell.closed) == ("rate", 1.1)


def test_a_gap_that_is_next_to_nothing_has_no_share_and_is_named() -> None:
    (cell,) = cells([row("oracle", 5.05), row("ipa", 5.0), row("foresight", 5.1)], "foresight")
    assert cell.closed != cell.closed
    assert summary([cell])[-1].endswith("video bursty.")


def test_a_win_over_ipa_is_one_in_all_three() -> None:
    others = [row("oracle", 9.0), row("ipa", 5.0, 0.1, cores=2.0, pas=50.0)]
    wins = [
        cells([*others, row("foresight", 8.0, violations, cores, pas)], "foresight")[0].is_won
        for violations, cores, pas in [(0.2, 2.0, 50.0), (0.21, 1.0, 60.0), (0.0, 2.1, 60.0), (0.0, 1.0, 49.0)]
    ]
    assert wins == [True, False, False, False]


@needs_real_trace
def test_development_and_test_share_no_second() -> None:
    spans = {
        part: [each.keys["window"][0] for each in windows(part) if "window" in each.keys]
        for part in ("development", "test")
    }
    assert all(DEVELOPMENT[0] <= start < end <= DEVELOPMENT[1] for start, end in spans["development"])
    assert all(TEST[0] <= start < end <= TEST[1] for start, end in spans["test"])
    assert (len(spans["development"]), len(spans["test"])) == (24, 16)
    assert all(end - start == LENGTH_S for part in spans.values() for start, end in part)
