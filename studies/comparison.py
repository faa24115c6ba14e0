"""Several runs at once: policies against each other on the same requests, over seeds, on all cores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from ipa.studies import workers
from ipa.studies.errors import ScenarioError
from ipa.studies.results import RunData, find_finished, run_name, write_run
from ipa.studies.run import simulate
from ipa.studies.scenario import Scenario

BASELINES = ("ipa", "scale-only:low", "scale-only:high", "switch-only")
"""The systems of the publication, which a comparison runs where none are named."""


def scenarios(base: Scenario, policies: Sequence[str], seeds: int) -> list[Scenario]:
    """Each policy with each of the seeds base.seed, base.seed + 1, ...; policies in the order given.

    The base's own policy keeps its parameters; the others have none. Raises ScenarioError for a policy that is named
    twice, and for parameters of a policy that is not compared.
    """
    twice = next((policy for position, policy in enumerate(policies) if policy in policies[:position]), None)
    if twice is not None:
        raise ScenarioError(f"--policy {twice}: is given twice; a comparison runs each policy once per seed")
    own = base.policy
    if own.parameters and own.name not in policies:
        raise ScenarioError(
            f"policy: {', '.join(own.parameters)} would be of {own.name!r}, which is not compared; compared: "
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
    on_finished: Callable[[], None] = lambda: None,
) -> list[RunData]:
    """Run all scenarios, `jobs` at a time; results in the order of the scenarios, whatever finished first.

    With a folder each run is written to it as soon as it is finished, and one that stands there already, of the same
    scenario, is not run again: an interrupted comparison goes on where it stopped. Raises as `workers.run_all`.
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
