"""The figures of published graphs: what a budget pays, and that the page says what the program computes."""

from __future__ import annotations

import pytest

from tests.programs.paper_graphs import INFERLINE, gpus_of, inferline
from tests.programs.paper_page import PAGE, with_table
from tests.programs.paper_tables import rows, sections


def test_a_budget_pays_v100s_and_a_k80_each_with_a_core() -> None:
    """2 x 2.5945 + 0.7005 = 5.8895 and 3 x 2.5945 = 7.7835 $/h."""
    assert [gpus_of(budget) for budget in (5.18, 5.19, 5.88, 5.89, 7.77, 7.78)] == [2, 2, 2, 3, 3, 3]
    assert [gpus_of(budget) for budget in INFERLINE["cascade"]] == [3, 4, 7, 8, 9, 10, 11]


@pytest.mark.long
def test_the_page_has_the_figures_that_the_program_computes() -> None:
    on_page = sections(PAGE.read_text(encoding="utf-8"))
    assert rows(on_page["InferLine's budgets"])[0] == next(inferline())


def test_a_table_is_put_in_the_place_of_the_one_before() -> None:
    page = "### A\n\n| n |\n|---|\n| 1 |\n| 2 |\n\nend\n"
    assert with_table(page, "A", [["3"]]) == "### A\n\n| n |\n|---|\n| 3 |\n\nend\n"
