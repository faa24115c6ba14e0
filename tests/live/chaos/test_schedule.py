"""Schedules are functions of seed, duration and surroundings, and are read as they were written."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from tests.live.chaos.loopback_faults import EVERY_S, KINDS
from tests.live.chaos.schedule import Fault, Kind, lines, read, schedule


def test_the_same_seed_makes_the_same_schedule_and_another_seed_another() -> None:
    made = schedule(7, 60.0, KINDS, EVERY_S)
    assert made == schedule(7, 60.0, KINDS, EVERY_S)
    assert made != schedule(8, 60.0, KINDS, EVERY_S)


def test_faults_are_in_order_and_over_when_the_schedule_is() -> None:
    for seed in range(20):
        made = schedule(seed, 30.0, KINDS, EVERY_S)
        assert [fault.at_s for fault in made] == sorted(fault.at_s for fault in made)
        assert made[0].at_s == 1.0
        assert max(fault.end_s for fault in made) <= 30.0 + 1e-3


def test_each_kind_comes_as_often_as_its_weight_before_any_comes_again() -> None:
    kinds = (Kind("kill", "replica", 3), Kind("cut", "control", 1, lasts_s=(1.0, 2.0)))
    made = schedule(1, 100.0, kinds, every_s=1.0)
    for start in range(0, len(made) - 3, 4):
        assert Counter(fault.kind for fault in made[start : start + 4]) == {"kill": 3, "cut": 1}


def test_a_rest_keeps_the_next_fault_away() -> None:
    made = schedule(1, 100.0, (Kind("kill", "gateway", rests_s=6.0),), every_s=0.5)
    assert all(later.at_s - earlier.at_s >= 6.0 - 1e-3 for earlier, later in pairwise(made))


def test_a_schedule_is_read_as_it_was_written(tmp_path: Path) -> None:
    made = schedule(3, 60.0, KINDS, EVERY_S)
    (tmp_path / "faults.jsonl").write_text(lines(made), encoding="utf-8")
    assert read(tmp_path / "faults.jsonl") == made


def test_a_line_that_is_no_fault_is_named(tmp_path: Path) -> None:
    path = tmp_path / "faults.jsonl"
    path.write_text(Fault(1.0, "kill", "replica").line() + '\n{"at_s": 2}\n', encoding="utf-8")
    with pytest.raises(ValueError, match=r"faults.jsonl:2: not a fault"):
        read(path)
