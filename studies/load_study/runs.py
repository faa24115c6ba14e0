"""The runs of the benchmark: every policy on every load, in every world; each is saved as soon as it has finished."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ipa import profiles, studies, traces
from ipa.errors import Error
from ipa.policies import OptimisingPolicy, create
from ipa.studies.load_study.families import Drawn

PIPELINES = ("video", "audio-qa", "audio-sent", "sum-qa", "nlp")
BOUND = "oracle"
POLICIES: Mapping[str, float | None] = {
    "ipa": None,
    "foresight": None,
    "scale-only:low": None,
    "scale-only:high": None,
    "switch-only": None,
    "rate": None,
    "rate:high": None,
    "hpa": 15.0,
    "hpa:high": 15.0,
    "kpa": 2.0,
    "kpa:high": 2.0,
    "inferline": 2.0,
    "inferline:high": 2.0,
    "faro": None,
    "planner": 5.0,
    "ray": None,
    "loki": None,
    "infadapter": None,
    BOUND: None,
}
"""Every causal policy and the oracle, with the control interval that each is designed for [s]; None: the scenario's."""

SCALES = (0.2, 1.0, 5.0)
WORLD = "as it is"
"""The world that is run at every scale; the others are run at scale 1."""
WORLDS: Mapping[str, Mapping[str, Any]] = {
    WORLD: {},
    "decisions each 30 s": {"interval_s": 30.0},
    "starts of 60 s": {"start_up_s": 60.0},
    "half the SLA": {"sla_share": 0.5},
    "batches 15 % slower": {"service_factor": 1.15},
    "decisions of 15 s": {"decision_delay_s": 15.0},
    "eager dispatch": {"dispatch": "eager"},
    "two minutes of silence": {"outages": ((400.0, 520.0),)},
    "a new deployment": {"start": "configured"},
}
"""World -> changed keys of the scenario; `sla_share` multiplies the pipeline's SLA."""


class Row(NamedTuple):
    """The figures of a run: its achieved objective, the percentage of late requests, cores and PAS."""

    world: str
    scale: float
    family: str
    draw: int
    pipeline: str
    policy: str
    objective: float
    late_percent: float
    cores: float
    pas: float

    @property
    def key(self) -> tuple[object, ...]:
        """The key that identifies the run."""
        return self[:6]


@dataclass(frozen=True)
class Case:
    """A run to make: the key of its row, and its scenario."""

    key: tuple[str, float, str, int, str, str]
    scenario: Any


def cases_of(loads: Sequence[Drawn], pipelines: Sequence[str], seed: int, folder: Path) -> Iterator[Case]:
    """All runs on the loads, which are written to the folder, where other commands can use them.

    Raises ScenarioError if a pipeline is a graph.
    """
    for pipeline in pipelines:
        if profiles.load(pipeline).graph is not None:
            raise studies.ScenarioError(f"{pipeline} is a graph of stages; the study of loads takes chains")
    folder.mkdir(parents=True, exist_ok=True)
    for load in loads:
        for world, scale in [(WORLD, scale) for scale in SCALES] + [(world, 1.0) for world in WORLDS if world != WORLD]:
            path = folder / f"{load.family.replace(' ', '-')}-{load.draw}-x{scale:g}.parquet"
            if not path.exists():
                traces.write(load.scaled(scale, seed), path)
            for pipeline in pipelines:
                for policy in POLICIES:
                    key = (world, scale, load.family, load.draw, pipeline, policy)
                    yield Case(key, scenario_of(world, path, pipeline, policy, load.draw))


def scenario_of(world: str, load: Path, pipeline: str, policy: str, seed: int) -> Any:
    """The scenario of a run. The oracle always starts warm, as it knows the load in advance."""
    keys = {**({} if (interval_s := POLICIES[policy]) is None else {"interval_s": interval_s}), **WORLDS[world]}
    if (share := keys.pop("sla_share", None)) is not None:
        keys["sla_s"] = share * profiles.load(pipeline).sla_s
    if policy == BOUND:
        keys.pop("start", None)
    given = {"pipeline": pipeline, "policy": policy, "trace": str(load), "seed": seed, **keys}
    return studies.Scenario.model_validate(given)


def made(
    cases: Sequence[Case], kept: Path, jobs: int, advance: Callable[[bool], object]
) -> tuple[list[Row], list[str]]:
    """The rows of all cases, in order, and the errors of failed ones; rows in the file `kept` are not run again."""
    known = {}
    if kept.exists():
        known = {row.key: row for row in (Row(*json.loads(line)) for line in kept.read_text().splitlines())}
    waiting = [case for case in cases if case.key not in known]
    failures: list[str] = []

    def keep(place: int, found: Row | str) -> None:
        if isinstance(found, str):
            failures.append(f"{waiting[place].key}: {found}")
        else:
            known[found.key] = found
            with kept.open("a", encoding="utf-8") as file:
                file.write(json.dumps(found) + "\n")
        advance(isinstance(found, str))

    studies.many.workers.run_all(run_one, waiting, jobs, keep)
    return [known[case.key] for case in cases if case.key in known], failures


def run_one(case: Case) -> Row | str:
    """The row of a run, or its error."""
    try:
        run = studies.simulate(case.scenario)
    except Error as error:
        return str(error)
    found = run.summary
    pas = 0.0 if found["pas_mean"] is None else found["pas_mean"]
    return Row(*case.key, objective_of(run), 100 * found["sla_violation_rate"], found["cost_mean_cores"], pas)


def objective_of(run: Any) -> float:
    """alpha x the mean accuracy of completed requests - beta x the mean cores, with IPA's weights for the pipeline. The
    accuracy is 0 if none completed."""
    programme = _programme(run.pipeline.name)
    scales, records = programme.table.scales, run.records
    done = records.outcome == 0
    denominator = scales.unit ** (1 / len(records.stages)) if scales.multiply else scales.unit
    value = np.ones(int(done.sum()))
    for position, replicas in enumerate(records.replicas):
        terms = np.array([scales.terms[position][name] / denominator for name in replicas.variant])
        value *= terms[records.replica[position, done]]
    accuracy = value.mean() if len(value) else 0.0
    return float(programme.alpha * accuracy - programme.beta * run.summary["cost_mean_cores"])


@cache
def _programme(pipeline: str) -> Any:
    policy = create("ipa", profiles.load(pipeline))
    assert isinstance(policy, OptimisingPolicy)
    return policy.programme
