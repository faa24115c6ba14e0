"""Several runs under one budget of cores: their steps in the order of time, and between them the arbiter.

The engines know nothing of each other: a run stands at its next step until all earlier ones have been taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ipa.policies import Configuration, Entry
from ipa.policies.sharing import Arbiter, Curves, Grant, Step
from ipa.sim.interface import Engine, Held
from ipa.sim.laws import LawError, most_at_once
from ipa.sim.records import Records
from ipa.sim.simulate import PolicyRun, Simulated


class FleetResults(NamedTuple):
    """The results of all runs, by name, and their steps in the order of time."""

    runs: Mapping[str, Simulated]
    steps: Sequence[Step]


def simulate_fleet(runs: Mapping[str, PolicyRun], curves: Mapping[str, Curves], arbiter: Arbiter) -> FleetResults:
    """Run a fleet to its end. `curves`: of each pipeline, for a rule that weighs objectives, else empty.

    Of steps at one time, all wishes are known before the first is granted, in the order of the runs. Raises as
    `PolicyRun`, and LawError if more cores existed at any moment than the budget allows.
    """
    standings = {name: _Standing(run) for name, run in runs.items()}
    results: dict[str, Simulated] = {}
    steps: list[Step] = []
    for name, standing in standings.items():  # what is ready at first, of those that have not decided yet
        arbiter.wish(name, standing.claim_cores)
        arbiter.hold(name, standing.claim_cores)
    while waiting := {name: run for name, run in runs.items() if not run.is_over}:
        now_s = min(run.time_s for run in waiting.values())
        for name, result in results.items():
            if result.records.run_end_s <= now_s:
                arbiter.leave(name)
        due = [name for name, run in waiting.items() if run.time_s == now_s]
        wishes = {name: runs[name].wish() for name in due}
        for name, wish in wishes.items():
            curve = None
            if curves:
                load_rps = curves[name].load_rps(wish.observation, wish.decision)
                curve = partial(curves[name].curve, load_rps)
            arbiter.wish(name, _total_cores(wish.decision.configuration), curve)
            arbiter.hold(name, standings[name].observed())
        for name, wish in wishes.items():
            grant = arbiter.grant(name)
            entry, exist_cores = _granted(runs[name], wish, grant)
            wanted_cores, got_cores = (_total_cores(each.decision.configuration) for each in (wish, entry))
            why = arbiter.why(name, wanted_cores, grant)
            arbiter.hold(name, standings[name].decided(entry.decision.configuration, exist_cores))
            steps.append(Step(now_s, name, entry.observation.step, wanted_cores, got_cores, why))
        for name in due:
            runs[name].advance()
            if runs[name].is_over:
                results[name] = runs[name].result()
    results = {name: results[name] for name in runs}
    check_budget([result.records for result in results.values()], arbiter.limit_cores)
    return FleetResults(results, steps)


def _granted(run: PolicyRun, wish: Entry, grant: Grant) -> tuple[Entry, int]:
    """Carry out what a pipeline wants, or what it decides within its limit; and the most cores that may exist of it."""
    exist_cores = grant.exist_cores
    if run.engine is not None:
        world_cores = run.engine.world.limit_cores
        exist_cores = exist_cores if world_cores is None else min(exist_cores, world_cores)
        run.engine.limit_cores = exist_cores
    fits = grant.plan_cores >= _total_cores(wish.decision.configuration)
    return run.carry_out(wish, None if fits else grant.plan_cores), exist_cores


def _total_cores(configuration: Configuration) -> int:
    return sum(stage.total_cores for stage in configuration.values())


class _Standing:
    """How many cores of one run may exist at most, as far as is known: `claim_cores`, until the next step."""

    def __init__(self, run: PolicyRun) -> None:
        self._run = run
        self._pending: deque[tuple[float, int]] = deque()  # when decisions take effect, and their cores
        engine = run.engine
        self._held: list[Held] = [] if engine is None else [stage.held(engine.now_s) for stage in engine.stages]
        self.claim_cores = 0 if engine is None else self._may_exist(engine)

    def observed(self) -> int:
        """The claim now, until a decision that is made now takes effect."""
        engine = self._run.engine
        if engine is not None:
            while self._pending and self._pending[0][0] < engine.now_s:
                self._pending.popleft()
            pending_cores = sum(cores for _, cores in self._pending)
            self._held = [stage.held(engine.now_s) for stage in engine.stages]
            self.claim_cores = min(self.claim_cores, self._may_exist(engine) + pending_cores)
        return self.claim_cores

    def decided(self, configuration: Configuration, exist_cores: int) -> int:
        """The claim from now on, with this decision and the limit with which it takes effect."""
        engine, cores = self._run.engine, _total_cores(configuration)
        if engine is None:  # ready at once, and nothing else is there
            self.claim_cores = cores
            return cores
        may_exist = self.claim_cores + cores if self._pending else self._may_exist(engine, configuration)
        self._pending.append((engine.now_s + engine.world.decision_delay_s, cores))
        self.claim_cores = max(self.claim_cores, min(exist_cores, may_exist))
        return self.claim_cores

    def _may_exist(self, engine: Engine, decided: Configuration | None = None) -> int:
        return sum(
            held.most_cores(stage.configuration, None if decided is None else decided[stage.model.name])
            for held, stage in zip(self._held, engine.stages, strict=True)
        )


def check_budget(records: Sequence[Records], limit_cores: int) -> None:
    """LawError: the cores that existed of all runs exceed the budget at some moment, or those at the start."""
    replicas = [(each, run.run_end_s) for run in records for each in run.replicas]
    at_start = sum(int(each.cores[each.ready_s == 0.0].sum()) for each, _ in replicas)
    most = most_at_once(
        [each.created_s for each, _ in replicas],
        [np.where(np.isnan(each.gone_s), end_s, each.gone_s) for each, end_s in replicas],
        [each.cores for each, _ in replicas],
    )
    if most > max(limit_cores, at_start):
        raise LawError(f"the fleet broke its own law: {most} cores existed at once; its budget is {limit_cores}")
