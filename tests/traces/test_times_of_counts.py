"""Counts beside a column of times, whatever its name; files whose rows may be seconds, or not."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from ipa.traces import Reading, Trace, TraceError, read, sentence

START = datetime(2026, 1, 5, 10)
COUNTS = [700 + 37 * row % 101 for row in range(30)]
"""The requests of half an hour, minute by minute."""

ISO = [(START + timedelta(minutes=row)).isoformat() + "Z" for row in range(30)]
ENDS = [(START + timedelta(minutes=row + 1)).isoformat() + "Z" for row in range(30)]
EPOCH_S = [1_767_607_200 + 60 * row for row in range(30)]


@pytest.fixture
def table(tmp_path: Path) -> Callable[..., Trace]:
    """Writes a CSV file with these columns and reads it."""

    def read_columns(columns: dict[str, Any], **hints: Any) -> Trace:
        path = tmp_path / "load.csv"
        rows = zip(*columns.values(), strict=True)
        path.write_text("\n".join([",".join(columns), *(",".join(f'"{value}"' for value in row) for row in rows)]))
        return read(path, Reading(**hints))

    return read_columns


Table = Callable[..., Trace]


def assert_by_minute(trace: Trace, counts: list[int] = COUNTS) -> None:
    assert trace.per_second().reshape(-1, 60).sum(axis=1).tolist() == counts


@pytest.mark.parametrize("name", ["_time", "Date", "datetime", "date", "hour", "day", "minute", "second", "timestamp"])
def test_dates_beside_counts_are_their_times(table: Table, name: str) -> None:
    """As counts of seconds, half an hour would be half a minute of 60 times the load."""
    trace = table({name: ISO, "RequestCount": COUNTS})
    assert_by_minute(trace)
    assert sentence(trace) == (
        f"load.csv: {sum(COUNTS):,} requests in counts per minute (columns 'RequestCount' and {name!r}, ISO 8601 "
        "times), spread within each at random; 1,800 s from 2026-01-05T10:00:00+00:00 to 2026-01-05T10:30:00+00:00"
    )


@pytest.mark.parametrize(
    ("written", "starts_at"),
    [
        ("%Y/%m/%d %H:%M:%S", "2026-01-05 10:00:00"),
        ("%Y-%m-%d %-H:%M", "2026-01-05 10:00:00"),
        ("%Y-%m-%d %H:%M:%S UTC", "2026-01-05 10:00:00+00:00"),
        ("%Y-%m-%d %H:%M:%S +0000 UTC", "2026-01-05 10:00:00+00:00"),
        ("%Y-%m-%dT%H:%M:%S.000+0100", "2026-01-05 10:00:00+01:00"),
        ("%d.%m.%Y %H:%M", "2026-01-05 10:00:00"),
        ("%d/%b/%Y:%H:%M:%S -0330", "2026-01-05 10:00:00-03:30"),
        ("%d %b %Y %H:%M", "2026-01-05 10:00:00"),
        ("%d-%b-%Y %I:%M %p", "2026-01-05 10:00:00"),
        ("%a, %d %b %Y %H:%M:%S GMT", "2026-01-05 10:00:00+00:00"),
        ("%b %-d, %Y @ %H:%M:%S.000", "2026-01-05 10:00:00"),
        ("%B %-d, %Y, %-I:%M:%S %p", "2026-01-05 10:00:00"),
        ("%a %b %d %Y %H:%M:%S GMT+0100 (Central European Standard Time)", "2026-01-05 10:00:00+01:00"),
        ("%a %b %e %H:%M:%S UTC %Y", "2026-01-05 10:00:00+00:00"),
        ("%Y%m%d%H%M", "2026-01-05 10:00:00"),
        ("%Y%m%d%H%M%S", "2026-01-05 10:00:00"),
    ],
)
def test_a_time_is_read_as_monitors_and_spreadsheets_write_it(table: Table, written: str, starts_at: str) -> None:
    trace = table({"date": [(START + timedelta(minutes=row)).strftime(written) for row in range(30)], "count": COUNTS})
    assert_by_minute(trace)
    assert str(trace.starts_at) == starts_at


@pytest.mark.parametrize(
    ("written", "step", "step_s"),
    [
        ("%Y%m%d%H", timedelta(hours=1), 3600),
        ("%Y%m%d", timedelta(days=1), 86_400),
        ("%d.%m.%Y", timedelta(days=1), 86_400),
        ("%Y-%m-%dT%H", timedelta(hours=1), 3600),
    ],
)
def test_hours_and_days_are_those_of_the_calendar(table: Table, written: str, step: timedelta, step_s: int) -> None:
    """2026010523 and 2026010600 are an hour apart; as numbers of seconds since 1970 they would be 77 s in 2034."""
    trace = table({"hour": [(START + row * step).strftime(written) for row in range(30)], "count": COUNTS})
    assert trace.per_second().reshape(-1, step_s).sum(axis=1).tolist() == COUNTS


@pytest.mark.parametrize("factor", [1, 10**3, 10**6, 10**9])
@pytest.mark.parametrize("name", ["date", "minute", "hour"])
def test_numbers_since_1970_are_times_whatever_their_name_and_unit(table: Table, name: str, factor: int) -> None:
    trace = table({name: [time_s * factor for time_s in EPOCH_S], "count": COUNTS})
    assert_by_minute(trace)
    assert str(trace.starts_at) == "2026-01-05 10:00:00+00:00"


def test_rows_may_come_in_any_order(table: Table) -> None:
    """Monitors list the latest first, or in no order at all."""
    for times in (ISO, EPOCH_S):
        latest_first = table({"date": times[::-1], "count": COUNTS[::-1]})
        assert_by_minute(latest_first)
        assert "latest row first" in latest_first.reading
        turned = table({"date": times[10:] + times[:10], "count": COUNTS[10:] + COUNTS[:10]})
        assert_by_minute(turned)
        assert "rows out of order" in turned.reading


@pytest.mark.parametrize(
    "others",
    [
        *({"service": ["web"] * 30}, {"errors": [3, 5] * 15}, {"bucket": ISO}, {"id": range(30)}, {"t": EPOCH_S}),
        {"start": ISO, "end": ENDS},
    ],
)
def test_counts_beside_columns_whose_names_say_nothing_are_asked_about(table: Table, others: dict[str, Any]) -> None:
    """Taken as counts of seconds, they would be 60 times the load."""
    names = ", ".join(map(repr, others))
    asked = (
        rf"the counts \(column 'count'\) have no times; .* {names}, holds them, say --set read.time_column=NAME; .*1m$"
    )
    with pytest.raises(TraceError, match=asked):
        table(others | {"count": COUNTS})


@pytest.mark.parametrize("columns", [{"start": ISO, "end": ENDS}, {"t": EPOCH_S}, {"Label": ISO, "minute": range(30)}])
def test_the_column_of_times_may_be_said(table: Table, columns: dict[str, Any]) -> None:
    assert_by_minute(table(columns | {"count": COUNTS}, time_column=next(iter(columns))))


def test_an_index_beside_dates_is_asked_about(table: Table) -> None:
    """A number of the row, of the hour or of the day."""
    with pytest.raises(TraceError, match="more than one column of times: 'hour', 'date'; say which"):
        table({"hour": range(30), "date": ISO, "count": COUNTS})
    assert_by_minute(table({"id": range(30), "date": ISO, "count": COUNTS}))


def test_numbers_without_a_unit_are_asked_about(table: Table) -> None:
    columns = {"t": range(0, 1800, 60), "count": COUNTS}
    with pytest.raises(TraceError, match=r"column t: 0 may be in any unit: .* --set read.time_unit=ms"):
        table(columns, time_column="t")
    assert_by_minute(table(columns, time_column="t", time_unit="s"))
    in_order = table({"id": range(1, 31), "count": COUNTS}, step=60)
    assert_by_minute(in_order)
    assert in_order.reading.startswith("counts per minute (column 'count', in the order of the rows), spread")


def test_counts_alone_are_those_of_seconds_or_of_a_step_that_is_given(table: Table) -> None:
    trace = table({"count": COUNTS})
    assert (trace.per_second().tolist(), trace.reading) == (COUNTS, "counts per second (column 'count')")
    assert_by_minute(table({"count": COUNTS}, step=60))
    assert_by_minute(table({"service": ["web"] * 30, "count": COUNTS}, step=60))


def test_the_step_of_a_single_row_may_be_given(table: Table) -> None:
    with pytest.raises(TraceError, match=r"a single row does not say how long its count lasts; --set read.step="):
        table({"date": ISO[:1], "count": [600]})
    assert table({"date": ISO[:1], "count": [600]}, step=3600).duration_s == 3600
    with pytest.raises(TraceError, match=r"line 3, column date: .*10:01:00.* stands where .*10:00:30.* is due"):
        table({"date": ISO, "count": COUNTS}, step=30)
    with pytest.raises(TraceError, match=r"read.step: Input should be greater than or equal to 1; given 0"):
        Reading(step=0)
    with pytest.raises(TraceError, match=r"no column of counts is read; leave read.step out"):
        table({"time": ISO}, step=60)


def test_a_gap_or_a_time_of_several_rows_is_refused_by_line(table: Table) -> None:
    with pytest.raises(TraceError, match=r"line 12, column date: .*10:11:00.* stands where .*10:10:00.* is due"):
        table({"date": ISO[:10] + ISO[11:], "count": COUNTS[1:]})
    for name in ("date", "timestamp"):
        with pytest.raises(TraceError, match=rf"line 3, column {name}: .*10:00:00.* is the time of line 2 too; a time"):
            table({name: [*ISO[:1], *ISO], "service": ["a", *["b"] * 30], "count": [5, *COUNTS]})


def test_dates_of_an_open_order_are_refused_not_passed_over(table: Table) -> None:
    dates = [(START + timedelta(minutes=row)).strftime("%m/%d/%Y %H:%M") for row in range(30)]
    with pytest.raises(TraceError, match="column date: '01/05/2026 10:00' is DAY/MONTH/YEAR or MONTH/DAY/YEAR"):
        table({"date": dates, "count": COUNTS})


def test_counts_that_never_fall_may_be_those_of_a_counter(table: Table) -> None:
    assert "if this is a counter" in table({"date": ISO, "count": sorted(COUNTS)}).reading
    assert "counter" not in table({"date": ISO, "count": [5] * 30}).reading


# JSON lines, parquet, plain counts


def test_json_lines_and_parquet_are_tables_of_counts_too(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    path.write_text(
        "\n".join(f'{{"date": "{time}", "count": {count}}}' for time, count in zip(ISO, COUNTS, strict=True))
    )
    assert_by_minute(read(path))
    for bucket in (ISO, [time_s * 1000 for time_s in EPOCH_S], [START + timedelta(minutes=row) for row in range(30)]):
        parquet.write_table(pa.table({"date": bucket, "count": COUNTS, "host": ["a"] * 30}), tmp_path / "load.parquet")
        assert_by_minute(read(tmp_path / "load.parquet"))
    parquet.write_table(pa.table({"host": ["a"] * 30, "count": COUNTS}), tmp_path / "load.parquet")
    with pytest.raises(TraceError, match="'host', holds them, say"):
        read(tmp_path / "load.parquet")
    days = [int((START + timedelta(days=row)).strftime("%Y%m%d")) for row in range(30)]
    parquet.write_table(pa.table({"day": days, "count": COUNTS}), tmp_path / "load.parquet")
    assert read(tmp_path / "load.parquet").duration_s == 30 * 86_400


def test_a_key_that_comes_later_may_be_the_time(tmp_path: Path) -> None:
    path = tmp_path / "load.jsonl"
    path.write_text('{"count": 5}\n{"count": 6, "at": "2026-01-05T10:01:00Z"}\n')
    with pytest.raises(TraceError, match="other columns, 'at', holds them"):
        read(path)


def test_plain_numbers_in_columns_are_no_counts(tmp_path: Path) -> None:
    path = tmp_path / "load.txt"
    path.write_text("\n".join(f"{row} {count}" for row, count in enumerate(COUNTS)))
    with pytest.raises(TraceError, match="rows of 2 numbers, the first of which rises by equal steps, as times do"):
        read(path)
    path.write_text("\n".join(map(str, COUNTS)))
    assert read(path).reading == "plain counts, one per second"
    assert_by_minute(read(path, Reading(step=60)))
    path.write_text("5 7 6 4\n7 8 9 9\n9 8 7 6\n3 3 3 3\n")  # rows of as many, but the first are 5, 7, 9, 3
    assert read(path).requests == 97


def test_a_file_without_a_header_is_told_that_it_needs_one(tmp_path: Path) -> None:
    for first in (f"{ISO[0]},600", f"{EPOCH_S[0]},600", "0,600"):
        (tmp_path / "load.csv").write_text(f"{first}\n{ISO[1]},700\n")
        with pytest.raises(
            TraceError, match=r"line 1: the first line holds values, '.*add a line such as timestamp,count"
        ):
            read(tmp_path / "load.csv")


# Requests


def test_rows_of_groups_beside_equal_times_are_asked_about(table: Table) -> None:
    """A row for each server and minute: 60 rows with counts, not 60 requests."""
    twice = [time for time in ISO for _ in range(2)]
    asked = r"equal steps, with numbers beside them \('hits'\)"
    with pytest.raises(TraceError, match=asked):
        table({"timestamp": twice, "server": ["a", "b"] * 30, "hits": COUNTS * 2})
    late = [(START + timedelta(seconds=60 * row + 7 * row % 3)).isoformat() for row in range(30)]
    with pytest.raises(TraceError, match=asked):
        table({"timestamp": late, "hits": COUNTS})
    with pytest.raises(TraceError, match=asked):
        table({"timestamp": ISO, "hits": [f"{10 * count:,}" for count in COUNTS]})


def test_requests_of_a_clock_of_whole_minutes_are_spread_over_them(table: Table, tmp_path: Path) -> None:
    """Otherwise all requests of a minute would arrive in its first second."""
    trace = table({"timestamp": [time for time in ISO for _ in range(20)]})
    assert_by_minute(trace, [20] * 30)
    assert trace.per_second().max() < 10
    days = pa.array([START.date()] * 500 + [START.date() + timedelta(days=1)] * 400)
    parquet.write_table(pa.table({"timestamp": days}), tmp_path / "load.parquet")
    assert read(tmp_path / "load.parquet").per_second().reshape(2, -1).sum(axis=1).tolist() == [500, 400]


# Numbers with commas


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("1,000", "'1,000' is not a number; its comma may separate thousands or decimals: write 1000 or 1.000"),
        ("1,234,567", "'1,234,567' is not a number; it has separators of thousands: leave them out"),
        ("1 234 567", "'1 234 567' is not a number; it has separators of thousands: leave them out"),
        ("1.234.567", "'1.234.567' is not a number; it has separators of thousands: leave them out"),
        ("0,5", "'0,5' is not a number; it has a decimal comma: write a point"),
        ("0.25", "0.25 is not a whole number; a rate or a mean is no count"),
        ("n/a", "'n/a' is not a number$"),
    ],
)
def test_what_is_wrong_with_a_number_is_said(table: Table, token: str, message: str) -> None:
    with pytest.raises(TraceError, match=f"line 3, column count: {message}"):
        table({"date": ISO[:3], "count": [5, token, 7]})
