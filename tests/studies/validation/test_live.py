"""`ipa validate` with real processes: the course of it, not how near it comes, which depends on the machine."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.command import PIPELINE, refusal, start
from tests.live.world import descendants, is_alive, until_now

pytestmark = pytest.mark.usefixtures("elsewhere")

pytest.importorskip("aiohttp")

QUICK = (
    *("--trace", "bursty", "--window", "360:366", "--calibration-window", "420:424"),
    *("--set", "interval_s=1", "--set", "policy.load_margin=0.5", "--set", "sla_s=1", "--scale", "0.3"),
)
"""6 seconds with five decisions, after 4 others."""


LANGUAGE_MODEL = """\
  - name: answer
    task: answers
    kind: llm
    sla: {pinned_s: 4, why: for a test}
    tokens: {input: {mean: 30, p99: 60}, output: {mean: 20, p99: 40}, from: guess}
    variants:
      - name: tiny
        accuracy: {value: 0.5, from: guess}
        start_up_s: 0.5
        step: {base_s: 0.01, per_token_s: 1.0e-5, from: guess}
        sequences: 8
        kv_blocks: 100
"""


@pytest.fixture
def pipeline() -> str:
    """A pipeline of one stage, whose replicas start in a second, in the present folder."""
    Path("mine.yaml").write_text(PIPELINE.replace("seconds: 8", "seconds: 1"))
    return "mine.yaml"


@pytest.mark.long
def test_live_runs_are_compared_with_the_simulation(pipeline: str) -> None:
    """Of batches, and of a language model: there each request is one by itself, which takes as long as its steps."""
    stages = Path(pipeline).read_text().partition("published:")[0]
    Path(pipeline).write_text(stages + LANGUAGE_MODEL)
    command = start("validate", pipeline, *QUICK, "--repeats", 1, "--out", "out", "--json")
    said, complaints = command.communicate(timeout=120)
    assert command.returncode == 0, complaints
    found: dict[str, Any] = json.loads(said)
    same, closed = found["decisions"]["on_same_observations"], found["decisions"]["in_closed_loop"]
    assert same["equal"] == same["total"]
    assert 2 <= same["total"] <= 6  # a step that would be late is skipped
    assert closed["total"] >= 5
    assert found["repeats"][0]["summary"]["requests"] == found["simulated"]["requests"] > 10
    rows = {row["metric"]: row for row in found["all"]["rows"]}
    assert rows["latency_mean_s"]["live"] > 0.1  # the emulated batch of one
    assert found["calibration"]["overheads"]["dispatch_overhead_s"]["count"] > 5
    assert 0.0 < found["overheads_s"]["dispatch_overhead_s"] < 1.0
    assert found["repeats"][0]["conditions"]["lateness_p99_s"] is not None
    assert found["judged"]["windows"] >= 1
    assert rows["answer.ttft_p99_s"]["live"] > 0.01
    assert 0.01 < rows["answer.tpot_mean_s"]["live"] < rows["answer.latency_mean_s"]["live"]
    assert found["calibration"]["overheads"]["generation_by_stage"]["answer"]["count"] > 5


@pytest.mark.long
def test_an_interrupt_keeps_what_is_finished_and_leaves_no_process(pipeline: str) -> None:
    """The run that is interrupted has a minute of load."""
    minute = ("--window", "360:420")
    command = start("validate", pipeline, *QUICK, *minute, "--repeats", 1, "--out", "out")
    until_now(lambda: Path("out/calibration").exists(), "the calibration has ended")
    until_now(lambda: "gateway" in descendants(command.pid).values(), "the next run has a gateway")
    children = descendants(command.pid)
    command.send_signal(signal.SIGINT)
    _, complaints = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "interrupted; finished runs are kept in out" in complaints
    assert sorted(path.name for path in Path("out").iterdir()) == [".lock", "calibration", "manifest.json"]
    assert not any(map(is_alive, children))


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("dispatch=eager", "dispatch: eager: the gateway dispatches centrally"),
        ("hop_s=0.1", "hop_s: 0.1: a live hop takes what it takes"),
        ("dispatch_overhead_s=0.1", "dispatch_overhead_s: 0.1: a validation measures it; allowed: 0"),
        ("start_up_extra_s=1", "start_up_extra_s: 1.0: a validation measures it; allowed: 0"),
    ],
)
def test_what_only_a_simulation_can_have(key: str, said: str, pipeline: str) -> None:
    assert said in refusal("validate", pipeline, "--set", key)
