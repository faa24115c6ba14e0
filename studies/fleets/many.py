"""Many runs of a fleet, on the path of all many runs: planned, made where they are lacking, kept as they finish."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

from ipa.studies import results
from ipa.studies.fleets.answers import mean_units, outcome_of, short_share, units_over_time
from ipa.studies.fleets.fleet import Fleet
from ipa.studies.fleets.run import FleetRun, simulate_fleet
from ipa.studies.many import FinishedRun, Keys, PlannedRun, Running, begun
from ipa.studies.scenario import Scenario, Shared

if TYPE_CHECKING:
    import pandas as pd

TABLE = "runs.parquet"
"""The table in the folder of many runs: a row for each run and pipeline."""

Values = Mapping[str, Any]
"""The values of a point by key, as in `Fleet.with_values`."""

Figures = Mapping[str, Mapping[str, Any]]
"""Pipeline -> the summary of its run, with `wanted`, `got` and `objective`."""


class FleetRunFigures(NamedTuple):
    """The figures of a run, and the share of the time in which the budget did not suffice."""

    figures: Figures
    short: float


class FleetPoint(NamedTuple):
    """A point: the values of its keys, and the fleet with them and the first seeds."""

    values: Values
    fleet: Fleet


def conduct(
    base: Fleet, kind: str, points: Sequence[FleetPoint], seeds: int, running: Running
) -> list[list[FleetRunFigures]]:
    """The figures of each point's runs, `seeds` of each; those that the folder of this `kind` lacks are made.

    With a folder, finished runs survive an interrupt, and `TABLE` is written at the end. Raises as `begun` and
    `RunsSession.executor`, and ScenarioError for a run that fails, which names it and ends the others.
    """
    keys = Keys()
    plan = [
        (_in_words(values, place), planned_run(keys, with_seeds(fleet, place)))
        for values, fleet in points
        for place in range(seeds)
    ]
    manifest = {
        "schema_version": results.SCHEMA_VERSION,
        "kind": kind,
        "fleet": base.model_dump(mode="json"),
        "points": [dict(point.values) for point in points],
        "seeds": seeds,
        **results.versions(),
    }
    scenarios = [scenario for _, fleet in points for scenario in _scenarios(fleet)]
    with begun(running, manifest, summary_of_fleet, scenarios) as session:
        with session.executor(scenarios) as run, session.ended_by_failure(plan):
            run((planned for _, planned in plan), len(plan))
        summaries: Mapping[str, Any] = session.store.summaries([planned.key for _, planned in plan])
        figures = [FleetRunFigures(**summaries[planned.key]) for _, planned in plan]
        by_point = [figures[first : first + seeds] for first in range(0, len(figures), seeds)]
        if running.folder is not None:
            path = running.folder / TABLE
            session.store.say_left_out((planned.key for _, planned in plan), f"{path}")
            results.write_table(table_of(points, by_point), path)
    session.finish()
    return by_point


def planned_run(keys: Keys, fleet: Fleet) -> PlannedRun:
    """A run of a fleet. Its key is of all pipelines' scenarios and seeds, and of the fleet's own keys."""
    own = fleet.model_dump(mode="json")
    for member in own["pipelines"]:
        del member["scenario"]
    parts = [json.dumps(own, sort_keys=True)]
    parts += [f"{keys.shared(scenario)}\n{scenario.seed}" for scenario in _scenarios(fleet)]
    return PlannedRun(sha256("\n".join(parts).encode()).hexdigest(), fleet.model_dump(mode="json"))


def summary_of_fleet(planned: PlannedRun, shared: Shared) -> FinishedRun:
    """Make a run of a fleet. Raises as `simulate_fleet`."""
    run = simulate_fleet(Fleet.model_validate(planned.data), shared)
    return FinishedRun(figures_of_run(run)._asdict())


def figures_of_run(run: FleetRun) -> FleetRunFigures:
    """The figures of a run."""
    return FleetRunFigures(figures_of_fleet(run), short_share(run))


def figures_of_fleet(run: FleetRun) -> Figures:
    """The figures of each pipeline of a run."""
    figures = {}
    for name, member_run in run.runs.items():
        mean_wanted, mean_got = mean_units(units_over_time(run, name))
        own = {"wanted": mean_wanted, "got": mean_got, "objective": outcome_of(member_run).objective}
        figures[name] = {**member_run.summary, **own}
    return figures


def with_seeds(fleet: Fleet, place: int) -> Fleet:
    """The fleet with its pipelines' seeds, each `place` higher."""
    return fleet.with_values({f"{m.name}.seed": m.scenario.seed + place for m in fleet.pipelines})


def table_of(points: Sequence[FleetPoint], by_point: Sequence[Sequence[FleetRunFigures]]) -> pd.DataFrame:
    """A row for each point, seed and pipeline: the point's values, `pipeline`, `short`, `wanted`, `got`, `objective`
    and the pipeline's summary without `wall_s`."""
    import pandas as pd

    def rows() -> Iterator[dict[str, Any]]:
        for (values, _), runs in zip(points, by_point, strict=True):
            for figures, short in runs:
                for pipeline, summary in figures.items():
                    known = {key: value for key, value in summary.items() if key not in ("pipeline", "wall_s")}
                    yield {**values, "pipeline": pipeline, "short": short, **known}

    return pd.DataFrame(list(rows()))


def _scenarios(fleet: Fleet) -> list[Scenario]:
    return [member.scenario for member in fleet.pipelines]


def _in_words(values: Values, place: int) -> str:
    """A run's name: the values of its point, and which of its seeds it has."""
    return ", ".join([*(f"{key}={value}" for key, value in values.items()), f"run {place + 1}"])
