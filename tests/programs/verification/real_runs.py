"""How often intervals over seeds hold the mean of real runs: 500 seeds of `video` on `bursty` under five policies.

The mean over all these runs is what intervals are to hold; the seeds of a comparison are drawn from them.
"""

from __future__ import annotations

import pandas as pd

from ipa.studies import sweep
from ipa.studies.many.sweeps import stopping
from tests.programs.verification.coverage import Outcome

SEEDS = 500

OUTCOMES = (
    ("inferline:high", "latency_p50_s:10%", 0.35),
    ("inferline:high", "cost_mean_cores:2%", 0.85),
    ("inferline:high", "latency_mean_s:10%", 0.9),
    ("kpa:high", "cost_mean_cores:2%", 0.88),
    ("kpa:high", "latency_p99_s:5%", 0.88),
    ("ipa", "cost_mean_cores:2%", 0.92),
    ("ipa", "latency_p50_s:10%", 0.93),
    ("ipa", "latency_p99_s:10%", 0.86),
    ("ipa", "pas_mean:2%", 0.92),
    ("ipa predictor=max", "cost_mean_cores:2%", 0.82),
    ("ipa predictor=max", "latency_p50_s:5%", 0.84),
    ("rate", "cost_mean_cores:2%", 0.92),
    ("rate", "latency_p99_s:2%", 0.9),
)
"""A policy, an outcome with the aim of a sweep that adds seeds, and the least share of intervals to hold the mean."""


def made() -> pd.DataFrame:
    """A row for each run."""
    policies = ",".join(dict.fromkeys(policy for policy, _, _ in OUTCOMES))
    return sweep("video", [f"policy={policies}"], seeds=SEEDS, values={"trace": "bursty"})


def outcomes(table: pd.DataFrame) -> list[tuple[Outcome, stopping.WidthAim]]:
    """The outcomes of these runs, to be drawn from, and the aims."""
    found = []
    for policy, text, least in OUTCOMES:
        aim = stopping.parse(text)
        values = table[table["policy"] == policy][aim.outcome].to_numpy(dtype=float)
        name = f"{policy}, {aim.outcome}"
        draw = lambda random, shape, values=values: random.choice(values, shape)  # noqa: E731
        found.append((Outcome(name, aim.outcome, draw, float(values.mean()), least), aim))
    return found
