"""The benchmark of sizes has a row for each, and the parent of a sweep says what it took."""

from __future__ import annotations

import pytest

from tests.programs.benchmarks import sizes
from tests.programs.benchmarks.tandem.ours import ENGINES


@pytest.mark.long
def test_each_number_of_stages_and_of_replicas_has_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "REQUESTS", 50)
    monkeypatch.setattr(sizes, "STAGES", (1, 3))
    monkeypatch.setattr(sizes, "REPLICAS", (sizes.USUAL_REPLICAS, 20))
    rows = sizes.sizes().rows
    assert [(row["stages"], row["replicas"]) for row in rows] == [(1, 10), (3, 10), (2, 20)]
    assert all(len(row) == 2 + len(ENGINES) for row in rows)


def test_the_growth_of_a_sweep_is_that_of_the_process_that_leads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "SEEDS", 2)
    monkeypatch.setattr(sizes, "LOAD", "constant:1:10")
    row = sizes._growth_row(4)
    assert row["runs"] == 4
    figures = [row[key] for key in ("elapsed_s", "parent_ms", "parent_mb")]
    assert all(isinstance(figure, float) and figure > 0.0 for figure in figures)
