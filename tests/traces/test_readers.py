"""Users' own logs: how times are written, access logs, counts per minute, packed files. Each test writes its file."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet

from ipa.traces import Reading, Trace, TraceError, info, read, sentence, write

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
EPOCH_S = 1_767_614_400
"""NOON in seconds since 1970."""


@pytest.fixture
def log(tmp_path: Path) -> Callable[..., Trace]:
    """Writes a file with these lines and reads it."""

    def read_lines(*lines: str, name: str = "log.csv", seed: int = 0, **hints: Any) -> Trace:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return read(path, Reading(**hints), seed)

    return read_lines


Log = Callable[..., Trace]


def times_of(trace: Trace) -> list[float]:
    assert trace.timestamps_s is not None
    return trace.timestamps_s.tolist()


# ISO 8601


@pytest.mark.parametrize(
    ("first", "second", "starts_at"),
    [
        ("2026-01-05T12:00:00.25Z", "2026-01-05T12:00:01.5Z", NOON),
        ("2026-01-05T13:00:00.25+01:00", "2026-01-05T13:00:01.5+01:00", NOON),
        ("2026-01-05 13:00:00.25+0100", "2026-01-05 13:00:01.5+0100", NOON),
        ("20260105T120000.25Z", "20260105T120001.5Z", NOON),
        ("2026-01-05 12:00:00.2500000", "2026-01-05 12:00:01.5000009", NOON.replace(tzinfo=None)),
        ("2026-01-05 12:00:00.250", " 2026-01-05 12:00:01.5", NOON.replace(tzinfo=None)),
    ],
)
def test_iso_times_begin_with_the_whole_second_of_the_first(
    log: Log, first: str, second: str, starts_at: datetime
) -> None:
    trace = log("id,timestamp", f"7,{first}", f"8,{second}")
    assert (times_of(trace), trace.duration_s) == ([0.25, 1.5], 2.0)
    assert trace.starts_at == starts_at
    assert trace.starts_at.tzinfo is None or trace.starts_at.utcoffset() == timedelta(hours="13" in first)


def test_times_in_several_zones_are_the_instants_that_they_are(log: Log) -> None:
    """The clocks of Berlin are put back at 3 o'clock; the first time's zone is that of the start."""
    trace = log("time", "2026-10-25T02:59:59.5+02:00", "2026-10-25T02:00:00.5+01:00", "2026-10-25T01:00:01.5Z")
    assert times_of(trace) == [0.5, 1.5, 2.5]
    assert "of them out of order" not in trace.reading
    assert info(trace)["starts_at"] == "2026-10-25T02:59:59+02:00"
    assert "to 2026-10-25T03:00:02+02:00" in sentence(trace)


def test_a_clock_without_a_zone_is_one_that_nobody_changes(log: Log) -> None:
    """Put back without a word, an hour seems to come twice: it is sorted in, and the disorder is said."""
    trace = log("time", "2026-10-25 02:30:00.5", "2026-10-25 02:59:59.5", "2026-10-25 02:00:00.5")
    assert times_of(trace) == [0.5, 1800.5, 3599.5]
    assert trace.reading == "ISO 8601 times without a zone (column 'time'), 1 of them out of order"


def test_in_its_zone_a_clock_put_back_goes_on(log: Log) -> None:
    """The hour that is shown twice is read so as to be near the line before, also where lines are out of order."""
    shown = ["02:59:58.5", "02:59:58.4", "02:59:59.5", "02:00:00.5", "02:00:00.2", "03:00:00.5"]
    trace = log("time", *(f"2026-10-25 {time}" for time in shown), time_zone="Europe/Berlin")
    assert times_of(trace) == pytest.approx([0.4, 0.5, 1.5, 2.2, 2.5, 3602.5])
    assert info(trace)["starts_at"] == "2026-10-25T02:59:58+02:00"


def test_in_its_zone_a_clock_put_forward_jumps_over_an_hour(log: Log) -> None:
    trace = log("time", "2026-03-29 01:59:59.5", "2026-03-29 03:00:00.5", time_zone="Europe/Berlin")
    assert times_of(trace) == [0.5, 1.5]
    with pytest.raises(TraceError, match=r"line 2, column time: .*02:30:00.5' does not exist in Europe/Berlin"):
        log("time", "2026-03-29 02:30:00.5", time_zone="Europe/Berlin")


@pytest.mark.parametrize(
    ("lines", "hints", "message"),
    [
        (["2026-01-05T12:00:00Z", "2026-01-05T12:00:01"], {}, "line 3, column time: '2026.* has no zone, but"),
        (["2026-01-05T12:00:00", "2026-01-05T12:00:01Z"], {}, "line 3, column time: '2026.* has a zone, but"),
        (["2026-01-05T12:00:00Z", "05/01/2026"], {}, "line 3, column time: '05/01/2026' is not an ISO 8601 time"),
        (["2026-01-05T12:00:00Z", "", "2026-01-05T12:00:02Z"], {}, "line 3: a row of 0 values"),
        (["yesterday"], {}, "line 2, column time: 'yesterday' is not an ISO 8601 time, such as 2026-01-05T10:00:00Z"),
        (["2026-01-05T12:00:00Z"], {"time_zone": "Europe/Berlin"}, "has a zone; leave read.time_zone out"),
        (["2026-01-05 12:00:00", "2026-01-05T12:00:01Z"], {"time_zone": "Europe/Berlin"}, "line 3, .* has a zone, but"),
        (["2026-01-05T12:00:00Z"], {"time_unit": "ms"}, "line 2, column time: '2026-01-05T12:00:00Z' is not a number"),
        (["2026-01-05T12:00:00Z", "1990-01-05T12:00:00Z"], {}, "line 2, column time: 1,136,073,600 s later than .*3"),
        (["2026-01-05T12:00:00Z", "0001-01-01T00:00:00+01:00"], {}, "line 3, .*: not a time from 1990 to 2100"),
    ],
)
def test_what_is_no_such_time_is_refused_by_line(
    log: Log, lines: list[str], hints: dict[str, str], message: str
) -> None:
    with pytest.raises(TraceError, match=message):
        log("time", *lines, **hints)


# Numbers


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("timestamp", "1767614400.25", "1767614401.5"),
        ("time", "1767614400250", "1767614401500"),
        ("time", "1767614400250.0", "1767614401500"),
        ("TIMESTAMP", "1767614400250000", "1767614401500000"),
        ("Time", "1767614400250000000", "1767614401500000000"),
        ("time_ms", "1767614400250", "1767614401500"),
        ("arrival_s", "1767614400.25", "1767614401.5"),
        ("timestamp_s", "1.76761440025e9", "1767614401.5"),
    ],
)
def test_a_number_says_its_unit_by_its_size_where_it_counts_from_1970(
    log: Log, name: str, first: str, second: str
) -> None:
    trace = log(name, first, second)
    assert (times_of(trace), trace.starts_at) == ([0.25, 1.5], NOON)
    assert "since 1970" in trace.reading


def test_requests_at_one_time_are_in_order(log: Log) -> None:
    assert "out of order" not in log("time", "1767614400.5", "1767614400.5", "1767614401.25").reading


def test_times_since_1970_are_kept_to_the_microsecond(log: Log) -> None:
    assert times_of(log("time", "1764000000.1", "1764000000.123457", "1764000001")) == [0.1, 0.123457, 1.0]
    assert times_of(log("time", "1764000000123456789", "1764000001123456000")) == [0.123457, 1.123456]


@pytest.mark.parametrize(
    ("name", "values", "hints", "times_s"),
    [
        ("time_ms", ["250", "1500"], {}, [0.25, 1.5]),
        ("arrival_us", ["250000", "1500000"], {}, [0.25, 1.5]),
        ("time_s", ["3.25", "7.5"], {}, [3.25, 7.5]),
        ("time", ["0.25", "1.5"], {"time_unit": "s"}, [0.25, 1.5]),
        ("timestamp", ["250", "1500"], {"time_unit": "ms"}, [0.25, 1.5]),
        ("time", ["0.5", "1.25"], {"time_unit": "min"}, [30.0, 75.0]),
        ("ts", ["0.25", "1.5"], {"time_column": "ts", "time_unit": "s"}, [0.25, 1.5]),
        ("end_ms", ["250", "1500"], {"time_column": "end_ms"}, [0.25, 1.5]),
        ("requests", ["0.25", "1.5"], {"time_column": "requests", "time_unit": "s"}, [0.25, 1.5]),
    ],
)
def test_a_smaller_number_counts_from_the_start_in_a_unit_that_is_said(
    log: Log, name: str, values: list[str], hints: dict[str, str], times_s: list[float]
) -> None:
    trace = log(name, *values, **hints)
    read_s = trace.timestamps_s if trace.timestamps_s is not None else np.repeat(np.arange(76), trace.per_second())
    assert read_s.tolist() == times_s
    assert trace.starts_at is None


@pytest.mark.parametrize(
    ("lines", "hints", "message"),
    [
        (["time", "0.5"], {}, "line 2, column time: 0.5 may be in any unit: say which, as --set read.time_unit=ms"),
        (["timestamp", "20261305"], {}, "line 2, .*20261305 may be in any unit.*: s, ms, us, ns, min, h, d"),
        (["time", "1767614400", "1767614400000"], {}, "line 3, column time: 1767614400000 is not a time from 1990 to"),
        (["time", "1767614400", "3"], {}, "line 3, column time: 3 is not a time from 1990 to 2100 in seconds since"),
        (["time_ms", "5", "1e12"], {}, "line 3, column time_ms: 1e12|1000000000000 is too large: .* of 0.001 s"),
        (["time", "1767614400000"], {"time_unit": "s"}, "line 2, .*: 1767614400000 is not a time from 1990 to 2100 in"),
        (
            ["time,count,sum", "1,2,3"],
            {},
            "line 1: more than one column of counts: .*say which, as --set read.count_column=",
        ),
        (
            ["time,hits", "1,2"],
            {"count_column": "hit"},
            "count_column: no column is called 'hit'; .*did you mean 'hits'",
        ),
        (["when,path", "1,/"], {}, "line 1: no column of times .*--set read.time_column=NAME"),
        (
            ["tme,path", "1,/"],
            {"time_column": "tm"},
            "line 1: read.time_column: no column is called 'tm'; .*did you mean 'tme'",
        ),
        (["time", "1767614400"], {"time_zone": "Europe/Berlin"}, "the same in every zone; leave read.time_zone out"),
        (
            ["time", "5"],
            {"time_unit": "s", "time_zone": "Europe/Berlin"},
            "the same in every zone; leave read.time_zone out",
        ),
        (["time", "5"], {"time_unit": "w"}, "read.time_unit: Input should be 's', 'ms', .*; given 'w'"),
        (
            ["time", "5"],
            {"time_zone": "Europe/Berln"},
            "read.time_zone: 'Europe/Berln': .*did you mean 'Europe/Berlin'",
        ),
        (["time", "5"], {"time_zone": "../etc"}, r"read.time_zone: '\.\./etc'"),
    ],
)
def test_a_number_that_may_mean_two_things_is_asked_about(
    log: Log, lines: list[str], hints: dict[str, str], message: str
) -> None:
    with pytest.raises(TraceError, match=message):
        log(*lines, **hints)


def test_times_of_whole_seconds_are_requests_per_second(log: Log) -> None:
    """Three requests at one instant would be the clock's burst, not the load's."""
    trace = log("time", "1767614403", "1767614400", "1767614400", "1767614400")
    assert (trace.per_second().tolist(), trace.kind) == ([3, 0, 0, 1], "counts")
    assert trace.reading == "seconds since 1970 (column 'time'), counted per second"
    assert log("arrival_s", "0", "0", "3").kind == "timestamps"  # our own column means what it says


def test_times_written_to_the_minute_are_requests_per_minute(log: Log) -> None:
    lines = ["2026-01-05T12:00Z"] * 30 + ["2026-01-05T12:02Z"] * 7
    trace = log("time", *lines, seed=1)
    assert trace.per_second().reshape(3, 60).sum(axis=1).tolist() == [30, 0, 7]
    assert trace.per_second().max() < 10
    assert trace.reading.endswith("counted per minute, spread within each at random")
    days = log("time", "2026-01-05", *["2026-01-06"] * 50)
    assert (days.duration_s, days.per_second()[:86_400].sum(), days.per_second().max() < 5) == (172_800.0, 1, True)
    late = log("time", "2026-01-05T12:00Z", "2026-01-05T12:00:01Z")
    assert late.per_second().tolist() == [1, 1]


# Counts


@pytest.mark.parametrize(
    ("lines", "hints"),
    [
        (["minute,count", "0,600", "1,0", "2,60"], {}),
        (
            [
                "Timestamp,RequestCount",
                "2026-01-05T12:00:00Z,600.0",
                "2026-01-05T12:01:00Z,0",
                "2026-01-05T12:02:00Z,60",
            ],
            {},
        ),
        (["Timestamp,Sum,Unit", f"{EPOCH_S},600,Count", f"{EPOCH_S + 60},0,Count", f"{EPOCH_S + 120},60,Count"], {}),
        (["time,hits", f"{EPOCH_S},600", f"{EPOCH_S + 60},0", f"{EPOCH_S + 120},60"], {"count_column": "hits"}),
        (["minute,count", "2026-01-05T12:00Z,600", "2026-01-05T12:01Z,0", "2026-01-05T12:02Z,60"], {}),
        (["Count,Timestamp", "600,2026-01-05T13:00:00+01:00", "0,2026-01-05T12:01:00Z", "60,2026-01-05T12:02Z"], {}),
        (["time,requests", "1767614400,600", "1767614460,0", "1767614520,60"], {}),
        (["time_ms,requests", "0,600", "60000,0", "120000,60"], {}),
        (["time,requests", "0,600", "1,0", "2,60"], {"time_unit": "min"}),
        (["t,requests", "0,600", "60,0", "120,60"], {"time_column": "t", "time_unit": "s"}),
    ],
)
def test_counts_per_minute_are_kept_by_the_minute(log: Log, lines: list[str], hints: dict[str, str]) -> None:
    trace = log(*lines, **hints)
    assert trace.per_second().reshape(3, 60).sum(axis=1).tolist() == [600, 0, 60]
    assert trace.reading.startswith("counts per minute (columns ")
    assert trace.starts_at == (None if lines[1].split(",")[0] == "0" else NOON)


MINUTES = [f"2026-01-05T12:0{minute}:00Z" for minute in (0, 1, 3, 4, 5)]
"""Minutes of which one has no row."""


def test_numbers_beside_equal_steps_may_be_counts_which_is_asked(log: Log, tmp_path: Path) -> None:
    """Taken as rows, 650 requests of five minutes would be five."""
    asked = r"\('hits'\): if these count the requests .*--set read.count_column='hits'; .* --set read.count_column=none"
    for name, lines in (
        ("log.csv", ["time,path,hits", *(f"{time},/,130" for time in MINUTES)]),
        ("log.jsonl", [f'{{"time": "{time}", "hits": 130, "path": "/"}}' for time in MINUTES]),
    ):
        with pytest.raises(TraceError, match=asked):
            log(*lines, name=name)
        assert log(*lines, name=name, count_column="none").requests == 5
        assert log(*lines[:-3], name=name, count_column="hits").requests == 260
    parquet.write_table(pa.table({"time": MINUTES, "hits": [130] * 5}), tmp_path / "log.parquet")
    with pytest.raises(TraceError, match=asked):
        read(tmp_path / "log.parquet")
    assert read(tmp_path / "log.parquet", Reading(count_column="none")).requests == 5


def test_numbers_beside_the_times_of_requests_are_passed_over(log: Log) -> None:
    """A log of requests has gaps of any length, and two requests at one time."""
    for seconds in ([0, 1, 4, 9, 11], [0, 1, 2, 2, 3], [0.1, 0.2, 0.35, 0.4, 0.45]):
        assert log("time,status", *(f"{EPOCH_S + second},200" for second in seconds)).requests == 5


def test_within_a_minute_requests_fall_into_any_second_alike(log: Log) -> None:
    """Multinomial: 60 of 3600 a second, variance 3600 x 1/60 x 59/60 = 59."""
    lines = ["minute,count", *(f"{minute},3600" for minute in range(200))]
    counts = log(*lines, seed=3).per_second()
    assert counts.var() == pytest.approx(59, abs=3)  # sd 0.8
    assert counts.reshape(200, 60).mean(axis=0) == pytest.approx(np.full(60, 60.0), abs=2.5)  # sd 0.54
    assert counts.tolist() == log(*lines, seed=3).per_second().tolist() != log(*lines, seed=4).per_second().tolist()


def test_the_step_of_counts_is_that_of_the_times_beside_them(log: Log) -> None:
    assert log("time,count", "1767614400,5", "1767614401,6").per_second().tolist() == [5, 6]
    quarters = log("time,count", "1767614400,5", "1767614415,6")
    assert (quarters.duration_s, quarters.requests) == (30.0, 11)
    assert "counts per 15 s" in quarters.reading
    hours = log("time,count", "2026-01-05T12:00Z,5", "2026-01-05T13:00Z,6")
    assert (hours.duration_s, hours.requests) == (7200.0, 11)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["minute,count", "0,5", "2,5"], "line 3, column minute: 2 stands where minute 1 is due; every minute from"),
        (
            ["time,count", *(f"2026-01-05T12:0{minute}Z,5" for minute in (0, 1, 3))],
            r"line 4, column time: 2026-01-05T12:03:00\+00:00 stands where 2026-01-05T12:02:00\+00:00 is due.*count 0$",
        ),
        (
            ["time,count", "2026-03-29 01:58,5", "2026-03-29 01:59,5", "2026-03-29 03:00,5"],
            "line 4, .* 2026-03-29T02:00:00 is due; .*put forward or back, say its zone, as --set read.time_zone=",
        ),
        (["time,count", "1767614400,5", "1767614400,5"], "line 3, .*2026-01-05T12:00:00.* is the time of line 2 too"),
        (["time,count", "1767614400,5"], "line 2, column time: a single row does not say how long its count lasts"),
        (["time,count", "1767614400,5", "1767614400.5,5"], "line 2, column count: 2 counts of 0.5 s each; allowed are"),
    ],
)
def test_counts_with_a_gap_or_of_no_whole_second_are_refused(log: Log, lines: list[str], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        log(*lines)


def test_in_its_zone_counts_go_on_when_the_clock_is_changed(log: Log) -> None:
    lines = ["time,count", "2026-03-29 01:58,5", "2026-03-29 01:59,5", "2026-03-29 03:00,5"]
    assert log(*lines, time_zone="Europe/Berlin").duration_s == 180.0


# Access logs


def line(time: str, user: str = "-", rest: str = '"GET / HTTP/1.1" 200 2326') -> str:
    return f"192.0.2.7 - {user} [{time}] {rest}"


COMBINED = '"GET /a\\"b HTTP/1.1" 200 - "https://example.org/" "curl/8 [x]"'


@pytest.mark.parametrize("name", ["access.log", "access.log.1", "access", "access.txt", "access.log-20260105"])
def test_an_access_log_is_known_by_its_lines_and_counted_per_second(log: Log, name: str) -> None:
    trace = log(
        line("05/Jan/2026:13:00:01 +0100"),
        line("05/Jan/2026:13:00:00 +0100", "Jane Doe [x]", COMBINED),
        line("05/Jan/2026:12:00:01 +0000", rest='"\\x16\\x03" 400 0'),
        line("05/Jan/2026:13:00:03 +0100", rest='"-" 408 -'),
        name=name,
    )
    assert trace.per_second().tolist() == [1, 2, 0, 1]
    assert sentence(trace) == (
        f"{name}: 4 requests in Common Log Format, counted per second; 4 s from 2026-01-05T13:00:00+01:00 to "
        "2026-01-05T13:00:04+01:00"
    )


def test_an_access_log_goes_on_when_the_clock_is_changed(log: Log) -> None:
    trace = log(line("25/Oct/2026:02:59:59 +0200"), line("25/Oct/2026:02:00:00 +0100"), name="access.log")
    assert trace.per_second().tolist() == [1, 1]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ("cut off", r"line 2: not in Common Log Format, HOST IDENT USER \[05/Jan/2026.*: 'cut off'"),
        (line("05/Foo/2026:10:00:00 +0100"), "line 2: '05/Foo/2026:10:00:00 [+]0100' is not a time"),
        (line("31/Feb/2026:10:00:00 +0100"), "line 2: '31/Feb/2026.*is not a time"),
        (line("05/Jan/9999:10:00:00 +0100"), "line 2: '05/Jan/9999.* is not a time from 1990 to 2100"),
        (line("05/Jan/1990:10:00:00 +0100"), "access.log, line 1: 1,136,.* s later than .*line 2; a trace lasts"),
    ],
)
def test_a_line_that_is_none_of_an_access_log_is_refused(log: Log, second: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        log(line("05/Jan/2026:10:00:00 +0100"), second, name="access.log")


def test_a_log_of_another_kind_is_refused_with_the_format_that_is_read(log: Log) -> None:
    with pytest.raises(TraceError, match=r"server.log, line 1: not in Common Log Format.*'\[warn\] 3 workers'"):
        log("[warn] 3 workers", name="server.log")
    with pytest.raises(TraceError, match=r"says time, unit and zone itself; leave read.time_"):
        log(line("05/Jan/2026:10:00:00 +0100"), name="access.log", time_unit="ms")
    with pytest.raises(TraceError, match=r"hold no times; leave read.time_"):
        log("5 6 7", name="counts.txt", time_unit="ms")


ALB = (
    'h2 2026-01-05T10:00:09.1Z app/lb/50dc 192.0.2.7:2817 10.0.0.1:80 0.0 0.1 0.0 200 200 34 366 "GET / HTTP/2" "a b"'
    ' - - arn:aws:targetgroup/x "Root=1" "-" "-" 0 {} "forward" "-" "-"'
)
CONTAINER = "2026-01-05T10:00:00.6Z {} {{}}".format


@pytest.mark.parametrize(
    ("lines", "times_s", "reading"),
    [
        (
            ['[2026-01-05T10:00:01.310Z] "POST /v2 HTTP/2" 204 - via_upstream', '[2026-01-05T10:00:00.250Z] "GET / H'],
            [0.25, 1.31],
            "the format of Envoy and Istio, 1 of them out of order",
        ),
        (
            [ALB.format("2026-01-05T10:00:00.5Z"), ALB.format("2026-01-05T10:00:02.364000Z")],
            [0.5, 2.364],
            "the format of AWS application load balancers",
        ),
        (
            ["#Version: 1.0", "#Fields: date time c-ip", "2026-01-05 10:00:00 192.0.2.7", "2026-01-05\t10:00:02\tx"],
            [1, 0, 1],
            "W3C extended log format, counted per second",
        ),
        (
            [
                CONTAINER("stdout F").format(line("05/Jan/2026:10:00:00 +0000")),
                CONTAINER("stderr F").format("starting"),
                CONTAINER("stdout P").format(line("05/Jan/2026:10:00:02 +0000")[:30]),
                CONTAINER("stdout F").format(line("05/Jan/2026:10:00:02 +0000")[30:]),
            ],
            [1, 0, 1],
            "Common Log Format, counted per second",
        ),
    ],
    ids=["envoy", "alb", "w3c", "container"],
)
def test_logs_of_proxies_servers_and_containers_are_read_as_they_are(
    log: Log, lines: list[str], times_s: list[float], reading: str
) -> None:
    trace = log(*lines, name="some.log")
    assert trace.load.tolist() == pytest.approx(times_s)
    assert (trace.reading, str(trace.starts_at)) == (reading, "2026-01-05 10:00:00+00:00")


def test_lines_that_begin_with_a_date_are_requests_only_below_their_fields(log: Log) -> None:
    with pytest.raises(TraceError, match=r"line 1: not in W3C extended log format, .*below a line `#Fields: date time"):
        log("2026-01-05 10:00:00 INFO started", name="server.log")


@pytest.mark.parametrize(
    "written",
    [
        '{"time_local": "05/Jan/2026:10:00:00 +0000", "status": "200"}',
        '{"start_time": "2026-01-05T10:00:00.000Z", "response_code": 200}',
        '{"ts": 1767607200, "time_iso8601": "2026-01-05T10:00:00+00:00"}',
        '{"msec": "1767607200.000", "status": 200}',
    ],
)
def test_times_of_logs_in_json_are_known_by_their_names(log: Log, written: str) -> None:
    trace = log(written, name="access.json")
    assert (trace.requests, trace.starts_s) == (1, 1767607200.0)


def test_bad_lines_are_passed_over_as_far_as_is_said_and_told(log: Log, tmp_path: Path) -> None:
    lines = [line("05/Jan/2026:10:00:00 +0100"), "oops", line("31/Feb/2026:10:00:00 +0100")]
    with pytest.raises(TraceError, match=r"line 3: '31/Feb.*; read.skip_bad_lines, 1, have been passed over before"):
        log(*lines, name="access.log", skip_bad_lines=1)
    trace = log(*lines, name="access.log", skip_bad_lines=2)
    assert trace.per_second().tolist() == [1]
    assert "without 2 that could not be read (line 2: not in Common" in trace.reading
    table = ["arrival_s,x", "0.5,1", "never,2", "1.5", "", "2.5,3"]
    trace = log(*table, name="log.csv", skip_bad_lines=3)
    assert trace.load.tolist() == [0.5, 2.5]
    assert trace.reading.startswith("without 3 that could not be read (line 3, column arrival_s: 'never' is not a num")
    objects = ['{"arrival_s": 0.5}', "{", '{"x": 1}', "[]", '{"arrival_s": 1.5}']
    assert log(*objects, name="log.jsonl", skip_bad_lines=3).load.tolist() == [0.5, 1.5]


# Dates with slashes


@pytest.mark.parametrize(
    ("written", "starts_at", "times_s"),
    [
        (["1/2/2026 10:00:00.5 PM", "1/13/2026 10:00:01 PM"], "2026-01-02 22:00:00", [0.5, 950401.0]),
        (["02/01/2026 22:00:00.5", "13/01/2026 22:00:01"], "2026-01-02 22:00:00", [0.5, 950401.0]),
        (["12/31/2026 12:00:00.5 AM"], "2026-12-31 00:00:00", [0.5]),
    ],
)
def test_one_date_with_a_day_above_12_settles_the_order_of_day_and_month(
    log: Log, written: list[str], starts_at: str, times_s: list[float]
) -> None:
    trace = log("time", *written)
    assert (str(trace.starts_at), trace.load.tolist()) == (starts_at, times_s)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (["1/2/2026 10:00", "3/2/2026 10:00"], "line 2, column time: '1/2/2026 10:00' is DAY/MONTH/YEAR or MONTH/DAY"),
        (["13/1/2026 10:00", "1/13/2026 10:00"], "line 3, column time: '1/13/2026 10:00' is not .* DAY/MONTH/YEAR"),
        (["1/13/2026 13:00 PM"], "line 2, column time: '1/13/2026 13:00 PM' is not a time with a date as MONTH/DAY"),
    ],
)
def test_dates_of_an_order_that_nothing_settles_or_two_settle_are_refused(
    log: Log, written: list[str], message: str
) -> None:
    with pytest.raises(TraceError, match=message):
        log("time", *written)


def test_memory_grows_with_the_seconds_of_an_access_log_not_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "access.log.gz"
    path.write_bytes(gzip.compress((line("05/Jan/2026:13:00:01 +0100", "x" * 900) + "\n").encode() * 20_000))
    tracemalloc.start()
    trace = read(path)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert trace.requests == 20_000
    assert peak_bytes < 8e6  # of 20 MB


# JSON lines


def test_json_lines_are_a_table(log: Log) -> None:
    first, second = '{"path": "/", "timestamp": 1767614400.25}', '{"timestamp": 1767614401.5, "more": [1]}'
    trace = log(first, "", second, name="app.log")
    assert (times_of(trace), trace.starts_at) == ([0.25, 1.5], NOON)
    assert times_of(log('{"time": "2026-01-05T12:00:00.25Z"}', name="app.jsonl")) == [0.25]
    assert log('{"minute": 0, "count": 5}', '{"minute": 1, "count": 6}', name="app.jsonl").requests == 11


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ('{"time": ', "line 2: not a JSON object"),
        ('{"a": ' * 100_000, "line 2: not a JSON object: "),
        ("[1]", r"line 2: not a JSON object: '\[1\]'"),
        ('{"tme": 1767614400}', "line 2, column time: is missing"),
        ('{"time": null}', "line 2, column time: null is neither a number nor text"),
        ('{"time": true}', "line 2, column time: true is neither a number nor text"),
        ('{"time": "soon"}', "line 2, column time: 'soon' is not a number"),
    ],
)
def test_json_lines_that_are_no_times_are_refused_by_line(log: Log, second: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        log('{"time": 1767614400}', second, name="app.jsonl")


# Parquet


def put_parquet(tmp_path: Path, values: object, name: str = "time") -> Path:
    parquet.write_table(pa.table({name: values}), tmp_path / "log.parquet")
    return tmp_path / "log.parquet"


MOMENTS = [NOON + timedelta(seconds=0.25), NOON + timedelta(seconds=1.5)]


@pytest.mark.parametrize(
    ("values", "zone_h"),
    [
        (pa.array(MOMENTS, pa.timestamp("ns", "UTC")), 0),
        (pa.array(MOMENTS, pa.timestamp("ms", "Europe/Berlin")), 1),
        (pa.array([moment.isoformat() for moment in MOMENTS]), 0),
        (pa.array([EPOCH_S + 0.25, EPOCH_S + 1.5]), 0),
        (pa.array([EPOCH_S * 10**9 + 250_000_000, EPOCH_S * 10**9 + 1_500_000_000]), 0),
    ],
)
def test_times_are_read_from_parquet_in_every_notation(tmp_path: Path, values: pa.Array, zone_h: int) -> None:
    trace = read(put_parquet(tmp_path, values))
    assert (times_of(trace), trace.starts_at) == ([0.25, 1.5], NOON)
    assert trace.starts_at is not None
    assert trace.starts_at.utcoffset() == timedelta(hours=zone_h)


def test_timestamps_of_parquet_without_a_zone_are_read_in_the_one_given(tmp_path: Path) -> None:
    shown = [datetime(2026, 3, 29, 1, 59, 59, 500_000), datetime(2026, 3, 29, 3, 0, 0, 500_000)]
    path = put_parquet(tmp_path, pa.array(shown, pa.timestamp("us")))
    assert times_of(read(path)) == [0.5, 3601.5]
    assert times_of(read(path, Reading(time_zone="Europe/Berlin"))) == [0.5, 1.5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (pa.array([3, 4]), "row 1, column time: 3 may be in any unit: say which, as --set read.time_unit=ms"),
        (pa.array(["2026-01-05T12:00:00Z", "noon"]), "row 2, column time: 'noon' is not an ISO 8601 time"),
        (pa.array([3], pa.time32("s")), r"column time: holds time32.*, not plain numbers; times are numbers"),
        (pa.array([True]), "column time: holds bool, not plain numbers; times are numbers, timestamps or ISO"),
    ],
)
def test_parquet_without_such_times_is_refused(tmp_path: Path, values: pa.Array, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        read(put_parquet(tmp_path, values))


# Packed files


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


@pytest.mark.parametrize("pack", [gzip.compress, zstd, lzma.compress, bz2.compress])
@pytest.mark.parametrize("name", ["access.log", "access.log.gz", "access.log.zst", "access", "access.log.1"])
def test_a_packed_file_is_known_by_its_first_bytes(tmp_path: Path, pack: Callable[[bytes], bytes], name: str) -> None:
    path = tmp_path / name
    parts = [line("05/Jan/2026:13:00:01 +0100"), line("05/Jan/2026:13:00:02 +0100")]
    path.write_bytes(b"".join(pack(f"{part}\n".encode()) for part in parts))  # as logs are rotated: one after another
    assert read(path).per_second().tolist() == [1, 1]
    assert read(path).name == name.removesuffix(".gz").removesuffix(".zst").rpartition(".")[0] or name == "access"


def test_a_zstd_file_cut_off_or_damaged_is_refused(tmp_path: Path) -> None:
    packed = zstd(b"time\n1767614400\n" + bytes(range(48, 58)) * 10_000)
    path = tmp_path / "log.csv.zst"
    for content in (packed[: len(packed) // 2], b"not packed at all", packed[:20] + b"?" * 80):
        path.write_bytes(content)
        with pytest.raises(TraceError, match=r"log.csv.zst: damaged or cut off, zst says: "):
            read(path)


@pytest.mark.parametrize("name", ["log.csv", "log.txt", "log.jsonl", "log.log", "log"])
@pytest.mark.parametrize("content", ["", " \n", "\ufeff", "# a comment\n"])
def test_a_file_with_nothing_in_it_is_refused(tmp_path: Path, name: str, content: str) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(TraceError, match="log" if "#" in content else "the file is empty") as refusal:
        read(path)
    assert str(refusal.value).startswith(str(path))


# What is said


def test_a_window_and_a_written_file_keep_the_clock(log: Log, tmp_path: Path) -> None:
    trace = log("time", *(f"2026-10-25T02:59:{second}.5+02:00" for second in range(50, 60)))
    part = trace.window([(5, 10)])
    assert part.starts_at == datetime(2026, 10, 25, 2, 59, 55, tzinfo=timezone(timedelta(hours=2)))
    assert trace.window([(0, 2), (5, 7)]).starts_at is None
    for name in ("part.csv", "part.parquet"):
        again = read(write(part, tmp_path / name))
        assert (again, again.starts_at) == (part, part.starts_at)
        assert sentence(again) == ""


def test_a_table_of_our_own_needs_no_word(log: Log) -> None:
    assert sentence(log("second,count", "0,5", "1,6")) == sentence(log("arrival_s", "0.5")) == ""


def test_a_log_may_last_longer_than_its_requests(log: Log) -> None:
    counted = log('# ipa-trace {"duration_s": 5}', "time", "1767614400", "1767614402")
    assert counted.per_second().tolist() == [1, 0, 1, 0, 0]
    assert log('# ipa-trace {"duration_s": 5}', "time", "1767614400.5").duration_s == 5.0
    for wrong in ("NaN", "-1", "1e300"):
        with pytest.raises(TraceError, match="line 1: duration_s: a trace lasts more than 0 and at most"):
            log(f'# ipa-trace {{"duration_s": {wrong}}}', "time", "1767614400")


def test_a_start_that_is_no_time_is_refused(log: Log) -> None:
    with pytest.raises(TraceError, match="line 1: starts_at is an ISO 8601 time, not 5"):
        log('# ipa-trace {"starts_at": 5}', "arrival_s", "1")


def test_large_counts_that_may_be_times_are_said_to_need_a_header(log: Log) -> None:
    with pytest.raises(TraceError, match=r"line 1, column 1: .* is too large: .*if these are times, give them"):
        log("1767614400", "1767614401", name="times.txt")


def test_counts_beside_times_are_asked_about_although_the_last_row_lacks_one(tmp_path: Path) -> None:
    """A monitoring table's last row is often unfinished; a single row says nothing of a column."""
    file = tmp_path / "table.csv"
    file.write_text("time_s,hits\n0,5\n1,7\n2,4\n3,\n", encoding="utf-8")
    with pytest.raises(TraceError, match=r"read.count_column='hits'"):
        read(file)
    lines = ('{"time_s": 0, "hits": 5}', '{"time_s": 1, "hits": 7}', '{"time_s": 2, "hits": 4}', '{"time_s": 3}')
    file = tmp_path / "table.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    with pytest.raises(TraceError, match=r"read.count_column='hits'"):
        read(file)
