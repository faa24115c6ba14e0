"""Several runs under one budget of cores or GPUs: their steps in the order of time, and between them the arbiter.

The engines know nothing of each other: a run stands at its next step until all earlier ones have been taken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np

from ipa.policies import Configuration, Entry, StageConfiguration
from ipa.policies.sharing import Arbiter, Curves, Grant, Step
from ipa.sim.interface import Engine, EngineStage, Held
from ipa.sim.laws import LawError, most_at_once
from ipa.sim.model import CORES, in_words
from ipa.sim.records import Records
from ipa.sim.simulate import PolicyRun, Simulated


class FleetResults(NamedTuple):
    """The results of all runs, by name, and their steps in the order of time."""

    runs: Mapping[str, Simulated]
    steps: Sequence[Step]


def simulate_fleet(
    runs: Mapping[str, PolicyRun],
    curves: Mapping[str, Curves],
    arbiter: Arbiter,
    resource: str = CORES,
    on_step: Callable[[], object] = lambda: None,
) -> FleetResults:
    """Run a fleet to its end; the arbiter shares the `resource`, cores or GPUs.

    `curves`: of each pipeline, for a rule that weighs objectives, else empty. Of steps at one time, all wishes are
    known before the first is granted, in the order of the runs. `on_step` is called after them. Raises as `PolicyRun`,
    and LawError if more existed at any moment than the budget allows.
    """
    standings = {name: _Claim(run, resource) for name, run in runs.items()}
    results: dict[str, Simulated] = {}
    steps: list[Step] = []
    for name, standing in standings.items():  # what is ready at first, of those that have not decided yet
        arbiter.wish(name, standing.claim)
        arbiter.hold(name, standing.claim)
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
            arbiter.wish(name, runs[name].taken(resource, wish.decision.configuration), curve)
            arbiter.hold(name, standings[name].observed())
        for name, wish in wishes.items():
            run, grant = runs[name], arbiter.grant(name)
            entry, most_existing = _granted(run, wish, grant, resource)
            wanted_units = run.taken(resource, wish.decision.configuration)
            got_units = run.taken(resource, entry.decision.configuration)
            why = arbiter.why(name, wanted_units, grant)
            arbiter.hold(name, standings[name].decided(entry.decision.configuration, most_existing))
            steps.append(Step(now_s, name, entry.observation.step, wanted_units, got_units, why))
        on_step()
        for name in due:
            runs[name].advance()
            if runs[name].is_over:
                results[name] = runs[name].result()
    results = {name: results[name] for name in runs}
    check_budget([result.records for result in results.values()], arbiter.budget, resource)
    return FleetResults(results, steps)


def _granted(run: PolicyRun, wish: Entry, grant: Grant, resource: str) -> tuple[Entry, int]:
    """Carry out what a pipeline wants, or what it decides within its limit; and the most that may exist of it."""
    most_existing = grant.exist_units
    if run.engine is not None:
        most_existing = min(most_existing, run.engine.world.limits.get(resource, most_existing))
        run.engine.limits = {**run.engine.world.limits, resource: most_existing}
    fits = grant.plan_units >= run.taken(resource, wish.decision.configuration)
    return run.carry_out(wish, {} if fits else {f"limit_{resource}": grant.plan_units}), most_existing


class _Claim:
    """How much of one run may exist at most of a resource, as far as is known: its `claim`, until the next step."""

    def __init__(self, run: PolicyRun, resource: str) -> None:
        self._run, self._resource = run, resource
        self._pending: deque[tuple[float, int]] = deque()  # when decisions take effect, and what they take
        engine = run.engine
        self._held: list[Held] = [] if engine is None else self._all_held(engine)
        self.claim = 0 if engine is None else self._may_exist(engine)

    def observed(self) -> int:
        """The claim now, until a decision that is made now takes effect."""
        engine = self._run.engine
        if engine is not None:
            while self._pending and self._pending[0][0] < engine.now_s:
                self._pending.popleft()
            pending = sum(units for _, units in self._pending)
            self._held = self._all_held(engine)
            self.claim = min(self.claim, self._may_exist(engine) + pending)
        return self.claim

    def decided(self, configuration: Configuration, most_existing: int) -> int:
        """The claim from now on, with this decision and the limit with which it takes effect."""
        engine, units = self._run.engine, self._run.taken(self._resource, configuration)
        if engine is None:  # ready at once, and nothing else is there
            self.claim = units
            return units
        may_exist = self.claim + units if self._pending else self._may_exist(engine, configuration)
        self._pending.append((engine.now_s + engine.world.decision_delay_s, units))
        self.claim = max(self.claim, min(most_existing, may_exist))
        return self.claim

    def _all_held(self, engine: Engine) -> list[Held]:
        return [stage.held(self._resource, engine.now_s) for stage in engine.stages]

    def _may_exist(self, engine: Engine, decided: Configuration | None = None) -> int:
        return sum(
            held.most(
                stage.configuration,
                None if decided is None else decided[stage.model.name],
                partial(_taken_by_one, stage, self._resource),
            )
            for held, stage in zip(self._held, engine.stages, strict=True)
        )


def _taken_by_one(stage: EngineStage, resource: str, configuration: StageConfiguration) -> int:
    return stage.model.taken(resource, configuration.variant, configuration.cores)


def check_budget(records: Sequence[Records], budget: int, resource: str = CORES) -> None:
    """LawError: what existed of a resource, of all runs, exceeds the budget at some moment, or that at the start."""
    stages = [
        (replicas, units, run.run_end_s)
        for run in records
        for replicas, units in zip(run.replicas, run.taken(resource), strict=True)
    ]
    at_start = sum(int(units[replicas.ready_s == 0.0].sum()) for replicas, units, _ in stages)
    most = most_at_once(
        [replicas.created_s for replicas, _, _ in stages],
        [np.where(np.isnan(replicas.gone_s), end_s, replicas.gone_s) for replicas, _, end_s in stages],
        [units for _, units, _ in stages],
    )
    if most > max(budget, at_start):
        raise LawError(
            f"the fleet broke its own law: {most} {in_words(resource)} existed at once; its budget is {budget}"
        )
