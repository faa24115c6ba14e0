"""Published data sets as they are published: Azure Functions and LLM inference, BurstGPT, ClarkNet, WorldCup 98."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ipa.traces import Reading, Trace, TraceError, read, sentence

Put = Callable[..., Trace]


@pytest.fixture
def put(tmp_path: Path) -> Put:
    """Writes a file with these lines and reads it."""

    def read_lines(*lines: str | bytes, name: str = "data.csv", seed: int = 0, **hints: Any) -> Trace:
        path = tmp_path / name
        path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
        return read(path, Reading(**hints), seed)

    return read_lines


# Azure Functions 2019

MINUTES = "HashOwner,HashApp,HashFunction,Trigger,1,2,3"


def per_minute(trace: Trace) -> list[int]:
    counts: list[int] = trace.per_second().reshape(-1, 60).sum(axis=1).tolist()
    return counts


@pytest.mark.parametrize("name", ["invocations_per_function_md.anon.d01.csv", "d01.txt", "d01"])
def test_minutes_of_azure_functions_are_summed_over_functions(put: Put, name: str) -> None:
    trace = put(MINUTES, "o,a,f1,http,600,0,1", "o,a,f2,timer,30,0,2", name=name)
    assert (per_minute(trace), trace.duration_s) == ([630, 0, 3], 180.0)
    assert sentence(trace).startswith(
        f"{name}: 633 requests in Azure Functions 2019, counts per minute summed over fun"
    )


def test_where_requests_fall_in_their_minute_is_decided_by_the_seed(put: Put) -> None:
    lines = (MINUTES, "o,a,f1,http,600,0,1")
    first, same, other = (put(*lines, seed=seed).per_second().tolist() for seed in (1, 1, 2))
    assert first == same != other
    assert 0 < min(first[:60]) < 10 < max(first[:60]) < 25


def test_days_of_azure_functions_may_follow_one_another(put: Put) -> None:
    """As `cat` puts files together."""
    assert per_minute(put(MINUTES, "o,a,f1,http,1,2,3", MINUTES, "o,a,f9,http,4,5,6", "o,a,f1,http,1,0,0")) == [
        *(1, 2, 3),
        *(5, 5, 6),
    ]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([MINUTES, "o,a,f,http,1,2"], "line 2: a row is four names and 3 counts; this one has 2 counts"),
        ([MINUTES, "o,a"], "line 2: a row is four names and 3 counts; this one has 0 counts"),
        ([MINUTES, "o,a,f,http,1,2,3", "o,a,f,http,1,-2,3"], "line 3: '-2' is not a whole number of invocations"),
        ([MINUTES, "o,a,f,http,1,2.5,3"], "line 2: '2.5' is not a whole number"),
        ([MINUTES, "o,a,f,http,1,,3"], "line 2: '' is not a whole number"),
        ([MINUTES, "o,a,f,http,1,2,"], "line 2: '' is not a whole number"),
        ([MINUTES, "o,a,f,http,1,99999999999999999999,3"], "line 2: .* invocations in a minute; at most 1000000000"),
        (["HashOwner,HashApp,HashFunction,Trigger,1,3", "o,a,f,http,1,2"], "line 1: the columns after Trigger are"),
        (["HashOwner,HashApp,HashFunction,Average,Count", "o,a,f,5,7"], "line 1: a table of Azure .*but not the one"),
        ([MINUTES, "HashOwner,HashApp,HashFunction,Trigger,1,2"], "line 2: a header of 2 minutes after one of 3"),
    ],
)
def test_rows_of_other_than_counts_are_refused_by_line(put: Put, lines: list[str], message: str) -> None:
    with pytest.raises(TraceError, match=message):
        put(*lines)
    with pytest.raises(TraceError, match=r"counts minutes from 1 to 1440; leave read.time_"):
        put(MINUTES, "o,a,f,http,1,2,3", time_unit="min")


# Azure Functions 2021

INVOCATIONS = "app,func,end_timestamp,duration"


def test_an_invocation_of_azure_functions_arrives_at_its_end_less_its_duration(put: Put) -> None:
    """In the order of their arrivals, not of their ends."""
    trace = put(INVOCATIONS, "a,f,79.5,0.25", "a,g,80,70.5", "b,f,80.25,0")
    assert trace.timestamps_s is not None
    assert (trace.timestamps_s.tolist(), trace.duration_s) == ([9.5, 79.25, 80.25], 81.0)
    assert trace.reading == "Azure Functions 2021, each at its end less its duration"


def test_what_arrived_before_the_recording_is_left_out_and_said(put: Put) -> None:
    trace = put(INVOCATIONS, "a,f,0.5,0.75", "a,g,1,1", name="two-weeks.txt")
    assert trace.requests == 1
    assert trace.reading.endswith("; 1 that arrived before second 0 left out")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,f,soon,1", "line 2, column end_timestamp: 'soon' is not a number"),
        ("a,f,1,-2", "line 2, column duration: -2.0 is not a number of seconds"),
        ("a,f,nan,2", "line 2, column end_timestamp: nan is not a number of seconds"),
        ("a,f,1e9,2", "line 2, column end_timestamp: 1000000000.0 is not a number of seconds, .* 0 to 1e[+]08"),
        ("a,f,1", "line 2: a row of 3 values under a header of 4"),
        ("a,f,1,2", "no invocation that arrived in second 0 or later"),
    ],
)
def test_ends_and_durations_that_are_none_are_refused(put: Put, row: str, message: str) -> None:
    with pytest.raises(TraceError, match=message):
        put(INVOCATIONS, row)
    with pytest.raises(TraceError, match=r"has seconds since its start; leave read.time_"):
        put(INVOCATIONS, "a,f,2,1", time_unit="s")


# Azure LLM inference


def test_times_of_azure_llm_inference_are_a_clock_s(put: Put) -> None:
    """2023 writes tenths of microseconds and no zone, 2024 has one."""
    of_2023 = put("TIMESTAMP,ContextTokens,GeneratedTokens", "2023-11-16 18:15:46.6805900,374,44",
                  "2023-11-16 18:15:50.9951690,396,109")  # fmt: skip
    of_2024 = put("TIMESTAMP,ContextTokens,GeneratedTokens", "2024-05-10 00:00:00.009930+00:00,2162,5",
                  "2024-05-10 00:00:00.017335+00:00,2399,6")  # fmt: skip
    assert of_2023.timestamps_s is not None
    assert of_2023.timestamps_s.tolist() == [0.68059, 4.995169]
    assert of_2023.starts_at == datetime(2023, 11, 16, 18, 15, 46)
    assert (of_2024.requests, of_2024.starts_at) == (2, datetime(2024, 5, 10, tzinfo=UTC))


CONVERSATIONS = Path(os.environ.get("IPA_TRACE", "")).parent / "azure-llm-2023-conv.csv.xz"
"""The real trace, beside that of Twitter."""


@pytest.mark.skipif(not CONVERSATIONS.is_file(), reason="azure-llm-2023-conv.csv.xz is not beside the real trace")
def test_the_real_trace_of_azure_llm_inference_is_read() -> None:
    """19,366 conversations of an hour of 16 November 2023."""
    trace = read(CONVERSATIONS)
    assert (trace.requests, trace.duration_s) == (19_366, 3503.0)
    assert trace.starts_at == datetime(2023, 11, 16, 18, 15, 46)


# BurstGPT


def test_times_of_burst_gpt_are_seconds_of_the_first_day(put: Put) -> None:
    """Whole ones are requests per second; nobody needs to say the unit."""
    header = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type"
    trace = put(header, "5,ChatGPT,472,18,490,Conversation log", "5,GPT-4,1,2,3,API log", "7,ChatGPT,1,2,3,API log")
    assert (trace.per_second().tolist(), trace.kind) == ([0, 0, 0, 0, 0, 2, 0, 1], "counts")
    assert trace.reading == "seconds since the start (column 'Timestamp'), counted per second"
    with_sessions = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    exact = put(with_sessions, "5.25,s,1.5,ChatGPT,472,18,490,Conversation log")
    assert exact.timestamps_s is not None
    assert exact.timestamps_s.tolist() == [5.25]
    with pytest.raises(TraceError, match="line 3, column Timestamp: 'x' is not a number"):
        put(header, "5,ChatGPT,472,18,490,Conversation log", "x,ChatGPT,1,2,3,API log")


# access logs of the nineties


def test_logs_of_the_nineties_are_read(put: Put) -> None:
    """ClarkNet's: names, hyphens, requests without a protocol, odd bytes, open quotes. WorldCup's: numbered hosts."""
    clark_net = put(
        '204.249.225.59 - - [28/Aug/1995:00:00:34 -0400] "GET /pub/rmharris/catalogs/ HTTP/1.0" 200 3542',
        'access9.accsyst.com - - [28/Aug/1995:00:00:35 -0400] "GET /pub/robert/past99.gif" 200 -',
        b'ix-pl2-17.ix.netcom.com - - [28/Aug/1995:00:00:35 -0400] "GET /\xe4\x00\xff"quoted".html HTTP/1.0" 404 -',
        'client-71-39.online.apple.com - frank [28/Aug/1995:00:00:36 -0400] "GET /pub/[x]/',
        name="clarknet_access_log_Aug28",
    )
    assert clark_net.per_second().tolist() == [1, 2, 1]
    assert clark_net.starts_at is not None
    assert clark_net.starts_at.isoformat() == "1995-08-28T00:00:34-04:00"
    world_cup = put(
        '0 - - [30/Apr/1998:21:30:17 +0000] "GET /images/hm_bg.jpg HTTP/1.0" 200 24736',
        '57 - - [30/Apr/1998:21:30:19 +0000] "GET /english/index.html" 304 0',
        name="wc_day5_1.out",
    )
    assert (world_cup.per_second().tolist(), world_cup.starts_at) == (
        [1, 0, 1],
        datetime(1998, 4, 30, 21, 30, 17, tzinfo=UTC),
    )
