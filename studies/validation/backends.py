"""What runs a scenario live: the backends that a validation knows."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from live.errors import LiveError, RunError
from studies import live_run, results
from studies.run import prepare
from studies.scenario import Scenario
from studies.validation.folder import RunLive

LOOPBACK = "loopback"


def live_runner(backend: str, source: str, scenario: Scenario) -> RunLive:
    """What runs a scenario on a backend, where policies observe through `source`, and writes its results folder.

    Raises LiveError, before anything runs, where the scenario or this machine cannot run live.
    """
    if backend != LOOPBACK:
        raise LiveError(f"--backend {backend}; allowed: {LOOPBACK}")
    live_run.check_installed()
    for key in ("dispatch_overhead_s", "start_up_extra_s"):
        if getattr(scenario, key) > 0.0:
            raise LiveError(f"{key}: {getattr(scenario, key)}: it is measured; allowed: 0")
    how = live_run.Live(source=source)
    live_run.check_live(scenario, how, prepare(scenario))
    return partial(_loopback, how)


def _loopback(how: live_run.Live, scenario: Scenario, folder: Path) -> None:
    """Processes of this machine. Raises KeyboardInterrupt and RunError for a run that ended early: it says nothing."""
    finished = live_run.run_live(scenario, how)
    if finished.ended == "interrupted":
        raise KeyboardInterrupt
    if finished.ended:
        raise RunError(f"the live run ended early: {finished.ended}")
    results.write_run(finished, folder)
