"""One run, and what of it counts: its objective as measured, PAS, cores and violations."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ipa import Scenario, profiles
from ipa.policies import OptimisingPolicy, create
from ipa.studies import Run, simulate
from tests.studies.foresight.cases import BOUND, SYSTEMS, Window


class Row(NamedTuple):
    """The figures of one run; `violations` and `pas` in percent."""

    setting: str
    pipeline: str
    window: str
    system: str
    seed: int
    objective: float
    pas: float
    cores: float
    violations: float
    changes: int
    p99_s: float


def scenario_of(pipeline: str, window: Window, system: str, seed: int, settings: Mapping[str, Any]) -> Scenario:
    """The scenario of a run."""
    keys: dict[str, Any] = {**settings, **window.keys, **SYSTEMS.get(system, {})}
    if system == BOUND and keys.get("start") == "configured":
        keys["start"] = "warm"  # it knows the load before it has seen any
    return Scenario(pipeline=pipeline, policy=system, seed=seed, **keys)


@cache
def _programme(pipeline: str) -> Any:
    policy = create("ipa", profiles.load(pipeline))
    assert isinstance(policy, OptimisingPolicy)
    return policy.programme


def objective_of(run: Run) -> float:
    """alpha x the mean accuracy of what has served the completed requests - beta x the mean cores."""
    programme = _programme(run.pipeline.name)
    scales, records = programme.table.scales, run.records
    done = records.outcome == 0
    denominator = scales.unit ** (1 / len(records.stages)) if scales.multiply else scales.unit
    value = np.ones(int(done.sum()))
    for position, replicas in enumerate(records.replicas):
        terms = np.array([scales.terms[position][name] / denominator for name in replicas.variant])
        value *= terms[records.replica[position, done]]
    return float(programme.alpha * value.mean() - programme.beta * run.summary["cost_mean_cores"])


def row_of(setting: str, window: Window, system: str, run: Run) -> Row:
    """The row of a run."""
    found = run.summary
    return Row(
        setting,
        run.pipeline.name,
        window.name,
        system,
        run.scenario.seed,
        objective_of(run),
        found["pas_mean"],
        found["cost_mean_cores"],
        100 * found["sla_violation_rate"],
        found["changes"],
        found["latency_p99_s"],
    )


def kept(folder: Path | None, asked: Iterable[tuple[str, str, Window, str, int, Mapping[str, Any]]]) -> Iterator[Row]:
    """The rows asked for: (setting, pipeline, window, system, seed, settings); those in the file are not run again."""
    path = None if folder is None else folder / "rows.jsonl"
    known: dict[tuple[object, ...], Row] = {}
    if path is not None and path.exists():
        for line in path.read_text().splitlines():
            row = Row(*json.loads(line))
            known[row[:5]] = row
    for setting, pipeline, window, system, seed, settings in asked:
        row = known.get((setting, pipeline, window.name, system, seed))
        if row is None:
            run = simulate(scenario_of(pipeline, window, system, seed, settings))
            row = row_of(setting, window, system, run)
            if path is not None:
                with path.open("a") as file:
                    file.write(json.dumps(row) + "\n")
        yield row
