"""Refreshes what docs/paper.md says of graphs published elsewhere: python -m tests.programs.paper_graphs

InferLine's budgets are what its planner may spend, and each gives the highest load that its plan carries. Here the
planners get as many GPUs as the budget pays, and the plan for the highest load within these is run on 50,000 requests
with exponential gaps (a gamma process of CV 1).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ipa.studies import Run, Scenario, simulate
from tests.programs.paper_page import PAGE, with_table

INFERLINE = {
    "cascade": {5.89: 90, 8.48: 116, 16.27: 166, 18.86: 198, 21.46: 280, 24.05: 311, 26.65: 347},
    "image": {5.4: 199, 8.0: 295, 10.6: 431, 13.2: 626, 15.8: 656, 18.4: 874},
}
"""Pipeline -> budget [$/h] -> highest load [rps], as published with InferLine (SoCC 2020)."""

CORE, K80, V100 = 0.0665, 0.634, 2.528
"""Its prices [$/h]."""

GPU_CORES = 10
"""What a replica on a GPU takes in the shipped files; one on a processor takes 1."""

ROUNDING = 0.005

REQUESTS = 50_000
LOADS_RPS = range(10, 5_000)
"""Those tried; every plan carries the least."""


def inferline() -> Iterator[list[str]]:
    """Pipeline, budget, GPUs, published load; then of each planner the load, and the share of late requests."""
    for pipeline, published in INFERLINE.items():
        for budget, load_rps in published.items():
            gpus = gpus_of(budget)
            found = [_within(gpus, pipeline=pipeline, policy={"name": policy}) for policy in ("inferline", "ipa")]
            yield [pipeline, f"{budget:.2f}", str(gpus), str(load_rps), *(cell for each in found for cell in each)]


def gpus_of(budget: float) -> int:
    """V100s, and a K80 if the rest pays it, each with a core; budgets are published rounded."""
    v100s = int((budget + ROUNDING) / (V100 + CORE))
    return v100s + (budget + ROUNDING - v100s * (V100 + CORE) >= K80 + CORE)


def _within(gpus: int, **asked: Any) -> tuple[str, str]:
    def fits(run: Run) -> bool:
        decided = run.tables["decisions"]
        on_gpus = decided["cores"] == GPU_CORES
        return bool(decided["feasible"].all() and decided.loc[on_gpus, "replicas"].sum() <= gpus)

    load_rps = highest(fits, **asked)
    return str(load_rps), _late(planned(load_rps, REQUESTS // load_rps, **asked))


def _late(run: Run) -> str:
    return f"{100 * run.summary['sla_violation_rate']:.1f}"


def highest(fits: Callable[[Run], bool], **asked: Any) -> int:
    """The highest load of which the plan fits."""
    return LOADS_RPS[bisect_left(LOADS_RPS, True, key=lambda rps: not fits(planned(rps, 2, **asked))) - 1]


def planned(load_rps: int, duration_s: int, *, policy: dict[str, Any], **asked: Any) -> Run:
    """A run on the plan for its load, which is made once."""
    if policy["name"] == "inferline":  # its planner gets the load as it comes
        counts = np.random.default_rng(1).poisson(load_rps, REQUESTS // load_rps)
        policy = {**policy, "sample_rps": counts.tolist()}
    once: dict[str, Any] = {
        "interval_s": float(duration_s),
        "window": ((0.0, float(duration_s)),),
        "arrivals": "poisson-count",
    }
    return simulate(Scenario(**asked, trace=f"constant:{load_rps}", **once).with_values({"policy": policy}))


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_table(page, "InferLine's budgets", list(inferline())), encoding="utf-8")
