"""Many runs: policies against each other on the same requests, over seeds, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ipa.studies import workers
from ipa.studies.compared import Comparison
from ipa.studies.errors import ScenarioError
from ipa.studies.results import close_comparison, find_finished, open_comparison, run_name, write_run
from ipa.studies.run import prepare, simulate
from ipa.studies.run_data import RunData
from ipa.studies.scenario import Scenario

BASELINES = ("ipa", "scale-only:low", "scale-only:high", "switch-only")
"""The systems of the publication: what a comparison runs by default."""


def compare(
    scenario: Scenario,
    policies: Sequence[str] = BASELINES,
    seeds: int = 1,
    *,
    jobs: int | None = None,
    folder: str | Path | None = None,
    on_finished: Callable[[], object] = lambda: None,
) -> Comparison:
    """Run policies on the same requests: each with the seeds scenario.seed, scenario.seed + 1, ..., `seeds` of them.

    `jobs` runs at a time, default: one per core. With a folder each run is kept there as soon as it has finished, and
    an interrupted comparison is resumed. `on_finished` is called after each run. The runs are ordered by policy,
    then seed. Raises as `scenarios`, `prepare` and `run_all`, and ScenarioError for a folder that cannot be used.
    """
    folder = None if folder is None else Path(folder)
    chosen = scenarios(scenario, policies, seeds)
    for one in chosen[::seeds]:
        prepare(one)
    if folder is not None:
        open_comparison(chosen, folder)
    runs = run_all(chosen, jobs=jobs or workers.cores(), folder=folder, on_finished=on_finished)
    if folder is not None:
        close_comparison(runs, folder)
    return Comparison(tuple(runs))


def scenarios(base: Scenario, policies: Sequence[str], seeds: int) -> list[Scenario]:
    """Each policy with each of the seeds base.seed, base.seed + 1, ...; policies in the order given.

    The base's own policy keeps its parameters; the others have none. Raises ScenarioError for a policy named twice and
    for parameters of a policy that is not compared.
    """
    twice = next((policy for position, policy in enumerate(policies) if policy in policies[:position]), None)
    if twice is not None:
        raise ScenarioError(f"--policy {twice}: given twice; a comparison runs each policy once per seed")
    own = base.policy
    if own.parameters and own.name not in policies:
        raise ScenarioError(
            f"policy: has parameters of {own.name!r} ({', '.join(own.parameters)}), which is not compared; compared: "
            f"{', '.join(policies)}"
        )
    return [
        base.with_values({"seed": base.seed + offset} | ({} if policy == base.policy.name else {"policy": policy}))
        for policy in policies
        for offset in range(seeds)
    ]


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
    run = simulate(scenario)
    if folder is not None:
        write_run(run, folder / run_name(scenario))
    return run
