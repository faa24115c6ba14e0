"""Conducts a validation: measures the overheads live, runs live, simulates the same, and compares.

Each run in the folder is an ordinary results folder, written as soon as the run has finished.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ipa.policies import facts_of
from ipa.sim import stage_models
from ipa.studies import results
from ipa.studies.runs import Prepared, Run, prepare, simulate
from ipa.studies.runs.live_runs import Live
from ipa.studies.scenario import Scenario, ScenarioError, Windows
from ipa.studies.validation.decisions import decided, in_closed_loop, on_same_observations, simulate_decisions
from ipa.studies.validation.experiment import Experiment, RunLive, UnwrittenError, design, live_runner
from ipa.studies.validation.figures import Tables, Worlds
from ipa.studies.validation.manifest import KIND, read_manifest
from ipa.studies.validation.overheads import Overheads, measure_overheads
from ipa.studies.validation.validation import (
    CALIBRATION,
    Conditions,
    Repeat,
    StoredRepeat,
    Validation,
    live_name,
)

SIMULATED = "simulated"
CONDITIONS = "conditions.json"
RESULT = "validation.json"

_CPU_TIMES = Path("/proc/stat")


def validate(
    scenario: Scenario,
    live: Live | None = None,
    folder: str | Path | None = None,
    *,
    repeats: int = 3,
    duration_s: int | None = None,
    calibration: Windows | None = None,
    on_finished: Callable[[], object] = lambda: None,
    writing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Validation:
    """Run a scenario live, simulate the same, and compare: how far is the simulator from real processes?

    `live` says on what and how it runs live; default: on this machine. It runs `repeats` times on the `duration_s`
    seconds of its load with the greatest rise (default: its window, else 120 s). What a live run takes beyond the
    profile is measured on other seconds, `calibration`, and given to the simulation; see `design`. Every run is kept in
    `folder`, where an interrupted validation is resumed; None: nothing is kept.

    `on_finished` is called after each of the `repeats` + 1 live runs; the comparison is written within `writing`.
    Raises as `design`, `live_runner` and `conduct`.
    """
    live = live or Live()
    experiment = design(scenario, duration_s, calibration, backend=live.backend, source=live.settings.controller.source)
    run_live = live_runner(live, experiment.compared)
    with TemporaryDirectory(prefix="ipa-validate-") as temporary:
        place = Path(temporary, "runs") if folder is None else Path(folder)
        return conduct(experiment, run_live, place, repeats=repeats, on_finished=on_finished, writing=writing)


def conduct(
    experiment: Experiment,
    run_live: RunLive,
    folder: Path,
    *,
    repeats: int = 3,
    on_finished: Callable[[], object] = lambda: None,
    writing: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Validation:
    """Conduct an experiment and keep every run in `folder`; runs that have finished there are not repeated.

    `on_finished` is called after each of the `repeats` + 1 live runs; the comparison is written within `writing`.
    Raises ScenarioError if the folder cannot be used, or another command is using it, UnkeptError for a live run that
    cannot be written there; and as `prepare` and `run_live`.
    """
    for scenario in (experiment.compared, experiment.calibration):
        prepare(scenario)
    open_folder(folder, experiment)
    with results.alone(folder):
        kept_runs = []
        for name in (CALIBRATION, *map(live_name, range(1, repeats + 1))):
            scenario = experiment.calibration if name == CALIBRATION else experiment.compared
            kept_runs.append(kept_run(folder, name, scenario, run_live))
            on_finished()
        validation = _validation(experiment, kept_runs[0], kept_runs[1:])
        with writing():
            if not (folder / SIMULATED).exists():
                results.write_run(validation.simulated, folder / SIMULATED)
            results.write_json(validation.as_dict(), folder / RESULT)
        return validation


def read_validation(folder: str | Path) -> Validation:
    """The validation in a folder, compared afresh. Raises ScenarioError where it holds none, or runs are missing."""
    folder = Path(folder)
    experiment = read_experiment(folder)
    repeats = 0
    while (folder / live_name(repeats + 1)).exists():
        repeats += 1
    names = (CALIBRATION, *map(live_name, range(1, max(repeats, 1) + 1)))
    for name in names:
        if not (folder / name).exists():
            raise ScenarioError(f"{folder}: {name} is missing; run the same command again to resume the validation")
    calibration = read_kept(folder / CALIBRATION, experiment.calibration)
    return _validation(experiment, calibration, [read_kept(folder / name, experiment.compared) for name in names[1:]])


def _validation(experiment: Experiment, calibration: StoredRepeat, live: Sequence[StoredRepeat]) -> Validation:
    overheads = _overheads(experiment.calibration, calibration.stored.tables)
    live_tables = [run.stored.tables for run in live]
    prepared, simulated, worlds = _simulated(experiment.compared, overheads, live_tables)
    return Validation(
        experiment,
        prepared,
        _measured(
            calibration,
            experiment.calibration,
            simulate(in_world(experiment.calibration, overheads), late_s=overheads.late_s),
        ),
        tuple(_measured(run, experiment.compared, simulated) for run in live),
        simulated,
        worlds,
    )


def in_world(scenario: Scenario, overheads: Overheads) -> Scenario:
    """The scenario with these overheads. Its policy gets the facts of the live run, which do not include them."""
    by_hand = scenario.policy.parameters
    facts = {fact: getattr(scenario, fact) for fact in facts_of(scenario.policy.name) if fact not in by_hand}
    return scenario.with_values({**{f"policy.{fact}": value for fact, value in facts.items()}, **overheads.values()})


def _simulated(scenario: Scenario, overheads: Overheads, live_tables: Sequence[Tables]) -> tuple[Prepared, Run, Worlds]:
    """The scenario simulated with these overheads, in closed loop and with the decisions of each live run."""
    scenario, late_s = in_world(scenario, overheads), overheads.late_s
    prepared, simulated = prepare(scenario), simulate(scenario, late_s=late_s)
    open_loop = [simulate_decisions(prepared, decided(tables["decisions"]), late_s) for tables in live_tables]
    return prepared, simulated, Worlds(live_tables, simulated.tables, open_loop)


def _measured(run: StoredRepeat, scenario: Scenario, simulated: Run) -> Repeat:
    """The findings of a live run of the scenario, which was also simulated."""
    tables = run.stored.tables
    entries = run.stored.entries
    overheads = _overheads(scenario, tables)
    refused = sum(entry.is_refused for entry in entries)
    closed_loop = in_closed_loop(tables["decisions"], simulated.tables["decisions"], scenario.interval_s)
    return Repeat(
        run,
        overheads,
        _conditions(run, overheads, refused),
        on_same_observations(entries, prepare(scenario)),
        closed_loop,
        refused,
    )


def _overheads(scenario: Scenario, tables: Tables) -> Overheads:
    pipeline = prepare(scenario).pipeline
    models = stage_models(pipeline, sampled=scenario.service_times == "lognormal")
    return measure_overheads(tables, models, scenario.seed, graph=pipeline.graph)


def _conditions(run: StoredRepeat, overheads: Overheads, refused: int) -> Conditions:
    """The conditions of a live run, from its manifest and its overheads."""
    live: Mapping[str, Any] = run.stored.manifest.get("live", {})
    counted = {
        "records_lost": "{} records of requests were lost",
        "foreign_requests": "{} requests came from elsewhere",
        "decisions_held": "{} decisions failed or took too long, and what stood was held",
    }
    faults = [words.format(live[key]) for key, words in counted.items() if live.get(key)]
    if failed := run.stored.summary["failed"]:
        faults.append(
            f"{failed} of {run.stored.summary['requests']} requests failed: no replica answered them as it should"
        )
    if refused:
        faults.append(f"{refused} decisions were refused, and what stood stayed in force")
    faults += [f"a law of the model did not hold: {law}" for law in live.get("broken_laws", ())]
    return Conditions(
        lateness_p99_s=live.get("lateness_p99_s"),
        overhead_p99_s=overheads.dispatch_overhead_s.p99_s,
        faults=tuple(faults),
        **run.machine,
    )


# ---- the folder ----


SCENARIOS = ("compared", "calibration")


def open_folder(folder: Path, experiment: Experiment) -> None:
    """Create the folder of a validation, or resume one of the same experiment.

    Raises ScenarioError if the folder holds anything else.
    """
    expected = {
        "schema_version": results.SCHEMA_VERSION,
        "kind": KIND,
        "backend": experiment.backend,
        "source": experiment.source,
        "compared": experiment.compared.as_dict(),
        "calibration": experiment.calibration.as_dict(),
    }
    manifest = read_manifest(folder)
    if manifest is None:
        results.claim(folder)
        folder.mkdir(parents=True, exist_ok=True)
        results.write_json(expected, folder / results.MANIFEST)
    elif manifest != expected:
        key = next(key for key in expected if manifest.get(key) != expected[key])
        difference = results.difference(key, manifest.get(key), expected[key])
        raise ScenarioError(f"--out {folder}: holds a validation of {difference}; give a new folder")


def read_experiment(folder: Path) -> Experiment:
    """The experiment of a validation's folder. Raises ScenarioError if it holds none."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise ScenarioError(f"{folder}: holds no validation")
    try:
        compared, calibration = (Scenario.model_validate(manifest[key]) for key in SCENARIOS)
        return Experiment(compared, calibration, str(manifest["backend"]), str(manifest["source"]))
    except (KeyError, ValueError) as error:
        raise ScenarioError(f"{folder / results.MANIFEST}: not that of a validation: {error}") from None


def kept_run(folder: Path, name: str, scenario: Scenario, run_live: RunLive) -> StoredRepeat:
    """The live run of that name: read from the folder if it has finished there, else run now and kept.

    An interrupted run leaves no files. Raises as `read_kept`, and UnkeptError where its results cannot be written.
    """
    place = folder / name
    if not place.exists():
        before = _cpu_times()
        try:
            with results.whole_folder(place) as fresh:
                run_live(scenario, fresh)
                results.write_json(_machine_since(before), fresh / CONDITIONS)
        except UnwrittenError as problem:
            raise UnkeptError(problem.run, place, _machine_since(before), str(problem)) from None
    return read_kept(place, scenario)


class UnkeptError(ScenarioError):
    """A live run of a validation could not be written to its `place`; `write` does so elsewhere."""

    def __init__(self, run: Run, place: Path, machine: Mapping[str, Any], problem: str) -> None:
        super().__init__(problem)
        self.run, self.place = run, place
        self._machine = machine

    def write(self, folder: Path) -> None:
        """Write it to `folder`, as it would be kept: there, or moved to its place, the validation goes on with it."""
        with results.whole_folder(folder) as fresh:
            results.write_run(self.run, fresh)
            results.write_json(self._machine, fresh / CONDITIONS)


def read_kept(place: Path, scenario: Scenario) -> StoredRepeat:
    """The live run in a folder. Raises ScenarioError if it is missing, damaged or of another scenario."""
    stored = results.finished(place, scenario)
    try:
        conditions = json.loads((place / CONDITIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{place / CONDITIONS}: cannot be read: {error}") from None
    return StoredRepeat(stored, conditions)


def _machine_since(before: tuple[float, float] | None) -> dict[str, Any]:
    """The machine's processor use since `before`, of `_cpu_times`."""
    after = _cpu_times()
    busy_share = None
    if before is not None and after is not None and after[1] > before[1]:
        busy_share = (after[0] - before[0]) / (after[1] - before[1])
    return {
        "busy_share": busy_share,
        "processors": os.cpu_count() or 1,
    }


def _cpu_times() -> tuple[float, float] | None:
    """Busy and total processor time since boot [ticks]; None on systems that do not report it."""
    try:
        words = _CPU_TIMES.read_text(encoding="ascii").split("\n", 1)[0].split()[1:9]
    except OSError:
        return None
    times = [float(word) for word in words]
    idle = times[3] + times[4]  # idle and iowait
    return sum(times) - idle, sum(times)
