"""Studies: what people run. `simulate(scenario) -> Run` is the Python face of the project, `cli` its command line.

scenario       one run as a validated value · loads: the trace it runs on · run: prepare and simulate
results        runs on disk · comparison: many runs on all cores · intervals: means over seeds
study/         systems x loads x seeds from one file · paper/: the publication's, as such files
live_run       one run on real servers · live_load: a load sent to one · live_commands, live_view: how they are told
live_cluster   what a cluster is asked to run · cluster_commands: up, status, down, manifests
decision       one decision explained, a journal replayed · terminal: what commands print
report/        the HTML report · profile/: a pipeline's profiles, shown · validation/: live runs against simulated ones
examples/      to start from
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ipa.studies.errors import ScenarioError
    from ipa.studies.run import Run, simulate
    from ipa.studies.scenario import Scenario, find, load

__all__ = ["Run", "Scenario", "ScenarioError", "find", "load", "simulate"]

_HOMES = {
    "Run": "run",
    "Scenario": "scenario",
    "ScenarioError": "errors",
    "find": "scenario",
    "load": "scenario",
    "simulate": "run",
}


def __getattr__(name: str) -> Any:
    # The command `ipa` lives in this package: importing it must not import the simulator.
    if name in _HOMES:
        return getattr(import_module(f"ipa.studies.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
