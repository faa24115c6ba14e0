"""The course of a validation: measure the overheads live, run live and simulate the same, compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ipa.sim import stage_models
from ipa.studies import results
from ipa.studies.errors import ScenarioError
from ipa.studies.run import Run, prepare, simulate
from ipa.studies.scenario import Scenario
from ipa.studies.validation.agreement import decided, in_closed_loop, on_same_observations
from ipa.studies.validation.calibration import Overheads, measure_overheads
from ipa.studies.validation.comparison import Worlds
from ipa.studies.validation.conditions import Conditions
from ipa.studies.validation.folder import (
    CALIBRATION,
    RESULT,
    SIMULATED,
    LiveRun,
    RunLive,
    live_name,
    live_run,
    open_folder,
    read_plan,
)
from ipa.studies.validation.measures import Tables
from ipa.studies.validation.open_loop import simulate_decisions
from ipa.studies.validation.outcome import Repeat, Validation
from ipa.studies.validation.plan import Plan


def validate(
    plan: Plan,
    run_live: RunLive,
    folder: Path,
    *,
    repeats: int = 3,
    on_finished: Callable[[], object] = lambda: None,
) -> Validation:
    """Run and compare, keeping every run in `folder`: what is finished there is not run again.

    `on_finished` is told after each of the `repeats` + 1 live runs. Raises ScenarioError for a folder that cannot be
    used, as `prepare` for what the scenario names, and as `run_live`.
    """
    for scenario in (plan.compared, plan.calibration):
        prepare(scenario)
    open_folder(folder, plan)
    found = []
    for name in (CALIBRATION, *map(live_name, range(1, repeats + 1))):
        scenario = plan.calibration if name == CALIBRATION else plan.compared
        found.append(live_run(folder, name, scenario, run_live))
        on_finished()
    validation = _validation(plan, found[0], found[1:])
    if not (folder / SIMULATED).exists():
        results.write_run(validation.simulated, folder / SIMULATED)
    results.write_json(validation.as_dict(), folder / RESULT)
    return validation


def stored(folder: Path) -> Validation:
    """The validation of a folder, compared afresh. Raises ScenarioError where its runs are not all there."""
    plan = read_plan(folder)

    def refuse(_: Scenario, place: Path) -> None:
        raise ScenarioError(f"{folder}: {place.name} is missing; the command that began the validation goes on with it")

    repeats = 0
    while (folder / live_name(repeats + 1)).exists():
        repeats += 1
    names = (CALIBRATION, *map(live_name, range(1, max(repeats, 1) + 1)))
    found = [
        live_run(folder, name, plan.calibration if name == CALIBRATION else plan.compared, refuse) for name in names
    ]
    return _validation(plan, found[0], found[1:])


def _validation(plan: Plan, calibration: LiveRun, live: Sequence[LiveRun]) -> Validation:
    overheads = _overheads(plan.calibration, calibration.stored.tables)
    scenario = plan.compared.with_values(overheads.values())
    prepared, simulated = prepare(scenario), simulate(scenario)
    seen = [run.stored.tables for run in live]
    open_loop = [simulate_decisions(scenario, prepared, decided(tables["decisions"])) for tables in seen]
    return Validation(
        plan,
        prepared,
        _measured(calibration, plan.calibration, simulate(plan.calibration.with_values(overheads.values()))),
        tuple(_measured(run, plan.compared, simulated) for run in live),
        simulated,
        Worlds(seen, simulated.tables, open_loop),
    )


def _measured(run: LiveRun, scenario: Scenario, simulated: Run) -> Repeat:
    tables = run.stored.tables
    entries = run.stored.entries
    overheads = _overheads(scenario, tables)
    refused = sum(entry.is_refused for entry in entries)
    return Repeat(
        run,
        overheads,
        _conditions(run, overheads, refused),
        on_same_observations(entries, scenario, prepare(scenario)),
        in_closed_loop(tables["decisions"], simulated.tables["decisions"], scenario.interval_s),
        refused,
    )


def _overheads(scenario: Scenario, tables: Tables) -> Overheads:
    pipeline = prepare(scenario).pipeline
    models = stage_models(pipeline, sampled=scenario.service_times == "lognormal")
    return measure_overheads(tables, models, scenario.seed)


def _conditions(run: LiveRun, overheads: Overheads, refused: int) -> Conditions:
    """What a live run met; the facts of the live world stand in its manifest."""
    live: Mapping[str, Any] = run.stored.manifest.get("live", {})
    counted = {
        "records_lost": "{} records of requests were lost",
        "foreign_requests": "{} requests came from elsewhere",
        "decisions_held": "{} decisions failed or took too long, and what stood was held",
    }
    faults = [words.format(live[key]) for key, words in counted.items() if live.get(key)]
    if refused:
        faults.append(f"{refused} decisions were refused, and what stood stayed in force")
    faults += [f"a law of the model did not hold: {law}" for law in live.get("broken_laws", ())]
    return Conditions(
        lateness_p99_s=live.get("lateness_p99_s"),
        overhead_p99_s=overheads.dispatch_overhead_s.p99_s,
        faults=tuple(faults),
        **run.machine,
    )
