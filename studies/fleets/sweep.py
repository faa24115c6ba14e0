"""A fleet with other values of its keys, over seeds, as one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ipa.studies import results
from ipa.studies.fleets.fleet import Fleet
from ipa.studies.fleets.many import FleetPoint, Values, conduct, table_of
from ipa.studies.fleets.run import prepare_fleet
from ipa.studies.many import Running
from ipa.studies.scenario import ScenarioError, Shared

if TYPE_CHECKING:
    import pandas as pd


def checked_points(fleet: Fleet, points: Sequence[Values]) -> list[FleetPoint]:
    """The fleet at each point. Raises ScenarioError, naming the values, for one that cannot be run."""
    checked, shared = [], Shared()
    for values in points:
        try:
            point = FleetPoint(values, fleet.with_values(values))
            point.fleet.sharers(shared)
            prepare_fleet(point.fleet, shared)
        except ValueError as error:
            words = ", ".join(f"{key}={value}" for key, value in values.items())
            raise ScenarioError(f"{words}: {error}") from None
        checked.append(point)
    return checked


def sweep_fleet(fleet: Fleet, points: Sequence[Values], seeds: int = 1, running: Running | None = None) -> pd.DataFrame:
    """A row for each point, seed and pipeline; see `table_of`.

    Every point has the pipelines' own seeds and the next ones, `seeds` of them. The runs are made in memory, or as
    `running` says. Raises as `checked_points` before anything has run, and as `conduct`.
    """
    checked = checked_points(fleet, points)
    return table_of(checked, conduct(fleet, results.FLEET_SWEEP, checked, seeds, running or Running(None)))


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
