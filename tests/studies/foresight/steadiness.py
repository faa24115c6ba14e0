"""How steady decisions are against what no two runs share: `python -m tests.studies.foresight.steadiness`.

Each development window (`IPA_TRACE`) is simulated twice: with every request as late as any other, as a validation does,
and in a world that is slightly another one. How many decisions are equal is what a live run can agree at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import click
import numpy as np

from ipa.studies import Run, simulate
from ipa.studies.validation.agreement import in_closed_loop
from tests.studies.foresight.cases import OURS, Window, windows
from tests.studies.foresight.runs import scenario_of

LEAST_MS = 1.0
DELAYS_MS = (1.0, 3.0, 10.0)
"""Means of exponential delays, beyond `LEAST_MS`: an idle machine, a used one, and one that is always busy."""
LONGER_S = 1.3
"""Of start-ups: by so much they have differed between two live runs."""
POLICIES = (OURS, f"{OURS} gain_above_ipa=never", "ipa", "scale-only", "hpa", "kpa")
SEED = 5
BAR_PERCENT = 90.0


@click.command()
@click.option("--set", "part", default="development", help="windows, as of `python -m tests.studies.foresight`")
@click.option("--pipeline", "pipelines", multiple=True, default=("video",))
@click.option("--policy", "policies", multiple=True, default=POLICIES)
def main(part: str, pipelines: Sequence[str], policies: Sequence[str]) -> None:
    """How many decisions are equal in two worlds that differ by a little."""
    worlds = [*(f"{delay:g} ms" for delay in DELAYS_MS), f"start-ups {LONGER_S} s longer"]
    click.echo(f"| policy | pipeline | {' | '.join(worlds)} |")
    click.echo(f"|---|---|{'---|' * len(worlds)}")
    for policy in policies:
        for pipeline in pipelines:
            equal = np.array([list(shares(pipeline, window, policy)) for window in windows(part)])
            told = [
                f"{column.mean():.1f} ({(column >= BAR_PERCENT).sum()} of {len(column)}; {column.min():.0f})"
                for column in equal.T
            ]
            click.echo(f"| {policy} | {pipeline} | {' | '.join(told)} |")


def shares(pipeline: str, window: Window, policy: str) -> Iterator[float]:
    """The share of equal decisions for each delay, and for longer start-ups [%]."""
    scenario = scenario_of(pipeline, window, policy, 1, {})
    drawn = np.random.default_rng(SEED)
    for delay_ms in DELAYS_MS:
        even = simulate(scenario, late_s=(LEAST_MS + delay_ms) / 1000)
        late_ms = LEAST_MS + drawn.exponential(delay_ms, len(even.tables["requests"]))
        yield _equal_percent(even, simulate(scenario, late_s=late_ms / 1000))
    later = scenario.with_values({"start_up_extra_s": LONGER_S})
    yield _equal_percent(*(simulate(each, late_s=LEAST_MS / 1000) for each in (scenario, later)))


def _equal_percent(one: Run, other: Run) -> float:
    decisions = (each.tables["decisions"] for each in (one, other))
    return in_closed_loop(*decisions, one.scenario.interval_s).percent


if __name__ == "__main__":
    main()
