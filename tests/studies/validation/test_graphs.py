"""Validation of a graph: its decisions are simulated again, and hops are found between its items."""

from __future__ import annotations

import numpy as np
import pandas as pd

from ipa.sim import stage_models
from ipa.studies.runs import prepare, simulate
from ipa.studies.scenario import Scenario
from ipa.studies.validation.decisions import decided, simulate_decisions
from ipa.studies.validation.overheads import measure_overheads

SHORT = {"pipeline": "image", "trace": "constant:8", "window": [[0, 60]], "policy": "rate"}


def test_the_decisions_of_a_run_simulated_again_are_the_run() -> None:
    scenario = Scenario.model_validate(SHORT)
    run = simulate(scenario)
    again = simulate_decisions(prepare(scenario), decided(run.tables["decisions"]))
    for name in ("requests", "items"):
        pd.testing.assert_frame_equal(again[name], run.tables[name])


def test_hops_are_found_between_an_item_and_what_came_before_it() -> None:
    scenario = Scenario.model_validate({**SHORT, "hop_s": 0.004})
    prepared = prepare(scenario)
    models = stage_models(prepared.pipeline, sampled=True)
    found = measure_overheads(simulate(scenario).tables, models, scenario.seed, graph=prepared.pipeline.graph)
    assert found.hop_s.count > 100
    assert np.isclose(found.hop_s.median_s, 0.004)
    assert np.isclose(found.hop_s.p99_s, 0.004)
