"""Decisions live and simulated: their agreement, and that of replicas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ipa.policies import Configuration, Entry, StageConfiguration, replay_journal
from ipa.sim import (
    RunInput,
    choose_engine,
    collect_records,
    create_engine,
    items_table,
    replicas_table,
    requests_table,
    stages_table,
)
from ipa.studies.runs import ITEMS, Prepared, guarded
from ipa.studies.scenario import arrivals_of, later, models_of, token_columns_of, world_of
from ipa.studies.validation.figures import FloatArray, Tables

if TYPE_CHECKING:
    import pandas as pd

# ---- agreement ----


@dataclass(frozen=True)
class Agreement:
    """How many decisions were equal, out of how many."""

    equal: int
    total: int

    @property
    def percent(self) -> float:
        """The percentage of equal decisions; NaN if there were none."""
        return 100.0 * self.equal / self.total if self.total else nan

    def __add__(self, another: Agreement) -> Agreement:
        return Agreement(self.equal + another.equal, self.total + another.total)


def on_same_observations(entries: Sequence[Entry], prepared: Prepared) -> Agreement:
    """Compare a recorded journal with a scenario's policy, which decides again on each observation (law L10)."""
    replayed = replay_journal(prepared.pipeline, guarded(prepared), entries)
    equal = [
        recorded.decision.configuration == replayed_entry.decision.configuration
        for recorded, replayed_entry in zip(entries, replayed, strict=True)
    ]
    return Agreement(sum(equal), len(equal))


def in_closed_loop(live: pd.DataFrame, simulated: pd.DataFrame, interval_s: float) -> Agreement:
    """Compare the decisions of two runs at the same control steps, from the tables `decisions`.

    The configuration at the start does not count. A step that only one run took, or in which one decision was refused,
    counts as unequal.
    """
    live_by_step, simulated_by_step = (
        {round(time_s / interval_s): configuration for time_s, configuration in decided(table)[1:]}
        for table in (live, simulated)
    )
    steps = live_by_step.keys() | simulated_by_step.keys()
    return Agreement(sum(live_by_step.get(step) == simulated_by_step.get(step) for step in steps), len(steps))


def decided(decisions: pd.DataFrame) -> list[tuple[float, Configuration]]:
    """When each configuration took effect, in order, from the table `decisions`; first the one at the start.

    A refused decision does not count: the configuration before it stays in force.
    """
    by_step: dict[int, tuple[float, dict[str, StageConfiguration]]] = {}
    for row in accepted(decisions).to_dict("records"):
        _, configuration = by_step.setdefault(int(row["step"]), (float(row["time_s"]), {}))
        configuration[str(row["stage"])] = _wanted(row)
    return [by_step[step] for step in sorted(by_step)]


def accepted(decisions: pd.DataFrame) -> pd.DataFrame:
    """The rows of the table `decisions` that were not refused."""
    rows: pd.DataFrame = decisions[decisions["accepted"]]
    return rows


def _wanted(row: Mapping[object, object]) -> StageConfiguration:
    batch, replicas, cores = (int(str(row[name])) for name in ("batch", "replicas", "cores"))
    return StageConfiguration(str(row["variant"]), batch, replicas, float(str(row["batch_timeout_s"])), cores)


def simulate_decisions(
    prepared: Prepared, decisions: Sequence[tuple[float, Configuration]], late_s: float = 0.0
) -> Tables:
    """Simulate a scenario's load under these decisions, without a policy: tables of visits, `requests` and
    `replicas`.

    Compared with the simulation in closed loop, it separates errors of queues and replicas from errors of decisions.
    The first decision is ready at the start; each later one, in order of time, is made at its time and takes effect
    after the scenario's decision delay. Requests reach the pipeline `late_s` after they were due.
    """
    scenario, pipeline, trace = prepared.scenario, prepared.pipeline, prepared.trace
    (_, initial), *following = decisions
    due_s = arrivals_of(scenario, trace)
    run_input = RunInput(
        models_of(scenario, pipeline),
        world_of(scenario, trace.duration_s, prepared.sla_s),
        later(due_s, late_s, trace.duration_s),
        scenario.seed,
        pipeline.graph,
        token_columns_of(scenario, pipeline, trace),
    )
    engine = create_engine(choose_engine(scenario.engine), run_input, initial)
    waiting = iter(following)
    for _ in engine.steps(iter([time_s for time_s, _ in following if time_s < trace.duration_s])):
        engine.apply(next(waiting)[1])
    records = replace(collect_records(engine), arrival_s=due_s)
    visits = {"stages": stages_table(records)} if pipeline.graph is None else {ITEMS: items_table(records)}
    return {
        "requests": requests_table(pipeline, records),
        **visits,
        "replicas": replicas_table(records),
    }


# ---- replicas ----

GRID_S = 0.1
"""The interval at which numbers of replicas are compared [s]."""


def replicas_alike_percent(
    live: Sequence[pd.DataFrame], simulated: pd.DataFrame, duration_s: float
) -> dict[str, float]:
    """Stage -> the percentage of time with equally many ready replicas in both; the mean over live runs."""
    moments_s = np.arange(0.0, duration_s, GRID_S)
    return {
        str(stage): 100.0
        * float(np.mean([ready_at(run, stage, moments_s) == ready_at(simulated, stage, moments_s) for run in live]))
        for stage in simulated["stage"].cat.categories
    }


def ready_at(replicas: pd.DataFrame, stage: str, moments_s: FloatArray) -> NDArray[np.int64]:
    """How many replicas of a stage are ready at each moment, from the table `replicas`; shape of `moments_s`."""
    own = replicas[(replicas["stage"] == stage) & replicas["ready_s"].notna()]
    came_s, went_s = (np.sort(own[name].dropna().to_numpy(dtype=np.float64)) for name in ("ready_s", "removed_s"))
    ready = np.searchsorted(came_s, moments_s, side="right") - np.searchsorted(went_s, moments_s, side="right")
    return np.asarray(ready, dtype=np.int64)
