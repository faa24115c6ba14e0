"""Twenty pipelines under one budget: processor time of the split, of the curves that it weighs, and of whole runs.

python -m tests.programs.benchmarks fleets
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import process_time
from typing import TypeVar

import numpy as np

from ipa.policies import create
from ipa.policies.sharing import Curves, Member, split, weights_of
from ipa.studies import simulate
from ipa.studies.fleets import Fleet, simulate_fleet
from ipa.studies.scenario import Shared
from tests.programs.benchmarks.tables import Column, Table, Value

T = TypeVar("T")

PIPELINES, CORES = 20, 200
SPLITS = 50
KINDS = ("video", "audio-qa", "audio-sent", "sum-qa", "nlp")
TRACES = ("bursty", "fluctuating", "steady-high", "steady-low")
DURATION_S = 1200
SCARCE, AMPLE = 0.6, 2.0
"""Budgets, as shares of the cores that the pipelines alone take in the mean."""


def fleets(pipelines: int = PIPELINES, cores: int = CORES, duration_s: int = DURATION_S) -> Table:
    """A row for each rule and budget: the time of a step's parts, and of a run against those of its pipelines alone."""
    split_ms, curve_ms = _split_ms(pipelines, cores), _curve_ms(pipelines, cores)
    fleet = _fleet(pipelines, duration_s)
    shared = Shared()
    simulate_fleet(fleet, shared)  # compiles the engine, if need be
    alone_s, alone_cores = 0.0, 0.0
    for member in fleet.pipelines:
        run, seconds = _timed(partial(simulate, fleet.scenario_of(member), shared=shared))
        alone_s += seconds
        alone_cores += run.summary["cost_mean_cores"]
    rows: list[dict[str, Value]] = []
    for rule in ("water-filling", "objective"):
        for share in (AMPLE, SCARCE):
            floors = sum(each.at_least for each in fleet.sharers(shared))
            limited = fleet.with_values({"sharing": rule, "limit_cores": max(round(share * alone_cores), floors)})
            fleet_run, seconds = _timed(partial(simulate_fleet, limited, shared))
            steps = fleet_run.steps
            lacking = sum(step.got < step.wanted for step in steps) / len(steps)
            rows.append(
                {
                    "sharing": rule,
                    "limit_cores": limited.budget,
                    "lacking": 100 * lacking,
                    "fleet_s": seconds,
                    "alone_s": alone_s,
                    "ratio": seconds / alone_s,
                }
            )
    return Table(
        name="fleets",
        title=f"{pipelines} pipelines for {duration_s} s: processor seconds",
        columns=(
            Column("sharing", "sharing"),
            Column("limit_cores", "cores", "d"),
            Column("lacking", "steps that lack cores, %", ".0f"),
            Column("fleet_s", "fleet, s", ".2f"),
            Column("alone_s", "alone, s", ".2f"),
            Column("ratio", "ratio", ".2f"),
        ),
        rows=tuple(rows),
        notes=(
            f"A split of {cores} cores by `objective`, once the curves are known: {split_ms:.2f} ms.",
            f"The curves of all {pipelines} pipelines for loads that are new: {curve_ms:.1f} ms.",
        ),
    )


def _split_ms(pipelines: int, cores: int) -> float:
    """The median of splits that do not fit, by random curves."""
    draw = np.random.default_rng(1)
    weights = weights_of(draw.integers(1, 5, pipelines).tolist())
    members = [Member(f"p{k}", weight, 2, cores) for k, weight in enumerate(weights)]
    times_s = []
    for _ in range(SPLITS):
        demands = draw.integers(cores // pipelines, cores, pipelines).tolist()
        curves = [partial(np.cumsum, draw.random(cores + 1)) for _ in members]
        _, seconds = _timed(partial(split, "objective", cores, members, demands, curves))
        times_s.append(seconds)
    return 1000 * float(np.median(times_s))


def _curve_ms(pipelines: int, cores: int) -> float:
    """The median over loads of the time for a curve of each pipeline."""
    shared, fleet = Shared(), _fleet(pipelines, DURATION_S)
    curves = []
    for member in fleet.pipelines:
        pipeline = shared.pipeline(member.scenario)
        curves.append(Curves(pipeline, create("ipa", pipeline, {}), cores))
    loads_rps = np.random.default_rng(2).uniform(5.0, 40.0, 5).tolist()
    times_s = [sum(_timed(partial(each.curve, load_rps))[1] for each in curves) for load_rps in loads_rps]
    return 1000 * float(np.median(times_s))


def _fleet(pipelines: int, duration_s: int) -> Fleet:
    members = [
        {
            "name": f"p{place}",
            "pipeline": KINDS[place % len(KINDS)],
            "trace": TRACES[place % len(TRACES)],
            "policy": "ipa",
            "window": f"0:{duration_s}",
            "seed": place,
        }
        for place in range(pipelines)
    ]
    return Fleet.model_validate({"limit_cores": 50 * pipelines, "pipelines": members})


def _timed(work: Callable[[], T]) -> tuple[T, float]:
    before_s = process_time()
    return work(), process_time() - before_s
