"""How robust `foresight` is: `python -m tests.studies.foresight.robustness`, on development windows (`IPA_TRACE`).

One row for each change of the world or the load: SLA violations in percent by pipeline, mean and highest, ours and
IPA's, and what both cost.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

import click
import numpy as np

from tests.studies.foresight.cases import OURS, PIPELINES, Window
from tests.studies.foresight.changes import changes, steepest_rise
from tests.studies.foresight.runs import Row, kept

OTHER = "ipa"
BAR = 1.0
"""Of violations in percent, under which a row is to stay."""


@click.command()
@click.option("--change", "names", multiple=True, help="a row of the table; default: all")
@click.option("--pipeline", "pipelines", multiple=True, default=PIPELINES)
@click.option("--most", type=click.IntRange(1), help="only so many windows, those in which the load rises most steeply")
@click.option("--seeds", type=click.IntRange(1), default=1)
@click.option("--policy", default=OURS, help="what is looked at, with parameters if need be")
@click.option("--keep", type=click.Path(path_type=Path), help="a folder for the rows; those there are not run again")
def main(
    names: Sequence[str], pipelines: Sequence[str], most: int | None, seeds: int, policy: str, keep: Path | None
) -> None:
    """SLA violations of a policy and of IPA where the world or the load is another one."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
    known = changes()
    if unknown := [name for name in names if name not in known]:
        raise click.BadParameter(f"{unknown[0]!r}; allowed: {', '.join(known)}", param_hint="--change")
    click.echo("\n".join(heading(pipelines)))
    for name in names or known:
        change = known[name]
        asked = (
            (name, pipeline, window, system, seed, {**change.keys, **change.of(window)})
            for pipeline in pipelines
            for system in (policy, OTHER)
            for window in steepest(change.windows(), most)
            for seed in range(1, seeds + 1)
        )
        click.echo(line(name, pipelines, policy, kept(keep, asked)))


def steepest(found: Sequence[Window], most: int | None) -> list[Window]:
    """The windows in which the load rises most steeply, in their own order; None: all."""
    kept_ones = sorted(found, key=lambda window: -steepest_rise(window)[1])[:most]
    return [window for window in found if window in kept_ones]


def heading(pipelines: Sequence[str]) -> list[str]:
    """The table's first two lines."""
    columns = ["changed", *pipelines, "cells under 1 %", "IPA: violations %", "cost of IPA's %", "objective - IPA's"]
    return [f"| {' | '.join(columns)} |", f"|---|{'---|' * len(pipelines)}--:|---|--:|--:|"]


def line(name: str, pipelines: Sequence[str], policy: str, rows: Iterable[Row]) -> str:
    """A row of the table; cells are means over the seeds."""
    cells: dict[tuple[str, str, str], list[Row]] = defaultdict(list)
    for row in rows:
        cells[row.system, row.pipeline, row.window].append(row)

    def of(system: str, figure: str, pipeline: str | None = None) -> list[float]:
        return [
            float(np.mean([getattr(row, figure) for row in each]))
            for (own, on, _), each in cells.items()
            if own == system and pipeline in (None, on)
        ]

    ours = of(policy, "violations")
    said = [
        name,
        *(_mean_and_highest(of(policy, "violations", pipeline)) for pipeline in pipelines),
        f"{sum(each < BAR for each in ours)} of {len(ours)}",
        _mean_and_highest(of(OTHER, "violations")),
        f"{100 * np.mean(np.divide(of(policy, 'cores'), of(OTHER, 'cores'))):.0f}",
        f"{np.mean(np.subtract(of(policy, 'objective'), of(OTHER, 'objective'))):.2f}",
    ]
    return f"| {' | '.join(said)} |"


def _mean_and_highest(values: Sequence[float]) -> str:
    return f"{np.mean(values):.2f} ({max(values):.2f})"


if __name__ == "__main__":
    main()
