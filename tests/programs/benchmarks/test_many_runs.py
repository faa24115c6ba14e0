"""The benchmark of a run's parts times functions by name: each of them is there, and each part takes some time."""

from __future__ import annotations

import pytest

from tests.programs.benchmarks import many_runs


def test_the_parts_of_a_run_are_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_runs, "REPEATS", 1)
    monkeypatch.setattr(many_runs, "RUN", {"pipeline": "video", "trace": "constant:5:30"})
    table = many_runs.parts()
    took_ms = {row["part"]: row["all_ms"] for row in table.rows}
    assert set(took_ms) == {*many_runs.PARTS, "the rest", "whole run", "whole run, decisions for nothing"}
    assert all(isinstance(each, float) and each > 0.0 for each in took_ms.values())
