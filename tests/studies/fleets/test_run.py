"""Runs of fleets: equal to single runs where nobody lacks anything, and never more cores than the budget."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ipa.policies.sharing import SHARING, Arbiter, Grant
from ipa.sim import LawError
from ipa.studies import ScenarioError, simulate
from ipa.studies.fleets import Fleet, simulate_fleet
from tests.studies.fleets.fleets import PROD, RESEARCH, fleet, same_tables

ENGINES = ("simpy", "compiled")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("limit_cores", [3, 12])
@pytest.mark.parametrize("policy", ["ipa", "foresight", "hpa"])
def test_a_fleet_of_one_is_that_pipeline(limit_cores: int, engine: str, policy: str) -> None:
    """Also where the cores do not suffice, with a delay and with replicas that take their time."""
    slow = {"policy": policy, "decision_delay_s": 2.0, "stop_s": 3.0, "start_up_s": 12.0, "scale": 2.0}
    alone = fleet(limit_cores, {**PROD, **slow, "engine": engine})
    run = simulate_fleet(alone)
    assert same_tables(run.runs["prod"], simulate(alone.scenario_of(alone.pipelines[0])))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("rule", SHARING)
def test_under_a_budget_that_nobody_needs_whole_every_pipeline_runs_as_alone(rule: str, engine: str) -> None:
    other = {**RESEARCH, "interval_s": 7.0, "start": "configured", "policy": "hpa", "engine": engine}
    ample = fleet(60, {**PROD, "engine": engine}, other, sharing=rule)
    run = simulate_fleet(ample)
    for member in ample.pipelines:
        assert same_tables(run.runs[member.name], simulate(ample.scenario_of(member))), member.name
    assert all(step.got == step.wanted for step in run.steps)


@pytest.mark.parametrize("rule", SHARING)
def test_both_engines_give_the_same(rule: str) -> None:
    short = fleet(
        6, {**PROD, "scale": 2.0, "priority": 3.0}, {**RESEARCH, "scale": 2.0, "interval_s": 7.0}, sharing=rule
    )
    runs = [simulate_fleet(short.with_values({"engine": engine})) for engine in ENGINES]
    assert runs[0].steps == runs[1].steps
    assert any(step.got < step.wanted for step in runs[0].steps), "the cores do not suffice"
    assert all(same_tables(runs[0].runs[name], runs[1].runs[name]) for name in ("prod", "research"))


@pytest.mark.parametrize("rule", SHARING)
def test_scaling_all_priorities_changes_nothing(rule: str) -> None:
    def of(factor: float) -> Fleet:
        pipelines = ({**PROD, "scale": 2.0, "priority": 3.0 * factor}, {**RESEARCH, "scale": 2.0, "priority": factor})
        return fleet(6, *pipelines, sharing=rule)

    assert simulate_fleet(of(1.0)).steps == simulate_fleet(of(7.0)).steps


def random_fleet(draw: np.random.Generator) -> Fleet:
    """Two or three pipelines that roll out, surge, start and stop slowly, decide late, and end at different times."""

    def pipeline(name: str) -> dict[str, Any]:
        return {
            "name": name,
            "pipeline": str(draw.choice(["video", "audio-sent"])),
            "trace": str(draw.choice(["bursty", "fluctuating", "steady-high"])),
            "policy": str(draw.choice(["ipa", "foresight", "hpa", "scale-only:low", "switch-only", "rate"])),
            "window": f"0:{draw.integers(100, 240)}",
            "seed": int(draw.integers(100)),
            "scale": float(draw.choice([0.5, 1.0, 2.0])),
            "priority": float(draw.integers(1, 4)),
            "interval_s": float(draw.choice([5.0, 7.0, 10.0])),
            "decision_delay_s": float(draw.choice([0.0, 0.0, 3.0, 7.0, 12.0])),
            "start_up_s": float(draw.choice([0.0, 8.0, 25.0])),
            "start_up_extra_s": float(draw.choice([0.0, 0.5])),
            "stop_s": float(draw.choice([0.0, 4.0, 15.0])),
            "max_surge": int(draw.integers(0, 4)),
            "max_unavailable": int(draw.integers(1, 3)),
            "when_full": str(draw.choice(["replace", "wait"])),
            "dispatch": str(draw.choice(["central", "eager"])),
            "removal": str(draw.choice(["drain", "lose"])),
            "start": str(draw.choice(["warm", "configured"])),
        }

    names = ("a", "b", "c")[: draw.integers(2, 4)]
    budget = int(draw.integers(4 * len(names), 10 * len(names)))
    return fleet(budget, *map(pipeline, names), sharing=str(draw.choice(SHARING)))


@pytest.mark.parametrize("seed", range(12))
def test_the_cores_that_exist_of_all_never_exceed_the_budget(seed: int) -> None:
    """The law is checked at the end of every run, and here once more by going through all moments."""
    drawn = random_fleet(np.random.default_rng(seed))
    run = simulate_fleet(drawn)
    changes = []
    for each in run.runs.values():
        for replicas in each.records.replicas:
            gone_s = np.where(np.isnan(replicas.gone_s), each.records.run_end_s, replicas.gone_s)
            changes += [(time_s, int(cores)) for time_s, cores in zip(replicas.created_s, replicas.cores, strict=True)]
            changes += [(time_s, -int(cores)) for time_s, cores in zip(gone_s, replicas.cores, strict=True)]
    existing = 0
    for _, cores in sorted(changes):
        existing += cores
        assert existing <= drawn.budget


def test_a_broken_budget_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Arbiter, "grant", lambda self, _: Grant(self.budget, self.budget))
    with pytest.raises(LawError, match="cores existed at once; its budget is 6"):
        simulate_fleet(fleet(6, {**PROD, "scale": 3.0}, {**RESEARCH, "scale": 3.0}))


def test_what_one_gives_back_is_handed_on_when_its_replicas_are_gone() -> None:
    """a's load ends at 120 s; its replicas then are gone, and b gets what it wants."""
    first = {**PROD, "name": "a", "window": "0:120", "scale": 3.0, "priority": 9.0}
    run = simulate_fleet(fleet(5, first, {**PROD, "name": "b", "trace": "steady-high"}, sharing="priority"))
    late = [step for step in run.steps if step.pipeline == "b" and step.time_s >= 140.0]
    assert late
    assert all(step.got == step.wanted for step in late)
    assert any(step.got < step.wanted for step in run.steps if step.pipeline == "b")


def test_configurations_that_are_ready_and_exceed_the_budget_are_an_error() -> None:
    ready = {"start": "configured", "initial": {"object-detection": {"variant": "yolov5n", "replicas": 9}}}
    with pytest.raises(ScenarioError, match=r"limit_cores: 12 is less than the \d+ cores that are ready at first"):
        simulate_fleet(fleet(12, {**PROD, **ready}, {**RESEARCH, **ready}))
