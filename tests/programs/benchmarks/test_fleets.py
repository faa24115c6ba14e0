"""The benchmark of fleets has a row for each rule and budget, and its scarce budget lacks cores."""

from __future__ import annotations

from tests.programs.benchmarks.fleets import fleets


def test_each_rule_and_budget_has_a_row() -> None:
    table = fleets(pipelines=2, cores=8, duration_s=120)
    rows = [(row["sharing"], row["lacking"] != 0) for row in table.rows]
    assert rows == [(rule, lacks) for rule in ("water-filling", "objective") for lacks in (False, True)]
    assert all(isinstance(row["ratio"], float) and row["ratio"] > 0 for row in table.rows)
    assert len(table.notes) == 2
