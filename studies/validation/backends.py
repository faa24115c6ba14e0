"""What runs a scenario live: on this machine, or on a cluster."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from ipa.live import LiveError, RunError
from ipa.studies import results
from ipa.studies.runs import prepare
from ipa.studies.runs.live_runs import Live, check_installed, check_live, check_reachable, run_live
from ipa.studies.scenario import Scenario
from ipa.studies.validation.folder import RunLive


def live_runner(how: Live, scenario: Scenario) -> RunLive:
    """A function that runs a scenario live and writes its results folder.

    Raises LiveError, before anything runs, where the scenario, this machine or the cluster cannot run live.
    """
    check_installed()
    for key in ("dispatch_overhead_s", "start_up_extra_s"):
        if getattr(scenario, key) > 0.0:
            raise LiveError(f"{key}: {getattr(scenario, key)}: a validation measures it; allowed: 0")
    if scenario.resize != "rollout":
        raise LiveError(f"resize: {scenario.resize}: a validation measures rollouts; allowed: rollout")
    prepared = prepare(scenario)
    check_live(scenario, how, prepared)
    if how.cluster is not None:
        check_reachable(scenario, prepared, how.cluster)
    return partial(_run, how)


def _run(how: Live, scenario: Scenario, folder: Path) -> None:
    """Raise KeyboardInterrupt or RunError for a run that ended early, which says nothing."""
    finished = run_live(scenario, how)
    if finished.ended == "interrupted":
        raise KeyboardInterrupt
    if finished.ended:
        raise RunError(f"the live run ended early: {finished.ended}")
    results.write_run(finished, folder)
