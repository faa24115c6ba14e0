"""Worlds whose overheads are known, as simulations that stand for live ones."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ipa.studies import Scenario, simulate
from ipa.studies.validation.experiment import Experiment, RunLive, design, write_live

OVERHEADS = {
    "dispatch_overhead_s": 0.004,
    "hop_s": 0.002,
    "start_up_extra_s": 0.6,
    "decision_delay_s": 0.05,
    "stop_s": 0.4,
}

BASE = Scenario(pipeline="video").with_values(
    {"trace": "fluctuating", "policy": {"name": "ipa", "load_margin": 1.0}, "service_times": "mean"}
)


def world(base: Scenario = BASE, late_s: float = 0.0, **changes: Any) -> tuple[Experiment, RunLive]:
    """The plan of a scenario, and a live world that has these overheads, changed as said, but says that it is real.

    Its requests come `late_s` after they were due.
    """

    def run_live(scenario: Scenario, folder: Path) -> None:
        run = simulate(scenario.with_values({**OVERHEADS, **changes}), late_s=late_s)
        write_live(replace(run, scenario=scenario), folder)

    return design(base), run_live


def changing_world(base: Scenario = BASE, **changes: Any) -> tuple[Experiment, RunLive]:
    """As `world`, with the changes only in the seconds that are compared, not where overheads are measured."""
    experiment, of_calibration = world(base)
    _, of_repeats = world(base, **changes)

    def run_live(scenario: Scenario, folder: Path) -> None:
        (of_calibration if scenario == experiment.calibration else of_repeats)(scenario, folder)

    return experiment, run_live
