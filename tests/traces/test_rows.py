"""Which row of its file each request of a trace is, and the numbers that stand there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ipa.traces import Trace, TraceError, numbers_beside, read

LOG = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.68,374,44
2023-11-16 18:15:50.99,396,109
2023-11-16 18:15:48.10,12,7
2023-11-16 18:16:10.50,90,1
"""


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text(LOG, encoding="utf-8")
    return path


def outputs(trace: Trace, log: Path) -> list[int]:
    assert trace.rows is not None
    (found,) = numbers_beside(log, ["GeneratedTokens"])
    return [int(number) for number in found[trace.rows]]


def test_requests_have_the_numbers_of_their_rows_in_order_of_time(log: Path) -> None:
    trace = read(log)
    assert outputs(trace, log) == [44, 7, 109, 1]
    assert outputs(trace.window([(1.0, 10.0)]), log) == [7, 109]
    assert outputs(trace.window([(4.0, 10.0), (0.0, 1.0)]), log) == [109, 44]


def test_copies_of_a_request_have_its_numbers(log: Path) -> None:
    assert outputs(read(log).scaled(2.0, rng=np.random.default_rng(1)), log) == [44, 44, 7, 7, 109, 109, 1, 1]
    thin = read(log).scaled(0.5, rng=np.random.default_rng(1))
    whole = dict(zip(read(log).load.tolist(), [44, 7, 109, 1], strict=True))
    assert outputs(thin, log) == [whole[moment_s] for moment_s in thin.load.tolist()]


@pytest.mark.parametrize(
    ("name", "old", "new", "why"),
    [
        ("GeneratedToken", "", "", "line 1: no column 'GeneratedToken'; did you mean 'GeneratedTokens'"),
        ("GeneratedTokens", ",44", ",0", "line 2, column GeneratedTokens: '0'; should be a whole number from 1"),
        ("GeneratedTokens", ",44", ",4.5", "line 2, column GeneratedTokens: '4.5'; should be a whole number from 1"),
    ],
)
def test_columns_that_hold_no_such_numbers_are_refused(log: Path, name: str, old: str, new: str, why: str) -> None:
    log.write_text(LOG.replace(old, new) if old else LOG, encoding="utf-8")
    with pytest.raises(TraceError, match=why):
        numbers_beside(log, [name])
