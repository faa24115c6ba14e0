"""One run of a fleet: all its pipelines at once, within one budget."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from time import perf_counter

from ipa.errors import InputError
from ipa.policies import TimeLimit
from ipa.policies.sharing import Arbiter, Curves, Step
from ipa.sim import GPUS, PolicyRun
from ipa.sim import simulate_fleet as simulate_runs
from ipa.studies.fleets.fleet import Fleet, units_taken
from ipa.studies.runs import (
    Prepared,
    Run,
    figures_with,
    guarded,
    is_left_to_hindsight,
    parts_of,
    prepare,
    run_of,
    summary_with,
)
from ipa.studies.scenario import ScenarioError, Shared

BY_OBJECTIVE = ("objective",)
"""The rules for which each pipeline's best objective within each part of the budget is needed."""


@dataclass(frozen=True)
class FleetRun:
    """A finished run of a fleet: the run of each pipeline, by name, and all steps in the order of time."""

    fleet: Fleet
    runs: Mapping[str, Run]
    steps: Sequence[Step]
    wall_s: float


def prepare_fleet(fleet: Fleet, shared: Shared) -> dict[str, Prepared]:
    """Each pipeline's scenario with everything that it names loaded and checked.

    Raises ScenarioError for what `prepare` refuses, naming the pipeline; for a policy that chooses its parameters by
    runs of its own, and for configurations that are ready at the start and exceed the budget.
    """
    all_prepared = {}
    for member in fleet.pipelines:
        scenario = fleet.scenario_of(member)
        try:
            prepared = all_prepared[member.name] = prepare(scenario, shared)
        except InputError as error:
            raise ScenarioError(f"pipelines[{member.name}]: {error}") from None
        if is_left_to_hindsight(prepared.policy, scenario):
            raise ScenarioError(
                f"pipelines[{member.name}].policy: {scenario.policy.title} chooses its parameters by runs alone, which "
                "are not those of a fleet; allowed: with all its parameters"
            )
    ready = sum(
        units_taken(fleet.resource, prepared.pipeline, prepared.initial or {}) for prepared in all_prepared.values()
    )
    if len(all_prepared) > 1 and ready > fleet.budget:
        raise ScenarioError(
            f"limit_{fleet.resource}: {fleet.budget} is less than the {ready} {fleet.unit} that are ready at first"
        )
    return all_prepared


def curves_of(fleet: Fleet, prepared: Prepared) -> Curves:
    """The curves of a pipeline within the fleet's budget."""
    return Curves(prepared.pipeline, prepared.policy, fleet.budget, counts_gpus=fleet.resource == GPUS)


def simulate_fleet(
    fleet: Fleet, shared: Shared | None = None, on_step: Callable[[], object] = lambda: None
) -> FleetRun:
    """Run all pipelines of a fleet at once. The same fleet gives the same tables, byte for byte.

    `on_step` is called after the steps of each moment.

    Raises as `prepare_fleet` before anything has run, and as `simulate`; also LawError if more ever existed than the
    budget allows.
    """
    started_s = perf_counter()
    shared = Shared() if shared is None else shared
    sharers = fleet.sharers(shared)
    all_prepared = prepare_fleet(fleet, shared)
    with ExitStack() as limits:
        runs, curves = {}, {}
        for name, prepared in all_prepared.items():
            policy = limits.enter_context(TimeLimit(guarded(prepared)))
            arrivals_s = shared.arrivals(prepared.scenario, prepared.trace)
            runs[name] = PolicyRun(*parts_of(prepared, policy, shared, arrivals_s))
            if fleet.sharing in BY_OBJECTIVE:
                curves[name] = curves_of(fleet, prepared)
        arbiter = Arbiter(fleet.sharing, fleet.budget, sharers)
        simulated = simulate_runs(runs, curves, arbiter, fleet.resource, on_step)
    wall_s = perf_counter() - started_s
    finished = {}
    for name, prepared in all_prepared.items():
        result = simulated.runs[name]
        summary = summary_with(prepared, result.engine, figures_with(prepared, result, is_late=False), wall_s)
        finished[name] = run_of(prepared, result, summary, None)
    return FleetRun(fleet, finished, simulated.steps, wall_s)
