"""Decisions live and simulated: their agreement, and the durations of start-ups, rollouts and stops."""

from __future__ import annotations

from collections import Counter
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


KINDS = {"start_up": "start-up", "rollout": "rollout", "stop": "stop"}


@dataclass(frozen=True)
class Durations:
    """The durations [s] of one kind at one stage, and how many were seen; NaN if none."""

    count: int
    mean_s: float
    longest_s: float

    @classmethod
    def of(cls, values_s: FloatArray) -> Durations:
        """From all durations; those that did not end are NaN and left out."""
        values_s = values_s[np.isfinite(values_s)]
        return cls(len(values_s), float(values_s.mean()), float(values_s.max())) if len(values_s) else cls(0, nan, nan)


@dataclass(frozen=True)
class Took:
    """The durations of one kind at a stage, live and in the simulations with the live decisions, which have the same
    rollouts.

    `kind`: `start_up`, from a replica's creation until it is ready; `rollout`, from a decision that changes variant,
    replicas or cores until all its replicas are ready and no others serve; `stop`, from a replica's removal until it is
    gone.
    """

    stage: str
    kind: str
    live: Durations
    simulated: Durations


def compare_rollouts(live: Sequence[Tables], open_loop: Sequence[Tables], stages: Sequence[str]) -> list[Took]:
    """One row per stage and kind; the runs of each world are pooled."""
    rows = []
    for stage in stages:
        worlds = [
            _durations_s(
                stage, [(run["decisions"], tables["replicas"]) for run, tables in zip(live, world, strict=True)]
            )
            for world in (live, open_loop)
        ]
        rows += [Took(stage, kind, *(Durations.of(world[kind]) for world in worlds)) for kind in KINDS]
    return rows


def _durations_s(stage: str, runs: Sequence[tuple[pd.DataFrame, pd.DataFrame]]) -> Mapping[str, FloatArray]:
    durations_s: dict[str, list[FloatArray]] = {kind: [] for kind in KINDS}
    for decisions, replicas in runs:
        own = replicas[replicas["stage"] == stage]
        fresh = own[own["created_s"] > 0.0]
        configurations = [(time_s, configuration[stage]) for time_s, configuration in decided(decisions)]
        durations_s["start_up"].append((fresh["ready_s"] - fresh["created_s"]).to_numpy(dtype=np.float64))
        durations_s["stop"].append((own["gone_s"] - own["removed_s"]).to_numpy(dtype=np.float64))
        durations_s["rollout"].append(rollouts(configurations, own))
    return {kind: np.concatenate(values_s) for kind, values_s in durations_s.items()}


def rollouts(configurations: Sequence[tuple[float, StageConfiguration]], replicas: pd.DataFrame) -> FloatArray:
    """The duration [s] of the rollout of each decision that changed a stage's variant, replicas or cores.

    `configurations`: the decisions, first the configuration at the start; `replicas`: those of the stage. NaN for a
    rollout that did not finish before the next change or the end of the run.
    """
    changes = [configurations[0]]
    for time_s, configuration in configurations[1:]:
        if _serving(configuration) != _serving(changes[-1][1]):
            changes.append((time_s, configuration))
    ends_s = [*(time_s for time_s, _ in changes[2:]), np.inf]
    spans = zip(changes[1:], ends_s, strict=False)
    return np.array([_rollout_s(replicas, *change, end_s) for change, end_s in spans], dtype=np.float64)


def _rollout_s(replicas: pd.DataFrame, since_s: float, configuration: StageConfiguration, until_s: float) -> float:
    created_s, ready_s, removed_s = (
        replicas[name].fillna(np.inf).to_numpy(dtype=np.float64) for name in ("created_s", "ready_s", "removed_s")
    )
    exists = (created_s < until_s) & (removed_s > since_s)
    stays = exists & (removed_s >= until_s)
    serving = Counter(zip(replicas["variant"][stays], replicas["cores"][stays].astype(int), strict=True))
    if serving != _serving(configuration) or not (ready_s[stays] < until_s).all():
        return nan
    return float(np.concatenate([[since_s], ready_s[stays], removed_s[exists & ~stays]]).max() - since_s)


def _serving(configuration: StageConfiguration) -> Counter[tuple[str, int]]:
    """Replicas by variant and cores, which a rollout changes; batch sizes and timeouts change at once."""
    return Counter({(configuration.variant, configuration.cores): configuration.replicas})
