"""How often intervals over seeds hold the mean of real runs: 500 seeds of `video` on `bursty` under five policies.

The mean over all these runs is what intervals are to hold; the seeds of a comparison are drawn from them.
"""

from __future__ import annotations

import pandas as pd

from ipa.studies import sweep
from tests.programs.verification.coverage import Outcome

SEEDS = 500

OUTCOMES = (
    ("inferline:high", "latency_p50_s", 0.35),
    ("inferline:high", "cost_mean_cores", 0.85),
    ("inferline:high", "latency_mean_s", 0.9),
    ("kpa:high", "cost_mean_cores", 0.88),
    ("kpa:high", "latency_p99_s", 0.88),
    ("ipa", "cost_mean_cores", 0.92),
    ("ipa", "latency_p50_s", 0.93),
    ("ipa", "latency_p99_s", 0.86),
    ("ipa", "pas_mean", 0.92),
    ("ipa predictor=max", "cost_mean_cores", 0.82),
    ("ipa predictor=max", "latency_p50_s", 0.84),
    ("rate", "cost_mean_cores", 0.92),
    ("rate", "latency_p99_s", 0.9),
)
"""A policy, an outcome, and the least share of intervals to hold the mean."""


def made() -> pd.DataFrame:
    """A row for each run."""
    policies = ",".join(dict.fromkeys(policy for policy, _, _ in OUTCOMES))
    return sweep("video", [f"policy={policies}"], seeds=SEEDS, values={"trace": "bursty"})


def outcomes(table: pd.DataFrame) -> list[Outcome]:
    """The outcomes of these runs, to be drawn from."""
    found = []
    for policy, key, least in OUTCOMES:
        values = table[table["policy"] == policy][key].to_numpy(dtype=float)
        draw = lambda random, shape, values=values: random.choice(values, shape)  # noqa: E731
        found.append(Outcome(f"{policy}, {key}", key, draw, float(values.mean()), least))
    return found
