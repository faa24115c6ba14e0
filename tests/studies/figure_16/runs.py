"""The runs of a setting: what was lost, and what violated the SLA."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ipa.sim import COMPLETED
from ipa.studies import Scenario, simulate
from ipa.studies.many.study import prepare
from tests.studies.figure_16.settings import FORECASTS, Setting

LATE = f"{Path(__file__).with_name('late.py')}:Late"


class Lost(NamedTuple):
    """Means over the seeds: the requests dropped or failed, and the SLA violations [%], of which they are a part."""

    requests: float
    violations: float


@cache
def published(pipeline: str) -> dict[str, Scenario]:
    """Forecast -> the scenario of the publication's figure, as the study runs it."""
    ((_, runs),) = prepare("paper", [pipeline], 1).studies
    return {run.point: run.scenario for run in runs if (run.system, run.workload) == ("forecasts", "bursty")}


def scenario_of(pipeline: str, forecast: str, setting: Setting, seed: int) -> Scenario:
    """The scenario of a run. The true future knows no lateness."""
    base = published(pipeline)[forecast]
    values: dict[str, Any] = {**setting.keys, "seed": seed}
    if setting.late_s and forecast != "true future":
        named = base.policy.parameters["predictor"]
        values["policy.predictor"] = {"name": LATE, "of": named, "late_s": setting.late_s}
        values["history_s"] = base.history_s + setting.late_s  # so that it still sees two minutes
    return base.with_values(values)


def lost(pipeline: str, forecast: str, setting: Setting, seeds: int) -> Lost:
    """What IPA loses with a forecast."""
    found = []
    for seed in range(1, seeds + 1):
        run = simulate(scenario_of(pipeline, forecast, setting, seed))
        records = run.records
        is_lost = records.outcome != COMPLETED
        is_late = records.end_s - records.arrival_s > run.summary["sla_s"]
        found.append((is_lost.sum(), 100 * np.mean(is_lost | is_late)))
    return Lost(*np.mean(found, axis=0).tolist())


def in_order(of: dict[str, Lost]) -> bool:
    """Whether the losses are in the published order: true future <= lstm < reactive, to a whole request."""
    future, network, reactive = (round(of[forecast].requests) for forecast in FORECASTS)
    return future <= network < reactive
