"""A policy written as the settings of an autoscaler, with where they come from and what they did in comments."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap

from ipa.policies import format_of, write_settings
from ipa.studies.many.systems import as_spec
from ipa.studies.runs import Run, prepare, run_lines, run_title, simulate
from ipa.studies.scenario import Scenario

WIDTH = 96


def settings_of(
    scenario: Scenario, wanted: str | None = None, *, is_measured: bool = True, reasons: Iterable[str] = ()
) -> str:
    """The manifest of a scenario's policy, of which `wanted` names the format; None: what says all that it does.

    `is_measured`: simulate the scenario, and write the outcome. `reasons`: further lines on where they come from.
    Raises PolicyError for a policy that no autoscaler's settings can say, and as `simulate`.
    """
    prepared = prepare(scenario)
    chosen = wanted or format_of(prepared.policy)
    write_settings(prepared.policy, prepared.pipeline, chosen)  # before anything is simulated
    lines = [f"{as_spec(scenario.policy.name, scenario.policy.parameters)}, for {prepared.pipeline.name}", *reasons]
    if is_measured:
        lines += _measured(simulate(scenario))
    return write_settings(
        prepared.policy, prepared.pipeline, chosen, [part for line in lines for part in wrap(line, WIDTH)]
    )


def _measured(run: Run) -> list[str]:
    return [f"Simulated: {run_title(run.summary)}.", *run_lines(run.summary)]
