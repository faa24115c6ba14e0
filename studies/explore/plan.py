"""The optimiser's plans of a policy: the Pareto front for a load, the plan taken, and the plans over loads."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from ipa.policies import StageConfiguration
from ipa.studies import pages, plans
from ipa.studies.explore.figures import plain
from ipa.studies.scenario import Scenario, ScenarioError

MOST_RPS = 1000.0
STEPS = 60
"""The number of loads for which the plan is drawn, up to twice the requested load."""


def planned(scenario: Scenario, load_rps: float) -> dict[str, Any]:
    """The plan taken for a load in words, and plots of the Pareto front and of the plans for loads up to twice as high.

    JSON-able.

    Raises ScenarioError if the load is invalid, or the policy does not use the optimiser.
    """
    if not (isfinite(load_rps) and 0.0 < load_rps <= MOST_RPS):
        raise ScenarioError(f"load: should be above 0 and at most {MOST_RPS:g} requests per second; given {load_rps:g}")
    front = plans.frontier(scenario, load_rps)
    over = plans.over(scenario, [2.0 * load_rps * (place + 1) / STEPS for place in range(STEPS)])
    chosen = front.chosen
    cores, pas = chosen.objective["cost_cores"], 100.0 * chosen.objective["pas"]
    of_load = [pages.plans.frontier_plot(front)] if front.plans else []
    return {
        "words": f"{front.policy} takes {cores:g} cores for PAS {pas:.2f}: "
        f"{chosen.rung}: {_in_words(chosen.configuration)}; latency {chosen.latency_s:.2f} s",
        "plots": plain([*of_load, *pages.plans.load_plots(over)], "plan-"),
    }


def _in_words(configuration: Mapping[str, StageConfiguration]) -> str:
    """The stages of a plan: `object-detection 2 × yolov5n, batch 1; ...`."""
    return "; ".join(
        f"{stage} {planned_stage.replicas} × {planned_stage.variant}, batch {planned_stage.batch}"
        for stage, planned_stage in configuration.items()
    )
