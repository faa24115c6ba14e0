"""The beginning of a scenario's load: for coarse answers on long loads, and for the part that a live run covered."""

from __future__ import annotations

from ipa.studies.scenario import Scenario, Shared

COARSE_S = 300
"""The length of load for a coarse answer [s]; the load must be at least twice as long."""


def coarse_part(scenario: Scenario) -> tuple[Scenario, float | None]:
    """The scenario on the beginning of its load, and the length of the whole load [s]; the scenario itself, and None,
    if that is not long."""
    whole_s = Shared().trace(scenario).duration_s
    return (beginning(scenario, COARSE_S), whole_s) if whole_s >= 2 * COARSE_S else (scenario, None)


def beginning(scenario: Scenario, length_s: int) -> Scenario:
    """The scenario on the first `length_s` seconds of its load, which must be at least as long."""
    windows, left_s = [], float(length_s)
    for start_s, end_s in scenario.window or ((0.0, left_s),):
        if left_s > 0.0:
            windows.append((start_s, min(end_s, start_s + left_s)))
            left_s -= end_s - start_s
    return scenario.with_values({"window": windows})
