"""Against IPA in settings drawn at random: `python -m tests.studies.foresight.random_settings --runs 1000`."""

from __future__ import annotations

from random import Random
from typing import Any

import click
import numpy as np

from ipa import Scenario
from ipa.studies import simulate
from tests.studies.foresight.cases import LENGTH_S, OURS, PIPELINES, windows

PART_S = LENGTH_S // 2
"""So many seconds of a window are run."""
DRAWN: dict[str, tuple[Any, ...]] = {
    "interval_s": (1.0, 2.0, 3.0, 5.0, 10.0, 15.0, 30.0),
    "decision_delay_s": (0.0, 0.0, 1.0, 2.0, 5.0, 10.0, 20.0),
    "dispatch": ("central", "eager"),
    "drop": ("request", "batch", "deadline"),
    "arrivals": ("clumped", "poisson", "even"),
    "start": ("warm", "configured"),
    "start_up_s": (None, None, None, None, 1.0, 4.0, 20.0, 40.0),
    "service_factor": (1.0, 1.0, 1.0, 1.0, 1.15),
}
POLICIES = (OURS, OURS, f"{OURS} gain_above_ipa=0", f"{OURS} gain_above_ipa=never")
WORSE = 1.0
"""In points: runs in which so much more is late than with IPA are named."""


@click.command()
@click.option("--runs", type=click.IntRange(1), default=1000)
@click.option("--seed", type=int, default=1)
def main(runs: int, seed: int) -> None:
    """How much is late, and what it costs, where anything may be set, on development windows (`IPA_TRACE`)."""
    draw = Random(seed)
    rows = []
    for _ in range(runs):
        window, pipeline, policy = draw.choice(windows("development")), draw.choice(PIPELINES), draw.choice(POLICIES)
        ((first, _),) = window.keys["window"]
        begun = first + draw.choice((0, PART_S // 2, PART_S))
        settings = {key: draw.choice(values) for key, values in DRAWN.items()}
        keys = {**window.keys, "window": ((begun, begun + PART_S),), **settings}
        ours, theirs = (
            simulate(Scenario(pipeline=pipeline, policy=each, seed=seed, **keys)).summary for each in (policy, "ipa")
        )
        row = [100 * ours["sla_violation_rate"], 100 * theirs["sla_violation_rate"]]
        rows.append((settings["dispatch"], *row, ours["cost_mean_cores"] / theirs["cost_mean_cores"]))
        if row[0] > row[1] + WORSE:
            told = ", ".join(f"{key}: {value}" for key, value in settings.items())
            click.echo(f"{row[0]:.1f} % late, {row[1]:.1f} with ipa: {policy} on {pipeline}, {window.name}; {told}")
    for dispatch in DRAWN["dispatch"]:
        figures = np.array([row[1:] for row in rows if row[0] == dispatch])
        if not len(figures):
            continue
        ours_late, theirs_late, cost = figures.mean(axis=0)
        worse = int((figures[:, 0] > figures[:, 1] + WORSE).sum())
        click.echo(
            f"{dispatch}: {len(figures)} runs, {ours_late:.2f} % late, with ipa {theirs_late:.2f}; "
            f"{100 * cost:.0f} % of its cost in the mean; worse by more than {WORSE:g} point in {worse}, at most "
            f"{(figures[:, 0] - figures[:, 1]).max():.1f} points"
        )


if __name__ == "__main__":
    main()
