"""What a run is judged by: the objective of its programme as it came out, and what stands behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import fsum
from typing import NamedTuple

from ipa.policies import Configuration, Entry, OptimisingPolicy
from ipa.studies.runs import Run


class Figure(NamedTuple):
    """A figure: its name in results, in tables and in sentences, how it is rounded, and whether more of it is better.

    `more` and `less` follow a number: `0.4 cores more`.
    """

    key: str
    title: str
    unit: str
    decimals: int
    more_is_better: bool
    more: str
    less: str


OBJECTIVE = Figure("objective", "Objective", "", 3, True, "objective more", "objective less")
VIOLATIONS = Figure(
    "violations_percent",
    "SLA violations",
    "percentage points",
    2,
    False,
    "points of SLA violations more",
    "points of SLA violations less",
)
FIGURES = (
    OBJECTIVE,
    Figure("cost_mean_cores", "Cost", "cores", 2, False, "cores more", "cores less"),
    Figure("pas_mean", "PAS", "points", 2, True, "PAS more", "PAS less"),
    VIOLATIONS,
)

Values = Mapping[str, float]
"""A figure's key -> its value."""


def figures_of(run: Run, judge: OptimisingPolicy, free_changes: bool) -> Values:
    """The figures of a run, whose objective is that of `judge`'s programme: alpha x A - beta x cost.

    A is the time's mean of the accuracy of what was decided, as the programme combines it; cost is that of all replicas
    that existed or, with `free_changes`, of those that were wanted. PAS is NaN where no request completed.
    """
    summary, programme = run.summary, judge.programme
    cost = summary["planned_cost_mean_cores" if free_changes else "cost_mean_cores"]
    accuracy = _mean_accuracy(run.entries, run.initial, run.trace.duration_s, judge)
    pas = summary["pas_mean"]
    return {
        "objective": programme.alpha * accuracy - programme.beta * cost,
        "cost_mean_cores": cost,
        "pas_mean": float("nan") if pas is None else pas,
        "violations_percent": 100.0 * summary["sla_violation_rate"],
    }


def _mean_accuracy(
    entries: Sequence[Entry], initial: Configuration, duration_s: float, judge: OptimisingPolicy
) -> float:
    """Of the configurations in force, by the time that each was."""
    in_force = [(0.0, initial)]
    in_force += [(each.observation.time_s, each.decision.configuration) for each in entries if not each.is_refused]
    ends_s = [*(since_s for since_s, _ in in_force), duration_s]
    lasting_s = [end_s - since_s for since_s, end_s in pairwise(ends_s)]
    total = fsum(
        lasted_s * judge.programme.score(configuration)["accuracy"]
        for lasted_s, (_, configuration) in zip(lasting_s, in_force, strict=True)
    )
    return total / duration_s
