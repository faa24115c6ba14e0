"""Loads out of a Prometheus server: a query in parts, credentials, and servers that refuse or are none."""

from __future__ import annotations

import base64
import shutil
import subprocess
import time
from collections.abc import Iterator

import numpy as np
import pytest

from ipa.studies.scenario.errors import ScenarioError
from ipa.studies.scenario.prometheus import (
    MOST_POINTS,
    QueryRange,
    RemotePrometheus,
    ServerError,
    duration_s,
    moment_s,
    windows_s,
)
from ipa.traces import TraceError
from tests.studies import fake_prometheus
from tests.studies.fake_prometheus import NOON_S, Fake

QUERY = "sum(increase(requests_total[1m]))"


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_prometheus.serving() as fake:
        yield fake


def asked(steps: int, step_s: int = 60, query: str = QUERY) -> QueryRange:
    return QueryRange(query, NOON_S, NOON_S + steps * step_s, step_s)


# ---- the load ----


def test_a_load_is_every_step_from_start_to_end(server: Fake) -> None:
    """A value counts the minute before it, so that the first is a minute after the start."""
    server.value = lambda time_s: (time_s - NOON_S) // 60
    trace = RemotePrometheus(server.url + "/").load(asked(3), seed=1)
    assert trace.per_second().reshape(3, 60).sum(axis=1).tolist() == [1, 2, 3]
    assert (trace.name, trace.starts_at.timestamp() if trace.starts_at else None) == ("prometheus", NOON_S)
    given = {"query": QUERY, "start": str(NOON_S), "end": str(NOON_S + 180), "step": "60"}
    assert server.asked == [("/api/v1/query_range", given, None)]


def test_no_request_asks_for_more_points_than_prometheus_answers(server: Fake) -> None:
    """A counter over 25,000 s: 25,001 points in three requests, and no second lost between two."""
    server.value, server.labels = lambda time_s: 3 * (time_s - NOON_S), {"__name__": "requests_total"}
    done = []
    trace = RemotePrometheus(server.url).load(
        asked(25_000, 1, "requests_total"), seed=1, on_answer=lambda: done.append(1)
    )
    spans = [(int(given["start"]), int(given["end"])) for _, given, _ in server.asked]
    assert [end - start + 1 for start, end in spans] == [MOST_POINTS, MOST_POINTS, 3001]
    assert (spans[0][0], spans[-1][1], len(done)) == (NOON_S, NOON_S + 25_000, 3)
    assert (trace.per_second() == 3).all()
    assert trace.duration_s == 25_000.0


def test_gaps_are_refused_or_filled(server: Fake) -> None:
    server.value = lambda time_s: None if time_s == NOON_S + 120 else 10
    with pytest.raises(TraceError, match=r"no sample in 1 of 3 steps, .* 2026-01-05T12:02:00.*--fill zero"):
        RemotePrometheus(server.url).load(asked(3), seed=1)
    assert RemotePrometheus(server.url).load(asked(3), seed=1, filling="zero").requests == 20
    assert RemotePrometheus(server.url).load(asked(3), seed=1, filling="linear").requests == 30
    server.value = lambda time_s: None
    with pytest.raises(TraceError, match="no sample: the query matches nothing in this time, or its window"):
        RemotePrometheus(server.url).load(asked(3), seed=1, filling="zero")


# ---- credentials ----


def test_credentials_go_with_every_request(server: Fake) -> None:
    RemotePrometheus(f"http://jo%40x:p%3Aw@{server.netloc}/prefix/").load(asked(2), seed=1)
    RemotePrometheus(server.url, token="secret").load(asked(2), seed=1)
    paths, _, sent = zip(*server.asked, strict=True)
    assert paths == ("/prefix/api/v1/query_range", "/api/v1/query_range")
    assert sent == ("Basic " + base64.b64encode(b"jo@x:p:w").decode(), "Bearer secret")


def test_a_password_is_never_shown_and_never_sent_elsewhere(server: Fake) -> None:
    server.says = 302, b"", {"Location": "http://elsewhere.example/api/v1/query_range?query=x"}
    with pytest.raises(ServerError) as refused:
        RemotePrometheus(f"http://jo:hidden@{server.netloc}").load(asked(2), seed=1)
    assert str(refused.value) == (
        f"{server.url}: sends elsewhere, to http://elsewhere.example/api/v1/query_range; give that URL"
    )
    assert len(server.asked) == 1


# ---- servers that do not answer ----


@pytest.mark.parametrize(
    ("status", "content", "message"),
    [
        (400, b'{"status": "error", "errorType": "bad_data", "error": "1:5: parse error"}', "400: 1:5: parse error$"),
        (401, b"", "HTTP status 401: Unauthorized; give a token with --token-file, or user:password@ in the URL"),
        (404, b"<html>", "HTTP status 404: Not Found"),
        (503, b"[]", "HTTP status 503: Service Unavailable"),
        (200, b"<html>a login page", "no answer of Prometheus: '<html>a login page'"),
    ],
)
def test_what_a_server_says_is_shown(server: Fake, status: int, content: bytes, message: str) -> None:
    server.says = status, content, {}
    with pytest.raises(ServerError, match=f"{server.url}: .*{message}"):
        RemotePrometheus(server.url).load(asked(2), seed=1)


def test_an_error_in_an_answer_is_shown(server: Fake) -> None:
    server.says = 200, b'{"status": "error", "error": "query timed out"}', {}
    with pytest.raises(TraceError, match="query timed out"):
        RemotePrometheus(server.url).load(asked(2), seed=1)


def test_a_server_that_is_silent_or_gone_is_named(server: Fake) -> None:
    server.waits.clear()
    with pytest.raises(ServerError, match=rf"{server.url}: no answer within 0.05 s"):
        RemotePrometheus(server.url, timeout_s=0.05).load(asked(2), seed=1)
    with pytest.raises(ServerError, match=r"http://127.0.0.1:9: .*[Rr]efused"):
        RemotePrometheus("http://127.0.0.1:9").load(asked(2), seed=1)


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "localhost:9090", "http://", "http://h/?x=1", "ftp://h", "http://h:port", "http://[::1"],
)
def test_what_is_no_url_of_a_server_is_refused(url: str) -> None:
    with pytest.raises(ScenarioError, match="the URL of the server"):
        RemotePrometheus(url)
    with pytest.raises(ScenarioError, match="a user in the URL or a token, one of the two"):
        RemotePrometheus("http://jo:pw@h", token="x")


# ---- queries and times ----


def test_windows_and_durations_are_read_as_prometheus_writes_them() -> None:
    assert [duration_s(each) for each in ("90s", "5m", "1h30m", "7d", "2w")] == [90, 300, 5400, 604_800, 1_209_600]
    query = (
        'sum(increase(a_total{path=~"/[5m]/\\"[9s]"}[1m])) + sum(increase(b_total[ 60s ])) + max_over_time(c[1h:1m])'
    )
    assert windows_s(query) == {60}
    asked(2, 60, 'requests_total{path=~"(a|b)"}')  # counters themselves, and no function of them
    for wrong in ("", "5", "m", "5 m", "-5m", "5ms", "1.5h"):
        with pytest.raises(ValueError, match="is not a duration such as 30s, 5m, 1h30m or 7d"):
            duration_s(wrong)


def test_a_moment_is_a_time_with_a_zone_a_number_or_so_long_ago() -> None:
    times = ["now", "1h", "1767614400", "2026-01-05T12:00:00Z", "2026-01-05T13:00:00.5+01:00"]
    assert [moment_s(each, NOON_S) for each in times] == [NOON_S, NOON_S - 3600, NOON_S, NOON_S, NOON_S + 0.5]
    for wrong, message in (
        ("2026-01-05T12:00", "has no zone; write Z for UTC"),
        ("yesterday", "'yesterday' is neither a time, such as"),
        ("1767614400000", "is not a number of seconds since 1970"),
        ("nan", "'nan' is neither a time, such as"),
        ("60y", "'60y' ago was before 1970"),
    ):
        with pytest.raises(ValueError, match=message):
            moment_s(wrong, NOON_S)


@pytest.mark.parametrize(
    ("query", "steps", "step_s", "message"),
    [
        ("sum(rate(requests_total[1m]))", 2, 60, r"--query sum\(rate.*use increase, such as sum\(increase"),
        ("sum(irate(x[1m]))", 2, 60, "rate is requests per second"),
        ("sum(increase(x[5m]))", 2, 60, "counts the requests of 300 s, but the step is 60 s"),
        ("sum(requests_total)", 2, 60, "adds up counters, which only rise; use increase"),
        (QUERY, 0, 60, "--start and --end: 0 s from start to end; allowed: from one step, 60 s, to 100,000,000 s"),
        (QUERY, 2_000_000, 60, "--start and --end: 120000000 s from start to end; allowed: from one step"),
        (QUERY, -1, 60, "--start and --end: -60 s from start to end"),
        ("requests_total", 2, 0, "--step 0: a step is a whole number of seconds"),
    ],
)
def test_a_query_that_does_not_count_the_requests_of_a_step_is_refused(
    query: str, steps: int, step_s: int, message: str
) -> None:
    with pytest.raises(ScenarioError, match=message):
        asked(steps, step_s, query)


# ---- a real server ----


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a real server that holds half an hour of a counter: 2 rps, started again after 900 s."""
    if not (shutil.which("prometheus") and shutil.which("promtool")):
        pytest.skip("prometheus is not installed")
    from ipa.live.monitoring.prometheus_server import command
    from ipa.live.plane import free_port

    folder = tmp_path_factory.mktemp("prometheus")
    samples = "".join(f"requests_total {2 * (second % 900)} {NOON_S + second}\n" for second in range(1801))
    (folder / "samples").write_text(f"# TYPE requests counter\n{samples}# EOF\n")
    blocks = ("promtool", "tsdb", "create-blocks-from", "openmetrics", "samples", "prometheus")
    subprocess.run(blocks, cwd=folder, check=True, capture_output=True)
    port = free_port()
    program = [*command(folder, [], port), "--storage.tsdb.retention.time=100y"]
    with (folder / "log").open("wb") as log, subprocess.Popen(program, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url)
            yield url
        finally:
            process.kill()


def wait_for(url: str) -> None:
    until_s = time.monotonic() + 45.0
    while True:
        try:
            RemotePrometheus(url).load(asked(2, 60, "vector(1)"), seed=1)
        except ServerError:
            assert time.monotonic() < until_s, "the server did not start"
            time.sleep(0.05)
        else:
            return


def test_a_real_server_s_counter_is_a_load_by_the_second(real: str) -> None:
    """At second 900 the counter begins at 0 again: nothing came in that second."""
    counts = RemotePrometheus(real).load(asked(1800, 1, "requests_total"), seed=1).per_second()
    assert counts.tolist() == [2] * 899 + [0] + [2] * 899 + [0]


def test_a_real_server_s_increase_is_a_load_by_the_minute(real: str) -> None:
    trace = RemotePrometheus(real).load(asked(30), seed=1)
    assert trace.per_second().reshape(30, 60).sum(axis=1) == pytest.approx(np.full(30, 120), abs=3)
    with pytest.raises(TraceError, match="no sample in 6 of 36 steps, the first of which ends at 2026-01-05T12:31:00"):
        RemotePrometheus(real).load(asked(36), seed=1)


def test_a_real_server_answers_every_request_of_a_long_load(real: str) -> None:
    """It refuses more than 11,000 points, and shows what is wrong with a query."""
    assert RemotePrometheus(real).load(asked(25_000, 1, "vector(3)"), seed=1).requests == 75_000
    with pytest.raises(ServerError, match=r"HTTP status 400: .*parse error"):
        RemotePrometheus(real).load(asked(2, 60, "sum("), seed=1)
