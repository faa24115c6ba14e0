"""Part of a scenario's load: what is answered first of a long one, and what a live run met of its own."""

from __future__ import annotations

from ipa.studies.scenario import Scenario, Shared

COARSE_S = 300
"""So much of a load is run for a coarse answer, if the load is at least twice as long."""


def coarse_part(scenario: Scenario, shared: Shared) -> tuple[Scenario, float] | None:
    """The scenario on the beginning of its load, and how long the load is [s]; None where that is no long one."""
    whole_s = shared.trace(scenario).duration_s
    return (beginning(scenario, COARSE_S), whole_s) if whole_s >= 2 * COARSE_S else None


def beginning(scenario: Scenario, length_s: int) -> Scenario:
    """The scenario on the first seconds of its load, which has at least as many."""
    windows, left_s = [], float(length_s)
    for start_s, end_s in scenario.window or ((0.0, left_s),):
        if left_s > 0.0:
            windows.append((start_s, min(end_s, start_s + left_s)))
            left_s -= end_s - start_s
    return scenario.with_values({"window": windows})
