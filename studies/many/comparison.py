"""Many runs: policies against each other on the same requests, over seeds, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ipa.errors import Error
from ipa.studies.many import workers
from ipa.studies.many.compared import Comparison
from ipa.studies.many.systems import BASELINES, Given, choose
from ipa.studies.runs import RunData, prepare, simulate
from ipa.studies.runs.results import close_comparison, find_finished, finished, open_comparison, run_name, write_run
from ipa.studies.scenario import Scenario


def compare(
    scenario: Scenario,
    policies: Sequence[Given] = BASELINES,
    seeds: int = 1,
    *,
    predictors: Sequence[Given] = (),
    parameters: Mapping[str, Any] | None = None,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
    log: Callable[[str], object] = lambda _: None,
) -> Comparison:
    """Run policies on the same requests: each with the seeds scenario.seed, scenario.seed + 1, ..., `seeds` of them.

    A policy is a text, such as `ipa alpha=20 label="IPA, bold"`, or a mapping with `name`, perhaps `label`, and
    parameters. `predictors`, `parameters` and `log` as in `choose`. `jobs` runs at a time, default: one per core. With
    a folder each run is kept there as soon as it has finished, and an interrupted comparison is resumed. `on_finished`
    is called after each run. The runs are ordered by policy, then seed. An error in a run names its policy and its
    seed. Raises as `choose`, `prepare` and `run_all`, and ScenarioError for a folder that cannot be used.
    """
    folder = None if folder is None else Path(folder)
    chosen = choose(scenario, policies, predictors=predictors, parameters=parameters, log=log)
    for one in chosen:
        prepare(one)
    every = with_seeds(chosen, seeds)
    if folder is not None:
        open_comparison(every, folder)
    runs = run_all(every, jobs=jobs or workers.cores(), folder=folder, on_finished=on_finished)
    if folder is not None:
        close_comparison(runs, folder)
    return Comparison(tuple(runs))


def with_seeds(chosen: Sequence[Scenario], seeds: int) -> list[Scenario]:
    """Each scenario with its seed and those after it, `seeds` of them."""
    return [one.with_values({"seed": one.seed + offset}) for one in chosen for offset in range(seeds)]


def run_all(
    chosen: Sequence[Scenario],
    *,
    jobs: int,
    folder: Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
) -> list[RunData]:
    """Run all scenarios, `jobs` at a time; results in the order of the scenarios, whatever finished first.

    With a folder each run is written to it as soon as it has finished, and a run of the same scenario that is there
    already is not run again. Raises as `workers.run_all`.
    """
    results: dict[int, RunData] = {}
    waiting: list[int] = []
    for position, scenario in enumerate(chosen):
        stored = find_finished(scenario, folder) if folder else None
        if stored is None:
            waiting.append(position)
        else:
            results[position] = stored
            on_finished()

    def keep(place: int, result: RunData) -> None:
        results[waiting[place]] = result
        on_finished()

    workers.run_all(partial(_run_one, folder), [chosen[position] for position in waiting], jobs, keep)
    return [results[position] for position in range(len(chosen))]


def _run_one(folder: Path | None, scenario: Scenario) -> RunData:
    try:
        run = simulate(scenario)
    except Error as error:
        raise type(error)(f"{scenario.policy.title}, seed {scenario.seed}: {error}") from error
    if folder is None:
        return run
    inner = folder / run_name(scenario)
    write_run(run, inner)
    return finished(inner, scenario)  # which reads its tables when they are asked for, and is small until then
