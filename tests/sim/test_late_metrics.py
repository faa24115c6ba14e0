"""Metrics that come late: what a policy sees of the moment, and what of the past."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipa.policies import Observation
from ipa.studies import Run, Scenario, read_run, replay, simulate, write_run
from tests.command import ipa

SHORT: dict[str, Any] = {"pipeline": "video", "trace": "bursty", "window": "300:500", "journal": "full"}


def run(delay_s: float, **values: Any) -> Run:
    return simulate(Scenario(**{**SHORT, "metrics_delay_s": delay_s, **values}))


def seen(finished: Run) -> dict[float, Observation]:
    """Time -> what was observed then, once the run has begun."""
    return {entry.observation.time_s: entry.observation for entry in finished.entries if entry.observation.step}


def measured(observation: Observation) -> tuple[object, ...]:
    """All that comes from metrics, as text, in which NaN equals NaN."""
    stages = observation.stages.values()
    bare = [repr(replace(stage, replicas={}, configuration=next(iter(stages)).configuration)) for stage in stages]
    return (observation.load_rps, observation.elapsed_s, repr(observation.latency), *bare)


@pytest.mark.parametrize("delay_s", [10.0, 25.0, 30.0])
def test_metrics_are_those_of_the_latest_step_that_is_old_enough(delay_s: float) -> None:
    """A policy that does not change anything makes both runs alike: steps 10 s apart, so 25 s late is 30 s late."""
    on_time, late = (seen(run(of, policy="static:3,2")) for of in (0.0, delay_s))
    steps = -(-delay_s // 10.0)
    compared = [time_s for time_s in late if time_s - 10.0 * steps > 0.0]
    assert len(compared) == 19 - steps
    for time_s in compared:
        assert measured(late[time_s]) == measured(on_time[time_s - 10.0 * steps])


def test_until_the_first_metrics_come_the_load_is_that_before_the_start() -> None:
    late = seen(run(85.0, policy="static:3,2"))
    first = run(0.0, policy="static:3,2").entries[0].observation
    early = [observation for time_s, observation in late.items() if time_s < 90.0]
    assert {observation.load_rps for observation in early} == {first.load_rps}
    assert {stage.arrivals for observation in early for stage in observation.stages.values()} == {0}
    assert not any(observation.is_silent for observation in late.values())


def test_clock_replicas_and_configuration_are_of_the_moment() -> None:
    """A policy that changes its mind every step sees its own decisions at once."""
    late = run(60.0, policy="hpa metric=rps sync_s=10 scale_down_window_s=0")
    decided = [entry.decision.configuration for entry in late.entries]
    shown = [entry.observation.configuration for entry in late.entries]
    assert len({str(each) for each in decided}) > 1
    assert shown[1:] == decided[:-1]
    assert [entry.observation.time_s for entry in late.entries[1:]] == [10.0 * step for step in range(1, 20)]


def test_both_engines_are_the_same_and_late_is_not_on_time() -> None:
    decisions = [
        [entry.decision.configuration for entry in run(delay_s, policy="hpa metric=rps", engine=engine).entries]
        for engine in ("simpy", "compiled")
        for delay_s in (0.0, 60.0)
    ]
    assert decisions[:2] == decisions[2:]
    assert decisions[0] != decisions[1]


def test_a_journal_replays_to_the_decisions_of_the_run(tmp_path: Path) -> None:
    write_run(run(60.0, policy="hpa"), tmp_path / "out")
    stored = read_run(tmp_path / "out")
    assert replay(stored.journal, stored.scenario).equal == 20


def test_a_comparison_says_how_old_the_metrics_are() -> None:
    options = ("--trace", "constant:5:40", "--policy", "static", "--policy", "hpa", "--jobs", 1)
    late = ipa("compare", "video", *options, "--set", "metrics_delay_s=85 s")
    assert "The policies see metrics that are 85 s old." in " ".join(late.output.split())
    assert "s old" not in ipa("compare", "video", *options).output
