"""The objective that a run of a chain has achieved, in the terms of IPA's programme for its pipeline."""

from __future__ import annotations

from functools import cache

import numpy as np

from ipa import profiles
from ipa.policies import OptimisingPolicy, create
from ipa.sim import COMPLETED
from ipa.studies.many.outcome import Outcome, summary_of
from ipa.studies.runs import Run

OBJECTIVE = "objective"
"""Added to the summary: the achieved objective."""


def with_objective(run: Run) -> Outcome:
    """The summary with `OBJECTIVE`; it needs all records."""
    return summary_of(run, **{OBJECTIVE: objective_of(run)})


def objective_of(run: Run) -> float:
    """alpha x the mean accuracy of completed requests - beta x the mean cores, with IPA's weights for the pipeline. The
    accuracy is 0 if none completed."""
    programme = _ipa(run.scenario.pipeline).programme
    scales, records = programme.table.scales, run.records
    done = records.outcome == COMPLETED
    denominator = scales.unit ** (1 / len(records.stages)) if scales.multiply else scales.unit
    value = np.ones(int(done.sum()))
    for position, replicas in enumerate(records.replicas):
        terms = np.array([scales.terms[position][name] / denominator for name in replicas.variant])
        value *= terms[records.replica[position, done]]
    accuracy = value.mean() if len(value) else 0.0
    return float(programme.alpha * accuracy - programme.beta * run.summary["cost_mean_cores"])


@cache
def _ipa(pipeline: str) -> OptimisingPolicy:
    policy = create("ipa", profiles.load(pipeline))
    assert isinstance(policy, OptimisingPolicy)
    return policy
