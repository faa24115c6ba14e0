"""Several runs at once: policies against each other on the same requests, over seeds, on all cores."""

from __future__ import annotations

import multiprocessing
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from studies.errors import ScenarioError
from studies.results import RunData, find_finished, run_name, write_run
from studies.run import simulate
from studies.scenario import Scenario

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
    scenario, is not run again: an interrupted comparison goes on where it stopped.
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
    for position, result in _run_in_any_order(chosen, waiting, jobs, folder):
        results[position] = result
        on_finished()
    return [results[position] for position in range(len(chosen))]


def _run_in_any_order(
    chosen: Sequence[Scenario], waiting: Sequence[int], jobs: int, folder: Path | None
) -> Iterator[tuple[int, RunData]]:
    if jobs == 1 or len(waiting) <= 1:
        for position in waiting:
            yield position, _run_one(chosen[position], folder)
        return
    # Forking is quick and safe where no thread runs yet; macOS and Windows have no safe fork.
    method = "fork" if sys.platform == "linux" else "spawn"
    pool = ProcessPoolExecutor(min(jobs, len(waiting)), multiprocessing.get_context(method), _become_worker)
    try:
        futures = {pool.submit(_run_one, chosen[position], folder): position for position in waiting}
        for future in as_completed(futures):
            yield futures[future], future.result()
    finally:
        pool.shutdown(cancel_futures=True)


def _run_one(scenario: Scenario, folder: Path | None) -> RunData:
    run = simulate(scenario)
    if folder is not None:
        write_run(run, folder / run_name(scenario))
    return run


def _become_worker() -> None:
    """Leave interrupts to the parent, which lets started runs finish, and its stdout too, whatever a policy prints."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.stdout = sys.stderr
