"""How a live run is shown: as a screen of 80 columns on a terminal, as lines elsewhere."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from math import nan
from typing import Any

import pytest
from rich.console import Console

pytest.importorskip("aiohttp")

from ipa.live import StageView, View
from ipa.policies import NO_LATENCY, Applied, Decision, Entry, LatencyQuantiles, ReplicaCounts, StageConfiguration
from ipa.studies.commands.live_line import line
from ipa.studies.commands.live_screen import Screen, spark
from ipa.studies.commands.live_view import warn
from tests.tiny import SMALL_ONES, observation

DETECTION = StageView(
    configuration=StageConfiguration("yolov5n", 2, 2, 0.05, 1),
    replicas={"yolov5n": ReplicaCounts(ready=2, draining=1)},
    queue_length=3,
    in_service=4,
    latency=LatencyQuantiles(0.31, 0.4, 0.42),
    failed_variants=(),
    failures={},
)
CLASSIFICATION = StageView(
    configuration=StageConfiguration("resnet34", 8, 2, 0.2, 1),
    replicas={"resnet34": ReplicaCounts(starting=1, ready=1), "resnet18": ReplicaCounts(ready=1)},
    queue_length=0,
    in_service=8,
    latency=NO_LATENCY,
    failed_variants=("resnet152",),
    failures={"resnet152": 3},
)
DECISION = Decision(SMALL_ONES, {}, forecast_rps=29.12, planned_load_rps=29.0, binding="sla")
VIEW = View(
    time_s=69.0,
    duration_s=120.0,
    load_rps=13.0,
    entry=Entry(replace(observation(), step=6, time_s=60.0), DECISION, Applied(True)),
    stages={"object-detection": DETECTION, "image-classification": CLASSIFICATION},
    latency=LatencyQuantiles(0.722, 0.9, 1.035),
    sla_s=6.89,
    ended=1800,
    violations=9,
    cores=5,
    mean_cores=4.71,
    url="http://127.0.0.1:36123",
)


def drawn(view: View) -> list[str]:
    console = Console(width=80, record=True, highlight=False, emoji=False, quiet=True)
    with console.capture() as capture:
        console.quiet = False
        console.print(Screen("video, policy ipa, bursty").drawn(view))
    return [row.rstrip() for row in capture.get().splitlines()]


def test_a_view_in_one_line() -> None:
    assert line(VIEW) == (
        "   69 s, 51 s left  load 13 rps (forecast 29.1, planned 29.0)  object-detection yolov5n b2 2/2 q3  "
        "image-classification resnet34 b8 1/2 q0  p50 0.722 p99 1.035 of 6.89 s  violations 0.5 %  5 cores"
    )


def test_a_view_before_anything_has_happened_in_one_line() -> None:
    early = replace(VIEW, time_s=0.0, load_rps=nan, entry=None, stages={}, latency=NO_LATENCY, ended=0, violations=0)
    assert (
        line(early) == "    0 s, 120 s left  load - rps (no forecast)    p50 - p99 - of 6.89 s  violations -  5 cores"
    )


def test_the_picture_fits_eighty_columns() -> None:
    assert drawn(VIEW) == [
        "video, policy ipa, bursty   1:09 of 2:00   http://127.0.0.1:36123",
        "load 13 rps  forecast 29.1, planned 29.0  █",
        "",
        "stage                variant  batch ready start drain queue  busy p50 s p99 s",
        "object-detection     yolov5n      2   2/2     -     1     3     4 0.310 0.420",
        "image-classification resnet34     8   1/2     1     -     -     8     -     -",
        "",
        "latency p50 0.722  p99 1.035  of 6.89 s SLA   violations 0.5 % of 1800",
        "cost 5 cores now, 4.71 on average",
        "image-classification: resnet152 cannot start",
        "step 6 at 1:00: optimal; sla binds",
    ]


def test_a_refused_decision_says_why() -> None:
    entry = Entry(observation(), DECISION, Applied(False, "advise: nothing is changed"))
    assert drawn(replace(VIEW, entry=entry))[-1] == "step 3 at 0:30: optimal; sla binds; advise: nothing is changed"


def test_loads_are_bars_from_zero() -> None:
    assert spark(deque([0.0, 4.0, 8.0])) == "▁▅█"
    assert spark(deque([0.0])) == ""


def test_what_makes_the_figures_misleading_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    sound: dict[str, Any] = {
        "requests_sent": 100,
        "sent_late": 0,
        "lateness_p99_s": 0.001,
        "decisions_held": 0,
        "records_lost": 0,
        "foreign_requests": 0,
        "cut_off": 0,
        "refused": {},
        "broken_laws": [],
    }
    warn(sound)
    assert capsys.readouterr().err == ""
    counts = {
        "decisions_held": 2,
        "records_lost": 3,
        "foreign_requests": 4,
        "cut_off": 5,
        "refused": {"invalid": 2, "token": 1},
    }
    warn({**sound, **counts, "broken_laws": ["L3: at stage a"]})
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 6
    assert "Warning: the gateway refused 3 requests: 2 invalid, 1 token" in said
    assert any(line.startswith("Warning: 5 requests were cut off by the early end of the run") for line in said)
    assert said[-1] == "Warning: L3: at stage a"
    warn({**sound, "sent_late": "unknown", "refused": "unknown"})
    assert capsys.readouterr().err == "Unknown, since who could say was killed: sent_late, refused\n"
