"""A fleet with other values of its keys, over seeds, as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ipa.studies.fleets.comparison import Figures, figures_of_run
from ipa.studies.fleets.fleet import Fleet
from ipa.studies.fleets.run import prepare_fleet
from ipa.studies.many import workers
from ipa.studies.scenario import ScenarioError, Shared

if TYPE_CHECKING:
    import pandas as pd

Values = Mapping[str, Any]
"""The values of a point by key, as in `Fleet.with_values`."""


def checked_points(fleet: Fleet, points: Sequence[Values]) -> list[Fleet]:
    """The fleet at each point. Raises ScenarioError, naming the values, for one that cannot be run."""
    fleets, shared = [], Shared()
    for values in points:
        try:
            fleets.append(fleet.with_values(values))
            fleets[-1].sharers(shared)
            prepare_fleet(fleets[-1], shared)
        except ValueError as error:
            words = ", ".join(f"{key}={value}" for key, value in values.items())
            raise ScenarioError(f"{words}: {error}") from None
    return fleets


def sweep_fleet(
    fleet: Fleet,
    points: Sequence[Values],
    seeds: int = 1,
    jobs: int = 1,
    on_run: Callable[[], object] = lambda: None,
) -> pd.DataFrame:
    """A row for each point, seed and pipeline: the point's values, `pipeline`, `short`, `wanted`, `got`,
    `objective` and the pipeline's summary.

    Every point has the pipelines' own seeds and the next ones, `seeds` of them. The table does not depend on `jobs`,
    but for `wall_s`, which it lacks. Raises as `checked_points` before anything has run.
    """
    import pandas as pd

    tasks = [(at, place) for at in checked_points(fleet, points) for place in range(seeds)]
    results: dict[int, tuple[Figures, float]] = {}

    def keep(place: int, result: tuple[Figures, float]) -> None:
        results[place] = result
        on_run()

    workers.run_all(_figures, tasks, jobs, keep)
    return pd.DataFrame(list(_rows(points, seeds, [results[place] for place in range(len(tasks))])))


def _figures(task: tuple[Fleet, int]) -> tuple[Figures, float]:
    fleet, place = task
    return figures_of_run(fleet, place)


def _rows(points: Sequence[Values], seeds: int, results: Sequence[tuple[Figures, float]]) -> Iterator[dict[str, Any]]:
    of_points = [values for values in points for _ in range(seeds)]
    for values, (figures, short) in zip(of_points, results, strict=True):
        for pipeline, summary in figures.items():
            known = {key: value for key, value in summary.items() if key not in ("pipeline", "wall_s")}
            yield {**values, "pipeline": pipeline, "short": short, **known}


def least_budget_sentence(fleet: Fleet, table: pd.DataFrame, keys: Sequence[str], late_at_most: float) -> str:
    """The least budget with which no pipeline has more late requests than that; empty if no budget is varied."""
    budget = f"limit_{fleet.resource}"
    if budget not in keys:
        return ""
    late = table.groupby([*keys, "pipeline"], sort=False)["sla_violation_rate"].mean().groupby(list(keys)).max()
    enough = late[late <= late_at_most].reset_index()
    most = f"{100 * late_at_most:g} %"
    if enough.empty:
        return f"No point keeps the late requests of every pipeline to {most}."
    best = enough.sort_values([budget, "sla_violation_rate"], kind="stable").iloc[0]
    others = [f"{key}={best[key]}" for key in keys if key != budget]
    with_others = f" with {', '.join(others)}" if others else ""
    fewest = f"The fewest {fleet.unit} with at most {most} late requests of any pipeline"
    return f"{fewest}: {int(best[budget])}{with_others}."
