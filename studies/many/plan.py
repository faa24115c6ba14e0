"""Planned runs, each with a key of everything that it depends on: a run with a known key need not be made again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from typing import Any, NamedTuple

from ipa import profiles
from ipa.profiles import Pipeline
from ipa.studies.runs import Renaming, content_of, digest_of, files_in
from ipa.studies.runs.results import versions
from ipa.studies.scenario import Scenario, find_trace
from ipa.traces import NAMES, Reading


class PlannedRun(NamedTuple):
    """A run: its key, and its scenario as plain data for `Scenario.model_validate`.

    `judge`: the scenario of an optimising policy whose objective the summary then has as `OBJECTIVES`.
    """

    key: str
    data: Mapping[str, Any]
    judge: Mapping[str, Any] | None = None


OBJECTIVES = {"objective": "cost_mean_cores", "planned_objective": "planned_cost_mean_cores"}
"""Key of a summary -> the cost in the objective under it."""


class Keys:
    """Makes keys. Each file and load that scenarios name is read once.

    A key is a digest of the program's version and source, the libraries' versions, the scenario, the files that it
    names, the pipeline's figures and the trace.
    """

    def __init__(self) -> None:
        self._always = f"{versions()['versions']}"
        self._files: dict[str, str] = {}
        self._loads: dict[tuple[str, Reading], str] = {}
        self._figures: dict[str, str] = {}

    def shared(self, scenario: Scenario) -> str:
        """The part of the key that a scenario's seeds share. Raises ValueError if a file or load cannot be found.

        A file counts by its content: a copy of it, under another name, makes the same run.
        """
        digests = Renaming({name: self._file(name) for name in files_in(scenario)})
        data = scenario.model_copy(update={"seed": 0, "trace_sha256": {}}).as_dict()
        policy = {key: value for key, value in data["policy"].items() if key != "label"}
        return (
            f"{self._always}\n{self._content(scenario.pipeline)}\n{self._load(scenario.trace, scenario.read)}\n"
            f"{scenario.policy.title}\n{json.dumps(digests.over({**data, 'policy': policy}), sort_keys=True)}"
        )

    def _file(self, name: str) -> str:
        if name not in self._files:
            self._files[name] = digest_of(content_of(name))
        return self._files[name]

    def _load(self, trace: str, hints: Reading) -> str:
        if (trace, hints) not in self._loads:
            # A synthetic load is determined by its name and the run's seed.
            self._loads[trace, hints] = trace if trace in NAMES else find_trace(trace, 1, hints).sha256
        return self._loads[trace, hints]

    def _content(self, pipeline: str) -> str:
        if pipeline not in self._figures:
            self._figures[pipeline] = content(profiles.load(pipeline))
        return self._figures[pipeline]


def key_of(shared: str, seed: int) -> str:
    """The key of a run, from `Keys.shared` of its scenario and its seed."""
    return sha256(f"{shared}\n{seed}".encode()).hexdigest()


def content(figures: Pipeline) -> str:
    """A digest of a whole pipeline, including the figures, which its `repr` leaves out."""
    rows = [variant.figures for stage in figures.stages for variant in stage.variants]
    return sha256(repr((figures, rows)).encode()).hexdigest()
