"""`ipa trace from-prometheus`: a load out of a Prometheus server, in one command."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ipa.traces import read
from tests.command import ipa
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
    assert ipa(*command, "--to", "again.csv").exit_code == 0
    assert (here / "again.csv").read_bytes() == (here / "load.csv").read_bytes()
