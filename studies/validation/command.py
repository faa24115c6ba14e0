"""The command `ipa validate`: what it does with its options."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory

import click

from ipa.studies.commands.printing import progress
from ipa.studies.errors import ScenarioError
from ipa.studies.live_runs.choice import Live
from ipa.studies.loads import Windows, parse_windows
from ipa.studies.scenario import Scenario
from ipa.studies.validation import backends, terminal
from ipa.studies.validation.outcome import Validation
from ipa.studies.validation.plan import plan
from ipa.studies.validation.study import validate


def run(
    scenario: Scenario,
    how: Live,
    *,
    repeats: int,
    duration_s: int | None,
    calibration_window: str | None,
    out: Path | None,
    report: Path | None,
    as_json: bool,
) -> None:
    """Validate a scenario, live as `how` says, and print what was found."""
    planned = plan(scenario, duration_s, _windows(calibration_window), backend=how.backend, source=how.source)
    run_live = backends.live_runner(how, planned.compared)
    with ExitStack() as stack:
        folder = out or Path(stack.enter_context(TemporaryDirectory(prefix="ipa-validate-"))) / "validation"
        advance = stack.enter_context(progress("live runs", repeats + 1))
        try:
            with redirect_stdout(sys.stderr):
                validation = validate(planned, run_live, folder, repeats=repeats, on_finished=advance)
        except KeyboardInterrupt:
            kept = f": what is finished stands in {out}; the same command goes on with the rest" if out else ""
            raise click.ClickException(f"interrupted{kept}") from None
        _tell(validation, out, report, as_json)


def _tell(validation: Validation, out: Path | None, report: Path | None, as_json: bool) -> None:
    if report is not None:
        from ipa.studies.validation import page

        page.write(validation, report)
    if as_json:
        click.echo(json.dumps(validation.as_dict(), indent=2, allow_nan=False))
    else:
        terminal.print_validation(validation, out, report)
    terminal.print_flags(validation.flags)


def _windows(given: str | None) -> Windows | None:
    try:
        return None if given is None else parse_windows(given)  # type: ignore[return-value]
    except ValueError as error:
        raise ScenarioError(f"--calibration-window {given}: {error}") from None
