"""Which decisions stay the same where each request is late by its own delay: `python -m tests.studies.foresight.late`.

A live run counts some requests a second later than a simulation does, and finds a queue a little longer or shorter. A
policy that is steady against that decides alike in both.
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from functools import partial

import click
import numpy as np

from ipa.studies import simulate
from ipa.studies.validation.agreement import in_closed_loop
from tests.studies.foresight.cases import OURS, PIPELINES, windows
from tests.studies.foresight.runs import row_of, scenario_of

MEDIAN_S, SIGMA = 0.0017, 0.45
"""Of a request's delay, which is lognormal; the other simulation has its mean for all."""
BATCH_S = 0.002
"""The overhead of a batch."""


def figures(policy: str, cell: tuple[str, int]) -> tuple[float, float, float]:
    """The share of equal decisions, the objective, and the violations in percent, of a pipeline and window (number)."""
    pipeline, number = cell
    window = windows("development")[number]
    scenario = scenario_of(pipeline, window, policy, 1, {}).with_values({"dispatch_overhead_s": BATCH_S})
    alike = simulate(scenario, late_s=MEDIAN_S * float(np.exp(SIGMA**2 / 2)))
    requests = len(alike.tables["requests"])
    late_s = np.random.default_rng(5).lognormal(np.log(MEDIAN_S), SIGMA, requests)
    each_its_own = simulate(scenario, late_s=late_s)
    same = in_closed_loop(alike.tables["decisions"], each_its_own.tables["decisions"], scenario.interval_s)
    row = row_of("late", window, policy, alike)
    return same.equal / same.total, row.objective, row.violations


@click.command()
@click.option("--policy", default=OURS)
@click.option("--windows", "number", type=click.IntRange(1, 24), default=24, help="of the development windows")
def main(policy: str, number: int) -> None:
    """Prints a row for each pipeline: equal decisions, objective, violations, in the mean over windows."""
    click.echo("| | equal % | objective | violations % |\n|---|--:|--:|--:|")
    with ProcessPoolExecutor(2) as workers:
        for pipeline in PIPELINES:
            found = workers.map(partial(figures, policy), [(pipeline, each) for each in range(number)])
            equal, objective, violations = np.mean(list(found), axis=0)
            click.echo(f"| {pipeline} | {100 * equal:.1f} | {objective:.3f} | {violations:.3f} |")


if __name__ == "__main__":
    main()
