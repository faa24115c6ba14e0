"""Live runs of fleets: the decisions of a simulation, never more cores than the budget, and every way to end."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("aiohttp")

from ipa.live import LiveArbiter, SharingController
from ipa.policies import Applied, Configuration, Observation, TimeLimit
from ipa.policies.sharing import SHARING, Arbiter, Curves
from ipa.sim import PolicyRun
from ipa.sim.fleet import _Claim
from ipa.studies import read_run, replay
from ipa.studies.fleets import simulate_fleet
from ipa.studies.fleets.run import BY_OBJECTIVE, prepare_fleet
from ipa.studies.runs import guarded, parts_of
from ipa.studies.scenario import Shared
from tests.command import ipa, refusal, start
from tests.live.world import PATIENCE_S, descendants, is_alive, pipeline_file, until_now
from tests.studies.fleets.test_run import random_fleet

# ---- decisions ----


class OnEngine:
    """A simulated pipeline as a live controller sees it."""

    def __init__(self, run: PolicyRun) -> None:
        self._run, self._standing = run, _Claim(run, "cores")
        self._claim_cores = self._decided_cores = self._standing.claim

    def observe(self) -> Observation:
        self._run._forecasts.make(self._run.time_s)
        return self._run._backend.observe()

    def apply(self, configuration: Configuration) -> Applied:
        return self._run._backend.apply(configuration)

    def limit_to(self, exist_cores: int) -> None:
        self._claim_cores = max(self._claim_cores, min(exist_cores, self._decided_cores))
        if (engine := self._run.engine) is not None:
            most_cores = min(exist_cores, engine.world.limits.get("cores", exist_cores))
            engine.limits = {**engine.world.limits, "cores": most_cores}

    def claim_cores(self, decided: Configuration | None = None) -> int:
        """Budgets are not lowered here, so the claim does not rise by itself."""
        engine, standing = self._run.engine, self._standing
        if decided is not None:
            cores = sum(stage.total_cores for stage in decided.values())
            self._decided_cores = cores if engine is None else standing._may_exist(engine, decided)
            return self._decided_cores
        if engine is not None:
            standing._held = [stage.held("cores", engine.now_s) for stage in engine.stages]
            self._claim_cores = min(self._claim_cores, standing._may_exist(engine))
        return self._claim_cores


@pytest.mark.parametrize("rule", SHARING)
@pytest.mark.parametrize("seed", [0, *(pytest.param(each, marks=pytest.mark.long) for each in (1, 2))])
def test_live_controllers_decide_as_in_a_simulation(seed: int, rule: str) -> None:
    """The controllers and the arbiter of live mode on the simulator's engines, instead of its own."""
    fleet = random_fleet(np.random.default_rng(100 + seed)).with_values({"sharing": rule, "decision_delay_s": 0.0})
    shared = Shared()
    arbiter = LiveArbiter(Arbiter(fleet.sharing, fleet.budget, fleet.sharers(shared)), within_s=PATIENCE_S)
    runs, controllers, worlds = {}, {}, {}
    for name, prepared in prepare_fleet(fleet, shared).items():
        arrivals_s = shared.arrivals(prepared.scenario, prepared.trace)
        policy = guarded(prepared)
        run = runs[name] = PolicyRun(*parts_of(prepared, TimeLimit(policy), shared, arrivals_s))
        curves = Curves(prepared.pipeline, prepared.policy, fleet.budget) if rule in BY_OBJECTIVE else None
        controllers[name] = SharingController(
            prepared.pipeline, policy, 60.0, run._journal, name=name, interval_s=1.0, arbiter=arbiter, curves=curves
        )
        worlds[name] = OnEngine(run)
        controllers[name].stands(worlds[name].claim_cores())
    ends_s: dict[str, float] = {}
    while waiting := {name: run for name, run in runs.items() if not run.is_over}:
        now_s = min(run.time_s for run in waiting.values())
        for name in [name for name, end_s in ends_s.items() if end_s <= now_s]:
            arbiter.leave(name)
        due = [name for name, run in waiting.items() if run.time_s == now_s]
        wishes = {name: controllers[name].tell(worlds[name], worlds[name].observe()) for name in due}
        for name, (wish, claim_cores, problem) in wishes.items():
            controllers[name].take(worlds[name], wish, claim_cores, now_s, problem)
        for name in due:
            runs[name].advance()
            if runs[name].is_over:
                ends_s[name] = runs[name].result().records.run_end_s
    simulated = simulate_fleet(fleet)
    assert arbiter.steps == list(simulated.steps)
    assert {name: list(run.entries) for name, run in simulated.runs.items()} == {
        name: run._journal.entries for name, run in runs.items()
    }


# ---- runs ----

SWELLS = """
from ipa.policies import Decision, StageConfiguration

class Swells:
    \"\"\"One replica of a core, three from its second step on.\"\"\"

    def __init__(self, pipeline):
        pass

    def decide(self, seen, memory):
        replicas = min(3 if seen.step >= 2 else 1, seen.limit_cores)
        return Decision({"sort": StageConfiguration("small", 4, replicas, 0.0, 1)}, memory)
"""

FLEET = """\
schema_version: 1
kind: fleet
limit_cores: 4
sharing: priority
pipelines:
  - {name: prod, pipeline: tiny.yaml, trace: LOAD, interval_s: 1, priority: 3, policy: 'swells.py:Swells'}
  - {name: other, pipeline: tiny.yaml, trace: LOAD, interval_s: 1, policy: 'static:3', stop_s: 0.3}
"""
"""prod takes two of the three replicas of the other; each takes a while to stop."""


def fleet_file(folder: Path, duration_s: int = 5) -> Path:
    pipeline_file(folder)
    (folder / "swells.py").write_text(SWELLS)
    path = folder / "fleet.yaml"
    path.write_text(FLEET.replace("LOAD", f"'constant:20:{duration_s}'"))
    return path


RUN = ("--set", "controller.decision_timeout_s=60")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder of a run, and what the command said."""
    folder = tmp_path_factory.mktemp("fleet")
    result = ipa(
        "live", "run", fleet_file(folder), *RUN, "--out", folder / "run", "--report", folder / "page.html", "--json"
    )
    assert result.exit_code == 0, result.output
    return folder / "run", json.loads(result.stdout)


class Interrupted(NamedTuple):
    """A run that was interrupted once all cores were handed on: its folder, its processes, how it ended."""

    folder: Path
    children: Collection[int]
    exit_code: int
    stdout: str
    stderr: str


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    process = began(folder)
    kept = folder / "state" / "steps.jsonl"

    def is_handed_on() -> bool:
        steps = [json.loads(line) for line in kept.read_text().splitlines(keepends=True) if line.endswith("\n")]
        return [step["got"] for step in steps if step["pipeline"] == "prod"][-2:] == [3, 3]

    until_now(lambda: process.poll() is not None or is_handed_on(), "the cores are handed on")
    children = descendants(process.pid)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE_S)
    return Interrupted(folder, children, process.returncode, stdout, stderr)


@pytest.mark.long
def test_one_gives_way_and_its_cores_are_handed_on_when_its_replicas_are_gone(interrupted: Interrupted) -> None:
    """Replicas that stop at once may be gone at different steps."""
    run = interrupted.folder / "run"
    steps = pd.read_parquet(run / "steps.parquet")
    prod, other = (steps[steps["pipeline"] == name].set_index("step") for name in ("prod", "other"))
    assert (prod.loc[0, "got"], other.loc[0, "got"]) == (1, 3)
    assert (prod["got"].iloc[-1], other["got"].iloc[-1]) == (3, 1)
    assert prod["got"].is_monotonic_increasing
    waited = prod[prod["why"] != ""]
    assert waited["got"].iloc[0] == 1
    assert list(waited["why"]) == [f"{3 - got} of its part of 3 are not free yet" for got in waited["got"]]
    assert set(other["why"]) == {"", "its part by priority is 1"}
    removed = pd.read_parquet(run / "other" / "replicas.parquet").iloc[1:3]
    created = pd.read_parquet(run / "prod" / "replicas.parquet").iloc[1:3]
    assert (removed["gone_s"] >= removed["removed_s"] + 0.3).all()
    assert (np.sort(created["created_s"]) >= np.sort(removed["gone_s"])).all()


@pytest.mark.long
def test_cores_that_exist_of_all_never_exceed_the_budget(interrupted: Interrupted) -> None:
    changes = []
    for name in ("prod", "other"):
        replicas = pd.read_parquet(interrupted.folder / "run" / name / "replicas.parquet")
        changes += [(time_s, 1) for time_s in replicas["created_s"]]
        changes += [(time_s, -1) for time_s in replicas["gone_s"].fillna(np.inf)]
    existing = np.cumsum([cores for _, cores in sorted(changes)])
    assert existing.max() == 4


def test_each_pipeline_has_the_results_of_a_run_of_its_own(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, said = finished
    assert said["fleet"]["limit_cores"] == 4
    for name in ("prod", "other"):
        manifest = json.loads((folder / name / "manifest.json").read_text())
        assert manifest["live"] == said["live"][name]
        assert manifest["live"]["broken_laws"] == []
        assert (manifest["summary"]["requests"], manifest["summary"]["completed"]) == (100, 100)
    assert "The budget over time" in (folder.parent / "page.html").read_text()


def test_the_journal_of_each_gives_its_decisions_again(finished: tuple[Path, dict[str, Any]]) -> None:
    folder, _ = finished
    run = read_run(folder / "other")
    replayed = replay(run.journal, run.scenario)
    assert replayed.equal == len(replayed.recorded) > 0


def began(folder: Path, *more: object) -> Any:
    """A long run in a process of its own that has served for a while."""
    process = start(
        "live",
        "run",
        fleet_file(folder, 60),
        *RUN,
        "--out",
        "run",
        "--set",
        "controller.state=state",
        *more,
        cwd=folder,
    )
    steps = folder / "state" / "steps.jsonl"

    def has_served() -> bool:
        return steps.exists() and '"step": 2' in steps.read_text()

    until_now(lambda: has_served() or process.poll() is not None, "the third step")
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.long
def test_ctrl_c_ends_all_and_their_results_are_written(interrupted: Interrupted) -> None:
    folder, children, exit_code, stdout, stderr = interrupted
    assert exit_code == 1
    assert stderr.splitlines()[-1] == "Error: the run ended early: interrupted"
    assert not any(map(is_alive, children))
    assert "Results: run" in stdout
    for name in ("prod", "other"):
        assert json.loads((folder / "run" / name / "manifest.json").read_text())["live"]["ended"] == "interrupted"


@pytest.mark.long
def test_the_death_of_one_gateway_ends_all_and_says_whose_it_was(tmp_path: Path) -> None:
    process = began(tmp_path)
    gateways = [pid for pid, name in descendants(process.pid).items() if name == "gateway"]
    assert len(gateways) == 2
    os.kill(gateways[0], signal.SIGKILL)
    _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 1
    assert any(f"the run ended early: {name}: the gateway has ended" in told for name in ("prod", "other"))


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--set", "gateway.port=8080"), "gateway.port: 8080: it is of one pipeline, and a fleet has several"),
        (
            ("--set", "controller.source=prometheus"),
            "controller.source: prometheus: a fleet observes its gateways; allowed: gateway",
        ),
        (("--set", "prod.hop_s=1"), "pipelines[prod]: hop_s: 1.0: a live hop takes what it takes; allowed: 0"),
        (("--set", "limit_cores=1"), "limit_cores: 1 is less than the floors"),
        (("--set", "other.policy=oracle"), "pipelines[other].policy: oracle chooses its parameters by runs alone"),
    ],
)
def test_what_a_live_fleet_cannot_have_is_said_in_one_line(options: tuple[str, ...], text: str) -> None:
    said = refusal("live", "run", fleet_file(Path()), *options)
    assert text in said
    assert len(said.splitlines()) == 1
