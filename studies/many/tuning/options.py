"""The options of a tuning, declared once for the command line and Python."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ipa.studies.scenario import option

TRIALS = 100
"""The default number of settings to try."""

WINDOWS = 16
"""The default number of windows to train on."""


@dataclass(frozen=True)
class TuningOptions:
    """The goal of the search, its space, the number of trials, and how many windows and seeds each is tried on.

    `limits`: as `aims.parse_limit`; `vary`: as `space.space_of`.
    """

    minimise: str | None = option(
        None, "Outcome to minimise: cost_mean_cores, sla_violation_rate, ...", metavar="OUTCOME"
    )
    maximise: str | None = option(None, "Outcome to maximise: pas_mean, ...", metavar="OUTCOME")
    limits: Sequence[str] = option(
        (),
        "Limit on the mean over the windows; NUMBER may be `defaults` or, say, 0.9*defaults. Repeatable.",
        flag="--slo",
        metavar="'OUTCOME<=NUMBER'",
    )
    vary: Sequence[str] = option(
        (),
        "Key to vary: KEY=0:1, 10:60:5 (steps), 0.1:100:log, or p99,mean (a choice). Repeatable. "
        "Default: the policy's parameters that have a range.",
        metavar="KEY=FROM:TO",
    )
    trials: int = option(TRIALS, f"Number of settings to try. Default: {TRIALS}.", least=1)
    windows: int = option(WINDOWS, f"Training windows; twice as many are for testing. Default: {WINDOWS}.", least=2)
    seeds: int = option(1, "Runs in each window. Default: 1.", least=1)
