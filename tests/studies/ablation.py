"""The table of predictors in docs/paper-details.md, from runs on the real trace: python -m tests.studies.ablation"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ipa.studies import Scenario, simulate
from ipa.studies.study import course

PREDICTORS: tuple[Any, ...] = ("oracle", "lstm", "reactive", {"name": "reactive", "window_s": 1})
"""The true future, the published network, the last 10 s window's maximum, and the last second."""

SLOWER_S = (0, 20, 40)
"""What is added to every start-up."""


def published_run(pipeline: str) -> Scenario:
    """IPA on the bursty load in the published settings, with seed 1."""
    ((_, trials),) = course.prepare("paper", [pipeline], 1).studies
    wanted = ("published", "ipa", "bursty", "")
    return next(t.scenario for t in trials if (t.setting, t.system, t.workload, t.point) == wanted)


def table(pipelines: Sequence[str]) -> list[list[str]]:
    """Pipeline, seconds added to start-ups, then for each predictor what was not served, and the cost in cores."""
    found = []
    for pipeline in pipelines:
        base = published_run(pipeline)
        for slower_s in SLOWER_S:
            row = [pipeline, str(slower_s)]
            for predictor in PREDICTORS:
                policy = {**base.policy.model_dump(), "predictor": predictor}
                summary = simulate(base.with_values({"policy": policy, "start_up_extra_s": slower_s})).summary
                lost = summary["dropped"] + summary["failed"]
                row.append(f"{lost:,} ({summary['cost_mean_cores']:.2f})")
            found.append(row)
    return found


if __name__ == "__main__":
    for row in table(course.shipped()):
        print(f"| {' | '.join(row)} |")
