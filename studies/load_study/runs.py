"""The runs of the benchmark: every policy on every load, in every world."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ipa import profiles, traces
from ipa.studies.load_study.families import Drawn
from ipa.studies.many import OBJECTIVE, Keys, PlannedRun, key_of
from ipa.studies.scenario import Scenario, ScenarioError

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


class Cell(NamedTuple):
    """What identifies a run of the study."""

    world: str
    scale: float
    family: str
    draw: int
    pipeline: str
    policy: str


class Case(NamedTuple):
    """A run to make: what identifies it, and the run for an executor."""

    cell: Cell
    planned: PlannedRun


class Row(NamedTuple):
    """The figures of a run: its achieved objective, the percentage of late requests, cores and PAS."""

    cell: Cell
    objective: float
    late_percent: float
    cores: float
    pas: float


def check(pipelines: Sequence[str]) -> None:
    """Raise ScenarioError if a pipeline is a graph."""
    for pipeline in pipelines:
        if profiles.load(pipeline).graph is not None:
            raise ScenarioError(f"{pipeline} is a graph of stages; the study of loads takes chains")


def cases_of(loads: Sequence[Drawn], pipelines: Sequence[str], seed: int, folder: Path) -> Iterator[Case]:
    """All runs on the loads, which are written to the folder, where other commands can use them."""
    folder.mkdir(parents=True, exist_ok=True)
    keys = Keys()
    for load in loads:
        paths = {scale: folder / f"{load.family.replace(' ', '-')}-{load.draw}-x{scale:g}.parquet" for scale in SCALES}
        for scale, path in paths.items():
            traces.write(load.scaled(scale, seed), path, overwrite=True)
        for world, scale in [(WORLD, scale) for scale in SCALES] + [(world, 1.0) for world in WORLDS if world != WORLD]:
            for pipeline in pipelines:
                for policy in POLICIES:
                    scenario = scenario_of(world, paths[scale], pipeline, policy, load.draw)
                    planned = PlannedRun(key_of(keys.shared(scenario), scenario.seed), scenario.as_dict())
                    yield Case(Cell(world, scale, load.family, load.draw, pipeline, policy), planned)


def scenario_of(world: str, load: Path, pipeline: str, policy: str, seed: int) -> Scenario:
    """The scenario of a run. The oracle always starts warm, as it knows the load in advance."""
    keys = {**({} if (interval_s := POLICIES[policy]) is None else {"interval_s": interval_s}), **WORLDS[world]}
    if (share := keys.pop("sla_share", None)) is not None:
        keys["sla_s"] = share * profiles.load(pipeline).sla_s
    if policy == BOUND:
        keys.pop("start", None)
    given = {"pipeline": pipeline, "policy": policy, "trace": str(load), "seed": seed, **keys}
    return Scenario.model_validate(given)


def row_of(cell: Cell, summary: Mapping[str, Any]) -> Row:
    """The figures of a run that has this summary."""
    pas = 0.0 if summary["pas_mean"] is None else summary["pas_mean"]
    return Row(cell, summary[OBJECTIVE], 100 * summary["sla_violation_rate"], summary["cost_mean_cores"], pas)
