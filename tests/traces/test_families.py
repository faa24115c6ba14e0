"""Families of loads from which a seed draws one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipa.traces import FAMILIES, HISTORY_S, REAL_FAMILIES, Trace, TraceError, families, find, has_fixed_counts, write
from ipa.traces.families import DAY_S, LENGTH_S


@pytest.mark.parametrize("family", FAMILIES)
def test_a_load_is_drawn_by_the_seed_in_its_name_alone(family: str) -> None:
    load = find(f"{family}:7", seed=1)
    assert load == find(f"{family}:7", seed=2)
    assert load != find(f"{family}:8", seed=1)
    assert (load.name, load.duration_s) == (f"{family}:7", LENGTH_S)
    assert len(load.history_counts) == (2 * DAY_S if family == "diurnal" else HISTORY_S)
    assert 1 < load.mean_rps < 60
    assert has_fixed_counts(load.name)


def test_a_step_is_at_once_and_stays() -> None:
    counts = FAMILIES["step"](np.random.default_rng(1))
    assert len(np.unique(counts)) == 2
    assert 3 <= counts.max() / counts.min() <= 6
    assert (np.diff(counts) >= 0).all()


def test_windows_of_the_real_trace_are_the_same_with_and_without_past(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(families, "TWEETS_FROM_S", 3000)
    counts = np.random.default_rng(2).poisson(80, 9000)
    path = write(Trace.of_counts("recorded", counts), tmp_path / "recorded.csv")
    with_past, without = (find(f"{family}:3", real=path) for family in REAL_FAMILIES)
    assert (with_past.per_second() == without.per_second()).all()
    assert with_past.mean_rps == pytest.approx(80 / 8 - 0.44, abs=0.1)  # an eighth, rounded down
    assert len(with_past.history_counts) >= 3000
    assert len(without.history_counts) == 0
    assert with_past.unscaled_rps is None
    monkeypatch.setattr(families, "TWEETS_FROM_S", 8000)
    with pytest.raises(TraceError, match="tweets:3: 'recorded' has no 1200 s with requests from second 8000 on"):
        find("tweets:3", real=path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("step", r"unknown trace 'step': neither a file nor one of .*did you mean 'step:SEED'\?"),
        ("step:", "unknown trace 'step:'"),
        ("step:x", "'step:x': should be step:SEED, with a whole number from 0, such as 7"),
        ("flash:-1", "'flash:-1': should be flash:SEED"),
        ("tweets:7", "'tweets:7' is cut from the real trace, whose file is not known: set .* IPA_TRACE to its path$"),
        ("stp:7", "unknown trace 'stp:7'"),
    ],
)
def test_a_name_that_draws_nothing_is_answered(name: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        find(name)
