"""Answers of Prometheus to a range query, saved as JSON: counts per step, counters, gaps, fractions."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ipa.traces import Reading, Steps, Trace, TraceError, answered_series, read, sentence, trace_of_series

NOON_S = 1_767_614_400
NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def series(*values: float | str | None, step_s: int = 60, start_s: float = NOON_S, **labels: str) -> dict[str, Any]:
    """A series from noon on; None for no sample."""
    samples = [[start_s + place * step_s, str(value)] for place, value in enumerate(values) if value is not None]
    return {"metric": labels, "values": samples}


def answer(*result: object, kind: str = "matrix") -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": list(result)}}


def put(folder: Path, document: object, name: str = "load.json", indent: int | None = None, seed: int = 0) -> Trace:
    (folder / name).write_text(json.dumps(document, indent=indent))
    return read(folder / name, seed=seed)


def per_step(trace: Trace, step_s: int = 60) -> list[int]:
    counts: list[int] = trace.per_second().reshape(-1, step_s).sum(axis=1).tolist()
    return counts


@pytest.mark.parametrize(("name", "indent"), [("load.json", None), ("load.json", 2), ("load.txt", None), ("load", 1)])
def test_a_value_counts_the_requests_of_the_step_before_it(tmp_path: Path, name: str, indent: int | None) -> None:
    trace = put(tmp_path, answer(series(600, 0, 30)), name, indent)
    assert (per_step(trace), trace.starts_at) == ([600, 0, 30], NOON - timedelta(seconds=60))
    assert sentence(trace) == (
        f"{name}: 630 requests in counts per minute of Prometheus, spread within each at random; 180 s from "
        "2026-01-05T11:59:00+00:00 to 2026-01-05T12:02:00+00:00"
    )


def test_where_requests_fall_in_their_step_is_decided_by_the_seed(tmp_path: Path) -> None:
    first, same, other = (put(tmp_path, answer(series(600, 9)), seed=seed).per_second().tolist() for seed in (1, 1, 2))
    assert first == same != other


def test_steps_of_a_second_are_the_trace(tmp_path: Path) -> None:
    trace = put(tmp_path, answer(series(5, 0, 7, step_s=1, start_s=NOON_S + 0.25)))
    assert trace.per_second().tolist() == [5, 0, 7]
    assert trace.starts_at == NOON - timedelta(seconds=0.75)
    assert trace.reading == "counts per second of Prometheus"


def test_series_are_summed_and_one_without_a_sample_had_no_requests(tmp_path: Path) -> None:
    trace = put(tmp_path, answer(series(1, 2, None, 3, pod="a"), series(None, 10, 20, "NaN", pod="b")))
    assert per_step(trace) == [1, 12, 20, 3]


def test_fractions_are_rounded_so_that_the_sum_up_to_every_step_is_right(tmp_path: Path) -> None:
    """Extrapolated by increase: 0.4 each is 2 in 5 steps, not 0."""
    assert per_step(put(tmp_path, answer(series(0.4, 0.4, 0.4, 0.4, 0.4)))) == [0, 1, 0, 1, 0]
    assert sum(per_step(put(tmp_path, answer(series(*[59.9984] * 50))))) == 3000


def test_a_counter_is_read_by_its_increase_also_where_it_was_reset(tmp_path: Path) -> None:
    """100, 130 and, started anew, 5: 30 and 5 requests; the first sample begins the trace."""
    trace = put(tmp_path, answer(series(100, 130, 5, 5, __name__="http_requests_total")))
    assert (per_step(trace), trace.starts_at) == ([30, 5, 0], NOON)
    two = put(
        tmp_path,
        answer(
            series(100, 130, 5, 5, __name__="a_total", pod="a"), series(None, 7, 9, None, __name__="a_total", pod="b")
        ),
    )
    assert per_step(two) == [30, 7, 0]  # what b had counted before its first sample came at no known time


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (answer(series(5, 5, None, "NaN", 5)), "no sample in 2 of 5 steps, the first of which ends at"),
        (answer(series(1, 2, None, 3, __name__="a_total")), "no sample in 2 of 3 steps"),
        (answer(series(5, 5, step_s=1, start_s=NOON_S), series(5, start_s=NOON_S + 0.5)), "equal steps of whole sec"),
        (answer(series(5, "+Inf", job="x")), r'series {job="x"} at 2026-01-05T12:01:00[+]00:00 is inf: not a count'),
        (answer(series(5, -2)), "is -2: not a count"),
        (answer(series(5, 6e9)), "the step that ends at 2026-01-05T12:01:00.*: .*too large"),
        (answer(series(5)), "1 samples; at least 2 are needed, whose distance is the step"),
        (answer(), "0 samples; at least 2"),
        (answer(series("NaN", "NaN")), "0 samples; at least 2"),
        (answer(series(5, 6), series(5, 6, __name__="a_total")), "counters .* among other values; ask for one kind"),
        (answer({"metric": {}, "value": [NOON_S, "5"]}, kind="vector"), "resultType is 'vector'; allowed is 'matrix'"),
        (answer({"metric": {}, "histograms": []}), "a series without values; those of native histograms"),
        (answer({"metric": {}, "values": [[NOON_S]]}), "not the series of a range query"),
        (answer({"metric": {}, "values": [[NOON_S, "x"]]}), "not the series of a range query: .* 'x'"),
        (answer({"metric": {}, "values": [[5, "1"], [5, "1"]]}), "the times of the series {} do not rise"),
        ({"status": "success", "data": None}, "resultType is None"),
        ({"status": "error", "errorType": "bad_data", "error": "parse error: x"}, "of an error: parse error: x"),
    ],
)
def test_what_is_no_load_is_refused(tmp_path: Path, document: object, message: str) -> None:
    with pytest.raises(TraceError, match=rf"load.json: .*({message})"):
        put(tmp_path, document)


def test_a_log_whose_lines_begin_with_a_status_is_no_answer(tmp_path: Path) -> None:
    for status in ('"success", "path": "/"', "200"):
        (tmp_path / "app.json").write_text(f'{{"status": {status}, "time": {NOON_S}.5}}\n' * 2)
        assert read(tmp_path / "app.json").requests == 2


def test_a_file_that_is_no_answer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "load.json"
    path.write_text('{"status":"success","data": ')
    with pytest.raises(TraceError, match=r"load.json: not a JSON document"):
        read(path)
    with pytest.raises(TraceError, match=r"load.json: no answer of Prometheus, .*\[5, 6\]"):
        put(tmp_path, [5, 6])
    put(tmp_path, answer(series(5, 6)))
    with pytest.raises(TraceError, match=r"says its times itself; leave read.time_"):
        read(path, Reading(time_unit="s"))


@pytest.mark.parametrize(
    ("filling", "counts", "said"),
    [("zero", [0, 10, 0, 40], "as without requests"), ("linear", [10, 10, 25, 40], "by st")],
)
def test_gaps_are_filled_by_the_rule_that_is_stated(filling: Any, counts: list[int], said: str) -> None:
    found = answered_series(answer(series(None, 10, None, 40, start_s=NOON_S + 60)), "there")
    trace = trace_of_series(found, Steps(NOON_S, 60, 4), place="there", seed=1, name="x", filling=filling)
    assert per_step(trace) == counts
    assert f", 2 of 4 steps without a sample filled {said}" in trace.reading
    with pytest.raises(TraceError, match=r"there: no sample in 2 of 4 steps.*2026-01-05T12:01:00.*--fill linear"):
        trace_of_series(found, Steps(NOON_S, 60, 4), place="there", seed=1, name="x")


def test_a_series_may_come_in_pieces(tmp_path: Path) -> None:
    """A counter's increase across the border of two answers is kept."""
    pieces = [series(100, 130, __name__="a_total"), series(150, 170, __name__="a_total", start_s=NOON_S + 120)]
    found = answered_series(answer(*pieces), "there")
    assert per_step(trace_of_series(found, Steps(NOON_S, 60, 3), place="there", seed=1, name="x")) == [30, 20, 20]
