"""`ipa trace from-prometheus`: a load out of a Prometheus server, in one command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipa.traces import read
from tests.command import ipa, refusal
from tests.studies import fake_prometheus
from tests.studies.fake_prometheus import Fake

QUERY = "sum(increase(requests_total[1m]))"


@pytest.fixture
def server() -> Iterator[Fake]:
    with fake_prometheus.serving() as fake:
        yield fake


SPAN = ("--start", "2026-01-05T12:00:30Z", "--end", "2026-01-05T13:03:20+01:00")
"""From 12:00 to 12:03 in whole minutes."""


def test_a_load_is_fetched_in_one_command(server: Fake, here: Path) -> None:
    (here / "token").write_text("secret\n")
    command = ("trace", "from-prometheus", server.url, "--query", QUERY, *SPAN, "--token-file", "token")
    done = ipa(*command, "--to", "load.csv")
    assert done.stdout == "load.csv\n"
    assert done.stderr == (
        "Prometheus: 30 requests in counts per minute of Prometheus, spread within each at random; 180 s from "
        "2026-01-05T12:00:00+00:00 to 2026-01-05T12:03:00+00:00\n"
    )
    trace = read(here / "load.csv")
    assert (trace.requests, trace.duration_s) == (30, 180.0)
    assert server.asked[0][2] == "Bearer secret"
    assert ipa(*command, "--to", "again.csv", "--seed", 1).exit_code == 0
    assert (here / "again.csv").read_bytes() == (here / "load.csv").read_bytes()
    assert ipa(*command, "--to", "other.csv", "--seed", 2).exit_code == 0
    assert (here / "other.csv").read_bytes() != (here / "load.csv").read_bytes()


def test_a_wrong_command_asks_no_server_and_writes_nothing(server: Fake, here: Path) -> None:
    (here / "there.csv").write_text("mine")
    (here / "two").write_text("one two")
    for options, text in (
        ({"--to": "there.csv"}, "there.csv: already exists"),
        ({"--to": "load.json"}, "unknown suffix '.json'"),
        ({"--query": "requests_total"}, "has no window such as [1m] that says the step, or several; give --step"),
        ({"--step": "30s"}, "counts the requests of 60 s, but the step is 30 s"),
        ({"--step": "half"}, "--step 'half' is not a duration"),
        ({"--step": "0s"}, "--step '0s' is no time at all"),
        ({"--start": "2026-01-05"}, "--start '2026-01-05' has no zone"),
        ({"--end": "1d", "--start": "1h"}, "--start and --end: "),
        ({"--token-file": "none"}, "--token-file none: cannot be read: No such file"),
        ({"--token-file": "two"}, "--token-file two: should hold a token, on one line"),
    ):
        given = {"--query": QUERY, "--start": "1d", "--to": "load.csv", **options}
        message = refusal("trace", "from-prometheus", server.url, *(word for pair in given.items() for word in pair))
        assert text in message
    assert server.asked == []
    assert not (here / "load.csv").exists()
    assert (here / "there.csv").read_text() == "mine"
