"""The runs of a results folder with the names that distinguish them, and the choice of some of them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ipa.studies.many.comparison import read_comparison
from ipa.studies.many.study import read_trials
from ipa.studies.many.sweeps import conditions, read_sweep
from ipa.studies.runs import RunData
from ipa.studies.runs.results import read_manifest
from ipa.studies.scenario import Scenario, ScenarioError

SEED = "seed"

OF_TRIAL = ("pipeline", "setting", "workload", "system", "point")

MOST_LISTED = 12
"""The most values of a name that an error lists."""


@dataclass(frozen=True)
class NamedRun:
    """A run: the values that distinguish it in its folder, its policy or system (`of`), its scenario and summary."""

    values: Mapping[str, Any]
    of: str
    scenario: Scenario
    summary: Mapping[str, Any]

    @property
    def names(self) -> Mapping[str, Any]:
        """Those values and its seed."""
        return {**self.values, SEED: self.scenario.seed}

    @property
    def group(self) -> Hashable:
        """A key that is equal for runs that differ only in their seed."""
        return self.of, *(repr(value) for name, value in self.names.items() if name != SEED)

    def meets(self, condition: conditions.PointCondition) -> bool:
        """Whether a condition on its names and its scenario's keys holds."""
        return condition.holds(self.scenario.as_dict(), self.names)


def named(run: RunData) -> NamedRun:
    """A single run, or one of a comparison; its names are its policy and its seed."""
    policy = str(run.summary["policy"])
    return NamedRun({"policy": policy}, policy, run.scenario, run.summary)


def with_values(run: NamedRun, values: Mapping[str, Any]) -> NamedRun:
    """The run with other values of its scenario's keys, and so without a summary; the run itself if there are none."""
    if not values:
        return run
    scenario = run.scenario.with_values(values)
    of = scenario.policy.title if run.of == run.scenario.policy.title else run.of
    return replace(run, of=of, scenario=scenario, summary={})


def runs_in(folder: str | Path) -> list[NamedRun]:
    """The runs in a results folder of one run, a comparison, a study or a sweep, without those that failed.

    Raises ScenarioError if the folder holds none of these, or one that is not finished.
    """
    folder = Path(folder)
    match read_manifest(folder)["kind"]:
        case "study":
            return [
                NamedRun(
                    {name: getattr(trial, name) for name in OF_TRIAL if getattr(trial, name)},
                    f"{trial.system} ({trial.point})" if trial.point else trial.system,
                    trial.scenario,
                    summary,
                )
                for trial, summary in read_trials(folder)
            ]
        case "sweep":
            return [
                NamedRun(values, scenario.policy.title, scenario, row) for values, scenario, row in read_sweep(folder)
            ]
        case _:
            return [named(run) for run in read_comparison(folder).runs]


def chosen(runs: Sequence[NamedRun], where: Iterable[str]) -> list[NamedRun]:
    """The runs that meet all conditions on their names and on keys of their scenarios.

    Raises ScenarioError for an invalid condition or an unknown name, and if no run is left; the error lists the known
    names.
    """
    remaining = list(runs)
    for text in where:
        try:
            names = [name for run in runs for name in run.names if "." not in name]
            condition = conditions.parse(text, names=names)
        except ScenarioError as error:
            raise ScenarioError(f"{error}; there are {in_words(runs)}") from None
        remaining = [run for run in remaining if run.meets(condition)]
        if not remaining:
            raise ScenarioError(f"--where {text}: no run is left; there are {in_words(runs)}")
    return remaining


def in_words(runs: Iterable[NamedRun]) -> str:
    """The names by which runs can be chosen, with their values: `system: ipa, rim; seed: 1, 2`."""
    values: dict[str, dict[str, None]] = {}
    for run in runs:
        for name, value in run.names.items():
            values.setdefault(name, {})[str(value)] = None
    return "; ".join(f"{name}: {_listed(list(own_values))}" for name, own_values in values.items())


def _listed(values: Sequence[str]) -> str:
    first, unlisted = values[:MOST_LISTED], len(values) - MOST_LISTED
    return f"{', '.join(first)} and {unlisted:,} more" if unlisted > 0 else ", ".join(first)


def titles(runs: Iterable[NamedRun]) -> dict[Hashable, str]:
    """Group -> its title in tables: its policy or system, and the names in which groups differ."""
    groups = {run.group: run for run in runs}
    names = [name for name in varied(groups.values()) if name != SEED]
    return {group: ", ".join([run.of, *_others(run, names)]) for group, run in groups.items()}


def varied(runs: Collection[NamedRun]) -> list[str]:
    """The names of the values in which runs differ."""
    names = dict.fromkeys(name for run in runs for name in run.values)
    return [name for name in names if len({repr(run.values.get(name)) for run in runs}) > 1]


def _others(run: NamedRun, names: Iterable[str]) -> list[str]:
    values = {name: run.values[name] for name in names if name in run.values and name not in ("system", "point")}
    return [str(value) if name in OF_TRIAL else f"{name}={value}" for name, value in values.items() if value != run.of]
